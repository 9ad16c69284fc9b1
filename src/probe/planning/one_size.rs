//! What one size gets: its checks, who reports them, and the workers that take its pages.

use std::time::Duration;

use super::super::assignment::Work;
use super::pages::{PAGES, pages_to_take, room_in};
use super::{Job, captured, item, prevented, task};
use crate::allocation::Task;
use crate::domain::catalogue::{
    self, HP501, HP502, HP503, HP504, HP505, HP506, HP507, HP508, HP509, HP601, HP602, HP603, HP604, HP605,
    HP606, HP607, HP608, HP609, HP610, HP611, HP701, HP702,
};
use crate::domain::cgroup::{HugetlbCgroup, RoleCgroups};
use crate::domain::check::CheckId;
use crate::domain::inventory::{DirectoryKind, Inventory};
use crate::domain::plan::{Duty, NotRun, Plan, Role, Weight, time_for, time_for_steps};
use crate::domain::request::Request;
use crate::domain::sharing::Session;
use crate::domain::size::PageSize;
use crate::exchange::role::{self as exchange, Cgroups, Source};

/// Frames of each run between frontend and backend: many times round a ring of 256.
const FRAMES: u64 = 1024;

/// What the sessions of a frontend and a backend report.
pub(super) const SHARING: [CheckId; 11] =
    [HP601, HP602, HP603, HP604, HP605, HP606, HP607, HP608, HP609, HP610, HP611];

/// What measuring may take on top: it is asked for by name, and takes the time that steady figures need.
const MEASURE: Duration = Duration::from_secs(60);

/// CAP_SYS_ADMIN (capabilities(7)): for a file system or an IPC namespace of one's own.
const CAP_SYS_ADMIN: u32 = 21;

/// What one size gets.
pub(super) struct SizePlan<'a> {
    inventory: &'a Inventory,
    request: &'a Request,
    size: PageSize,
    /// False for a captured tree, where nothing can be tried.
    live: bool,
    /// Of all that is written and sent between frontend and backend.
    seed: u64,
    /// How many pages the steps take; why none of them can be run, if so.
    pages: Result<u64, NotRun>,
    duties: Vec<(Vec<CheckId>, bool, Vec<Duty>)>,
    jobs: Vec<Job>,
}

impl<'a> SizePlan<'a> {
    pub(super) fn new(
        inventory: &'a Inventory,
        request: &'a Request,
        size: PageSize,
        live: bool,
        seed: u64,
    ) -> Self {
        let pages = if live { pages_to_take(inventory, size) } else { Err(captured()) };
        Self { inventory, request, size, live, seed, pages, duties: Vec::new(), jobs: Vec::new() }
    }

    pub(super) fn add_to(mut self, plan: &mut Plan, jobs: &mut Vec<Job>) {
        self.steps();
        self.sysv();
        self.placement();
        self.need();
        self.sharing();
        self.measure();
        for (ids, mandatory, duties) in self.duties {
            plan.items.extend(ids.into_iter().map(|id| item(id, Some(self.size), mandatory, duties.clone())));
        }
        plan.items.sort_by_key(|item| (item.size, item.id));
        jobs.extend(self.jobs);
    }

    /// HP501 to HP505, once for each kind of memory.
    fn steps(&mut self) {
        let with_directory = self.request.directory.is_some();
        let aside = if with_directory { Weight::Advisory } else { Weight::Full };
        let (weight, not_run) = if with_directory {
            (Weight::Full, self.directory_unfit())
        } else if self.may(CAP_SYS_ADMIN) {
            (Weight::Full, None)
        } else {
            // memfd is the same file system underneath, so nothing is left untold.
            (
                Weight::Advisory,
                Some(NotRun::Skipped(
                    "a hugetlbfs of its own takes CAP_SYS_ADMIN; --dir names another".into(),
                )),
            )
        };
        let duties = vec![
            self.duty(Role::Anonymous, aside, None),
            self.duty(Role::Hugetlbfs, weight, not_run),
            self.duty(Role::Memfd, aside, None),
        ];
        let two = self.pages != Ok(1);
        self.duties.push((vec![HP501, HP502, HP504, HP505], true, duties.clone()));
        self.duties.push((vec![HP503], two, duties));
    }

    fn sysv(&mut self) {
        let weight = if self.request.directory.is_some() { Weight::Advisory } else { Weight::Full };
        let not_run = if !self.may(CAP_SYS_ADMIN) {
            Some(
                "an IPC namespace of its own takes CAP_SYS_ADMIN, and without one a segment could outlive the run",
            )
        } else if self.pages == Ok(1) {
            Some("only one page to be had")
        } else {
            None
        };
        let duty = self.duty(Role::SysV, weight, not_run.map(|why| NotRun::Skipped(why.to_owned())));
        self.duties.push((vec![HP508], false, vec![duty]));
    }

    fn placement(&mut self) {
        let nodes = self.inventory.pool(self.size).map_or(0, |pool| pool.numa.len());
        let not_run = (nodes < 2).then(|| NotRun::Skipped("one NUMA node".to_owned()));
        let duty = self.duty(Role::Placement, Weight::Full, not_run);
        self.duties.push((vec![HP506, HP507], false, vec![duty]));
    }

