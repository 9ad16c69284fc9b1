//! Starts workers and waits for them: collects their output, kills them when their time limit has passed or the run is
//! interrupted, and reaps every one.
//!
//! All waiting happens in one poll(2) over the workers' pipes, a signalfd and the guardian's pipe. SIGINT, SIGTERM and
//! SIGHUP are blocked and arrive at the signalfd, so that an interrupted run still gives pages back, merges and prints.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use hugeprobe_domain::merge::Ending;
use hugeprobe_domain::part::PART_LIMIT;

/// How much of a worker's log is kept, in bytes. The end of the log is kept.
const LOG_LIMIT: usize = 2 << 10;

/// The longest time between two calls of [`Follower::tick`].
const TICK: Duration = Duration::from_millis(200);

/// Starts workers and waits for them. A process can have only one, because it takes over signals.
#[derive(Debug)]
pub struct Supervisor<'g> {
    signals: SignalFd,
    /// Becomes readable or hangs up if the guardian dies before it is released.
    guardian: Option<BorrowedFd<'g>>,
    broken_off: Option<String>,
}

/// A worker to start.
#[derive(Debug)]
pub struct Start {
    /// The arguments of this program: a hidden verb and its assignment.
    pub arguments: Vec<String>,
    /// The worker's standard input.
    pub stdin: Stdio,
    /// The two ends of the socket that replaces the pipe on the worker's standard output, if any: ours, then the
    /// worker's.
    pub control: Option<(UnixStream, UnixStream)>,
    /// The time limit. `None` means no limit, for a worker that waits for a person.
    pub time: Option<Duration>,
    /// Whether the output is kept, up to [`PART_LIMIT`]. Otherwise it is discarded once its lines have been passed on,
    /// for a worker that writes as long as it lives.
    pub keep: bool,
}

/// A worker that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its standard output, at most one byte more than [`PART_LIMIT`].
    pub output: Vec<u8>,
    /// The end of its standard error.
    pub log: String,
    /// How it ended.
    pub ending: Ending,
}

