//! One run of one container: reads, starts workers one after another, and can give an up-to-date message at any time.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::assignment::Work;
use super::super::check::{seed, start, worker_report};
use super::super::gather;
use super::super::planning::Job;
use super::super::supervisor::{Ended, Supervisor};
use super::meeting::Meeting;
use super::probe::Probe;
use hugeprobe_domain::catalogue::{HP401, HP402};
use hugeprobe_domain::check::Finding;
use hugeprobe_domain::compact::{Container, Message, Run};
use hugeprobe_domain::inspect::{limits, mounts};
use hugeprobe_domain::inventory::Inventory;
use hugeprobe_domain::merge::{Ending, WorkerReport};
use hugeprobe_domain::part::Part;
use hugeprobe_domain::plan::Role;
use hugeprobe_domain::request::{PageCount, Request, Selector};
use hugeprobe_domain::sharing::Session;
use hugeprobe_exchange::socket::Listener;
use hugeprobe_linux::device_metadata::{PeerFileError, socket_of};
use hugeprobe_linux::root::HostRoot;

/// A run of one container, with its settings.
pub(super) struct Round<'a> {
    pub(super) container: Container,
    pub(super) probe: &'a Probe,
    pub(super) run: &'a Run,
    pub(super) meeting: &'a Meeting,
    /// The time limit of the whole run.
    pub(super) time: Duration,
    /// Whether an earlier session had no peer. Both containers go through the sessions in the same order. After a
    /// missed session, each container would wait for the other one in a different session until the deadline.
    pub(super) missed: Cell<bool>,
}

/// The cause that is reported for a worker that had not run when its container was killed.
const SUDDEN_END: &str = "the sudden end of its container";

// === impl Round ===

