//! Tests which sizes are checked, and which checks are mandatory, by inventory and request.

mod pages;
mod sharing;

use super::one_size::SHARING;
use super::*;
use hugeprobe_domain::catalogue::{HP501, HP502, HP503, HP506, HP508, HP509, HP601, HP604, HP607, HP608};
use hugeprobe_domain::cgroup::{CgroupLevel, CgroupLimit, CgroupVersion, HugetlbCgroup, HugetlbCounter};
use hugeprobe_domain::check::CheckId;
use hugeprobe_domain::inventory::{BootPool, BootRequest, Directory, HugeMount, NumaPool};
use hugeprobe_domain::peer::{PEER, Peer};
use hugeprobe_domain::plan::{PER_GIB, time_for};
use hugeprobe_domain::request::Workload;
use hugeprobe_domain::role_cgroups::RoleCgroup;
use hugeprobe_domain::sharing::Session;
use hugeprobe_exchange::role::Source;

const ALL_CAPABILITIES: u64 = u64::MAX;

fn size(text: &str) -> PageSize {
    text.parse().unwrap()
}

fn pool(text: &str, total: u64, free: u64, reserved: u64, overcommit: u64) -> Pool {
    Pool {
        size: size(text),
        total: Reading::Known(total),
        free: Reading::Known(free),
        reserved: Reading::Known(reserved),
        surplus: Reading::Known(0),
        overcommit: Reading::Known(overcommit),
        mempolicy: Reading::Absent,
        numa: Vec::new(),
    }
}

fn machine(pools: Vec<Pool>) -> Inventory {
    let mut inventory = Inventory { pools: Reading::Known(pools), ..Inventory::default() };
    inventory.privileges.capabilities = Reading::Known(ALL_CAPABILITIES);
    inventory
}

fn request(options: &[(&str, &str)]) -> Request {
    let mut request = Request::default();
    for (option, value) in options {
        match *option {
            "size" => request.sizes.push(size(value)),
            "expect" => request.expect.push(value.parse().unwrap()),
            "need" => request.need.push(value.parse().unwrap()),
            "frontend-need" => request.frontend_need.push(value.parse().unwrap()),
            "only" => request.only.push(value.parse().unwrap()),
            "dir" => request.directory = Some((*value).to_owned()),
            other => panic!("no option {other}"),
        }
    }
    request
}

fn with_directory(mut inventory: Inventory, its: &str) -> Inventory {
    inventory.directory = Some(Directory {
        path: "/dev/hugepages".to_owned(),
        real_path: None,
        device: None,
        kind: Reading::Known(DirectoryKind::Hugetlbfs { size: size(its), pages: None, inodes: None }),
        writable: Reading::Absent,
        listing: Reading::Absent,
    });
    inventory
}

fn with_limits(mut inventory: Inventory, fault: u64, reservation: u64) -> Inventory {
    let counter = |limit| HugetlbCounter { limit: Reading::Known(Some(limit)), usage: Reading::Known(0) };
    let limit = CgroupLimit { size: size("2Mi"), fault: counter(fault), reservation: counter(reservation) };
    inventory.cgroup = Reading::Known(HugetlbCgroup {
        version: CgroupVersion::V2,
        path: "/a".to_owned(),
        levels: vec![CgroupLevel {
            directory: "/sys/fs/cgroup/a".to_owned(),
            sizes: Reading::Known(vec![limit]),
        }],
        complete: true,
    });
    inventory
}

fn names(sizes: &[PageSize]) -> Vec<String> {
    sizes.iter().map(ToString::to_string).collect()
}

fn planned(inventory: &Inventory, request: &Request) -> (Plan, Vec<Job>) {
    plan(inventory, request, &sizes(inventory, request), true, 7)
}

fn tasks(jobs: &[Job]) -> impl Iterator<Item = &AllocationTask> {
    jobs.iter().flat_map(|job| &job.workers).filter_map(|work| match work {
        Work::Allocation(task) => Some(task),
        Work::Exchange(_) | Work::Peer(_) => None,
    })
}

fn find(plan: &Plan, id: CheckId) -> &PlannedCheck {
    plan.items.iter().find(|item| item.id == id).unwrap_or_else(|| panic!("{id} is not planned"))
}

