//! The processes of these scenarios: a stand-in for the orchestrator, and a worker that holds pages.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use hugeprobe::domain::request::PageCount;
use hugeprobe::probe::guardian::{Guardian, Options};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use rustix::fs::{FallocateFlags, MemfdFlags};

/// Runs the process that the arguments name. Returns `None` if they name none.
pub(crate) fn play(arguments: &[String]) -> Option<ExitCode> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["guardian", id, counts @ ..] => Some(hugeprobe::probe::guardian::main(id, &parse(counts))),
        ["orchestrator", rest @ ..] => Some(orchestrate(rest)),
        ["worker", count] => Some(hold_pages(count)),
        _ => None,
    }
}

/// Reserves pages, starts workers that take all that was granted, and waits for the end of its input or of the
/// guardian.
fn orchestrate(arguments: &[&str]) -> ExitCode {
    let options = Options { id: "test".into(), ..Options::default() };
    let guardian = match Guardian::start(&parse(arguments), &options, &mut |_| ()) {
        Ok(guardian) => guardian,
        Err(error) => {
            println!("refused usage={} {error}", error.is_usage());
            return ExitCode::FAILURE;
        }
    };
    println!("granted {}", serde_json::to_string(guardian.granted()).unwrap());
    let mut workers: Vec<_> = guardian
        .granted()
        .iter()
        .filter(|granted| granted.got > 0)
        .map(|granted| {
            let count = PageCount { pages: granted.got, ..granted.asked };
            let mut worker = spawn(Command::new("/proc/self/exe").args(["worker", &count.to_string()]));
            BufReader::new(worker.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
            worker
        })
        .collect();
    println!("holding");
    let stdin = std::io::stdin();
    let mut fds = [guardian.as_fd(), stdin.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    poll(&mut fds, PollTimeout::NONE).unwrap();
    for worker in &mut workers {
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    println!("released {:?}", guardian.release());
    ExitCode::SUCCESS
}

fn parse(counts: &[&str]) -> Vec<PageCount> {
    counts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Takes the pages, reports whether it has them, and waits until its input ends.
fn hold_pages(count: &str) -> ExitCode {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
    let held = Held::new(count.parse().unwrap());
    let _ = writeln!(std::io::stdout(), "{}", held.is_some());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    ExitCode::SUCCESS
}

/// Huge pages that are in use until this is dropped.
pub(crate) struct Held(#[expect(dead_code, reason = "held")] std::os::fd::OwnedFd);

impl Held {
    pub(crate) fn new(count: PageCount) -> Option<Self> {
        let size = MemfdFlags::from_bits_retain(count.size.log2() << 26); // MFD_HUGE_SHIFT, memfd_create(2)
        let file = rustix::fs::memfd_create("held", MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB | size).ok()?;
        let length = count.len()?.bytes();
        rustix::fs::ftruncate(&file, length).ok()?;
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, length).ok()?;
        Some(Self(file))
    }
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// An orchestrator that runs [`orchestrate`], seen from outside.
pub(crate) struct Run {
    pub(crate) child: Child,
    pub(crate) input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Run {
    pub(crate) fn new(counts: &[&str]) -> Self {
        Self::of(Command::new("/proc/self/exe").arg("orchestrator").args(counts))
    }

    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = spawn(command);
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { input: child.stdin.take(), child, output }
    }

    /// Reads the next line, which must begin with `word`.
    pub(crate) fn says(&mut self, word: &str) -> Result<String, String> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| error.to_string())?;
        if line.starts_with(word) { Ok(line) } else { Err(format!("'{line}' instead of '{word}'")) }
    }

    pub(crate) fn holding(counts: &[&str]) -> Result<Self, String> {
        let mut run = Self::new(counts);
        run.says("granted")?;
        run.says("holding")?;
        Ok(run)
    }

    pub(crate) fn end(mut self) -> Result<String, String> {
        drop(self.input.take());
        let said = self.says("released")?;
        self.child.wait().map_err(|error| error.to_string())?;
        Ok(said)
    }

    /// Returns the pids of its children: the guardian, then the workers.
    pub(crate) fn children(&self) -> Vec<i32> {
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }
}
