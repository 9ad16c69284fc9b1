//! DPDK's testpmd, a real peer with one port, which forwards from the start.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::Missing;

/// How long it may take until it writes an expected line.
const PATIENCE: Duration = super::HANGS;

/// Memory options that are enough for one port: 8 pages of 2Mi, in one file.
pub(crate) const ONE_FILE: &[&str] = &["--in-memory", "--single-file-segments", "-m", "16"];

/// A testpmd process, ended when dropped.
#[derive(Debug)]
pub(crate) struct Testpmd {
    child: Child,
    log: PathBuf,
}

/// The options of a testpmd besides its device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    /// Options of testpmd itself: how it forwards.
    pub(crate) arguments: &'a [&'a str],
    /// EAL's memory options. `$DIR` is replaced by the directory.
    pub(crate) memory: &'a [&'a str],
    /// A shell script that runs first, in the mount namespace of this testpmd.
    pub(crate) preamble: &'a str,
}

// === impl Testpmd ===

impl Testpmd {
    /// Starts a testpmd that forwards on the port `device`, with its own options `arguments`. Its files and its log are
    /// in `directory`.
    pub(crate) fn start(directory: &Path, device: &str, arguments: &[&str]) -> Result<Self, Missing> {
        Self::told(directory, device, Told { arguments, ..Told::default() })
    }

    /// Starts a testpmd with more options.
    pub(crate) fn told(directory: &Path, device: &str, told: Told<'_>) -> Result<Self, Missing> {
        super::program_or_missing("dpdk-testpmd")?;
        let path = directory.join("testpmd.log");
        let log = File::create(&path).unwrap();
        let prefix = format!("hugeprobe-{}", std::process::id());
        let script = format!("set -e\n{}\nexec dpdk-testpmd \"$@\"", told.preamble);
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).env("DIR", directory);
        let child = command
            // `-v` prints the version.
            .args(["-v", "-l", "0-1", "--no-pci"])
            .args(told.memory.iter().map(|option| option.replace("$DIR", directory.to_str().unwrap())))
            .args(["--file-prefix", &prefix, "--vdev", device])
            .args(["--", "--no-mlockall", "--total-num-mbufs=2048", "--auto-start"])
            .args(told.arguments)
            // By default it discards what it receives right after its start, and without a statistics period it reads
            // commands.
            .args(["--no-flush-rx", "--stats-period=1"])
            // DPDK creates its runtime files there (eal_create_runtime_dir). Otherwise root creates them in
            // /var/run/dpdk.
            .env("RUNTIME_DIRECTORY", directory)
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        Ok(Self { child, log: path })
    }

    /// Returns the pid of testpmd.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Returns the version of DPDK.
    pub(crate) fn version(&self) -> String {
        let log = self.log();
        let version = log.split("RTE Version: 'DPDK ").nth(1).and_then(|rest| rest.split('\'').next());
        version.unwrap_or_else(|| panic!("no version: {log}")).to_owned()
    }

    /// Returns whether it has not ended by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Returns its output, for the message of a failed test.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until its output contains `words`.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str) {
        self.wait_until(words, |log| log.contains(words));
    }

    /// Waits until its output shows `what`.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, shows: impl Fn(&str) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !shows(&self.log()) {
            assert!(Instant::now() < until, "testpmd does not say {what}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it and returns all its output, including its final statistics.
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
