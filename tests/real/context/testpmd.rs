//! DPDK's testpmd, the real peer: one port, forwarding from the start.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Missing;

/// How long it may take to end when it is told to.
const FAREWELL: Duration = Duration::from_secs(10);

/// A testpmd, ended when dropped.
#[derive(Debug)]
pub(crate) struct Testpmd {
    child: Child,
    log: PathBuf,
}

impl Testpmd {
    /// Forwards on the port that `device` describes, as its own `arguments` say; `directory` is for its files and its log.
    pub(crate) fn start(directory: &Path, device: &str, arguments: &[&str]) -> Result<Self, Missing> {
        let path = directory.join("testpmd.log");
        let log = File::create(&path).unwrap();
        let prefix = format!("hugeprobe-{}", std::process::id());
        let child = Command::new("dpdk-testpmd")
            .args(["-l", "0-1", "--no-pci", "--in-memory", "--single-file-segments", "-m", "16"])
            .args(["--file-prefix", &prefix, "--vdev", device])
            .args(["--", "--no-mlockall", "--total-num-mbufs=2048", "--auto-start"])
            .args(arguments)
            // It throws away what it receives in its first moments otherwise, and reads its commands without a period.
            .args(["--no-flush-rx", "--stats-period=1"])
            .env("XDG_RUNTIME_DIR", directory)
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .map_err(|error| Missing(format!("dpdk-testpmd ({error})")))?;
        Ok(Self { child, log: path })
    }

    /// What it said, for the message of a test that fails.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        let _ = kill(pid, Signal::SIGTERM);
        let until = Instant::now() + FAREWELL;
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        // It has ended, or is not going to by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
