//! One probe of one page size: what the agent and both containers must agree on. Pure.

use super::super::planning::{self, Job, PodPages};
use hugeprobe_domain::compact::Container;
use hugeprobe_domain::peer::Peer;
use hugeprobe_domain::plan::Plan;
use hugeprobe_domain::request::{PageCount, Request, Workload};
use hugeprobe_domain::size::PageSize;

/// A probe, described in the same way for the agent and for both containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The page size.
    pub size: PageSize,
    /// How many pages each container may use, at least one. With two or more, every check runs.
    pub pages: u64,
    /// Whether only the frontend gets a page, because the node has only one and a limit for each container would take
    /// two.
    pub frontend_pays: bool,
    /// The pages that a workload needs, all of this size. The frontend takes all of them at once.
    pub need: Vec<PageCount>,
    /// The workload whose limits are judged.
    pub workload: Workload,
    /// Whether HP407 is run. Its result is meaningful only if the pod runs under the workload's seccomp profile.
    pub judge_syscalls: bool,
    /// The path of the pod's hugetlbfs.
    pub directory: String,
    /// The vswitch that the frontend tests as well, if any.
    pub peer: Option<Peer>,
}

/// Where the containers of a pod meet, and where they leave their results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory that both containers see.
    pub rendezvous: String,
    /// The name of the run, for example a variable that the kubelet expands.
    pub run: String,
    /// The path of the termination log.
    pub report: String,
    /// The time limit of a whole run, in seconds.
    pub seconds: u64,
    /// The directory in which a resident container finds requests for rounds and leaves its parts. `run` and `report`
    /// are unused then.
    pub rounds: Option<String>,
}

/// Why HP407 is skipped.
const OTHER_PROFILE: &str = "the probe pod does not run under the workload's seccomp profile";

// === impl Probe ===

impl Probe {
    /// Returns the plan: which worker reports which check.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.planned(0).0
    }

    /// Returns the workers of both containers, in the order in which they run. `seed` determines all the bytes that
    /// they write and send.
    pub(super) fn jobs(&self, seed: u64) -> Vec<Job> {
        self.planned(seed).1
    }

    fn planned(&self, seed: u64) -> (Plan, Vec<Job>) {
        let no_syscalls = (!self.judge_syscalls).then(|| OTHER_PROFILE.to_owned());
        let pages = PodPages { pages: self.pages, frontend_pays: self.frontend_pays };
        planning::plan_in_pod(&self.request(), self.size, pages, no_syscalls, seed)
    }

    /// Returns the request with which `check` would make the same probe.
    pub(super) fn request(&self) -> Request {
        Request {
            sizes: vec![self.size],
            need: self.need.clone(),
            workload: self.workload,
            directory: Some(self.directory.clone()),
            peer: self.peer.clone(),
            ..Request::default()
        }
    }

    /// Returns how many pages the limit of a container must allow. Either container may be charged for all shared
    /// pages, unless the frontend always is. The frontend also takes the pages of `need`.
    #[must_use]
    pub fn pages_of(&self, container: Container) -> u64 {
        let needed = self.need.iter().map(|need| need.pages).fold(0, u64::saturating_add);
        match container {
            Container::Frontend => self.pages.max(needed).max(1),
            Container::Backend if self.frontend_pays => 0,
            Container::Backend => self.pages.max(1),
        }
    }

    /// Returns the arguments of the program in a container of the pod.
    #[must_use]
    pub fn arguments(&self, container: Container, place: &Place) -> Vec<String> {
        let mut arguments = vec!["container".to_owned(), container.to_string()];
        let mut option = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        option("size", self.size.to_string());
        option("pages", self.pages.to_string());
        option("dir", self.directory.clone());
        option("rendezvous", place.rendezvous.clone());
        match &place.rounds {
            Some(directory) => option("rounds", directory.clone()),
            None => {
                option("run", place.run.clone());
                option("report", place.report.clone());
            }
        }
        option("workload", self.workload.to_string());
        option("seconds", place.seconds.to_string());
        self.need.iter().for_each(|need| option("need", need.to_string()));
        if let Some(peer) = &self.peer {
            option("peer", peer.socket.clone());
        }
        let flags = [
            (self.peer.as_ref().is_some_and(|peer| peer.listen), "--peer-listen"),
            (self.frontend_pays, "--frontend-pays"),
            (self.judge_syscalls, "--judge-syscalls"),
        ];
        arguments.extend(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag.to_owned()));
        arguments
    }
}

