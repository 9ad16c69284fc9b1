//! How two processes share pages, step by step: a director tells each what to do and looks at the counters in between.
//!
//! What is looked at: the pool, what either process maps by its smaps_rollup, and what the cgroups of either are charged
//! where `--frontend-cgroup` and `--backend-cgroup` name them. Nobody but the director looks, and nobody acts meanwhile.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::scenes::{Scene, name, scenes};
use super::{Shown, Walk, WalkError, arguments, pause, time, why_stopped};
use crate::domain::counters::{Counters, Figure, Movement};
use crate::domain::merge::Ending;
use crate::domain::plan::time_for_steps;
use crate::domain::size::PageSize;
use crate::exchange::role::Source;
use crate::exchange::steps::{Act, Answer, Side, Task};
use crate::linux::cgroup::Group;
use crate::linux::counters::CounterFiles;
use crate::linux::rights;
use crate::linux::root::HostRoot;
use crate::linux::smaps;
use crate::probe::assignment::{Manner, Work};
use crate::probe::supervisor::{Start, Supervisor};

/// Tells two workers what to do.
struct Director<'a> {
    walk: &'a Walk,
    size: PageSize,
    first: Side,
    scenes: VecDeque<Scene>,
    current: Option<(Scene, Look)>,
    /// The workers, as long as they are needed.
    controls: Option<[UnixStream; 2]>,
    pids: [Option<u32>; 2],
    /// Answers that are still to come.
    waiting: usize,
    is_paused: bool,
    counters: CounterFiles,
    groups: [Option<Group>; 2],
    /// What the groups were charged at the beginning, bytes.
    charged: [Option<u64>; 2],
    problem: Option<String>,
}

/// What was seen at one moment.
#[derive(Clone)]
struct Look {
    counters: Counters,
    /// Bytes, in the order of [`NAMES`].
    figures: [Option<u64>; 4],
}

/// What a side maps is the sum of its `Private_Hugetlb` and `Shared_Hugetlb`: for pages of 1Gi the kernel tells the sum alone,
/// see [`smaps::MappingFacts`].
const NAMES: [&str; 4] = ["frontend maps", "backend maps", "frontend's cgroup pays", "backend's cgroup pays"];

