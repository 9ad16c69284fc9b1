//! Tests that HP401 and HP402 have each of their outcomes.

use super::super::super::cgroup::{CgroupLevel, CgroupLimit, CgroupVersion, HugetlbCounter};
use super::super::super::memory_cgroup::{MemoryCgroup, MemoryLevel};
use super::super::super::role_cgroups::{RoleCgroup, RoleCgroups};
use super::*;
use Outcome::{Fail, Pass, Skip, Unknown, Warn};

const PAGE: u64 = 2 << 20;

fn size() -> PageSize {
    "2Mi".parse().unwrap()
}

/// A machine with `total` pages of 2Mi, all of them free, and no overcommit.
fn inventory(total: u64, cgroup: Reading<HugetlbCgroup>) -> Inventory {
    let pool = Pool {
        size: size(),
        total: Reading::Known(total),
        free: Reading::Known(total),
        reserved: Reading::Known(0),
        surplus: Reading::Known(0),
        overcommit: Reading::Known(0),
        mempolicy: Reading::Absent,
        numa: vec![],
    };
    Inventory { pools: Reading::Known(vec![pool]), cgroup, ..Inventory::default() }
}

fn counter(limit_pages: Option<u64>, used_pages: u64) -> HugetlbCounter {
    let limit = limit_pages.map(|pages| pages * PAGE);
    HugetlbCounter { limit: Reading::Known(limit), usage: Reading::Known(used_pages * PAGE) }
}

/// A cgroup with these counters, below a root of cgroup v2 without files.
fn group(fault: HugetlbCounter, reservation: HugetlbCounter, complete: bool) -> Reading<HugetlbCgroup> {
    let limit = CgroupLimit { size: size(), fault, reservation };
    Reading::Known(HugetlbCgroup {
        version: CgroupVersion::V2,
        path: "/pod".into(),
        levels: vec![
            CgroupLevel { directory: "/sys/fs/cgroup/pod".into(), sizes: Reading::Known(vec![limit]) },
            CgroupLevel { directory: "/sys/fs/cgroup".into(), sizes: Reading::Known(vec![]) },
        ],
        complete,
    })
}

fn findings(inventory: &Inventory, need: &[&str]) -> [Finding; 2] {
    let need = need.iter().map(|text| text.parse().unwrap()).collect();
    let findings = inspect(inventory, &Request { need, ..Request::default() }, size());
    assert_eq!(findings.iter().map(|finding| finding.id).collect::<Vec<_>>(), [HP401, HP402]);
    for finding in &findings {
        let answered = !finding.expected.is_empty() && !finding.seen.is_empty() && !finding.remedy.is_empty();
        assert_eq!(answered, !matches!(finding.outcome, Pass | Skip), "{finding:?}");
    }
    findings.try_into().unwrap()
}

#[test]
fn room_is_judged_by_the_need_or_else_by_the_steps_and_the_free_pages() {
    for (limit, used, free, need, outcome, summary) in [
        (None, 0, 508, &[][..], Pass, "no cgroup limit"),
        (Some(0), 0, 508, &[], Fail, "this cgroup may use no page"),
        (Some(8), 8, 508, &[], Fail, "this cgroup may use no page"),
        (Some(8), 9, 508, &[], Fail, "this cgroup may use no page"),
        (Some(8), 7, 508, &[], Warn, "this cgroup may use only 1 page"),
        (Some(1), 0, 1, &[], Warn, "this cgroup may use only 1 page"),
        (Some(8), 0, 508, &[], Warn, "this cgroup may use 8 of the 508 free pages"),
        (Some(8), 0, 8, &[], Pass, "room for 8 pages"),
        (Some(8), 0, 508, &["2Mi=8"], Pass, "room for 8 pages"),
        (Some(8), 0, 508, &["2Mi=9"], Fail, "this cgroup may use 8 of the 9 pages needed"),
        (
            Some(8),
            0,
            508,
            &["2Mi=5@numa0", "2Mi=4@numa1"],
            Fail,
            "this cgroup may use 8 of the 9 pages needed",
        ),
        (Some(1), 0, 508, &["2Mi=1"], Pass, "room for 1 page"),
        (Some(8), 0, 508, &["1Gi=9"], Warn, "this cgroup may use 8 of the 508 free pages"),
        (Some(0), 0, 0, &["2Mi=1"], Fail, "this cgroup may use 0 of the 1 pages needed"),
        (Some(0), 0, 0, &[], Skip, "there is no page of this size"),
    ] {
        let inventory = inventory(free, group(counter(limit, used), counter(None, 0), true));
        let [fault, _] = findings(&inventory, need);
        assert_eq!(
            (fault.outcome, fault.summary.as_str()),
            (outcome, summary),
            "{limit:?} {used} {free} {need:?}"
        );
    }
}

