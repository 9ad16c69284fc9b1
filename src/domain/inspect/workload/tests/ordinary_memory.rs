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
    let needed = footprint::memory(&dpdk(&[]), true);
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
    let mut unreadable = inventory();
    unreadable.memory_cgroup = Reading::Unreadable("no mount".into());
    assert_eq!(find(&unreadable, &dpdk(&[]), HP410).outcome, Warn);
}

#[test]
fn capabilities_of_a_user_namespace_lock_no_memory() {
    let mut inventory = inventory();
    let needed = footprint::memory(&dpdk(&[]), false);
    inventory.privileges.host_users = Reading::Known(false);
    inventory.limits.memlock = limit(8 << 20, 8 << 20);
    inventory.memory_cgroup = memory_group(Reading::Known(Some(needed)), 0, 0);
    assert_eq!(find(&inventory, &dpdk(&[]), HP410).outcome, Pass);
    inventory.privileges.host_users = Reading::Known(true);
    assert_eq!(find(&inventory, &dpdk(&[]), HP410).outcome, Fail);
}

#[test]
fn huge_pages_that_count_against_the_memory_limit_are_needed_on_top() {
    let needed = footprint::memory(&dpdk(&[]), true) + footprint::LOCKED_FILES;
    let mut inventory = inventory();
    inventory.memory_cgroup = memory_group(Reading::Known(Some(needed)), 0, 0);
    assert_eq!(find(&inventory, &dpdk(&["2Mi=32"]), HP410).outcome, Pass);
    inventory.huge_pages_count_as_memory = Reading::Known(true);
    assert_eq!(find(&inventory, &dpdk(&["2Mi=32"]), HP410).outcome, Warn);
    assert_eq!(find(&inventory, &dpdk(&["2Mi=64"]), HP410).outcome, Fail);
}

#[test]
fn a_role_is_charged_to_its_own_cgroup() {
    let one = footprint::memory(&both(), true) + footprint::LOCKED_FILES;
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
        (0, Some(Some(one)), Some(Some(one)), false, Pass, "the frontend's cgroup has room"),
        (0, Some(Some(one)), Some(Some(one - 1)), false, Warn, "the backend's cgroup has room"),
        (0, Some(Some(one)), Some(Some(1)), false, Fail, "the backend's cgroup has room"),
        // One process stays here, because no option moves it or because cgroup v1 does not.
        (one, Some(Some(one)), None, false, Pass, "the memory limit has room"),
        (one, Some(Some(one)), Some(None), false, Pass, "the memory limit has room"),
        (one - 1, Some(Some(one)), None, false, Warn, "the memory limit has room"),
        // Pages count against the cgroup of the process that needs them.
        (0, Some(Some(one + pages)), Some(Some(one + pages)), true, Pass, "the frontend's cgroup"),
        (0, Some(Some(one + pages)), Some(Some(one + pages - 1)), true, Warn, "the backend's cgroup"),
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
    // The machine of the measurements: 50 MiB of the frontend, 28 MiB and 12 stacks of the vswitch.
    let unknown = || Reading::Unreadable("sched_getaffinity: EPERM".into());
    for (cpus, room, outcome) in [
        (Reading::Known(2), 174 * M, Warn),
        (Reading::Known(2), 174 * M - 1, Fail),
        (Reading::Known(8), 174 * M, Fail),
        (unknown(), 174 * M - 1, Fail),
        (unknown(), 174 * M, Unknown),
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
        usage: Reading::Known(usage),
        cache: Reading::Known(cache),
        swappable: Reading::Known(0),
    };
    Reading::Known(MemoryCgroup { path: "/pod".into(), levels: vec![level], complete: false })
}