/// Plays all scenes with `first` as the one that touches the pages first. Why they could not be, if so.
pub(super) fn run(
    walk: &Walk,
    size: PageSize,
    run: &str,
    first: Side,
    supervisor: &mut Supervisor<'_>,
    show: &mut dyn FnMut(&Shown<'_>),
) -> Result<(), String> {
    let mut director = Director::new(walk, size, first)?;
    let (starts, controls) = cast(walk, size, run).map_err(|error| error.to_string())?;
    director.controls = Some(controls);
    director.tell(&[(Side::Frontend, Act::Join), (Side::Backend, Act::Join)]);
    let ended = supervisor.run(starts, &mut |line| director.hear(line, show));
    let died = ["the frontend", "the backend"]
        .iter()
        .zip(&ended)
        .find(|(_, ended)| ended.ending != Ending::Exited(0));
    match (died, director.problem) {
        (Some((who, ended)), _) => Err(why_stopped(who, ended)),
        (None, Some(problem)) => Err(problem),
        (None, None) if !director.scenes.is_empty() => Err("the two ended before their time".to_owned()),
        (None, None) => Ok(()),
    }
}

/// The two workers, each with one end of a connection between them, and the sockets by which they are told what to do.
fn cast(walk: &Walk, size: PageSize, run: &str) -> Result<(Vec<Start>, [UnixStream; 2]), WalkError> {
    let failed = |error: io::Error| WalkError::NoPage(format!("the two cannot be connected: {error}"));
    let (one, other) = UnixStream::pair().map_err(failed)?;
    let mut starts = Vec::new();
    let mut worker = |side, end: &UnixStream, cgroup: &Option<String>| {
        let task = Task {
            side,
            size,
            pages: walk.pages,
            memory: walk.directory.clone().map_or(Source::Memfd, Source::Directory),
            cgroup: cgroup.clone(),
            millis: u64::try_from(time_for_steps(size, walk.pages).as_millis()).unwrap_or(u64::MAX),
        };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        rights::send(ours.as_fd(), b"+", &[end.as_fd()]).map_err(failed)?;
        starts.push(Start {
            arguments: arguments(run, Manner::Part, Work::Steps(task))?,
            stdin: Stdio::from(std::os::fd::OwnedFd::from(theirs)),
            keep: true,
            time: time(walk, size),
        });
        Ok::<_, WalkError>(ours)
    };
    let controls = [
        worker(Side::Frontend, &one, &walk.frontend_cgroup)?,
        worker(Side::Backend, &other, &walk.backend_cgroup)?,
    ];
    Ok((starts, controls))
}

// === impl Director ===

impl<'a> Director<'a> {
    fn new(walk: &'a Walk, size: PageSize, first: Side) -> Result<Self, String> {
        let counters = CounterFiles::open(&HostRoot::default(), size).map_err(|error| error.to_string())?;
        let open = |directory: &Option<String>| Group::open(Path::new(directory.as_ref()?)).ok();
        let groups = [open(&walk.frontend_cgroup), open(&walk.backend_cgroup)];
        let charged = groups.each_ref().map(|group| group.as_ref()?.charges(size).bytes.get());
        Ok(Self {
            walk,
            size,
            first,
            scenes: scenes(first, walk.pages, walk.directory.is_some()),
            current: None,
            controls: None,
            pids: [None; 2],
            waiting: 0,
            is_paused: false,
            counters,
            groups,
            charged,
            problem: None,
        })
    }

    /// One line of either worker, or an empty one: time passes.
    fn hear(&mut self, line: &[u8], show: &mut dyn FnMut(&Shown<'_>)) {
        if line.is_empty() {
            self.idle();
        } else if let Ok(answer) = serde_json::from_slice::<Answer>(line) {
            self.answered(answer, show);
        }
    }

    fn answered(&mut self, Answer { side, pid, problem }: Answer, show: &mut dyn FnMut(&Shown<'_>)) {
        if let Some(problem) = problem {
            return self.give_up(format!("{}: {problem}", name(side)));
        }
        let [frontend, backend] = &mut self.pids;
        *(if side == Side::Frontend { frontend } else { backend }) = Some(pid);
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting > 0 || self.problem.is_some() {
            return;
        }
        match self.current.take() {
            None => {
                for (side, pid) in [Side::Frontend, Side::Backend].into_iter().zip(self.pids) {
                    show(&Shown::Process(side, pid.unwrap_or_default()));
                }
                self.go_on();
            }
            Some((scene, before)) => match self.look() {
                Ok(after) => {
                    show(&Shown::Step(&self.movement(scene, before, after)));
                    self.is_paused = self.walk.pause;
                    if !self.is_paused {
                        self.go_on();
                    }
                }
                Err(error) => self.give_up(error),
            },
        }
    }

    /// Looks whether somebody has typed Return, and whether both are alive.
    fn idle(&mut self) {
        let is_ready = |fd: std::os::fd::BorrowedFd<'_>| {
            let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        };
        // They never write there: what can be read is the end.
        if self.controls.iter().flatten().any(|control| is_ready(control.as_fd())) {
            return self.give_up("one of the two has ended before its time".to_owned());
        }
        let input = io::stdin();
        if self.is_paused && is_ready(input.as_fd()) {
            self.is_paused = false;
            match pause(input.as_fd()) {
                Ok(()) => self.go_on(),
                Err(error) => self.give_up(error.to_string()),
            }
        }
    }

    /// The next scene; after the last, both are let go.
    fn go_on(&mut self) {
        let Some(scene) = self.scenes.pop_front() else {
            self.controls = None;
            return;
        };
        match self.look() {
            Ok(before) => {
                let acts = scene.acts.clone();
                self.current = Some((scene, before));
                self.tell(&acts);
            }
            Err(error) => self.give_up(error),
        }
    }

    fn tell(&mut self, acts: &[(Side, Act)]) {
        self.waiting = acts.len();
        for (side, act) in acts {
            let Some([frontend, backend]) = &self.controls else { return };
            let control = if *side == Side::Frontend { frontend } else { backend };
            let sent = serde_json::to_string(act)
                .map_err(io::Error::other)
                .and_then(|text| rights::send(control.as_fd(), format!("{text}\n").as_bytes(), &[]));
            if let Err(error) = sent {
                self.give_up(format!("the {} cannot be told what to do: {error}", name(*side)));
            }
        }
    }

    /// Lets both go: they give back what they have.
    fn give_up(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
        self.controls = None;
    }

    fn look(&self) -> Result<Look, String> {
        let [frontend, backend] = self.pids.map(|pid| smaps::held_by(pid?).get());
        let [paid_by_frontend, paid_by_backend] =
            self.groups.each_ref().map(|group| group.as_ref()?.charges(self.size).bytes.get());
        let figures = [frontend, backend, paid_by_frontend, paid_by_backend];
        Ok(Look { counters: self.counters.read().map_err(|error| error.to_string())?, figures })
    }

    fn movement(&self, scene: Scene, before: Look, after: Look) -> Movement {
        let Scene { text, documented, step, mapped, charged, .. } = scene;
        let bytes = |pages: u64| pages.saturating_mul(self.size.bytes());
        let mapped = mapped.into_iter().map(|pages| Some(bytes(pages)));
        let payers = [Side::Frontend, Side::Backend].into_iter().zip(self.charged).map(|(side, was)| {
            let more = if side == self.first { bytes(charged) } else { 0 };
            was.filter(|_| self.are_apart()).map(|was| was.saturating_add(more))
        });
        let figures = NAMES.iter().zip(mapped.chain(payers)).zip(before.figures.iter().zip(after.figures));
        let figures = figures
            .filter(|(_, (before, after))| before.is_some() || after.is_some())
            .map(|((name, expected), (&before, after))| Figure {
                name: (*name).to_owned(),
                before,
                expected,
                after,
            })
            .collect();
        Movement {
            step: text,
            documented,
            expected: step.expect(&before.counters, &after.counters),
            before: before.counters,
            after: after.counters,
            figures,
        }
    }

    /// Whether what one cgroup is charged is not the other's too, as that of one below is.
    fn are_apart(&self) -> bool {
        let real = |directory: &Option<String>| std::fs::canonicalize(directory.as_ref()?).ok();
        match (real(&self.walk.frontend_cgroup), real(&self.walk.backend_cgroup)) {
            (Some(one), Some(other)) => !one.starts_with(&other) && !other.starts_with(&one),
            _ => true,
        }
    }
}