#[test]
fn what_was_named_is_judged_although_no_pool_has_pages() {
    let mut empty = machine(vec![pool("2Mi", 0, 0, 0, 0), pool("1Gi", 0, 0, 0, 0)]);
    empty.default_size = Reading::Known(size("2Mi"));
    assert_eq!(sizes(&empty, &request(&[])), []);
    assert_eq!(sizes(&empty, &request(&[("dir", "/nowhere")])), [size("2Mi")]);
    let peer = Peer { socket: "/nowhere".to_owned(), listen: false, transmit: 0 };
    assert_eq!(sizes(&empty, &Request { peer: Some(peer), ..Request::default() }), [size("2Mi")]);
    assert_eq!(sizes(&with_directory(empty, "1Gi"), &request(&[("dir", "/dev/hugepages")])), [size("1Gi")]);
}

#[test]
fn sizes_are_those_asked_for_or_those_with_something_in_them() {
    let mut both = machine(vec![pool("2Mi", 8, 8, 0, 0), pool("32Mi", 0, 0, 0, 0), pool("1Gi", 0, 0, 0, 2)]);
    let of = |inventory: &Inventory, options: &[(&str, &str)]| names(&sizes(inventory, &request(options)));
    assert_eq!(of(&both, &[]), ["2Mi", "1Gi"], "pages, and overcommit");
    assert_eq!(of(&both, &[("size", "32Mi")]), ["32Mi"]);
    assert_eq!(of(&both, &[("need", "32Mi=1")]), ["2Mi", "32Mi", "1Gi"]);
    assert_eq!(of(&both, &[("size", "1Gi"), ("need", "1Gi=1")]), ["1Gi"]);
    let boot = BootPool { size: Some(size("32Mi")), pages: 4, numa: Vec::new() };
    both.boot = Reading::Known(BootRequest { pools: vec![boot], ..BootRequest::default() });
    assert_eq!(of(&both, &[]), ["2Mi", "32Mi", "1Gi"], "the boot command line expects some");
    let both = with_directory(both, "2Mi");
    assert_eq!(of(&both, &[("dir", "/dev/hugepages")]), ["2Mi"], "--dir alone names its size");
    assert_eq!(of(&both, &[("dir", "/dev/hugepages"), ("size", "1Gi")]), ["1Gi"]);
    let mut unreadable = pool("2Mi", 0, 0, 0, 0);
    unreadable.total = Reading::Malformed("x".to_owned());
    assert_eq!(of(&machine(vec![unreadable]), &[]), ["2Mi"], "what cannot be read may hold some");
}

#[test]
fn nothing_there_and_nothing_expected_is_not_tried() {
    let empty = machine(vec![pool("1Gi", 0, 0, 0, 0)]);
    let (nothing, jobs) = planned(&empty, &request(&[("size", "1Gi")]));
    assert_eq!(names(&nothing.nothing_there), ["1Gi"]);
    assert!(jobs.iter().all(|job| job.workers[0].size().is_none()), "{jobs:?}");
    for option in [("expect", "1Gi>=1"), ("need", "1Gi=1")] {
        let (plan, _) = planned(&empty, &request(&[("size", "1Gi"), option]));
        assert!(plan.nothing_there.is_empty(), "{option:?}");
    }
    let (plan, _) = planned(&empty, &request(&[("size", "1Gi"), ("expect", "1Gi=0")]));
    assert_eq!(names(&plan.nothing_there), ["1Gi"], "none is what was expected");
    let unknown = Inventory { pools: Reading::Unreadable("EACCES".to_owned()), ..machine(Vec::new()) };
    let (plan, _) = planned(&unknown, &request(&[("size", "1Gi")]));
    assert!(plan.nothing_there.is_empty(), "pools that cannot be listed are not absent");
}

#[test]
fn what_design_calls_mandatory_is_mandatory_for_every_size() {
    let inventory = machine(vec![pool("2Mi", 8, 8, 0, 0), pool("1Gi", 2, 2, 0, 0)]);
    let (plan, _) = planned(&inventory, &Request::default());
    for size in ["2Mi", "1Gi"].map(size) {
        let mandatory: Vec<_> = (plan.items.iter())
            .filter(|item| item.size == Some(size) && item.mandatory)
            .map(|item| item.id.number())
            .collect();
        assert_eq!(mandatory, [501, 502, 503, 504, 505, 601, 602, 603, 604]);
    }
}

