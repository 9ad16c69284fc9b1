//! Runs the workers of a walk one step at a time, and reads the counters before and after each step.
//!
//! A worker announces a step and waits for permission. The step is over when the same worker writes its next line, or
//! when the other one announces a step on pages: of a pair, one works while the other waits for its answer. The figures
//! are the pool's counters, the pages that each process maps according to its smaps_rollup, and what the cgroups of
//! both roles are charged.

use std::collections::VecDeque;
use std::io::{self, Stdin, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::options::{Shown, Walk, name};
use crate::supervisor::Follower;
use hugeprobe_domain::counters::{Counters, Figure, Movement};
use hugeprobe_domain::movement::Step;
use hugeprobe_domain::part::{Announced, announced};
use hugeprobe_domain::plan::Role;
use hugeprobe_domain::size::PageSize;
use hugeprobe_linux::cgroup::Group;
use hugeprobe_linux::counters::CounterFiles;
use hugeprobe_linux::smaps;

/// Follows the workers and gives each one permission to continue.
pub(super) struct Director<'a> {
    size: PageSize,
    pause: bool,
    counters: &'a CounterFiles,
    show: &'a mut dyn FnMut(&Shown<'_>),
    workers: Vec<Worker>,
    /// The cgroups to read, each with the name of its role.
    groups: Vec<(&'static str, Group)>,
    /// Steps that were announced and are not permitted yet, with the index of their worker.
    waiting: VecDeque<(usize, Announced)>,
    current: Option<Current>,
    input: Stdin,
    /// Whether the first waiting step waits for a line on standard input.
    is_paused: bool,
    /// Whether the walk was given up, so that no further step is permitted.
    is_over: bool,
    /// Why the walk was given up, if the workers' own results do not show it.
    problem: Option<String>,
}

struct Worker {
    name: &'static str,
    control: UnixStream,
    pid: u32,
}

/// The step in progress.
struct Current {
    worker: usize,
    text: String,
    step: Step,
    before: (Counters, Vec<Option<u64>>),
}

// === impl Director ===