#[test]
fn the_reservation_limit_is_judged_for_itself() {
    let inventory = inventory(508, group(counter(None, 0), counter(Some(8), 5), true));
    let [fault, reservation] = findings(&inventory, &["2Mi=4"]);
    assert_eq!((fault.outcome, reservation.outcome), (Pass, Fail));
    assert_eq!(reservation.summary, "this cgroup may reserve 3 of the 4 pages needed");
    assert_eq!(reservation.seen, "/sys/fs/cgroup/pod/hugetlb.2MB.rsvd.max is 16 MiB, with 10 MiB in use");
    assert_eq!(
        reservation.remedy,
        "raise /sys/fs/cgroup/pod/hugetlb.2MB.rsvd.max to 18874368 bytes; for a container, raise its limit of hugepages-2Mi"
    );
}

#[test]
fn without_a_controller_there_is_no_limit() {
    for finding in findings(&inventory(508, Reading::Absent), &[]) {
        assert_eq!(
            (finding.outcome, finding.summary.as_str()),
            (Pass, "no hugetlb cgroup controller, so no limit")
        );
    }
}

#[test]
fn limits_that_cannot_be_read_are_unknown() {
    for cgroup in [Reading::Unreadable("not mounted".into()), Reading::Malformed("garbage".into())] {
        for finding in findings(&inventory(508, cgroup), &[]) {
            assert_eq!(finding.outcome, Unknown);
        }
    }
    let garbage =
        HugetlbCounter { limit: Reading::Malformed("max holds 'x'".into()), usage: Reading::Known(0) };
    let [fault, reservation] = findings(&inventory(508, group(garbage.clone(), counter(None, 0), true)), &[]);
    assert_eq!((fault.outcome, reservation.outcome), (Unknown, Pass));
    assert_eq!(fault.summary, "the fault limit is not known: max holds 'x'");
}

#[test]
fn a_limit_that_is_known_to_be_too_tight_fails_whatever_else_is_not_known() {
    let Reading::Known(mut cgroup) = group(counter(Some(0), 0), counter(None, 0), true) else {
        unreachable!()
    };
    cgroup.levels.push(CgroupLevel { directory: "/x".into(), sizes: Reading::Unreadable("EACCES".into()) });
    let [fault, reservation] = findings(&inventory(508, Reading::Known(cgroup)), &[]);
    assert_eq!((fault.outcome, reservation.outcome), (Fail, Unknown));
}

#[test]
fn what_a_container_cannot_see_above_itself_is_said() {
    let [fault, reservation] =
        findings(&inventory(8, group(counter(Some(8), 0), counter(None, 0), false)), &["2Mi=8"]);
    assert_eq!(fault.summary, "room for 8 pages, as far as parent cgroups are visible from here");
    assert_eq!(reservation.summary, "no cgroup limit, as far as parent cgroups are visible from here");
    assert_eq!(fault.evidence.get("complete"), Some(&false.into()));
}

#[test]
fn pools_that_are_not_known_do_not_silence_a_limit() {
    let cgroup = group(counter(Some(0), 0), counter(Some(4), 0), true);
    let inventory = Inventory { pools: Reading::Unreadable("EACCES".into()), cgroup, ..Inventory::default() };
    let [fault, reservation] = findings(&inventory, &[]);
    assert_eq!((fault.outcome, reservation.outcome), (Fail, Pass));
}