#[test]
fn a_need_is_tried_whatever_the_counters_say() {
    let busy = machine(vec![pool("2Mi", 8, 0, 0, 0)]);
    let (plan, jobs) = planned(&busy, &request(&[("need", "2Mi=4"), ("need", "2Mi=2@numa1")]));
    assert!(find(&plan, HP509).mandatory);
    let needs: Vec<_> = tasks(&jobs).filter(|task| task.role == Role::Need).collect();
    assert_eq!(needs.len(), 1, "all of a size are held at once");
    assert_eq!(needs[0].need.len(), 2);
}

#[test]
fn with_a_directory_other_memory_is_advice_alone() {
    let inventory = with_directory(machine(vec![pool("2Mi", 8, 8, 0, 0)]), "2Mi");
    let (plan, _) = planned(&inventory, &request(&[("dir", "/dev/hugepages")]));
    for duty in &find(&plan, HP502).roles {
        let expected = if duty.role == Role::Hugetlbfs { Weight::Full } else { Weight::Advisory };
        assert_eq!(duty.weight, expected, "{}", duty.role);
    }
    // For another page size the directory is of no use, and no other memory is taken instead.
    let (plan, jobs) =
        planned(&inventory, &request(&[("dir", "/dev/hugepages"), ("size", "1Gi"), ("need", "1Gi=1")]));
    assert!(
        jobs.iter().all(|job| ![Role::Hugetlbfs, Role::Need].contains(&job.workers[0].role())),
        "{jobs:?}"
    );
    assert!(find(&plan, HP509).roles.iter().all(|duty| duty.not_run.is_some()));
}

#[test]
fn root_of_a_user_namespace_makes_no_hugetlbfs() {
    let mut inventory = machine(vec![pool("2Mi", 8, 8, 0, 0)]);
    inventory.privileges.host_users = Reading::Known(false);
    let (plan, jobs) = planned(&inventory, &Request::default());
    let roles: Vec<_> = jobs.iter().flat_map(|job| &job.workers).map(Work::role).collect();
    assert!(!roles.contains(&Role::Hugetlbfs) && roles.contains(&Role::SysV), "{roles:?}");
    let memfd = find(&plan, HP502).roles.iter().find(|duty| duty.role == Role::Memfd).unwrap();
    assert_eq!((memfd.weight, &memfd.not_run), (Weight::Full, &None));
}

#[test]
fn under_a_seccomp_filter_no_private_hugetlbfs_is_created() {
    let mut inventory = machine(vec![pool("2Mi", 8, 8, 0, 0)]);
    inventory.privileges.is_filtered = Some(true);
    let (plan, jobs) = planned(&inventory, &Request::default());
    let duty = find(&plan, HP502).roles.iter().find(|duty| duty.role == Role::Hugetlbfs).unwrap();
    assert!(
        matches!(&duty.not_run, Some(NotRun::Skipped(why)) if why.contains("seccomp filter")),
        "{duty:?}"
    );
    let works = jobs.iter().flat_map(|job| &job.workers);
    let sources = works.filter_map(|work| match work {
        Work::Exchange(task) => Some(&task.memory),
        _ => None,
    });
    assert!(sources.clone().count() > 0 && sources.into_iter().all(|source| *source == Source::Memfd));
}

#[test]
fn without_rights_what_takes_them_is_skipped_and_says_so() {
    let mut inventory = machine(vec![pool("2Mi", 8, 8, 0, 0)]);
    inventory.privileges.capabilities = Reading::Known(0);
    let (plan, jobs) = planned(&inventory, &Request::default());
    for (id, role) in [(HP502, Role::Hugetlbfs), (HP508, Role::SysV)] {
        let duty = find(&plan, id).roles.iter().find(|duty| duty.role == role).unwrap();
        assert!(
            matches!(&duty.not_run, Some(NotRun::Skipped(why)) if why.contains("CAP_SYS_ADMIN")),
            "{duty:?}"
        );
        assert!(jobs.iter().all(|job| job.workers[0].role() != role));
    }
    let memfd = find(&plan, HP502).roles.iter().find(|duty| duty.role == Role::Memfd).unwrap();
    assert_eq!((memfd.weight, &memfd.not_run), (Weight::Full, &None));
}

