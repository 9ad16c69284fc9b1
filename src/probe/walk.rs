//! `walk`: the same steps as `check`, in one worker, with the counters shown before and after each.

use std::process::Stdio;

use nix::unistd::getpid;

use crate::allocation::Task;
use crate::domain::counters::Movement;
use crate::domain::inventory::Pool;
use crate::domain::merge::Ending;
use crate::domain::part::{Heard, Part, hear};
use crate::domain::plan::Role;
use crate::domain::request::{PageCount, Workload};
use crate::domain::size::PageSize;
use crate::linux::pools;
use crate::linux::root::HostRoot;

use super::assignment::{Assignment, Manner, VERB, Work};
use super::check::{CheckError, give_back, nonce, reserve};
use super::planning::time_for;
use super::supervisor::{Start, Supervisor};

/// What to walk through.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The size; the smallest with a page to be had if `None`.
    pub size: Option<PageSize>,
    /// How many pages.
    pub pages: u64,
    /// The hugetlbfs to use; anonymous memory if `None`.
    pub directory: Option<String>,
    /// Wait for a line on standard input after each step.
    pub pause: bool,
    /// `--reserve`.
    pub reserve: Vec<PageCount>,
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

/// Goes through the steps on the pool that `begin` is told of, and shows each as it is done.
///
/// # Errors
///
/// See [`WalkError`].
pub fn run(
    walk: &Walk,
    begin: &mut dyn FnMut(&Pool),
    show: &mut dyn FnMut(&Movement),
) -> Result<Walked, WalkError> {
    let root = HostRoot::default();
    let run = nonce().map_err(CheckError::Nonce)?;
    let mut supervisor = Supervisor::new().map_err(CheckError::Signals)?;
    let guardian = reserve(&root, &walk.reserve, &run, &supervisor)?;
    if let Some(guardian) = &guardian {
        supervisor.watch_guardian(guardian.as_fd());
    }
    let pool = choose(&root, walk.size, walk.pages)?;
    begin(&pool);
    let size = pool.size;

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
    let assignment =
        Assignment { run: run.clone(), parent: getpid().as_raw(), manner, work: Work::Allocation(task) };
    let text = serde_json::to_string(&assignment).map_err(|error| WalkError::NoPage(error.to_string()))?;
    let start = Start {
        arguments: vec![VERB.to_owned(), text],
        // The worker itself waits for Return: while it does, nothing else happens.
        stdin: if walk.pause { Stdio::inherit() } else { Stdio::null() },
        keep: true,
        time: (!walk.pause).then(|| time_for(size, walk.pages.saturating_mul(4))),
    };
    let mut listen = |line: &[u8]| {
        if let Some(Heard::Moved(movement)) = hear(line) {
            show(&movement);
        }
    };
    let ended = supervisor.run(vec![start], &mut listen).pop();
    let owed = guardian.map(give_back).unwrap_or_default();
    let Some(ended) = ended else { return Err(WalkError::NoPage("no worker was started".to_owned())) };
    let part = Part::parse(&ended.output, &run, role, Some(size));
    let stopped = match (&part, ended.ending) {
        (Ok(part), Ending::Exited(0)) if part.ended => None,
        (Ok(_), Ending::Exited(code)) => {
            Some(format!("the worker exited with code {code}: {}", ended.log.trim()))
        }
        (Ok(_), Ending::Signalled { name, .. }) => Some(format!("the worker was killed by {name}")),
        (Ok(_), Ending::Deadline) => Some("the worker's time was up".to_owned()),
        (Ok(_), Ending::BrokenOff(by)) => Some(format!("broken off by {by}")),
        (Ok(_), Ending::NotStarted(why)) => Some(format!("the worker could not be started: {why}")),
        (Err(error), _) => Some(format!("the worker's part is invalid: {error}")),
    };
    Ok(Walked { part: part.unwrap_or_default(), stopped, owed })
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