#[test]
fn each_role_pays_for_its_own_need() {
    let cgroup = |pages| group(counter(Some(pages), 0), counter(None, 0), true).known().unwrap().clone();
    let role = |pages| RoleCgroup { hugetlb: cgroup(pages), memory: None };
    let need = |text: &str| vec![text.parse().unwrap()];
    for (frontend, backend, outcome, summary) in [
        (Some(8), Some(8), Pass, "room for 20 pages"),
        (Some(8), Some(7), Fail, "the backend's cgroup may use 7 of the 8 pages needed"),
        (Some(7), Some(8), Fail, "the frontend's cgroup may use 7 of the 8 pages needed"),
        (Some(8), None, Pass, "room for 20 pages"),
        // Neither role has a separate cgroup: both are in the cgroup of this process.
        (None, None, Pass, "room for 20 pages"),
    ] {
        let mut inventory = inventory(508, Reading::Known(cgroup(20)));
        inventory.role_cgroups = RoleCgroups { frontend: frontend.map(role), backend: backend.map(role) };
        let request = Request {
            frontend_need: need("2Mi=8"),
            backend_need: need("2Mi=8"),
            need: need("2Mi=4"),
            ..Request::default()
        };
        let found = inspect(&inventory, &request, size());
        assert_eq!(
            (found[0].outcome, found[0].summary.as_str()),
            (outcome, summary),
            "{frontend:?} {backend:?}"
        );
        assert_eq!(found.len(), 2, "one finding for each check");
    }
    let crowded = inventory(508, Reading::Known(cgroup(19)));
    let request =
        Request { frontend_need: need("2Mi=8"), backend_need: need("2Mi=12"), ..Request::default() };
    assert_eq!(inspect(&crowded, &request, size())[0].outcome, Fail, "20 pages in a group of 19");
}

/// A cgroup with this `memory.max` and these charges, on a machine where huge pages count against them.
fn memory(limit_pages: Option<u64>, used: u64, cache: u64, swappable: u64) -> Reading<MemoryCgroup> {
    let level = MemoryLevel {
        directory: "/sys/fs/cgroup/pod".into(),
        file: "/sys/fs/cgroup/pod/memory.max".into(),
        limit: Reading::Known(limit_pages.map(|pages| pages * PAGE)),
        high: Reading::Known(None),
        usage: Reading::Known(used * PAGE),
        cache: Reading::Known(cache * PAGE),
        swappable: Reading::Known(swappable * PAGE),
    };
    Reading::Known(MemoryCgroup { path: "/pod".into(), levels: vec![level], complete: true })
}

/// As [`memory`], with a `memory.stat` that cannot be read.
fn memory_without_stat(limit_pages: u64, used: u64) -> Reading<MemoryCgroup> {
    let Reading::Known(mut cgroup) = memory(Some(limit_pages), used, 0, 0) else { unreachable!() };
    for level in &mut cgroup.levels {
        level.cache = Reading::Unreadable("memory.stat: EACCES".into());
    }
    Reading::Known(cgroup)
}

