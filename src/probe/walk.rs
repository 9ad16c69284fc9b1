//! `walk`: the same steps as `check`, with the counters shown before and after each: those of one process first, then
//! how two share pages.

mod scenes;
mod sharing;

use std::io;
use std::os::fd::BorrowedFd;
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::getpid;

use crate::allocation::Task;
use crate::domain::counters::Movement;
use crate::domain::inventory::Pool;
use crate::domain::merge::Ending;
use crate::domain::part::{Heard, Part, hear};
use crate::domain::plan::{Role, time_for_steps};
use crate::domain::request::{PageCount, Request, Workload};
use crate::domain::reserve::Replayed;
use crate::domain::size::PageSize;
use crate::exchange::steps::Side;
use crate::linux::pools;
use crate::linux::root::HostRoot;

pub use scenes::name;

use super::assignment::{Assignment, Manner, VERB, Work};
use super::check::{CheckError, nonce, reserve};
use super::gather;
use super::guardian::Guardian;
use super::supervisor::{Ended, Start, Supervisor};

/// What to walk through.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The size; the smallest with a page to be had if `None`.
    pub size: Option<PageSize>,
    /// How many pages.
    pub pages: u64,
    /// The hugetlbfs to use; anonymous memory if `None`, and a memfd where pages are shared.
    pub directory: Option<String>,
    /// Wait for a line on standard input after each step.
    pub pause: bool,
    /// `--reserve`.
    pub reserve: Vec<PageCount>,
    /// `--reserve-over-half`.
    pub reserve_over_half: bool,
    /// The cgroup that the frontend joins when pages are shared.
    pub frontend_cgroup: Option<String>,
    /// The backend's.
    pub backend_cgroup: Option<String>,
}