/// Receives events of workers while they run. A closure implements it: it receives each line, and an empty line at each
/// tick.
pub trait Follower {
    /// The worker with this index in the list was started.
    fn started(&mut self, worker: usize, pid: u32) {
        let _ = (worker, pid);
    }
    /// The worker wrote a line to its standard output.
    fn line(&mut self, worker: usize, line: &[u8]);
    /// The worker has ended. `success` means that it exited with code 0 and was not killed.
    fn ended(&mut self, worker: usize, success: bool) {
        let _ = (worker, success);
    }
    /// Called a few times a second, and after each event.
    fn tick(&mut self);
    /// Another descriptor that ends the wait when it is readable, if any.
    fn input(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

struct Worker {
    child: Child,
    output: Stream<File>,
    log: Stream<ChildStderr>,
    shown: usize,
    keep: bool,
    deadline: Option<Instant>,
    killed: Option<Ending>,
    status: Option<ExitStatus>,
}

struct Stream<R> {
    from: Option<R>,
    bytes: Vec<u8>,
}

// === impl Supervisor ===

impl<'g> Supervisor<'g> {
    /// Takes over SIGINT, SIGTERM, SIGHUP and SIGCHLD of this thread.
    ///
    /// # Errors
    ///
    /// The signals cannot be blocked, or no descriptor is available for the signalfd.
    pub fn new() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
            set.add(signal);
        }
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { signals, guardian: None, broken_off: None })
    }

    /// Interrupts the run when `guardian` becomes readable or hangs up: the guardian is dead then, and cannot give the
    /// pages back any more.
    pub fn watch_guardian(&mut self, guardian: BorrowedFd<'g>) {
        self.guardian = Some(guardian);
    }

    /// Returns what interrupted the run, if anything.
    #[must_use]
    pub fn broken_off(&self) -> Option<&str> {
        self.broken_off.as_deref()
    }

    /// Reads pending signals and returns what interrupted the run, if anything. For callers that wait elsewhere.
    pub fn look(&mut self) -> Option<&str> {
        self.take_signals();
        self.broken_off()
    }

    /// Returns the signalfd, which is readable when a signal has arrived. For callers that wait elsewhere.
    #[must_use]
    pub fn signals(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// Starts all workers of `starts` together, and waits until all have ended and were reaped.
    pub fn run(&mut self, starts: Vec<Start>, follower: &mut dyn Follower) -> Vec<Ended> {
        self.take_signals();
        let begin = Instant::now();
        let mut workers: Vec<Result<Worker, Ending>> = starts
            .into_iter()
            .map(|start| match &self.broken_off {
                Some(by) => Err(Ending::BrokenOff(by.clone())),
                None => Worker::start(start, begin).map_err(|error| Ending::NotStarted(error.to_string())),
            })
            .collect();
        for (index, worker) in workers.iter().enumerate() {
            match worker {
                Ok(worker) => follower.started(index, worker.child.id()),
                Err(_) => follower.ended(index, false),
            }
        }
        while workers.iter().flatten().any(|worker| !worker.is_done()) {
            self.wait(workers.iter().flatten(), follower.input());
            let now = Instant::now();
            follower.tick();
            for (index, worker) in workers.iter_mut().enumerate() {
                let Ok(worker) = worker else { continue };
                let was_done = worker.is_done();
                worker.attend(now, self.broken_off.as_deref());
                worker.pass_lines(&mut |line| follower.line(index, line));
                if let Some(status) = worker.status.filter(|_| !was_done) {
                    follower.ended(index, worker.killed.is_none() && status.success());
                }
            }
        }
        workers.into_iter().map(Ended::from).collect()
    }

    /// Waits for output of `workers`, a signal, the next deadline or the next tick.
    fn wait<'a>(&mut self, workers: impl Iterator<Item = &'a Worker>, input: Option<BorrowedFd<'_>>) {
        let now = Instant::now();
        let mut next = now + TICK;
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if self.broken_off.is_none()
            && let Some(guardian) = self.guardian
        {
            fds.push(PollFd::new(guardian, PollFlags::POLLIN));
        }
        let others = fds.len();
        for worker in workers {
            if worker.killed.is_none() && worker.status.is_none() {
                next = worker.deadline.map_or(next, |deadline| next.min(deadline));
            }
            fds.extend(worker.output.from.iter().map(|from| PollFd::new(from.as_fd(), PollFlags::POLLIN)));
            fds.extend(worker.log.from.iter().map(|from| PollFd::new(from.as_fd(), PollFlags::POLLIN)));
        }
        fds.extend(input.map(|input| PollFd::new(input, PollFlags::POLLIN)));
        // Rounded up: a poll that returned just before the deadline would only have to be repeated.
        let left = next.saturating_duration_since(now) + Duration::from_millis(1);
        // The result does not matter: after EINTR or an error, everything is checked again as after an event.
        let _ = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        let guardian_died = others == 2 && fds.get(1).and_then(PollFd::any).unwrap_or(false);
        drop(fds);
        self.take_signals();
        if guardian_died {
            self.broken_off.get_or_insert_with(|| {
                "the death of the guardian, which holds the pages of --reserve".into()
            });
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
            if let Some(signal) = signal.filter(|signal| *signal != Signal::SIGCHLD) {
                self.broken_off.get_or_insert_with(|| signal.to_string());
            }
        }
    }
}

// === impl Worker ===