impl<'a> Director<'a> {
    pub(super) fn new(
        walk: &Walk,
        size: PageSize,
        counters: &'a CounterFiles,
        show: &'a mut dyn FnMut(&Shown<'_>),
    ) -> Self {
        let open = |name, directory: &Option<String>| {
            Some((name, Group::open(Path::new(directory.as_ref()?)).ok()?))
        };
        let groups = [open("frontend", &walk.frontend_cgroup), open("backend", &walk.backend_cgroup)];
        Self {
            size,
            pause: walk.pause,
            counters,
            show,
            workers: Vec::new(),
            groups: groups.into_iter().flatten().collect(),
            waiting: VecDeque::new(),
            current: None,
            input: io::stdin(),
            is_paused: false,
            is_over: false,
            problem: None,
        }
    }

    /// Adds a worker that is about to be started, with our end of its standard output.
    pub(super) fn add(&mut self, role: Role, control: UnixStream) {
        self.workers.push(Worker { name: name(role), control, pid: 0 });
    }

    /// Returns why the walk was given up, if it was.
    pub(super) fn problem(self) -> Option<String> {
        self.problem
    }

    /// Permits the steps that may run now: any number of steps that do not touch pages, and one at a time of the
    /// others.
    fn proceed(&mut self) {
        while !self.is_paused
            && let Some((worker, announced)) = self.waiting.front().cloned()
        {
            if let Some(step) = announced.effect {
                if self.current.is_some() {
                    return;
                }
                if self.pause {
                    self.is_paused = true;
                    return (self.show)(&Shown::Pause);
                }
                return self.begin(worker, announced.step, step);
            }
            self.waiting.pop_front();
            self.allow(worker);
        }
    }

    /// Reads the counters, then permits the first waiting step.
    fn begin(&mut self, worker: usize, text: String, step: Step) {
        self.waiting.pop_front();
        match self.look() {
            Ok(before) => {
                let text = match self.workers.as_slice() {
                    [_] => text,
                    workers => format!("{}: {text}", workers.get(worker).map_or("", |worker| worker.name)),
                };
                self.current = Some(Current { worker, text, step, before });
                self.allow(worker);
            }
            Err(error) => self.give_up(error),
        }
    }

    /// Ends the current step and shows how the counters changed.
    fn finish(&mut self) {
        let Some(Current { text, step, before: (before, had), .. }) = self.current.take() else { return };
        match self.look() {
            Ok((after, have)) => {
                let expected = step.expect(&before, &after, &[]);
                let movement =
                    Movement { step: text, documented: step.documented(), before, expected, after };
                let figures: Vec<_> = self
                    .names()
                    .zip(had.into_iter().zip(have))
                    .map(|(name, (before, after))| Figure { name, before, after })
                    .collect();
                (self.show)(&Shown::Step(&movement, &figures));
            }
            Err(error) => self.give_up(error),
        }
    }

    fn allow(&mut self, worker: usize) {
        let Some(worker) = self.workers.get_mut(worker) else { return };
        // An error means that the worker has ended, which is handled elsewhere.
        let _ = worker.control.write_all(b"+");
    }

    /// Ends the workers: those that wait get no permission to continue, and release their pages.
    fn give_up(&mut self, problem: impl Into<Option<String>>) {
        self.problem = self.problem.take().or_else(|| problem.into());
        self.is_over = true;
        self.is_paused = false;
        self.waiting.clear();
        for worker in &self.workers {
            // The worker may already have ended.
            let _ = worker.control.shutdown(Shutdown::Write);
        }
    }

    /// Reads the pool's counters, and the figures that [`Director::names`] names.
    fn look(&self) -> Result<(Counters, Vec<Option<u64>>), String> {
        let counters = self.counters.read().map_err(|error| error.to_string())?;
        // A process that has ended maps nothing.
        let maps = self.workers.iter().map(|worker| Some(smaps::held_by(worker.pid).get().unwrap_or(0)));
        let pays = self.groups.iter().map(|(_, group)| group.charges(self.size).bytes.get());
        Ok((counters, maps.chain(pays).collect()))
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let maps = self.workers.iter().map(|worker| format!("{} maps", worker.name));
        maps.chain(self.groups.iter().map(|(name, _)| format!("{name}'s cgroup pays")))
    }
}

impl Follower for Director<'_> {
    fn started(&mut self, worker: usize, pid: u32) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.pid = pid;
            (self.show)(&Shown::Process(worker.name, pid));
        }
    }

    fn line(&mut self, worker: usize, line: &[u8]) {
        let announced = announced(line);
        let is_on_pages = announced.as_ref().is_some_and(|announced| announced.effect.is_some());
        if is_on_pages || self.current.as_ref().is_some_and(|current| current.worker == worker) {
            self.finish();
        }
        if !self.is_over {
            self.waiting.extend(announced.map(|announced| (worker, announced)));
            self.proceed();
        }
    }

    fn ended(&mut self, _: usize, success: bool) {
        if !success {
            self.give_up(None);
        }
    }

    fn tick(&mut self) {
        if !self.is_paused || !is_readable(self.input.as_fd()) {
            return;
        }
        match read_line(self.input.as_fd()) {
            Ok(()) => {
                self.is_paused = false;
                if let Some((worker, Announced { step, effect: Some(effect) })) =
                    self.waiting.front().cloned()
                {
                    self.begin(worker, step, effect);
                    self.proceed();
                }
            }
            Err(error) => self.give_up(error.to_string()),
        }
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        self.is_paused.then(|| self.input.as_fd())
    }
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Reads to the end of the line, byte by byte, because the bytes after it belong to the next pause.
fn read_line(input: BorrowedFd<'_>) -> io::Result<()> {
    let mut byte = [0];
    loop {
        match nix::unistd::read(input, &mut byte) {
            Ok(0) => {
                let why = "standard input was closed at a pause";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
            Ok(_) if byte == *b"\n" => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
