//! The plan of one page size: its checks, the workers that report them, and the workers that take its pages.

use std::time::Duration;

use super::super::assignment::Work;
use super::facts::SizeFacts;
use super::job::{Job, item, task};
use super::pages::PAGES;
use hugeprobe_allocation::{AllocationTask, RoleNeed};
use hugeprobe_domain::catalogue::{
    self, HP501, HP502, HP503, HP504, HP505, HP506, HP507, HP508, HP509, HP601, HP602, HP603, HP604, HP605,
    HP606, HP607, HP608, HP609, HP610, HP611, HP615, HP701, HP702,
};
use hugeprobe_domain::check::CheckId;
use hugeprobe_domain::peer::PEER;
use hugeprobe_domain::plan::{NotRun, Plan, PlannedWorker, Role, Weight, time_for, time_for_steps};
use hugeprobe_domain::request::{PageCount, Request};
use hugeprobe_domain::sharing::Session;
use hugeprobe_exchange::peer;
use hugeprobe_exchange::role::{self as exchange, Source};

/// The number of frames in each run between frontend and backend. It goes around a ring of 256 several times.
const FRAMES: u64 = 1024;

/// The checks that the sessions of a frontend and a backend report.
pub(super) const SHARING: [CheckId; 11] =
    [HP601, HP602, HP603, HP604, HP605, HP606, HP607, HP608, HP609, HP610, HP611];

/// The additional time for measurements. They run only on request, and steady figures take time.
const MEASURE: Duration = Duration::from_secs(60);

/// The plan of one page size, in progress.
pub(super) struct SizePlan<'a> {
    request: &'a Request,
    facts: SizeFacts,
    /// Determines all bytes that frontend and backend write and send.
    seed: u64,
    duties: Vec<(Vec<CheckId>, bool, Vec<PlannedWorker>)>,
    jobs: Vec<Job>,
}

impl<'a> SizePlan<'a> {
    pub(super) fn new(request: &'a Request, facts: SizeFacts, seed: u64) -> Self {
        Self { request, facts, seed, duties: Vec::new(), jobs: Vec::new() }
    }

    pub(super) fn add_to(mut self, plan: &mut Plan, jobs: &mut Vec<Job>) {
        self.steps();
        self.sysv();
        self.placement();
        self.need();
        self.sharing();
        self.peer();
        self.measure();
        for (ids, mandatory, duties) in self.duties {
            plan.items
                .extend(ids.into_iter().map(|id| item(id, Some(self.facts.size), mandatory, duties.clone())));
        }
        plan.items.sort_by_key(|item| (item.size, item.id));
        jobs.extend(self.jobs);
    }

    /// Plans HP501 to HP505, once for each kind of memory.
    fn steps(&mut self) {
        let with_directory = self.request.directory.is_some();
        let aside = if with_directory { Weight::Advisory } else { Weight::Full };
        let (weight, not_run) = if with_directory {
            (Weight::Full, self.facts.directory_unfit.clone())
        } else if let Some(why) = self.facts.may_not_mount {
            // A memfd is backed by the same file system, so the memfd worker covers what is skipped here.
            (Weight::Advisory, Some(NotRun::Skipped(format!("{why}; use --dir to name an existing one"))))
        } else {
            (Weight::Full, None)
        };
        let duties = vec![
            self.duty(Role::Anonymous, aside, None),
            self.duty(Role::Hugetlbfs, weight, not_run),
            self.duty(Role::Memfd, aside, None),
        ];
        let two = *self.pages(with_directory) != Ok(1);
        self.duties.push((vec![HP501, HP502, HP504, HP505], true, duties.clone()));
        self.duties.push((vec![HP503], two, duties));
    }

    fn sysv(&mut self) {
        let not_run = if !self.facts.may_unshare {
            Some(
                "a private IPC namespace requires CAP_SYS_ADMIN, and without one a segment could outlive the run",
            )
        } else if self.facts.pages == Ok(1) {
            Some("only one page is available")
        } else {
            None
        };
        // vhost-user needs no SysV segment, so nothing that happens to this worker makes the verdict worse than a warning.
        let duty =
            self.duty(Role::SysV, Weight::Advisory, not_run.map(|why| NotRun::Skipped(why.to_owned())));
        self.duties.push((vec![HP508], false, vec![duty]));
    }

