//! Tests of HP410: which memory limit applies to which process, and how much room it must leave.

use super::*;
use crate::catalogue::HP410;
use crate::cgroup::{CgroupVersion, HugetlbCgroup};
use crate::footprint;
use crate::memory_cgroup::{MemoryCgroup, MemoryLevel};
use crate::role_cgroups::{RoleCgroup, RoleCgroups};

#[test]
fn a_memory_limit_below_what_the_workload_needs_fails() {
    const M: u64 = 1 << 20;
    let needed = footprint::memory(&dpdk(&[]), false, 2, Some(STACK));
    let cached = footprint::LOCKED_FILES;
    let at = |bytes| Reading::Known(Some(bytes));
    for (limit, usage, cache, request, outcome) in [
        (Reading::Known(None), 0, 0, dpdk(&[]), Pass),
        (at(needed + cached), 0, 0, dpdk(&[]), Pass),
        (at(needed + cached - 1), 0, 0, dpdk(&[]), Warn),
        (at(needed), 0, 0, dpdk(&[]), Warn),
        (at(needed - 1), 0, 0, dpdk(&[]), Fail),
        (at(needed), M, 0, dpdk(&[]), Fail),
        (at(needed), M, M, dpdk(&[]), Warn),
        (at(needed), 0, 0, both(), Fail),
        (at(2 * needed + cached), 0, 0, both(), Pass),
        (Reading::Unreadable("EACCES".into()), 0, 0, dpdk(&[]), Warn),
        (Reading::Absent, 0, 0, dpdk(&[]), Warn),
    ] {
        let mut inventory = inventory();
        inventory.memory_cgroup = memory_group(limit.clone(), usage, cache);
        let finding = find(&inventory, &request, HP410);
        assert_eq!(finding.outcome, outcome, "{limit:?} {usage} {cache}");
    }
}

#[test]
fn larger_stacks_of_threads_need_more_locked_memory() {
    const M: u64 = 1 << 20;
    let mut inventory = inventory();
    inventory.limits.stack = limit(64 * M, 64 * M);
    for (room, outcome) in [(334 * M - 1, Fail), (334 * M, Warn), ((334 + 64) * M, Pass)] {
        inventory.memory_cgroup = memory_group(Reading::Known(Some(room)), 0, 0);
        assert_eq!(find(&inventory, &dpdk(&[]), HP410).outcome, outcome, "{room}");
    }
}

#[test]
fn a_hidden_limit_is_judged_by_what_was_tried() {
    const M: u64 = 1 << 20;
    let needed = footprint::memory(&dpdk(&[]), false, 2, Some(STACK));
    let group = |limit, complete| {
        let group = memory_group(Reading::Known(limit), 0, 0);
        Reading::Known(MemoryCgroup { complete, ..group.known().unwrap().clone() })
    };
    let unreadable = || Reading::Unreadable("no mount".into());
    for (cgroup, tried, is_tried, outcome, summary) in [
        (unreadable(), Reading::Absent, true, Warn, "cannot be read"),
        (unreadable(), Reading::Known(None), true, Pass, "as much memory as needed"),
        (unreadable(), Reading::Known(Some(needed)), true, Warn, "118 MiB beside huge pages, unless"),
        (unreadable(), Reading::Known(Some(needed - 4 * M)), true, Warn, "118 MiB"),
        (unreadable(), Reading::Known(Some(needed - 4 * M - 1)), true, Fail, "needs at least 54 MiB"),
        (unreadable(), Reading::Known(Some(24 * M)), true, Fail, "only 24 MiB can be charged"),
        (unreadable(), Reading::Unreadable("EINVAL".into()), true, Unknown, "cannot be read"),
        // The limit of this cgroup is known, those of its parents are not.
        (group(None, false), Reading::Known(None), true, Pass, "no memory limit"),
        (group(None, false), Reading::Known(Some(24 * M)), true, Fail, "only 24 MiB can be charged"),
        (group(None, false), Reading::Unreadable("EINVAL".into()), true, Pass, "as far as"),
        (group(Some(needed - 1), false), Reading::Known(None), true, Fail, "the memory limit has room"),
        (group(None, true), Reading::Absent, false, Pass, "no memory limit"),
        (Reading::Absent, Reading::Absent, false, Pass, "no memory cgroup"),
    ] {
        let mut inventory = inventory();
        inventory.memory_cgroup = cgroup;
        inventory.memory_tried = tried;
        let finding = find(&inventory, &dpdk(&[]), HP410);
        assert_eq!(finding.outcome, outcome, "{finding:?}");
        assert!(finding.summary.contains(summary), "{finding:?}");
        assert_eq!(
            memory_to_try(&inventory, &dpdk(&[])),
            is_tried.then_some(needed + footprint::LOCKED_FILES)
        );
    }
    // Both roles have a cgroup of their own: nothing of the workload is charged here.
    let mut inventory = inventory();
    inventory.memory_cgroup = unreadable();
    let role = RoleCgroup {
        hugetlb: HugetlbCgroup {
            version: CgroupVersion::V2,
            path: "/r".into(),
            levels: vec![],
            complete: true,
        },
        memory: group(None, true).known().cloned(),
    };
    inventory.role_cgroups = RoleCgroups { frontend: Some(role.clone()), backend: Some(role) };
    assert_eq!(memory_to_try(&inventory, &both()), None);
}

#[test]
fn capabilities_of_a_user_namespace_lock_no_memory() {
    let mut inventory = inventory();
    let needed = footprint::memory(&dpdk(&[]), false, 2, None);
    inventory.privileges.host_users = Reading::Known(false);
    inventory.limits.memlock = limit(8 << 20, 8 << 20);
    inventory.memory_cgroup = memory_group(Reading::Known(Some(needed)), 0, 0);
    assert_eq!(find(&inventory, &dpdk(&[]), HP410).outcome, Pass);
    inventory.privileges.host_users = Reading::Known(true);
    assert_eq!(find(&inventory, &dpdk(&[]), HP410).outcome, Fail);
}