#[test]
fn nothing_is_tried_on_a_captured_tree() {
    let inventory = machine(vec![pool("2Mi", 8, 8, 0, 0)]);
    let request = request(&[("need", "2Mi=4")]);
    let (plan, jobs) = plan(&inventory, &request, &sizes(&inventory, &request), false, 7);
    assert_eq!(jobs, []);
    assert!(plan.items.iter().flat_map(|item| &item.roles).all(|duty| duty.not_run.is_some()));
}

#[test]
fn dpdk_locks_the_first_mount_of_each_size_unless_a_directory_is_named() {
    let mount = |its: &str, path: &str| HugeMount {
        size: Some(size(its)),
        path: path.to_owned(),
        limit_bytes: None,
        min_bytes: None,
        inodes: None,
        read_only: false,
        hidden_by: None,
        options: Vec::new(),
        device: "0:1".to_owned(),
    };
    let mounts = vec![mount("2Mi", "/a"), mount("1Gi", "/b"), mount("2Mi", "/c")];
    let mut inventory = machine(vec![pool("2Mi", 4, 4, 0, 0)]);
    inventory.mounts = Reading::Known(mounts);
    let locked = |inventory: &Inventory, request: &Request| {
        let (plan, jobs) = planned(inventory, request);
        let task = tasks(&jobs).find(|task| task.role == Role::Syscalls).unwrap();
        let paths: Vec<_> = task.locked.iter().map(|one| format!("{} {}", one.size, one.path)).collect();
        (paths.join(", "), find(&plan, HP306).roles[0].not_run.clone())
    };
    assert_eq!(locked(&inventory, &request(&[])), ("2Mi /a, 1Gi /b".to_owned(), None));
    let qemu = Request { workload: Workload::Qemu, ..Request::default() };
    for request in [request(&[("dir", "/c")]), qemu] {
        let (paths, not_run) = locked(&inventory, &request);
        assert!(paths.is_empty() && matches!(not_run, Some(NotRun::Skipped(_))), "{paths} {not_run:?}");
    }
    inventory.mounts = Reading::Unreadable("EACCES".to_owned());
    let (paths, not_run) = locked(&inventory, &request(&[]));
    assert!(paths.is_empty() && matches!(not_run, Some(NotRun::Prevented { .. })), "{paths} {not_run:?}");
}

#[test]
fn only_what_is_reported_is_run() {
    let inventory = machine(vec![pool("2Mi", 8, 8, 0, 0)]);
    let roles = |only: &str| {
        let (_, jobs) = planned(&inventory, &request(&[("only", only)]));
        jobs.iter().map(|job| job.workers[0].role()).collect::<Vec<_>>()
    };
    assert_eq!(roles("HP1"), []);
    assert_eq!(roles("HP407"), [Role::Syscalls]);
    assert_eq!(roles("HP409"), [Role::Threads]);
    assert_eq!(roles("HP503"), [Role::Anonymous, Role::Hugetlbfs, Role::Memfd]);
}

#[test]
fn time_grows_with_what_is_cleared() {
    assert_eq!(time_for(size("2Mi"), 8), PHASE);
    assert_eq!(time_for(size("1Gi"), 8), PHASE + 8 * PER_GIB);
    assert!(time_for(size("1Gi"), u64::MAX) > PHASE);
}

#[test]
fn what_a_role_needs_is_taken_in_its_cgroup() {
    let mut inventory = with_limits(machine(vec![pool("2Mi", 16, 16, 0, 0)]), u64::MAX, u64::MAX);
    inventory.role_cgroups.frontend =
        inventory.cgroup.known().map(|group| RoleCgroup { hugetlb: group.clone(), memory: None });
    let (plan, jobs) = planned(&inventory, &request(&[("need", "2Mi=4"), ("frontend-need", "2Mi=8")]));
    let task = tasks(&jobs).find(|task| task.role == Role::Need).unwrap();
    assert_eq!(task.need.len(), 1);
    assert_eq!(task.need_of_roles.len(), 1, "the backend needs nothing");
    assert_eq!(task.need_of_roles[0].cgroup.as_deref(), Some("/a"));
    assert!(find(&plan, HP509).mandatory);
}
