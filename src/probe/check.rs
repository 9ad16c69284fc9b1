//! `check`: the orchestrator of one run.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::unistd::getpid;
use serde_json::Map;

use hugeprobe_domain::catalogue::{HP701, HP702};
use hugeprobe_domain::check::{Finding, Outcome, Verdict};
use hugeprobe_domain::inspect;
use hugeprobe_domain::inventory::{Inventory, Pool};
use hugeprobe_domain::judge;
use hugeprobe_domain::merge::{Ending, WorkerReport, merge};
use hugeprobe_domain::part::{Part, announced};
use hugeprobe_domain::report::{Report, SCHEMA};
use hugeprobe_domain::request::{PageCount, Request};
use hugeprobe_domain::reserve::Replayed;
use hugeprobe_domain::settle::settle;
use hugeprobe_exchange::socket::{Listener, SocketError};
use hugeprobe_linux::limits;
use hugeprobe_linux::privileges::UNKNOWN_ID;
use hugeprobe_linux::root::HostRoot;
use hugeprobe_linux::run_directory::RunDirectory;

use super::assignment::{Assignment, VERB, Work};
use super::gather::{self, RoleCgroupError};
use super::guardian::{Guardian, GuardianError, Options, replay_dead};
use super::planning::{self, Job};
use super::supervisor::{Ended, Start, Supervisor};