    fn placement(&mut self) {
        let not_run = self.facts.one_node.then(|| NotRun::Skipped("one NUMA node".to_owned()));
        let duty = self.duty(Role::Placement, Weight::Full, not_run);
        self.duties.push((vec![HP506, HP507], false, vec![duty]));
    }

    fn need(&mut self) {
        let of_size = |needs: &[PageCount]| -> Vec<PageCount> {
            needs.iter().filter(|need| need.size == self.facts.size).copied().collect()
        };
        let needs = of_size(&self.request.need);
        let cgroups = &self.facts.cgroups;
        let of_role = |needs: &[PageCount], cgroup: &Option<String>| RoleNeed {
            cgroup: cgroup.clone(),
            need: of_size(needs),
        };
        let of_roles: Vec<_> = [
            of_role(&self.request.frontend_need, &cgroups.frontend),
            of_role(&self.request.backend_need, &cgroups.backend),
        ]
        .into_iter()
        .filter(|role| !role.need.is_empty())
        .collect();
        let all = needs.iter().chain(of_roles.iter().flat_map(|role| &role.need));
        let pages = all.map(|need| need.pages).fold(0, u64::saturating_add);
        if pages == 0 {
            return;
        }
        // The user stated this need, so it is tried whatever the counters say, and the kernel decides.
        let not_run = self.facts.captured.clone().or_else(|| self.facts.directory_unfit.clone());
        let duty = PlannedWorker { role: Role::Need, weight: Weight::Full, not_run };
        if duty.not_run.is_none() {
            let task =
                AllocationTask { need: needs, need_of_roles: of_roles, ..self.task(Role::Need, PAGES) };
            self.jobs.push(Job::alone(task, time_for(self.facts.size, pages)));
        }
        self.duties.push((vec![HP509], true, vec![duty]));
    }

    /// Plans HP601 to HP611, with a pair of workers for each session.
    fn sharing(&mut self) {
        let planned: Vec<_> =
            Session::ALL.into_iter().map(|session| (session, self.session(session))).collect();
        for id in SHARING {
            let mut duties = Vec::new();
            for (session, duty) in planned.iter().filter(|(session, _)| session.checks().contains(&id)) {
                duties.push(PlannedWorker { role: Role::Frontend(*session), ..duty.clone() });
                duties.push(PlannedWorker { role: Role::Backend(*session), ..duty.clone() });
            }
            let mandatory = catalogue::find(id).is_some_and(|check| check.mandatory);
            self.duties.push((vec![id], mandatory, duties));
        }
    }

    /// Returns the entry that both workers of a session have in the plan, and adds their job unless they cannot run.
    fn session(&mut self, session: Session) -> PlannedWorker {
        let uses_directory = session.uses_directory();
        let (weight, unfit) = match &self.request.directory {
            Some(_) if !uses_directory => (Weight::Advisory, None),
            _ if session.is_backend_first() && self.frontend_takes_all() => {
                (Weight::Advisory, self.facts.directory_unfit.clone())
            }
            _ => (Weight::Full, self.facts.directory_unfit.clone()),
        };
        let pages = self.pages(uses_directory).clone();
        let pages = pages.map(|pages| pages.min(self.facts.room_of_roles).max(1));
        let not_run = unfit.or_else(|| match &pages {
            Err(why) => Some(why.clone()),
            Ok(pages) if *pages < session.pages() => {
                Some(NotRun::Skipped("only one page is available".to_owned()))
            }
            Ok(_) if session.is_backend_first() => self.facts.never_backend_first.clone(),
            Ok(_) => None,
        });
        if let (None, Ok(pages)) = (&not_run, &pages) {
            let task = |role| {
                Work::Exchange(exchange::SessionTask {
                    role,
                    size: self.facts.size,
                    pages: *pages,
                    memory: self.memory(),
                    seed: self.seed,
                    frames: FRAMES,
                    cgroups: self.facts.cgroups.clone(),
                    no_deadline: false,
                })
            };
            let workers = vec![task(Role::Frontend(session)), task(Role::Backend(session))];
            self.jobs.push(Job { workers, time: time_for_steps(self.facts.size, *pages) });
        }
        PlannedWorker { role: Role::Frontend(session), weight, not_run }
    }