#[test]
fn where_huge_pages_count_against_the_memory_limit_it_decides_too() {
    let unlimited = || group(counter(None, 0), counter(None, 0), true);
    for (memory, swap, need, outcome, summary) in [
        (Reading::Absent, 0, Some("2Mi=48"), Pass, "no cgroup limit"),
        (memory(None, 5, 0, 0), 0, Some("2Mi=48"), Pass, "no memory limit"),
        (memory(Some(64), 0, 0, 0), 0, Some("2Mi=48"), Pass, "memory.max has room for 64 pages"),
        (
            memory(Some(32), 0, 0, 0),
            0,
            Some("2Mi=48"),
            Fail,
            "room for 64 MiB of the 96 MiB of huge pages needed",
        ),
        (memory(Some(64), 20, 0, 0), 0, Some("2Mi=48"), Fail, "room for 88 MiB of the 96 MiB"),
        // The kernel can reclaim page cache. It can reclaim anonymous memory only if there is swap.
        (memory(Some(64), 20, 4, 0), 0, Some("2Mi=48"), Warn, "only after the kernel has reclaimed"),
        (memory(Some(64), 20, 0, 4), 0, Some("2Mi=48"), Fail, "room for 88 MiB"),
        (memory(Some(64), 20, 0, 4), 1 << 30, Some("2Mi=48"), Warn, "only after the kernel has reclaimed"),
        (memory(Some(1), 1, 0, 0), 0, None, Fail, "no room for a page of 2Mi"),
        (memory(Some(32), 0, 0, 0), 0, None, Warn, "room for 32 of the 64 free pages"),
        (memory(Some(65), 0, 0, 0), 0, None, Pass, "memory.max has room for 65 pages"),
        (Reading::Unreadable("EACCES".into()), 0, None, Unknown, "EACCES"),
        // In this case the outcome depends on how much of the usage is cache, which is not known.
        (memory_without_stat(64, 20), 0, Some("2Mi=48"), Unknown, "memory.stat: EACCES"),
        (memory_without_stat(64, 16), 0, Some("2Mi=48"), Pass, "memory.max has room for 48 pages"),
        (memory_without_stat(32, 16), 0, Some("2Mi=48"), Fail, "room for 64 MiB of the 96 MiB"),
    ] {
        let mut inventory = inventory(64, unlimited());
        inventory.memory_cgroup = memory;
        inventory.huge_pages_count_as_memory = Reading::Known(true);
        inventory.limits.swap_bytes = Reading::Known(swap);
        let need: Vec<&str> = need.into_iter().collect();
        let [fault, reservation] = findings(&inventory, &need);
        assert_eq!((fault.outcome, reservation.outcome), (outcome, Pass), "{summary}: {fault:?}");
        assert!(fault.summary.contains(summary), "{summary}: {fault:?}");
        if outcome == Fail {
            let words = [&fault.seen, &fault.remedy].map(String::as_str).concat();
            assert!(
                words.contains("/sys/fs/cgroup/pod/memory.max")
                    && words.contains("memory_hugetlb_accounting"),
                "{words}"
            );
        }
    }
}

#[test]
fn all_sizes_count_against_one_memory_limit_and_the_worse_limit_is_told() {
    let mut both = inventory(64, group(counter(Some(4), 0), counter(None, 0), true));
    both.memory_cgroup = memory(Some(600), 0, 0, 0);
    both.huge_pages_count_as_memory = Reading::Known(true);
    both.limits.swap_bytes = Reading::Known(0);
    let [fault, _] = findings(&both, &["2Mi=8"]);
    assert!(fault.summary.contains("this cgroup may use 4 of the 8 pages"), "{fault:?}");
    both.cgroup = group(counter(None, 0), counter(None, 0), true);
    assert_eq!(findings(&both, &["2Mi=64", "1Gi=1"])[0].outcome, Pass);
    assert_eq!(findings(&both, &["2Mi=64", "1Gi=2"])[0].outcome, Fail);
    // The memory limit applies without a hugetlb controller too.
    both.cgroup = Reading::Absent;
    both.memory_cgroup = memory(Some(4), 0, 0, 0);
    assert_eq!(findings(&both, &["2Mi=8"])[0].outcome, Fail);
}

#[test]
fn mounts_that_cannot_be_read_leave_the_fault_limit_unknown() {
    let mut both = inventory(64, group(counter(None, 0), counter(None, 0), true));
    both.memory_cgroup = memory(Some(4), 0, 0, 0);
    for (counts, expected) in [
        (Reading::Known(true), Fail),
        (Reading::Known(false), Pass),
        (Reading::Absent, Pass),
        (Reading::Unreadable("EACCES".into()), Unknown),
        (Reading::Malformed("/proc/self/mountinfo is empty".into()), Unknown),
    ] {
        both.huge_pages_count_as_memory = counts.clone();
        let [fault, reservation] = findings(&both, &["2Mi=8"]);
        assert_eq!((fault.outcome, reservation.outcome), (expected, Pass), "{counts:?} {fault:?}");
    }
    both.cgroup = group(counter(Some(4), 0), counter(None, 0), true);
    assert_eq!(findings(&both, &["2Mi=8"])[0].outcome, Fail, "a limit that is known to be too small");
}
