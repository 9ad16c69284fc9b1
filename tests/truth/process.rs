//! A process of a workload: its output while it runs, the huge pages that it has mapped, and how it ended.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hugeprobe::domain::size::PageSize;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// A process, killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// How a wait for a text in the output ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The text was written.
    Printed,
    /// The process ended without writing it.
    Ended,
    /// The time limit was reached.
    TimeUp,
}

// === impl Process ===

impl Process {
    /// Starts a process with its output on a pipe. A log file would itself be subject to RLIMIT_FSIZE.
    pub(crate) fn start(command: &mut Command) -> Self {
        let (mut reader, writer) = std::io::pipe().unwrap();
        command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // The command would keep its ends of the pipe open, and the reader reads until the last one is closed.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self { child, said, reader: Some(reader) }
    }

    /// Waits until its output fulfils `enough`.
    pub(crate) fn wait_for(&mut self, enough: impl Fn(&str) -> bool, patience: Duration) -> Waited {
        let until = Instant::now() + patience;
        loop {
            // Checked before the output, so that the output is complete if the process has ended.
            let ended = self.ended().is_some();
            if enough(&self.said.lock().unwrap()) {
                return Waited::Printed;
            }
            if ended {
                return Waited::Ended;
            }
            if Instant::now() > until {
                return Waited::TimeUp;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) {
        self.kill_innermost();
        self.child.kill().unwrap();
    }

    /// Kills the process that `unshare` has started, and waits until `unshare` has noticed. Its pages are free then.
    fn kill_innermost(&mut self) {
        let outer = self.child.id();
        let inner = innermost(outer);
        if inner == outer {
            return;
        }
        let _ = nix::sys::signal::kill(Pid::from_raw(inner.try_into().unwrap()), Signal::SIGKILL);
        for _ in 0..100 {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the exit status, if the process has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().unwrap();
        if status.is_some()
            && let Some(reader) = self.reader.take()
        {
            reader.join().unwrap();
        }
        status
    }

    /// Returns the output so far, and the signal that ended the process, if any.
    pub(crate) fn words(&mut self) -> String {
        let signal = self.ended().and_then(|status| status.signal());
        let mut said = both_ends(&self.said.lock().unwrap());
        if let Some(signal) = signal {
            let name =
                Signal::try_from(signal).map_or_else(|_| signal.to_string(), |signal| signal.to_string());
            said.push_str(&format!("\nkilled by {name}\n"));
        }
        said
    }

    /// Returns the number of pages of `size` that it has mapped and that are present, including those of its peer
    /// (`/proc/PID/smaps`).
    pub(crate) fn pages(&self, size: PageSize) -> u64 {
        let pid = innermost(self.child.id());
        let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
        let (mut of_mapping, mut kilobytes) = (0, 0);
        for line in smaps.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(name), Some(Ok(number))) = (words.next(), words.next().map(str::parse::<u64>)) else {
                continue;
            };
            match name {
                "KernelPageSize:" => of_mapping = number,
                "Shared_Hugetlb:" | "Private_Hugetlb:" if of_mapping << 10 == size.bytes() => {
                    kilobytes += number;
                }
                _ => {}
            }
        }
        (kilobytes << 10) / size.bytes()
    }
}

/// Follows the chain of only children to its end: `unshare` remains the parent of what it runs in a PID namespace.
fn innermost(pid: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.trim().parse().map_or(pid, innermost)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_innermost();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

/// Returns the output without its middle if it is very long: some workloads repeat one line a thousand times a second.
fn both_ends(said: &str) -> String {
    const END: usize = 64 << 10;
    let bytes = said.as_bytes();
    if bytes.len() <= 2 * END {
        return said.to_owned();
    }
    let [first, last] = [&bytes[..END], &bytes[bytes.len() - END..]].map(String::from_utf8_lossy);
    format!("{first}\n...\n{last}")
}