// === impl Place ===

impl Default for Place {
    /// The values of the chart's probe pod.
    fn default() -> Self {
        Self {
            rendezvous: "/run/hugeprobe".to_owned(),
            run: "$(POD_UID)".to_owned(),
            report: "/dev/termination-log".to_owned(),
            seconds: 55,
            rounds: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assignment::Work;
    use hugeprobe_domain::catalogue::{HP407, HP503, HP506, HP508, HP509, HP601, HP606, HP607, HP608, HP615};
    use hugeprobe_domain::plan::{NotRun, PlannedWorker, Role, Weight};

    fn probe(pages: u64, need: &[&str]) -> Probe {
        Probe {
            size: "2Mi".parse().unwrap(),
            pages,
            frontend_pays: false,
            need: need.iter().map(|need| need.parse().unwrap()).collect(),
            workload: Workload::Dpdk,
            judge_syscalls: false,
            directory: "/hugepages".to_owned(),
            peer: None,
        }
    }

    fn duties(probe: &Probe, id: hugeprobe_domain::check::CheckId) -> Vec<PlannedWorker> {
        let plan = probe.plan();
        plan.items.into_iter().find(|item| item.id == id).map(|item| item.roles).unwrap_or_default()
    }

    #[test]
    fn every_worker_of_the_plan_has_its_job_and_the_other_way_round() {
        let peer = Peer { socket: "/peer/s".to_owned(), listen: true, transmit: 0 };
        let asking = Probe { peer: Some(peer), ..probe(4, &[]) };
        for probe in [probe(4, &[]), probe(1, &[]), probe(2, &["2Mi=8", "2Mi=2@numa0"]), asking] {
            let plan = probe.plan();
            let mut planned: Vec<Role> = plan
                .items
                .iter()
                .flat_map(|item| &item.roles)
                .filter(|duty| duty.not_run.is_none())
                .map(|duty| duty.role)
                .collect();
            let jobs = probe.jobs(7);
            let mut run: Vec<Role> = jobs.iter().flat_map(|job| &job.workers).map(Work::role).collect();
            run.sort_unstable();
            planned.sort_unstable();
            planned.dedup();
            assert_eq!(run, planned);
            assert!(
                Container::ALL
                    .iter()
                    .flat_map(|container| container.roles())
                    .filter(|role| run.contains(role))
                    .count()
                    == run.len()
            );
        }
    }

    #[test]
    fn what_the_pod_cannot_do_is_skipped_and_the_directory_is_what_counts() {
        let probe = probe(4, &[]);
        for (id, role) in [(HP407, Role::Syscalls), (HP508, Role::SysV)] {
            let [PlannedWorker { role: its, not_run: Some(NotRun::Skipped(_)), .. }] = duties(&probe, id)[..]
            else {
                panic!("{id}")
            };
            assert_eq!(its, role);
        }
        assert!(matches!(&duties(&probe, HP506)[..], [PlannedWorker { not_run: None, .. }]));
        assert!(duties(&probe, HP509).is_empty());
        let weights: Vec<_> =
            duties(&probe, HP503).into_iter().map(|duty| (duty.role, duty.weight)).collect();
        let expected = [
            (Role::Anonymous, Weight::Advisory),
            (Role::Hugetlbfs, Weight::Full),
            (Role::Memfd, Weight::Advisory),
        ];
        assert_eq!(weights, expected);
        assert!(
            duties(&probe, HP601).iter().all(|duty| duty.weight == Weight::Full && duty.not_run.is_none())
        );
        let judged = Probe { judge_syscalls: true, ..probe };
        assert!(matches!(&duties(&judged, HP407)[..], [PlannedWorker { not_run: None, .. }]));
    }

    #[test]
    fn with_one_page_the_checks_that_take_two_are_not_mandatory() {
        let plan = probe(1, &[]).plan();
        let item = |id| plan.items.iter().find(|item| item.id == id).unwrap();
        assert!(!item(HP503).mandatory);
        assert!(item(HP608).roles.iter().all(|duty| matches!(duty.not_run, Some(NotRun::Skipped(_)))));
        assert!(probe(0, &[]).plan() == plan, "no pages is no probe: one is tried with");
    }

    #[test]
    fn no_step_takes_more_than_a_container_may_have() {
        for pages in 1..6 {
            for job in probe(pages, &[]).jobs(1) {
                for work in job.workers {
                    let taken = match work {
                        Work::Allocation(task) if task.size.is_some() => task.pages,
                        Work::Exchange(task) => task.pages,
                        Work::Allocation(_) | Work::Peer(_) => continue,
                    };
                    assert!((1..=pages.min(2)).contains(&taken), "{taken} of {pages}");
                }
            }
        }
    }

    #[test]
    fn the_frontend_pays_for_what_is_needed() {
        let probe = probe(4, &["2Mi=8", "2Mi=2@numa0"]);
        assert_eq!(Container::ALL.map(|container| probe.pages_of(container)), [10, 4]);
        assert_eq!(
            probe.plan().items.iter().find(|item| item.id == HP509).map(|item| item.mandatory),
            Some(true)
        );
    }

    #[test]
    fn where_the_frontend_pays_the_backend_never_touches_first() {
        let shared = Probe { frontend_pays: true, ..probe(1, &[]) };
        assert_eq!(Container::ALL.map(|container| shared.pages_of(container)), [1, 0]);
        let skipped = |id| {
            let duties = duties(&shared, id);
            let skipped = duties.iter().filter(|duty| matches!(duty.not_run, Some(NotRun::Skipped(_))));
            (skipped.count(), duties.len())
        };
        assert_eq!(skipped(HP606), (2, 2));
        assert_eq!(skipped(HP607), (2, 4), "the frontend may still be first with a memfd");
        assert_eq!(skipped(HP601), (0, duties(&shared, HP601).len()));
        assert!(!shared.plan().items.iter().any(|item| item.id == HP606 && item.mandatory));
    }

    #[test]
    fn a_vswitch_is_asked_by_the_frontend_and_has_to_answer() {
        let peer = Peer { socket: "/peer/s".to_owned(), listen: false, transmit: 0 };
        let asking = Probe { peer: Some(peer), ..probe(4, &[]) };
        let plan = asking.plan();
        for id in hugeprobe_domain::peer::PEER {
            let item = plan.items.iter().find(|item| item.id == id).unwrap();
            assert_eq!(item.mandatory, id != HP615, "{id}: frames are not sent");
            assert!(
                matches!(&item.roles[..], [PlannedWorker { role: Role::Peer, not_run: None, .. }]),
                "{id}"
            );
        }
        assert!(Container::Frontend.roles().any(|role| role == Role::Peer));
        assert!(!Container::Backend.roles().any(|role| role == Role::Peer));
        assert!(
            !probe(4, &[]).plan().items.iter().any(|item| hugeprobe_domain::peer::PEER.contains(&item.id))
        );
    }

    #[test]
    fn the_arguments_are_these() {
        let probe = Probe { judge_syscalls: true, ..probe(4, &["2Mi=8"]) };
        assert_eq!(
            probe.arguments(Container::Backend, &Place::default()).join(" "),
            "container backend --size 2Mi --pages 4 --dir /hugepages --rendezvous /run/hugeprobe --run $(POD_UID) \
             --report /dev/termination-log --workload dpdk --seconds 55 --need 2Mi=8 --judge-syscalls"
        );
    }
}
