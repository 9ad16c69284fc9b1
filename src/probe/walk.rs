//! `walk`: runs the workers of `check` one step at a time and shows the counters before and after each step. One
//! process comes first, then two that share pages: once with the frontend touching them first, once with the backend.

mod director;
mod options;

use std::io;

use hugeprobe_domain::check::Finding;
use hugeprobe_domain::inventory::Pool;
use hugeprobe_domain::merge::{Ending, WorkerReport};
use hugeprobe_domain::plan::{Role, time_for_steps};
use hugeprobe_domain::request::{Request, Workload};
use hugeprobe_domain::reserve::Replayed;
use hugeprobe_domain::sharing::Session;
use hugeprobe_domain::size::PageSize;
use hugeprobe_exchange::Source;
use hugeprobe_exchange::role::{self as exchange, Cgroups};
use hugeprobe_linux::counters::CounterFiles;
use hugeprobe_linux::pools;
use hugeprobe_linux::root::HostRoot;

use super::assignment::Work;
use super::check::{CheckError, nonce, reserve, seed, starts, worker_report};
use super::gather;
use super::guardian::Guardian;
use super::planning::Job;
use super::supervisor::Supervisor;
use director::Director;
use options::name;
pub use options::{Shown, Walk};

/// The result of a walk.
#[derive(Debug, Clone)]
pub struct Walked {
    /// The findings of the workers, as in `check`.
    pub findings: Vec<Finding>,
    /// Why the walk stopped before its end, if it did.
    pub stopped: Option<String>,
    /// The pages of `--reserve` that could not be given back, a sentence each. Normally empty.
    pub owed: Vec<String>,
}

/// Why a walk could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// An error that `check` has as well.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// There are not enough pages for a walk.
    #[error("{0}")]
    NoPage(String),
}

/// The number of frames that frontend and backend send through the rings: enough to show that they work.
const FRAMES: u64 = 64;

/// Runs all steps, and shows each one when it is done.
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
    // Before any page is taken, because the arguments may be invalid.
    gather::role_cgroups(&request).map_err(CheckError::Cgroup)?;
    let mut supervisor = Supervisor::new().map_err(CheckError::Signals)?;
    let mut note = |one: Replayed| show(&Shown::Replayed(&one));
    let guardian = reserve(&root, &walk.reserve, walk.reserve_over_half, &run, &supervisor, &mut note)?;
    if let Some(guardian) = &guardian {
        supervisor.watch_guardian(guardian.as_fd());
    }
    let pool = choose(&root, walk.size, walk.pages)?;
    let counters =
        CounterFiles::open(&root, pool.size).map_err(|error| WalkError::NoPage(error.to_string()))?;
    show(&Shown::Pool(&pool));
    let mut walked = Walked { findings: Vec::new(), stopped: None, owed: Vec::new() };
    for job in jobs(walk, pool.size, seed(&run)) {
        if walked.stopped.is_some() {
            break;
        }
        if let [Work::Exchange(task), _] = job.workers.as_slice() {
            let backend_first = task.role == Role::Frontend(Session::BackendFirst);
            show(&Shown::Sharing { backend_first });
        }
        let director = Director::new(walk, pool.size, &counters, show);
        walked.stopped = stepwise(walk, &run, &job, director, &mut supervisor, &mut walked.findings)
            .unwrap_or_else(|error| Some(format!("the workers cannot be started: {error}")));
    }
    walked.owed = guardian.map(Guardian::release).unwrap_or_default();
    Ok(walked)
}

/// Returns the jobs of a walk: one worker, then two pairs.
fn jobs(walk: &Walk, size: PageSize, seed: u64) -> [Job; 3] {
    let time = time_for_steps(size, walk.pages);
    let alone = hugeprobe_allocation::AllocationTask {
        role: if walk.directory.is_some() { Role::Hugetlbfs } else { Role::Anonymous },
        size: Some(size),
        pages: walk.pages,
        need: Vec::new(),
        need_of_roles: Vec::new(),
        directory: walk.directory.clone(),
        workload: Workload::default(),
        locked: Vec::new(),
        footprint: None,
        root: None,
    };
    let cgroups = Cgroups { frontend: walk.frontend_cgroup.clone(), backend: walk.backend_cgroup.clone() };
    let memory = walk.directory.clone().map_or(Source::Memfd, Source::Directory);
    let pair = |session| {
        let task = |role| {
            Work::Exchange(exchange::SessionTask {
                role,
                size,
                pages: walk.pages,
                memory: memory.clone(),
                seed,
                frames: FRAMES,
                cgroups: cgroups.clone(),
                no_deadline: walk.pause,
            })
        };
        Job { workers: vec![task(Role::Frontend(session)), task(Role::Backend(session))], time }
    };
    [
        Job { workers: vec![Work::Allocation(alone)], time },
        pair(Session::FrontendFirst),
        pair(Session::BackendFirst),
    ]
}