impl Round<'_> {
    /// Runs all workers of this container and returns its message. `so_far` receives the message before the first
    /// worker and after each one. If the container is killed, the last of these messages counts.
    pub(super) fn play(&self, supervisor: &mut Supervisor<'_>, so_far: &mut dyn FnMut(&Message)) -> Message {
        let began = Instant::now();
        let deadline = began.checked_add(self.time).unwrap_or(began);
        let jobs: Vec<(Work, Job)> = self
            .probe
            .jobs(seed(&self.run.to_string()))
            .into_iter()
            .filter_map(|job| self.mine(job))
            .collect();
        let mut message = Message {
            container: self.container,
            size: self.probe.size,
            run: self.run.clone(),
            findings: self.inspect(),
            workers: jobs.iter().map(|(work, _)| not_yet(work)).collect(),
        };
        so_far(&message);
        for (index, (work, job)) in jobs.iter().enumerate() {
            let report = self.work(work, job, deadline, supervisor);
            if let Some(place) = message.workers.get_mut(index) {
                *place = report;
            }
            so_far(&message);
        }
        message
    }

    /// Returns this container's worker of a phase, if it has one.
    fn mine(&self, job: Job) -> Option<(Work, Job)> {
        let work = job
            .workers
            .iter()
            .find(|work| self.container.roles().any(|role| role == work.role()))
            .cloned()?;
        Some((work, job))
    }

    fn work(
        &self,
        work: &Work,
        job: &Job,
        deadline: Instant,
        supervisor: &mut Supervisor<'_>,
    ) -> WorkerReport {
        let run = self.run.to_string();
        let nothing = |ending| Ended { output: Vec::new(), log: String::new(), ending };
        let ended = self.run_worker(&run, work, job, deadline, supervisor).unwrap_or_else(nothing);
        worker_report(&run, work, ended)
    }

    fn run_worker(
        &self,
        run: &str,
        work: &Work,
        job: &Job,
        deadline: Instant,
        supervisor: &mut Supervisor<'_>,
    ) -> Result<Ended, Ending> {
        let time_is_up =
            || Ending::NotStarted(format!("the time limit of {:.0?} for all workers expired", self.time));
        if Instant::now() >= deadline {
            return Err(time_is_up());
        }
        let not_started = |error: &dyn ToString| Ending::NotStarted(error.to_string());
        let work = &with_socket(work).map_err(|error| not_started(&error))?;
        // Kept until the worker has ended, because dropping it removes the path.
        let listener = match work {
            Work::Peer(task) if task.peer.listen => {
                let listener = Listener::new(Path::new(&task.peer.socket));
                Some(listener.map_err(|error| not_started(&error))?)
            }
            _ => None,
        };
        let socket = match (work.role(), &listener) {
            (Role::Frontend(session) | Role::Backend(session), _) => {
                Some(self.meet(session, deadline, supervisor)?)
            }
            (_, Some(listener)) => Some(listener.share().map_err(|error| not_started(&error))?),
            _ => None,
        };
        let left = deadline.saturating_duration_since(Instant::now()).min(job.time);
        let start = start(run, work, socket, left, false).map_err(|error| not_started(&error))?;
        supervisor.run(vec![start], &mut |_: &[u8]| ()).pop().ok_or_else(time_is_up)
    }

    /// Returns the socket to the other container's worker of `session`. After a session without a peer, no later
    /// session is tried.
    fn meet(
        &self,
        session: Session,
        deadline: Instant,
        supervisor: &mut Supervisor<'_>,
    ) -> Result<OwnedFd, Ending> {
        if self.missed.get() {
            let peer = self.container.peer();
            return Err(Ending::NotStarted(format!(
                "an earlier session with the {peer} container did not start"
            )));
        }
        let met = self.meeting.meet(session, deadline, supervisor);
        self.missed.set(met.is_err());
        met
    }

    /// Inspects this container's own mount and limits, before any page is taken.
    fn inspect(&self) -> Vec<Finding> {
        let (size, request) = (self.probe.size, self.probe.request());
        // The pod's hugetlb limits cover only the pages that the probe takes; the workload's pod has the workload's.
        let pages = PageCount { size, pages: self.pages(), node: None };
        let of_pages = Request { need: vec![pages], ..request.clone() };
        let of_pod = Request { only: vec![Selector::Group(3), Selector::Group(4)], ..request.clone() };
        let root = HostRoot::default();
        let inventory: Inventory = gather::inventory(&root, &of_pod, hugeprobe_linux::limits::read(&root));
        let mut findings = mounts::inspect(&inventory, &of_pages, size);
        findings.extend(if self.probe.pages_of(self.container) > 0 {
            limits::inspect(&inventory, &of_pages, size)
        } else {
            let why = "only the frontend uses the pod's single page";
            [HP401, HP402].map(|id| Finding::skip(id, size, why)).into()
        });
        findings.extend(limits::inspect_machine(&inventory, &request));
        findings.retain(|finding| self.container.inspections().contains(&finding.id));
        findings
    }

    /// Returns the largest number of pages that this container's workers hold at once.
    fn pages(&self) -> u64 {
        let works =
            self.probe.jobs(0).into_iter().filter_map(|job| self.mine(job)).map(|(work, _)| match work {
                Work::Allocation(task) => {
                    task.need.iter().map(|need| need.pages).fold(0, u64::saturating_add).max(task.pages)
                }
                Work::Exchange(task) => task.pages,
                Work::Peer(task) => task.pages,
            });
        works.max().unwrap_or(1).max(1)
    }
}

/// Returns the work with the socket of its peer, which the plan names by the device metadata file of a claim. The driver writes
/// the file before the containers start.
fn with_socket(work: &Work) -> Result<Work, PeerFileError> {
    let mut work = work.clone();
    if let Work::Peer(task) = &mut work {
        task.peer.socket = socket_of(&task.peer.socket)?;
    }
    Ok(work)
}

fn not_yet(work: &Work) -> WorkerReport {
    let ending = Ending::BrokenOff(SUDDEN_END.to_owned());
    WorkerReport {
        role: work.role(),
        size: work.size(),
        part: Ok(Part::default()),
        ending,
        log: String::new(),
    }
}