/// What is to be shown, in order.
#[derive(Debug, Clone, Copy)]
pub enum Shown<'a> {
    /// The pages of a killed run were given back.
    Replayed(&'a Replayed),
    /// The pool that is about to be used.
    Pool(&'a Pool),
    /// A step was done.
    Step(&'a Movement),
    /// Two processes share pages from here on; this one touches them first.
    Sharing(Side),
    /// Which process plays it.
    Process(Side, u32),
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Walked {
    /// What the steps proved.
    pub part: Part,
    /// Why the worker stopped before its end, if it did.
    pub stopped: Option<String>,
    /// What of `--reserve` could not be given back: nothing, as a rule.
    pub owed: Vec<String>,
}

/// What keeps a walk from being made.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// As for a check.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Nothing to walk with.
    #[error("{0}")]
    NoPage(String),
}

/// Goes through the steps, and shows each as it is done: those of one process, then how two share.
///
/// # Errors
///
/// See [`WalkError`].
pub fn run(walk: &Walk, show: &mut dyn FnMut(&Shown<'_>)) -> Result<Walked, WalkError> {
    let root = HostRoot::default();
    let run = nonce().map_err(CheckError::Nonce)?;
    let request = Request {
        frontend_cgroup: walk.frontend_cgroup.clone(),
        backend_cgroup: walk.backend_cgroup.clone(),
        ..Request::default()
    };
    // Sooner than anything is taken: what was typed may be none.
    gather::role_cgroups(&request).map_err(CheckError::Cgroup)?;
    let mut supervisor = Supervisor::new().map_err(CheckError::Signals)?;
    let mut note = |one: Replayed| show(&Shown::Replayed(&one));
    let guardian = reserve(&root, &walk.reserve, walk.reserve_over_half, &run, &supervisor, &mut note)?;
    if let Some(guardian) = &guardian {
        supervisor.watch_guardian(guardian.as_fd());
    }
    let pool = choose(&root, walk.size, walk.pages)?;
    show(&Shown::Pool(&pool));
    let mut walked = allocation(walk, pool.size, &run, &mut supervisor, show)?;
    for first in [Side::Frontend, Side::Backend] {
        if walked.stopped.is_none() {
            show(&Shown::Sharing(first));
            walked.stopped = sharing::run(walk, pool.size, &run, first, &mut supervisor, show).err();
        }
    }
    walked.owed = guardian.map(Guardian::release).unwrap_or_default();
    Ok(walked)
}

/// The steps of one process.
fn allocation(
    walk: &Walk,
    size: PageSize,
    run: &str,
    supervisor: &mut Supervisor<'_>,
    show: &mut dyn FnMut(&Shown<'_>),
) -> Result<Walked, WalkError> {
    let role = if walk.directory.is_some() { Role::Hugetlbfs } else { Role::Anonymous };
    let task = Task {
        role,
        size: Some(size),
        pages: walk.pages,
        need: Vec::new(),
        need_of_roles: Vec::new(),
        directory: walk.directory.clone(),
        workload: Workload::default(),
        root: None,
    };
    let manner = if walk.pause { Manner::Pause } else { Manner::Walk };
    let start = Start {
        arguments: arguments(run, manner, Work::Allocation(task))?,
        // The worker itself waits for Return: while it does, nothing else happens.
        stdin: if walk.pause { Stdio::inherit() } else { Stdio::null() },
        keep: true,
        time: time(walk, size),
    };
    let mut listen = |line: &[u8]| {
        if let Some(Heard::Moved(movement)) = hear(line) {
            show(&Shown::Step(&movement));
        }
    };
    let ended = supervisor.run(vec![start], &mut listen).pop();
    let Some(ended) = ended else { return Err(WalkError::NoPage("no worker was started".to_owned())) };
    let part = Part::parse(&ended.output, run, role, Some(size));
    let stopped = match &part {
        Ok(part) if part.ended && ended.ending == Ending::Exited(0) => None,
        Ok(_) => Some(why_stopped("the worker", &ended)),
        Err(error) => Some(format!("the worker's part is invalid: {error}")),
    };
    Ok(Walked { part: part.unwrap_or_default(), stopped, owed: Vec::new() })
}

fn arguments(run: &str, manner: Manner, work: Work) -> Result<Vec<String>, WalkError> {
    let assignment = Assignment { run: run.to_owned(), parent: getpid().as_raw(), manner, work };
    let text = serde_json::to_string(&assignment).map_err(|error| WalkError::NoPage(error.to_string()))?;
    Ok(vec![VERB.to_owned(), text])
}

/// How long a worker may take: as long as a person likes where one is waited for.
fn time(walk: &Walk, size: PageSize) -> Option<Duration> {
    (!walk.pause).then(|| time_for_steps(size, walk.pages))
}

fn why_stopped(who: &str, ended: &Ended) -> String {
    match &ended.ending {
        Ending::Exited(code) => format!("{who} exited with code {code}: {}", ended.log.trim()),
        Ending::Signalled { name, .. } => format!("{who} was killed by {name}"),
        Ending::Deadline => format!("{who}'s time was up"),
        Ending::BrokenOff(by) => format!("broken off by {by}"),
        Ending::NotStarted(why) => format!("{who} could not be started: {why}"),
    }
}

/// Waits for Return. Byte by byte: what follows it is for whoever waits next.
pub(super) fn pause(input: BorrowedFd<'_>) -> io::Result<()> {
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

/// The size asked for, or the smallest of which there are enough pages; an error if there are not.
pub(super) fn choose(root: &HostRoot, size: Option<PageSize>, pages: u64) -> Result<Pool, WalkError> {
    let pools = pools::read(root);
    let Some(known) = pools.known() else {
        let why = pools.why_unknown().unwrap_or_default();
        return Err(WalkError::NoPage(format!("cannot tell what pools there are: {why}")));
    };
    let obtainable = |pool: &Pool| Some(pool.available()?.saturating_add(pool.growable().unwrap_or(0)));
    let help = "set nr_hugepages, or try --reserve 2Mi=16 as root";
    match size {
        Some(size) => {
            match known.iter().find(|pool| pool.size == size).map(|pool| (pool, obtainable(pool))) {
                Some((pool, Some(there))) if there >= pages => Ok(pool.clone()),
                Some((_, Some(there))) => Err(WalkError::NoPage(format!(
                    "{pages} pages of {size} are wanted and {there} can be had: {help}"
                ))),
                _ => Err(WalkError::NoPage(format!("no pool of {size} whose counters can be read: {help}"))),
            }
        }
        None => {
            let pool = known.iter().find(|pool| obtainable(pool).is_some_and(|there| there >= pages));
            pool.cloned()
                .ok_or_else(|| WalkError::NoPage(format!("no pool has {pages} pages to be had: {help}")))
        }
    }
}