#[test]
fn huge_pages_that_count_against_the_memory_limit_are_needed_on_top() {
    let needed = footprint::memory(&dpdk(&[]), false, 2, Some(STACK)) + footprint::LOCKED_FILES;
    let mut inventory = inventory();
    inventory.memory_cgroup = memory_group(Reading::Known(Some(needed)), 0, 0);
    assert_eq!(find(&inventory, &dpdk(&["2Mi=32"]), HP410).outcome, Pass);
    inventory.huge_pages_count_as_memory = Reading::Known(true);
    assert_eq!(find(&inventory, &dpdk(&["2Mi=32"]), HP410).outcome, Warn);
    assert_eq!(find(&inventory, &dpdk(&["2Mi=64"]), HP410).outcome, Fail);
}

#[test]
fn a_role_is_charged_to_its_own_cgroup() {
    let of = |is_frontend| footprint::memory(&both(), is_frontend, 2, Some(STACK)) + footprint::LOCKED_FILES;
    let (front, back) = (of(true), of(false));
    let limited = |bytes| memory_group(Reading::Known(Some(bytes)), 0, 0);
    let role = |bytes: Option<u64>| RoleCgroup {
        hugetlb: HugetlbCgroup {
            version: CgroupVersion::V2,
            path: "/r".into(),
            levels: vec![],
            complete: true,
        },
        memory: bytes.and_then(|bytes| limited(bytes).known().cloned()),
    };
    let pages = 16 << 20;
    for (own, frontend, backend, count, outcome, summary) in [
        // Neither process is in this cgroup, so its limit does not matter.
        (0, Some(Some(front)), Some(Some(back)), false, Pass, "the frontend's cgroup has room"),
        (0, Some(Some(front)), Some(Some(back - 1)), false, Warn, "the backend's cgroup has room"),
        (0, Some(Some(front)), Some(Some(1)), false, Fail, "the backend's cgroup has room"),
        // One process stays here, because no option moves it or because cgroup v1 does not.
        (back, Some(Some(front)), None, false, Pass, "the memory limit has room"),
        (back, Some(Some(front)), Some(None), false, Pass, "the memory limit has room"),
        (back - 1, Some(Some(front)), None, false, Warn, "the memory limit has room"),
        // Pages count against the cgroup of the process that needs them.
        (0, Some(Some(front + pages)), Some(Some(back + pages)), true, Pass, "the frontend's cgroup"),
        (0, Some(Some(front + pages)), Some(Some(back + pages - 1)), true, Warn, "the backend's cgroup"),
    ] {
        let mut inventory = inventory();
        inventory.memory_cgroup = limited(own);
        inventory.huge_pages_count_as_memory = Reading::Known(count);
        inventory.role_cgroups = RoleCgroups { frontend: frontend.map(role), backend: backend.map(role) };
        let finding = find(&inventory, &both(), HP410);
        assert_eq!(finding.outcome, outcome, "{finding:?}");
        assert!(finding.summary.contains(summary), "{finding:?}");
    }
}

#[test]
fn open_vswitch_locks_the_stacks_of_its_threads() {
    const M: u64 = 1 << 20;
    let request = Request { workload: Workload::Ovs, ..both() };
    let mut inventory = inventory();
    // The machine of the measurements: 46 MiB of the frontend, 28 MiB and 12 stacks of the vswitch.
    let unknown = || Reading::Unreadable("sched_getaffinity: EPERM".into());
    for (cpus, room, outcome) in [
        (Reading::Known(2), 170 * M, Warn),
        (Reading::Known(2), 170 * M - 1, Fail),
        (Reading::Known(8), 170 * M, Fail),
        (unknown(), 170 * M - 1, Fail),
        (unknown(), 170 * M, Unknown),
        (unknown(), 4096 * M, Unknown),
    ] {
        inventory.privileges.cpus = cpus.clone();
        inventory.memory_cgroup = memory_group(Reading::Known(Some(room)), 0, 0);
        assert_eq!(find(&inventory, &request, HP410).outcome, outcome, "{cpus:?} {room}");
    }
}

/// A memory cgroup whose parents are not visible.
fn memory_group(limit: Reading<Option<u64>>, usage: u64, cache: u64) -> Reading<MemoryCgroup> {
    let level = MemoryLevel {
        directory: "/sys/fs/cgroup/pod".into(),
        file: "/sys/fs/cgroup/pod/memory.max".into(),
        limit,
        high: Reading::Known(None),
        usage: Reading::Known(usage),
        cache: Reading::Known(cache),
        swappable: Reading::Known(0),
    };
    Reading::Known(MemoryCgroup { path: "/pod".into(), levels: vec![level], complete: false })
}

#[test]
fn a_memory_high_below_what_the_workload_needs_is_a_warning() {
    let needed = footprint::memory(&dpdk(&[]), false, 2, Some(STACK));
    for (high, outcome) in [(Some(needed - 1), Warn), (Some(needed), Pass), (None, Pass)] {
        let group = memory_group(Reading::Known(None), 0, 0);
        let mut group = group.known().unwrap().clone();
        group.levels[0].high = Reading::Known(high);
        let inventory = Inventory { memory_cgroup: Reading::Known(group), ..inventory() };
        let finding = find(&inventory, &dpdk(&[]), HP410);
        assert_eq!(finding.outcome, outcome, "{finding:?}");
    }
}