impl Worker {
    fn start(start: Start, begin: Instant) -> io::Result<Self> {
        let (output, stdout): (OwnedFd, Stdio) = match start.control {
            Some((ours, theirs)) => (ours.into(), OwnedFd::from(theirs).into()),
            None => {
                let (reader, writer) = io::pipe()?;
                (reader.into(), writer.into())
            }
        };
        let output = Stream::new(Some(File::from(output)))?;
        let mut child = Command::new("/proc/self/exe")
            .args(start.arguments)
            .stdin(start.stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()?;
        let streams = Stream::new(child.stderr.take()).map(|log| (output, log));
        let (output, log) = match streams {
            Ok(streams) => streams,
            Err(error) => {
                // Nothing would read the worker's output, so it must not keep running. The errors of kill and wait
                // change nothing.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let keep = start.keep;
        let deadline = start.time.and_then(|time| begin.checked_add(time));
        Ok(Self { child, output, log, shown: 0, keep, deadline, killed: None, status: None })
    }

    /// Returns whether the worker is dead and reaped, and all its output was read.
    fn is_done(&self) -> bool {
        self.status.is_some()
    }

    fn attend(&mut self, now: Instant, broken_off: Option<&str>) {
        if self.is_done() {
            return;
        }
        self.output.read(PART_LIMIT + 1);
        self.log.read(usize::MAX);
        let keep_from = self.log.bytes.len().saturating_sub(LOG_LIMIT);
        self.log.bytes.drain(..keep_from);
        if self.killed.is_none() {
            if let Some(by) = broken_off {
                self.kill(Ending::BrokenOff(by.to_owned()));
            } else if self.deadline.is_some_and(|deadline| now >= deadline) {
                self.kill(Ending::Deadline);
            } else if self.output.bytes.len() > PART_LIMIT {
                // Its part is too long to be valid, whatever follows.
                self.kill(Ending::Exited(0));
            }
        }
        let ended = match self.child.try_wait() {
            Ok(Some(status)) => Some(status),
            Ok(None) => None,
            // ECHILD: the worker is dead, and another thread has reaped it. Its output shows whether it completed.
            Err(_) => Some(ExitStatus::default()),
        };
        if ended.is_some() {
            self.status = ended;
            // The pipes may still hold what the worker wrote before it died.
            self.output.read(PART_LIMIT + 1);
            self.log.read(usize::MAX);
        }
    }

    fn kill(&mut self, ending: Ending) {
        self.killed = Some(ending);
        // ESRCH: the worker is already dead.
        let _ = self.child.kill();
    }

    /// Passes on each whole line that has not been passed on yet.
    fn pass_lines(&mut self, hear: &mut dyn FnMut(&[u8])) {
        while let Some(rest) = self.output.bytes.get(self.shown..)
            && let Some(length) = rest.iter().position(|byte| *byte == b'\n')
        {
            hear(rest.get(..length).unwrap_or_default());
            self.shown += length + 1;
        }
        if !self.keep {
            self.output.bytes.drain(..self.shown);
            self.shown = 0;
        }
    }
}

impl From<Result<Worker, Ending>> for Ended {
    fn from(worker: Result<Worker, Ending>) -> Self {
        match worker {
            Ok(worker) => {
                let ending = match (worker.killed, worker.status) {
                    (Some(ending), _) => ending,
                    (None, Some(status)) => ending_of(status),
                    (None, None) => Ending::NotStarted("its exit status was not collected".to_owned()),
                };
                Self {
                    output: worker.output.bytes,
                    log: String::from_utf8_lossy(&worker.log.bytes).into_owned(),
                    ending,
                }
            }
            Err(ending) => Self { output: Vec::new(), log: String::new(), ending },
        }
    }
}

fn ending_of(status: ExitStatus) -> Ending {
    match status.signal() {
        Some(number) => {
            let signal = Signal::try_from(number).ok();
            let name = signal.map_or_else(|| format!("signal {number}"), |signal| signal.to_string());
            // SIGBUS: no page for a touch. SIGXFSZ, SIGXCPU: a limit. SIGSYS: seccomp. SIGSEGV: an address without
            // mapping.
            let raised_by_kernel = matches!(
                signal,
                Some(Signal::SIGBUS | Signal::SIGSEGV | Signal::SIGXFSZ | Signal::SIGXCPU | Signal::SIGSYS)
            );
            Ending::Signalled { name, raised_by_kernel }
        }
        None => Ending::Exited(status.code().unwrap_or_default()),
    }
}

impl Ended {
    /// Returns the result of a worker that could not be started.
    #[must_use]
    pub fn not_started(why: String) -> Self {
        Self { output: Vec::new(), log: String::new(), ending: Ending::NotStarted(why) }
    }
}

impl<F: FnMut(&[u8])> Follower for F {
    fn line(&mut self, _: usize, line: &[u8]) {
        self(line);
    }

    fn tick(&mut self) {
        self(b"");
    }
}

// === impl Stream ===

impl<R: Read + AsFd> Stream<R> {
    fn new(from: Option<R>) -> io::Result<Self> {
        if let Some(from) = &from {
            fcntl(from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self { from, bytes: Vec::new() })
    }

    /// Reads what is available, up to `limit` bytes in total. Closes the stream at its end.
    fn read(&mut self, limit: usize) {
        let mut chunk = [0; 4096];
        while let Some(from) = &mut self.from {
            let room = limit.saturating_sub(self.bytes.len()).min(chunk.len());
            match from.read(chunk.get_mut(..room).unwrap_or_default()) {
                Ok(0) => self.from = None,
                Ok(length) => self.bytes.extend_from_slice(chunk.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.from = None,
            }
        }
    }
}