    /// Returns whether the request states that only the frontend needs pages, and the backend has a separate cgroup.
    /// The backend then needs no permission to take pages, so the sessions in which it touches pages first are only
    /// advisory.
    fn frontend_takes_all(&self) -> bool {
        let takes = |needs: &[PageCount]| needs.iter().any(|need| need.size == self.facts.size);
        self.facts.cgroups.backend.is_some()
            && takes(&self.request.frontend_need)
            && !takes(&self.request.backend_need)
    }

    /// Plans HP612 to HP615, with one worker for the peer of `--peer`.
    fn peer(&mut self) {
        let Some(under_test) = &self.request.peer else { return };
        let facts = &self.facts;
        let not_run = facts.captured.clone().or_else(|| facts.directory_unfit.clone());
        let pages = self.pages(self.request.directory.is_some());
        let not_run = not_run.or_else(|| pages.clone().err());
        if let (None, Ok(pages)) = (&not_run, pages) {
            let (size, memory, seed) = (facts.size, self.memory(), self.seed);
            let pages = (*pages).min(facts.room_of_roles).max(1);
            let cgroup = facts.cgroups.frontend.clone();
            let task = peer::PeerTask { size, pages, memory, seed, cgroup, peer: under_test.clone() };
            let time = time_for(size, pages.saturating_mul(2)).saturating_add(task.time());
            self.jobs.push(Job { workers: vec![Work::Peer(task)], time });
        }
        let transmits = under_test.transmit > 0;
        for id in PEER {
            let duty = PlannedWorker { role: Role::Peer, weight: Weight::Full, not_run: not_run.clone() };
            // Mandatory: no other check shows whether the peer accepts these pages. Without an answer the verdict is
            // `unknown`.
            self.duties.push((vec![id], id != HP615 || transmits, vec![duty]));
        }
    }

    /// Returns the source of the memory to share.
    fn memory(&self) -> Source {
        match &self.request.directory {
            Some(path) => Source::Directory(path.clone()),
            None if self.facts.may_not_mount.is_none() => Source::Unattached,
            None => Source::Memfd,
        }
    }

    fn measure(&mut self) {
        if self.request.measure {
            let duty = self.duty(Role::Measure, Weight::Full, None);
            if let (None, Some(job)) = (&duty.not_run, self.jobs.last_mut()) {
                job.time = job.time.saturating_add(MEASURE);
            }
            self.duties.push((vec![HP701, HP702], false, vec![duty]));
        }
    }

    /// Returns how many pages the steps take, in `--dir` or elsewhere.
    const fn pages(&self, in_directory: bool) -> &Result<u64, NotRun> {
        if in_directory { &self.facts.pages_in_directory } else { &self.facts.pages }
    }

    /// Returns a worker's entry in the plan, and adds its job unless it cannot run.
    fn duty(&mut self, role: Role, weight: Weight, not_run: Option<NotRun>) -> PlannedWorker {
        let pages = self.pages(role == Role::Hugetlbfs).clone();
        let not_run = not_run.or_else(|| pages.clone().err());
        if let (None, Ok(pages)) = (&not_run, &pages) {
            let task = self.task(role, *pages);
            // Each page is cleared at most four times: when touched, when populated, and when a disturbed step repeats.
            self.jobs.push(Job::alone(task, time_for_steps(self.facts.size, *pages)));
        }
        PlannedWorker { role, weight, not_run }
    }

    fn task(&self, role: Role, pages: u64) -> AllocationTask {
        task(self.request, role, Some(self.facts.size), pages)
    }
}
