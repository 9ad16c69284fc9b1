//! A process of a workload: what it says as it says it, the huge pages that it has mapped, how it ended.

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

/// What waiting for a word came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// It was said.
    Printed,
    /// The process ended without.
    Ended,
    /// Time was up.
    TimeUp,
}

// === impl Process ===

impl Process {
    /// Starts it with what it prints on a pipe: a log on disk would itself meet RLIMIT_FSIZE.
    pub(crate) fn start(command: &mut Command) -> Self {
        let (mut reader, writer) = std::io::pipe().unwrap();
        command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // The command keeps its ends of the pipe, and the reader waits for the last one.
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

    /// Waits until what it said fulfils `enough`.
    pub(crate) fn wait_for(&mut self, enough: impl Fn(&str) -> bool, patience: Duration) -> Waited {
        let until = Instant::now() + patience;
        loop {
            // Looked at before its words: they are complete then.
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

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.kill_innermost();
        self.child.kill().unwrap();
    }

    /// Kills what `unshare` has started, and waits until `unshare` has seen it end: its pages are back then.
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

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().unwrap();
        if status.is_some()
            && let Some(reader) = self.reader.take()
        {
            reader.join().unwrap();
        }
        status
    }

    /// What it said so far, and what ended it if that was a signal.
    pub(crate) fn words(&mut self) -> String {
        let signal = self.ended().and_then(|status| status.signal());
        let mut said = self.said.lock().unwrap().clone();
        if let Some(signal) = signal {
            let name =
                Signal::try_from(signal).map_or_else(|_| signal.to_string(), |signal| signal.to_string());
            said.push_str(&format!("\nkilled by {name}\n"));
        }
        said
    }

    /// Pages of `size` that it has mapped and that are there, its own and its peer's (`/proc/PID/smaps`).
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

/// The only child's only child, and so on: `unshare` stays the parent of what it runs in a PID namespace.
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
