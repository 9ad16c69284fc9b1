//! Tests that every HP1xx check has each outcome that its catalogue entry names.

use std::collections::BTreeSet;

use super::*;
use crate::catalogue::{CHECKS, HP103, HP104, HP105, HP109};
use crate::check::CheckId;

/// Returns cases about 1Gi: the check, the machine, the request, the outcome, and a part of the summary.
fn cases() -> Vec<(CheckId, Inventory, Request, Outcome, &'static str)> {
    use Outcome::{Fail, Pass, Skip, Unknown, Warn};
    let no_hugetlb = || Inventory { pools: Reading::Absent, ..sound() };
    let no_list = || Inventory { pools: unreadable(), ..sound() };
    let no_large = || machine(vec![pool(SMALL, [512, 508, 0, 0, 0])]);
    let empty = || machine(vec![pool(LARGE, [0, 0, 0, 0, 0])]);
    let growing = || machine(vec![pool(LARGE, [0, 0, 0, 0, 4])]);
    let of = |numbers| machine(vec![pool(LARGE, numbers)]);
    let cpu = |cpu_1gi| Inventory { cpu_1gi, ..no_large() };
    let unsized_at_boot = |pages, default_size| Inventory { default_size, ..booted(asks(None, pages, &[])) };
    let half_known = || {
        let mut inventory = sound();
        inventory.pools = Reading::Known(vec![Pool {
            numa: vec![NumaPool {
                node: 0,
                total: malformed(),
                free: Reading::Known(1),
                surplus: Reading::Known(0),
            }],
            ..pool(LARGE, [16, 16, 0, 0, 0])
        }]);
        inventory
    };
    vec![
        (HP101, sound(), nothing(), Pass, "16 pages"),
        (HP101, growing(), nothing(), Pass, "no persistent page, up to 4 by overcommit"),
        (HP101, empty(), nothing(), Skip, "the pool is empty"),
        (HP101, empty(), Request { sizes: vec![LARGE], ..nothing() }, Skip, "the pool is empty"),
        (HP101, empty(), expect(&["1Gi=0"]), Skip, "the pool is empty"),
        (HP101, no_large(), nothing(), Skip, "the kernel does not offer 1Gi (it offers 2Mi)"),
        (HP101, no_hugetlb(), nothing(), Skip, "the kernel has no huge pages"),
        (
            HP101,
            empty(),
            expect(&["1Gi@numa1>=1"]),
            Fail,
            "the pool is empty, although --expect 1Gi@numa1>=1",
        ),
        (HP101, empty(), need("1Gi=1"), Fail, "--need 1Gi=1"),
        (HP101, no_large(), need("1Gi=1"), Fail, "it offers 2Mi"),
        (HP101, no_hugetlb(), need("1Gi=1"), Fail, "the kernel has no huge pages"),
        (
            HP101,
            Inventory { boot: booted(asks(Some(LARGE), 4, &[])).boot, ..empty() },
            nothing(),
            Fail,
            "the boot command line requests 4 pages",
        ),
        (HP101, no_list(), nothing(), Unknown, "cannot read /sys/x: Permission denied"),
        (HP101, with_pool(|pool| pool.total = unreadable()), need("1Gi=1"), Unknown, "Permission denied"),
        (HP101, with_pool(|pool| pool.total = malformed()), nothing(), Unknown, "'many'"),
        (
            HP101,
            with_pool(|pool| pool.total = Reading::Absent),
            nothing(),
            Unknown,
            "a file of the pool does not exist",
        ),
        (HP102, sound(), nothing(), Pass, "16 of 16 free"),
        (HP102, of([16, 14, 2, 0, 0]), nothing(), Pass, "14 of 16 free, 2 of them reserved"),
        (HP102, growing(), nothing(), Pass, "none free, up to 4 more by overcommit"),
        (HP102, of([16, 1, 0, 0, 0]), nothing(), Warn, "1 of 16 free: not enough for every step"),
        (HP102, of([16, 0, 0, 0, 0]), nothing(), Unknown, "no free page: 16 pages in use"),
        (HP102, of([16, 4, 4, 0, 0]), nothing(), Unknown, "4 of 16 are free, and all of those are reserved"),
        (HP102, of([16, 4, 9, 0, 0]), nothing(), Unknown, "all of those are reserved"),
        (HP102, of([16, 0, 0, 0, 0]), need("1Gi=1"), Skip, "HP509"),
        (HP102, of([16, 16, 0, 0, 0]), need("1Gi=99"), Pass, "16 of 16 free"),
        (HP102, empty(), nothing(), Skip, "the pool is empty"),
        (HP102, no_large(), nothing(), Skip, "does not offer"),
        (HP102, no_list(), nothing(), Unknown, "Permission denied"),
        (HP102, with_pool(|pool| pool.reserved = malformed()), nothing(), Unknown, "'many'"),
        (
            HP102,
            with_pool(|pool| (pool.free, pool.overcommit) = (Reading::Known(0), malformed())),
            nothing(),
            Unknown,
            "'many'",
        ),
        (HP103, sound(), nothing(), Skip, "no --expect"),
        (HP103, sound(), expect(&["2Mi>=4"]), Skip, "no --expect"),
        (HP103, sound(), expect(&["1Gi>=16", "1Gi@numa1=8"]), Pass, "as expected (1Gi>=16, 1Gi@numa1=8)"),
        (HP103, no_large(), expect(&["1Gi=0"]), Pass, "as expected"),
        (HP103, sound(), expect(&["1Gi>=17"]), Fail, "not as expected (1Gi>=17): 16 pages"),
        (HP103, sound(), expect(&["1Gi=15"]), Fail, "16 pages"),
        (
            HP103,
            sound(),
            expect(&["1Gi>=1", "1Gi@numa0>=9"]),
            Fail,
            "not as expected (1Gi@numa0>=9): 8 on node0",
        ),
        (HP103, sound(), expect(&["1Gi@numa7>=1"]), Fail, "no pool on node7"),
        (HP103, no_large(), expect(&["1Gi>=1"]), Fail, "0 pages"),
        (HP103, of([16, 16, 0, 4, 4]), expect(&["1Gi>=13"]), Fail, "12 pages"),
        (HP103, of([16, 16, 0, 0, 0]), expect(&["1Gi@numa0>=16"]), Pass, "as expected"),
        (HP103, no_list(), expect(&["1Gi>=1"]), Unknown, "Permission denied"),
        (HP103, half_known(), expect(&["1Gi>=1", "1Gi@numa0>=1"]), Unknown, "'many'"),
        (HP104, sound(), nothing(), Skip, "requests no page of this size"),
        (HP104, booted(asks(Some(LARGE), 0, &[])), nothing(), Skip, "requests no page"),
        (HP104, Inventory { boot: Reading::Absent, ..sound() }, nothing(), Skip, "not available"),
        (
            HP104,
            Inventory {
                boot: Reading::Known(BootRequest {
                    not_understood: vec!["hugepagesz=1T".into()],
                    ..BootRequest::default()
                }),
                ..sound()
            },
            nothing(),
            Skip,
            "the kernel ignores hugepagesz=1T",
        ),
        (
            HP104,
            booted(asks(Some(LARGE), 16, &[(0, 8), (1, 8)])),
            nothing(),
            Pass,
            "8 on node0, 8 on node1 at boot",
        ),
        (HP104, booted(asks(Some(LARGE), 3, &[(0, 2), (1, 1)])), nothing(), Pass, "2 on node0"),
        (
            HP104,
            booted(asks(Some(LARGE), 17, &[])),
            nothing(),
            Fail,
            "requested 17 pages at boot, got 16 pages",
        ),
        (HP104, booted(asks(Some(LARGE), 9, &[(0, 9)])), nothing(), Fail, "got 8 on node0"),
        (HP104, booted(asks(Some(LARGE), 9, &[(5, 9)])), nothing(), Fail, "got 0 on node5"),
        (HP104, booted(asks(Some(LARGE), 17, &[])), expect(&["1Gi>=16"]), Warn, "got 16 pages"),
        (HP104, booted(asks(Some(LARGE), 17, &[])), expect(&["1Gi>=17"]), Fail, "got 16 pages"),
        (HP104, booted(asks(Some(LARGE), 17, &[])), expect(&["2Mi>=0"]), Fail, "got 16 pages"),
        (HP104, unsized_at_boot(17, Reading::Known(LARGE)), nothing(), Fail, "got 16 pages"),
        (HP104, unsized_at_boot(17, Reading::Known(SMALL)), nothing(), Skip, "requests no page"),
        (HP104, unsized_at_boot(17, Reading::Absent), nothing(), Skip, "default size is not known"),
        (HP104, Inventory { boot: unreadable(), ..sound() }, nothing(), Unknown, "Permission denied"),
        (
            HP104,
            Inventory { pools: unreadable(), ..booted(asks(Some(LARGE), 4, &[])) },
            nothing(),
            Unknown,
            "Permission denied",
        ),
        (HP105, sound(), nothing(), Pass, "no page in use"),
        (HP105, busy(quick(&[])), nothing(), Pass, "no file or SysV segment has pages without a user"),
        (HP105, busy(quick(&["CAP_SYS_PTRACE is missing"])), nothing(), Skip, "CAP_SYS_PTRACE is missing"),
        (HP105, busy(Holders::default()), nothing(), Pass, "every page in use has an owner"),
        (
            HP105,
            Inventory { holders: None, ..busy(Holders::default()) },
            nothing(),
            Skip,
            "were not looked up",
        ),
        (HP105, busy(untraced(&["CAP_SYS_PTRACE is missing"])), nothing(), Skip, "CAP_SYS_PTRACE is missing"),
        (HP105, busy(untraced(&[])), nothing(), Warn, "no owner was found for 3 of 16 pages in use"),
        (
            HP105,
            busy(leaks(14)),
            nothing(),
            Fail,
            "no free page: 14 of 16 are held by files that no process has open",
        ),
        (HP105, busy(leaks(1)), nothing(), Fail, "no free page: 1 of 16 is held by files"),
        (
            HP105,
            busy(segments()),
            nothing(),
            Fail,
            "2 of 16 are held by SysV segments that no process has attached",
        ),
        (
            HP105,
            Inventory { pools: of([16, 2, 0, 0, 0]).pools, ..busy(leaks(14)) },
            nothing(),
            Warn,
            "14 of 16 pages are held by files that no process has open",
        ),
        (HP105, with_pool(|pool| pool.free = malformed()), nothing(), Unknown, "'many'"),
        (HP105, no_list(), nothing(), Unknown, "Permission denied"),
        (HP105, no_large(), nothing(), Skip, "does not offer"),
        (HP106, sound(), nothing(), Pass, "no surplus"),
        (HP106, of([16, 16, 0, 2, 4]), nothing(), Warn, "surplus: 2 of 16 pages"),
        (HP106, growing(), nothing(), Warn, "no persistent page, only up to 4 by overcommit"),
        (HP106, of([16, 16, 0, 0, 4]), nothing(), Pass, "no surplus"),
        (HP106, empty(), nothing(), Skip, "the pool is empty"),
        (HP106, of([1, 1, 1, 0, 16]), need("1Gi=8"), Fail, "1 page is free for 8"),
        (HP106, of([8, 8, 0, 0, 16]), need("1Gi=8"), Pass, "no surplus"),
        (HP106, of([0, 0, 0, 0, 16]), need("1Gi=8"), Warn, "no persistent page"),
        (HP106, with_pool(|pool| pool.surplus = malformed()), nothing(), Unknown, "'many'"),
        (HP106, no_hugetlb(), nothing(), Skip, "no huge pages"),
        (HP107, sound(), nothing(), Pass, "pdpe1gb"),
        (HP107, cpu(Reading::Known(false)), nothing(), Skip, "is not required"),
        (
            HP107,
            cpu(Reading::Known(false)),
            expect(&["1Gi>=1"]),
            Fail,
            "no pdpe1gb, although --expect 1Gi>=1",
        ),
        (HP107, cpu(Reading::Absent), expect(&["1Gi>=1"]), Skip, "not an x86"),
        (HP107, cpu(unreadable()), nothing(), Unknown, "Permission denied"),
    ]
}