    fn need(&mut self) {
        let needs: Vec<_> = self.request.need.iter().filter(|need| need.size == self.size).copied().collect();
        if needs.is_empty() {
            return;
        }
        // Asked for by name: it is tried whatever the counters say, and the kernel answers.
        let not_run = if self.live { self.directory_unfit() } else { Some(captured()) };
        let duty = Duty { role: Role::Need, weight: Weight::Full, not_run };
        if duty.not_run.is_none() {
            let pages = needs.iter().map(|need| need.pages).fold(0, u64::saturating_add);
            let task = Task { need: needs, ..self.task(Role::Need, PAGES) };
            self.jobs.push(Job::alone(task, time_for(self.size, pages)));
        }
        self.duties.push((vec![HP509], true, vec![duty]));
    }

    /// HP601 to HP611: a pair of workers for each session.
    fn sharing(&mut self) {
        let planned: Vec<_> =
            Session::ALL.into_iter().map(|session| (session, self.session(session))).collect();
        for id in SHARING {
            let mut duties = Vec::new();
            for (session, duty) in planned.iter().filter(|(session, _)| session.checks().contains(&id)) {
                duties.push(Duty { role: Role::Frontend(*session), ..duty.clone() });
                duties.push(Duty { role: Role::Backend(*session), ..duty.clone() });
            }
            let mandatory = catalogue::find(id).is_some_and(|check| check.mandatory);
            self.duties.push((vec![id], mandatory, duties));
        }
    }

    /// The duty of either worker of a session, and the job of both unless something keeps them from running.
    fn session(&mut self, session: Session) -> Duty {
        let uses_directory = session.uses_directory();
        let (weight, unfit) = match &self.request.directory {
            Some(_) if uses_directory => (Weight::Full, self.directory_unfit()),
            Some(_) => (Weight::Advisory, None),
            None => (Weight::Full, None),
        };
        let pages = self.pages.clone().map(|pages| pages.min(self.room_of_roles()).max(1));
        let not_run = unfit.or_else(|| match &pages {
            Err(why) => Some(why.clone()),
            Ok(pages) if *pages < session.pages() => {
                Some(NotRun::Skipped("only one page to be had".to_owned()))
            }
            Ok(_) => None,
        });
        if let (None, Ok(pages)) = (&not_run, &pages) {
            let memory = match &self.request.directory {
                Some(path) => Source::Directory(path.clone()),
                None if self.may(CAP_SYS_ADMIN) => Source::Unattached,
                None => Source::Memfd,
            };
            let directory = |group: &Option<HugetlbCgroup>| group.as_ref().map(|group| group.path.clone());
            let RoleCgroups { frontend, backend } = &self.inventory.role_cgroups;
            let cgroups = Cgroups { frontend: directory(frontend), backend: directory(backend) };
            let task = |role| {
                Work::Exchange(exchange::Task {
                    role,
                    size: self.size,
                    pages: *pages,
                    memory: memory.clone(),
                    seed: self.seed,
                    frames: FRAMES,
                    cgroups: cgroups.clone(),
                })
            };
            let workers = vec![task(Role::Frontend(session)), task(Role::Backend(session))];
            self.jobs.push(Job { workers, time: time_for_steps(self.size, *pages) });
        }
        Duty { role: Role::Frontend(session), weight, not_run }
    }

    /// Whole pages that the limits of the roles' own cgroups leave: of each, since either may have to pay for all.
    fn room_of_roles(&self) -> u64 {
        self.inventory.role_cgroups.iter().map(|group| room_in(group, self.size)).min().unwrap_or(u64::MAX)
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

    /// A worker's duty, and its job unless something keeps it from running.
    fn duty(&mut self, role: Role, weight: Weight, not_run: Option<NotRun>) -> Duty {
        let not_run = not_run.or_else(|| self.pages.clone().err());
        if let (None, Ok(pages)) = (&not_run, &self.pages) {
            let task = self.task(role, *pages);
            // Each page is cleared at most four times over: touched, populated, and once more when disturbed.
            self.jobs.push(Job::alone(task, time_for_steps(self.size, *pages)));
        }
        Duty { role, weight, not_run }
    }

    fn task(&self, role: Role, pages: u64) -> Task {
        task(self.request, role, Some(self.size), pages)
    }

    /// Why nothing can be tried in `--dir`; `None` if it can, or there is no `--dir`.
    fn directory_unfit(&self) -> Option<NotRun> {
        let directory = self.inventory.directory.as_ref()?;
        match directory.kind.known() {
            Some(DirectoryKind::Hugetlbfs { size, .. }) if *size == self.size => None,
            _ => Some(prevented(format!("{} is no hugetlbfs of {}", directory.path, self.size), "see HP301")),
        }
    }

    fn may(&self, capability: u32) -> bool {
        self.inventory.privileges.capabilities.get().is_some_and(|set| set >> capability & 1 == 1)
    }
}
