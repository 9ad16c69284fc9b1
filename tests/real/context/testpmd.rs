//! DPDK's testpmd, the real peer: one port, forwarding from the start.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::Missing;

/// How long it may take to come to where it says something.
const PATIENCE: Duration = super::HANGS;

/// The memory that does for one port: 8 pages of 2Mi, in one file.
pub(crate) const ONE_FILE: &[&str] = &["--in-memory", "--single-file-segments", "-m", "16"];

/// A testpmd, ended when dropped.
#[derive(Debug)]
pub(crate) struct Testpmd {
    child: Child,
    log: PathBuf,
}

/// What a testpmd is told beside its device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    /// Its own: how it forwards.
    pub(crate) arguments: &'a [&'a str],
    /// EAL's options about memory, `$DIR` being the directory.
    pub(crate) memory: &'a [&'a str],
    /// What a shell does first, in a mount namespace of the testpmd's own.
    pub(crate) preamble: &'a str,
}

// === impl Testpmd ===

impl Testpmd {
    /// Forwards on the port that `device` describes, as its own `arguments` say; `directory` is for its files and its log.
    pub(crate) fn start(directory: &Path, device: &str, arguments: &[&str]) -> Result<Self, Missing> {
        Self::told(directory, device, Told { arguments, ..Told::default() })
    }

    /// The same, told more.
    pub(crate) fn told(directory: &Path, device: &str, told: Told<'_>) -> Result<Self, Missing> {
        super::program_or_missing("dpdk-testpmd")?;
        let path = directory.join("testpmd.log");
        let log = File::create(&path).unwrap();
        let prefix = format!("hugeprobe-{}", std::process::id());
        let script = format!("set -e\n{}\nexec dpdk-testpmd \"$@\"", told.preamble);
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).env("DIR", directory);
        let child = command
            .args(["-l", "0-1", "--no-pci"])
            .args(told.memory.iter().map(|option| option.replace("$DIR", directory.to_str().unwrap())))
            .args(["--file-prefix", &prefix, "--vdev", device])
            .args(["--", "--no-mlockall", "--total-num-mbufs=2048", "--auto-start"])
            .args(told.arguments)
            // It throws away what it receives in its first moments otherwise, and reads its commands without a period.
            .args(["--no-flush-rx", "--stats-period=1"])
            // DPDK leaves its runtime files there (eal_create_runtime_dir); without it, root leaves them in /var/run/dpdk.
            .env("RUNTIME_DIRECTORY", directory)
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        Ok(Self { child, log: path })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// What it said, for the message of a test that fails.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it has said `words`.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(Instant::now() < until, "testpmd does not say {words}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it. All that it said, its final statistics included.
    pub(crate) fn end(self) -> String {
        let log = self.log.clone();
        drop(self);
        String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned()
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        super::end(&mut self.child);
    }
}

// === impl Told ===

impl Default for Told<'_> {
    fn default() -> Self {
        Self { arguments: &["--forward-mode=io"], memory: ONE_FILE, preamble: "" }
    }
}