/// Runs the workers of a job step by step. Returns why they stopped before their end, if they did.
fn stepwise(
    walk: &Walk,
    run: &str,
    job: &Job,
    mut director: Director<'_>,
    supervisor: &mut Supervisor<'_>,
    findings: &mut Vec<Finding>,
) -> io::Result<Option<String>> {
    let mut starts = starts(run, job, None, true)?;
    for (start, work) in starts.iter_mut().zip(&job.workers) {
        if walk.pause {
            start.time = None;
        }
        if let Some((ours, _)) = &start.control {
            director.add(work.role(), ours.try_clone()?);
        }
    }
    let ended = supervisor.run(starts, &mut director);
    let reports: Vec<_> =
        job.workers.iter().zip(ended).map(|(work, ended)| worker_report(run, work, ended)).collect();
    findings.extend(
        reports.iter().filter_map(|report| report.part.as_ref().ok()).flat_map(|part| part.findings.clone()),
    );
    // When one of a pair is killed, the other one exits and knows less about the cause. The killed one comes first.
    let by_itself = |report: &&WorkerReport| matches!(report.ending, Ending::Exited(_));
    let (exited, killed): (Vec<_>, Vec<_>) = reports.iter().partition(by_itself);
    Ok(director.problem().or_else(|| killed.into_iter().chain(exited).find_map(why_stopped)))
}

/// Returns why a worker stopped before its end, if it did.
fn why_stopped(report: &WorkerReport) -> Option<String> {
    let who = name(report.role);
    let why = match (&report.ending, &report.part) {
        (Ending::Exited(0), Ok(part)) if part.ended => return None,
        (Ending::Exited(_), Err(error)) => format!("sent a report that cannot be read: {error}"),
        (Ending::Exited(code), _) => format!("exited with code {code}: {}", report.log.trim()),
        (Ending::Signalled { name, .. }, _) => format!("was killed by {name}"),
        (Ending::Deadline, _) => "exceeded its time limit".to_owned(),
        (Ending::BrokenOff(by), _) => return Some(format!("interrupted by {by}")),
        (Ending::NotStarted(why), _) => format!("could not start: {why}"),
    };
    Some(format!("the {who} {why}"))
}

/// Returns the pool of `size`, or of the smallest size of which enough pages are available.
pub(super) fn choose(root: &HostRoot, size: Option<PageSize>, pages: u64) -> Result<Pool, WalkError> {
    let pools = pools::read(root);
    let Some(known) = pools.known() else {
        let why = pools.why_unknown().unwrap_or_default();
        return Err(WalkError::NoPage(format!("cannot list the pools: {why}")));
    };
    let obtainable = |pool: &Pool| Some(pool.available()?.saturating_add(pool.growable().unwrap_or(0)));
    let help = "set nr_hugepages, or try --reserve 2Mi=16 as root";
    match size {
        Some(size) => {
            match known.iter().find(|pool| pool.size == size).map(|pool| (pool, obtainable(pool))) {
                Some((pool, Some(there))) if there >= pages => Ok(pool.clone()),
                Some((_, Some(there))) => Err(WalkError::NoPage(format!(
                    "{pages} pages of {size} are needed, {there} are available: {help}"
                ))),
                _ => Err(WalkError::NoPage(format!("no pool of {size} whose counters can be read: {help}"))),
            }
        }
        None => {
            let pool = known.iter().find(|pool| obtainable(pool).is_some_and(|there| there >= pages));
            pool.cloned()
                .ok_or_else(|| WalkError::NoPage(format!("no pool has {pages} available pages: {help}")))
        }
    }
}