#[test]
fn each_case_comes_out_as_the_catalogue_says() {
    for (id, inventory, request, outcome, summary) in cases() {
        let findings = inspect(&inventory, &request, LARGE);
        let [finding] = &findings.iter().filter(|finding| finding.id == id).collect::<Vec<_>>()[..] else {
            panic!("{id}: not one finding")
        };
        assert_eq!(finding.outcome, outcome, "{id}: {finding:#?}");
        assert!(finding.summary.contains(summary), "{id}: '{}' does not say '{summary}'", finding.summary);
        let says_all =
            [&finding.expected, &finding.seen, &finding.remedy].iter().all(|text| !text.is_empty());
        assert_eq!(says_all, outcome > Outcome::Pass, "{id}: {finding:#?}");
        assert!(!finding.remedy.contains('*'), "{}", finding.remedy);
    }
}

#[test]
fn every_check_of_the_group_is_seen_to_fail() {
    let bad: BTreeSet<_> = (cases().iter().filter(|case| case.3 > Outcome::Pass).map(|case| case.0))
        .chain(
            inspect_machine(&Inventory { hardware_corrupted_bytes: Reading::Known(4096), ..sound() })[..]
                .iter()
                .filter(|finding| finding.outcome == Outcome::Warn)
                .map(|finding| finding.id),
        )
        .collect();
    let group: BTreeSet<_> = (CHECKS.iter().map(|check| check.id))
        // HP109 is reported by `inspect::reserve`.
        .filter(|id| id.number() / 100 == 1 && *id != HP109)
        .collect();
    assert_eq!(bad, group);
}

#[test]
fn the_machines_memory_is_judged_by_what_the_kernel_put_aside() {
    for (reading, outcome, summary) in [
        (Reading::Known(0), Outcome::Pass, "no memory set aside"),
        (Reading::Known(8192), Outcome::Warn, "8 KiB set aside as broken"),
        (Reading::Absent, Outcome::Skip, "does not look"),
        (malformed(), Outcome::Unknown, "'many'"),
        (unreadable(), Outcome::Unknown, "Permission denied"),
    ] {
        let findings = inspect_machine(&Inventory { hardware_corrupted_bytes: reading, ..sound() });
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].outcome, findings[0].size), (outcome, None));
        assert!(findings[0].summary.contains(summary), "{}", findings[0].summary);
    }
}