/// The error if a run is not possible at all. All other problems are in the report.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The pages of `--reserve` could not be reserved.
    #[error(transparent)]
    Reserve(#[from] GuardianError),
    /// The directory of `--frontend-cgroup` or `--backend-cgroup` cannot be used.
    #[error(transparent)]
    Cgroup(#[from] RoleCgroupError),
    /// The socket of `--peer-listen` could not be created.
    #[error("--peer-listen: {0}")]
    Listen(#[from] SocketError),
    /// The signalfd could not be set up.
    #[error("cannot set up signal handling (signalfd): {0}")]
    Signals(io::Error),
    /// No nonce could be read from the kernel.
    #[error("cannot create a nonce for this run: {0}")]
    Nonce(io::Error),
}

/// How long a run waits for another run that is replaying the journals of killed runs.
const PATIENCE: Duration = Duration::from_secs(1);

/// Receives the progress of a run.
pub trait Progress {
    /// A step has started.
    fn step(&mut self, what: &str);
    /// Called a few times a second while a step lasts.
    fn tick(&mut self);
    /// The pages of a killed run were given back.
    fn replayed(&mut self, replayed: &Replayed);
}

/// Makes one run on the machine under `root` and returns its report. `progress` receives each step.
///
/// # Errors
///
/// See [`CheckError`]. After an error no page is held, and no page remains added to a pool.
pub fn run(root: &HostRoot, request: &Request, progress: &mut dyn Progress) -> Result<Report, CheckError> {
    let (begin, time) = (Instant::now(), Timestamp::now());
    // Before anything is opened: the soft limit of open files may leave room for one more, and the descriptors of this
    // process do not count as inherited.
    let limits = limits::read(root);
    if root.is_live() {
        limits::raise_nofile();
    }
    let run = nonce().map_err(CheckError::Nonce)?;
    let role_cgroups = gather::role_cgroups(request)?;
    // Before anything is started, because another process may already use the path.
    let peer = request.peer.as_ref().filter(|peer| peer.listen && root.is_live());
    let listener = peer.map(|peer| Listener::new(Path::new(&peer.socket))).transpose()?;
    let mut supervisor = Supervisor::new().map_err(CheckError::Signals)?;
    let mut replayed = Vec::new();
    let mut note = |one: Replayed| {
        progress.replayed(&one);
        replayed.push(one);
    };
    let guardian = reserve(root, &request.reserve, request.reserve_over_half, &run, &supervisor, &mut note)?;
    if let Some(guardian) = &guardian {
        supervisor.watch_guardian(guardian.as_fd());
    }

    progress.step("reading pools, mounts and limits");
    let mut inventory = Inventory { role_cgroups, ..gather::inventory(root, request, limits) };
    inventory.memory_tried = gather::memory_tried(root, request, &inventory);
    let sizes = planning::sizes(&inventory, request);
    let (plan, jobs) = planning::plan(&inventory, request, &sizes, root.is_live(), seed(&run));
    let mut workers = Vec::new();
    for job in &jobs {
        workers.extend(work(&mut supervisor, &run, job, listener.as_ref(), progress));
    }

    let found = merge(&plan, &workers);
    // Last, and not after a signal: it takes locks of other processes, and with many processes it costs more than
    // everything else.
    if !workers.iter().any(|worker| matches!(worker.ending, Ending::BrokenOff(_))) {
        let short = inspect::holders::are_of_interest(&inventory, request, &sizes, &found);
        inventory.holders = gather::holders(root, request, &inventory, short);
    }
    let mut findings = inspect::all(&inventory, request, &sizes);
    let of_peer = |&size| inspect::peer::missing(&inventory, request, size);
    findings.extend(plan.nothing_there.iter().filter_map(of_peer));
    findings.extend(found);
    settle(&mut findings);
    if let Some(guardian) = guardian {
        progress.step("giving the reserved pages back");
        let granted = guardian.granted().to_vec();
        findings.extend(inspect::reserve::inspect(&granted, &guardian.release()));
        replay(root, &mut |one| {
            progress.replayed(&one);
            replayed.push(one);
        });
    }
    Ok(Report { replayed, ..report(request, inventory, &plan, findings, time, begin) })
}

/// Gives back the pages of killed runs, then adds the pages of `--reserve`, if any. `replayed` receives each killed
/// run.
pub(super) fn reserve(
    root: &HostRoot,
    counts: &[PageCount],
    over_half: bool,
    run: &str,
    supervisor: &Supervisor<'_>,
    replayed: &mut dyn FnMut(Replayed),
) -> Result<Option<Guardian>, CheckError> {
    if !root.is_live() {
        return Ok(None);
    }
    if counts.is_empty() {
        replay(root, replayed);
        return Ok(None);
    }
    let options =
        Options { id: run.to_owned(), over_half, stop: Some(supervisor.signals()), ..Options::default() };
    Ok(Some(Guardian::start(counts, &options, replayed)?))
}

/// Gives back the pages of killed runs. Ignores errors: without permission there is no journal to replay, and a run
/// that holds the lock replays the journals itself.
fn replay(root: &HostRoot, replayed: &mut dyn FnMut(Replayed)) {
    let runs = replay_dead(root, &RunDirectory::default(), PATIENCE).unwrap_or_default();
    runs.into_iter().for_each(replayed);
}

/// Runs the workers of one phase until they have ended.
fn work(
    supervisor: &mut Supervisor<'_>,
    run: &str,
    job: &Job,
    listener: Option<&Listener>,
    progress: &mut dyn Progress,
) -> Vec<WorkerReport> {
    let ended = match starts(run, job, listener, false) {
        Ok(starts) => {
            let about = about(job);
            let mut hear = |line: &[u8]| match announced(line) {
                Some(announced) => progress.step(&format!("{about}: {}", announced.step)),
                None => progress.tick(),
            };
            supervisor.run(starts, &mut hear)
        }
        Err(error) => job.workers.iter().map(|_| Ended::not_started(error.to_string())).collect(),
    };
    job.workers.iter().zip(ended).map(|(work, ended)| worker_report(run, work, ended)).collect()
}

/// Prepares the workers of a phase. Each worker of a pair gets one end of a socket pair as its standard input. A worker
/// that accepts a peer gets the listening socket. `stepwise` is as in [`Assignment`].
pub(super) fn starts(
    run: &str,
    job: &Job,
    listener: Option<&Listener>,
    stepwise: bool,
) -> io::Result<Vec<Start>> {
    let mut inputs: Vec<OwnedFd> = match (job.workers.as_slice(), listener) {
        ([_, _], _) => UnixStream::pair().map(|(one, other)| vec![one.into(), other.into()])?,
        ([Work::Peer(_)], Some(listener)) => vec![listener.share()?],
        _ => Vec::new(),
    };
    job.workers.iter().map(|work| start(run, work, inputs.pop(), job.time, stepwise)).collect()
}

/// Prepares a worker that must write its part within `time`. `socket` becomes its standard input; it leads to the peer.
pub(super) fn start(
    run: &str,
    work: &Work,
    socket: Option<OwnedFd>,
    time: Duration,
    stepwise: bool,
) -> io::Result<Start> {
    let parent = getpid().as_raw();
    let assignment = Assignment { run: run.to_owned(), parent, stepwise, work: work.clone() };
    let arguments = vec![VERB.to_owned(), serde_json::to_string(&assignment)?];
    let stdin = socket.map_or_else(Stdio::null, Stdio::from);
    let control = if stepwise { Some(UnixStream::pair()?) } else { None };
    Ok(Start { arguments, stdin, control, time: Some(time), keep: true })
}

/// Parses the output of a worker that has ended into its report.
pub(super) fn worker_report(run: &str, work: &Work, ended: Ended) -> WorkerReport {
    let (role, size) = (work.role(), work.size());
    let Ended { output, log, ending } = ended;
    let part = match &ending {
        Ending::NotStarted(_) => Ok(Part::default()),
        _ => Part::parse(&output, run, role, size),
    };
    WorkerReport { role, size, part, ending, log }
}

/// Returns the name of a phase for the progress line.
fn about(job: &Job) -> String {
    let Some(work) = job.workers.first() else { return String::new() };
    let what = match work {
        Work::Allocation(task) => task.role.to_string(),
        Work::Exchange(_) => "sharing".to_owned(),
        Work::Peer(_) => "peer".to_owned(),
    };
    work.size().map_or_else(|| what.clone(), |size| format!("{} {what}", size.resource_name()))
}

fn report(
    request: &Request,
    inventory: Inventory,
    plan: &hugeprobe_domain::plan::Plan,
    mut findings: Vec<Finding>,
    time: Timestamp,
    begin: Instant,
) -> Report {
    let sizes = judge::judge(plan, request, &findings);
    let verdict = judge::machine(&sizes, request, &findings);
    findings.retain(|finding| request.reports(finding.id));
    // A size that has no pages and needs none would only add a skipped entry for each check.
    findings.retain(|finding| {
        finding.outcome != Outcome::Skip
            || !finding.size.is_some_and(|size| plan.nothing_there.contains(&size))
    });
    findings.sort_by_key(|finding| (finding.size.is_none(), finding.size, finding.id));
    let measurements = measurements(&findings);
    Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        time: in_seconds(time),
        verdict,
        request: request.clone(),
        only: request.only.clone(),
        profile: profile(inventory.privileges.uid),
        duration_ms: u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
        pools: pools(&inventory, plan),
        host: inventory.host,
        sizes,
        checks: findings.into_iter().map(Into::into).collect(),
        measurements,
        replayed: Vec::new(),
    }
}

/// Formats the user of the run: `root` or `uid 1000`. A captured tree may not contain it.
fn profile(uid: u32) -> String {
    match uid {
        0 => "root".to_owned(),
        UNKNOWN_ID => "unknown user".to_owned(),
        uid => format!("uid {uid}"),
    }
}

/// Formats a time without fractions of a second: `2026-01-31T12:00:00Z`.
fn in_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// Returns the pools of the sizes in the plan.
fn pools(inventory: &Inventory, plan: &hugeprobe_domain::plan::Plan) -> Vec<Pool> {
    plan.sizes.iter().filter_map(|&size| inventory.pool(size)).cloned().collect()
}

/// Returns the figures of HP7xx by page size.
fn measurements(findings: &[Finding]) -> Map<String, serde_json::Value> {
    let mut measurements = Map::new();
    for finding in findings.iter().filter(|finding| [HP701, HP702].contains(&finding.id)) {
        let Some(size) = finding.size else { continue };
        let figures = measurements.entry(size.to_string()).or_insert_with(|| Map::new().into());
        if let Some(figures) = figures.as_object_mut() {
            figures.extend(finding.evidence.clone());
        }
    }
    measurements
}

/// Returns a unique name for this run.
pub(super) fn nonce() -> io::Result<String> {
    nonce_of("/proc/sys/kernel/random/uuid")
}

/// Reads a UUID from the kernel's file `uuids`, or random bytes from /dev/urandom where a container hides that file.
fn nonce_of(uuids: &str) -> io::Result<String> {
    if let Ok(uuid) = std::fs::read_to_string(uuids) {
        return Ok(uuid.trim().to_owned());
    }
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Returns a seed that differs from run to run (the FNV-1a hash of `run`), so that stale bytes of another run are
/// recognized.
pub(super) fn seed(run: &str) -> u64 {
    run.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Returns whether the verdict is a pass, with or without warnings.
#[must_use]
pub fn is_good(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Pass | Verdict::Warn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_a_name_where_the_kernels_uuids_are_hidden() {
        let [one, other] = [(); 2].map(|()| nonce_of("/proc/sys/hidden/uuid").unwrap());
        assert_ne!(one, other);
        assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
        assert_eq!(nonce().unwrap().len(), 36);
    }
}
