//! Tests that every HP1xx check has each outcome that its catalogue entry names.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::catalogue::{CHECKS, HP103, HP104, HP105, HP109};
use crate::check::CheckId;
use crate::inventory::{
    BootPool, BootRequest, Directory, DirectoryKind, Holder, Holders, HugeMount, LeakedFile, LeakedSegment,
    NumaNode, NumaPool, Pool,
};
use crate::peer::Peer;

const SMALL: PageSize = match PageSize::from_bytes(2 << 20) {
    Some(size) => size,
    None => panic!(),
};
const LARGE: PageSize = match PageSize::from_bytes(1 << 30) {
    Some(size) => size,
    None => panic!(),
};

/// Returns a pool. `numbers` are total, free, reserved, surplus and overcommit.
fn pool(size: PageSize, numbers: [u64; 5]) -> Pool {
    let [total, free, reserved, surplus, overcommit] = numbers.map(Reading::Known);
    Pool { size, mempolicy: total.clone(), total, free, reserved, surplus, overcommit, numa: Vec::new() }
}

fn machine(pools: Vec<Pool>) -> Inventory {
    Inventory {
        pools: Reading::Known(pools),
        boot: Reading::Known(BootRequest::default()),
        default_size: Reading::Known(SMALL),
        cpu_1gi: Reading::Known(true),
        hardware_corrupted_bytes: Reading::Known(0),
        ..Inventory::default()
    }
}

/// Returns an inventory with 16 pages of 1Gi, 8 on each of two NUMA nodes, all free.
fn sound() -> Inventory {
    let node = |node| NumaPool {
        node,
        total: Reading::Known(8),
        free: Reading::Known(8),
        surplus: Reading::Known(0),
    };
    let mut large = pool(LARGE, [16, 16, 0, 0, 0]);
    large.numa = vec![node(0), node(1)];
    machine(vec![pool(SMALL, [0, 0, 0, 0, 0]), large])
}

/// Returns the inventory of [`sound`] with no free page and the given owners.
fn busy(holders: Holders) -> Inventory {
    let mut inventory = sound();
    inventory.pools = Reading::Known(vec![pool(LARGE, [16, 0, 0, 0, 0])]);
    inventory.holders = Some(holders);
    inventory
}

fn with_pool(change: impl FnOnce(&mut Pool)) -> Inventory {
    let mut large = pool(LARGE, [16, 16, 0, 0, 0]);
    change(&mut large);
    machine(vec![large])
}

fn booted(pools: Vec<BootPool>) -> Inventory {
    Inventory { boot: Reading::Known(BootRequest { pools, ..BootRequest::default() }), ..sound() }
}

fn asks(size: Option<PageSize>, pages: u64, numa: &[(u32, u64)]) -> Vec<BootPool> {
    vec![BootPool { size, pages, numa: numa.to_vec() }]
}

fn leaks(files: u64) -> Holders {
    let file = |number| LeakedFile {
        path: format!("/dev/hugepages/rtemap_{number}"),
        size: LARGE,
        pages: 1,
        idle_seconds: Some(3 * 86_400 + number),
    };
    Holders { leaked: (0..files).map(file).collect(), ..Holders::default() }
}

fn segments() -> Holders {
    let segment = LeakedSegment { id: 7, size: LARGE, pages: 2, bytes: 2 << 30, creator: 42 };
    Holders { segments: vec![segment], ..Holders::default() }
}

fn untraced(blind_spots: &[&str]) -> Holders {
    Holders {
        processes: vec![Holder { pid: 42, command: "qemu".into(), pages: vec![(LARGE, 13)] }],
        untraced: vec![(LARGE, 3)],
        blind_spots: blind_spots.iter().map(|&text| text.to_owned()).collect(),
        ..Holders::default()
    }
}

fn quick(blind_spots: &[&str]) -> Holders {
    let blind_spots = blind_spots.iter().map(|&text| text.to_owned()).collect();
    Holders { blind_spots, is_quick: true, ..Holders::default() }
}

/// Adds NUMA nodes to an inventory. Each item is the number of a node and whether it has a CPU.
fn with_nodes(nodes: &[(u32, bool)], inventory: Inventory) -> Inventory {
    let node = |&(node, has_cpu): &(u32, bool)| NumaNode {
        node,
        cpus: Reading::Known(if has_cpu { vec![node] } else { vec![] }),
    };
    Inventory { nodes: Reading::Known(nodes.iter().map(node).collect()), ..inventory }
}

fn nothing() -> Request {
    Request::default()
}

fn expect(texts: &[&str]) -> Request {
    Request { expect: texts.iter().map(|text| text.parse().unwrap()).collect(), ..Request::default() }
}

fn need(text: &str) -> Request {
    Request { need: vec![text.parse().unwrap()], ..Request::default() }
}

fn unreadable<T>() -> Reading<T> {
    Reading::Unreadable("cannot read /sys/x: Permission denied".into())
}

fn malformed() -> Reading<u64> {
    Reading::Malformed("/sys/x holds 'many'".into())
}

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

#[test]
fn files_left_behind_are_named_exactly_with_what_they_hold_and_since_when() {
    let finding = inspect(&busy(leaks(14)), &nothing(), LARGE).remove(4);
    assert_eq!(
        finding.seen,
        "/dev/hugepages/rtemap_0, /dev/hugepages/rtemap_1, /dev/hugepages/rtemap_2, /dev/hugepages/rtemap_3, \
         /dev/hugepages/rtemap_4, ... 9 more; 14 GiB, last used 3 days ago"
    );
    let lines: Vec<_> = finding.remedy.lines().collect();
    assert_eq!(lines[0], "remove these 14 files, or start their owner again:");
    assert_eq!(lines[1], "  rm /dev/hugepages/rtemap_0");
    assert_eq!(lines[6..], ["and 9 more, listed by -o json"]);
    assert_eq!(finding.evidence["files"].as_array().unwrap().len(), 14);
    let finding = inspect(&busy(segments()), &nothing(), LARGE).remove(4);
    assert_eq!(finding.remedy, "remove this SysV segment:\n  ipcrm -m 7");
    assert_eq!(finding.seen, "SysV segment 7; 2 GiB");
}

#[test]
fn a_path_with_a_space_or_a_quote_is_one_word_of_the_command() {
    let mut holders = leaks(1);
    holders.leaked[0].path = "/mnt/it's mine/a".into();
    holders.leaked[0].idle_seconds = None;
    let finding = inspect(&busy(holders), &nothing(), LARGE).remove(4);
    assert!(finding.remedy.ends_with("\n  rm '/mnt/it'\\''s mine/a'"), "{}", finding.remedy);
    assert!(!finding.seen.contains("last used"), "{}", finding.seen);
}

#[test]
fn who_holds_the_pages_is_in_the_evidence() {
    let finding = inspect(&busy(untraced(&[])), &nothing(), LARGE).remove(4);
    assert_eq!(finding.evidence["holders"], serde_json::json!([{"pid": 42, "command": "qemu", "pages": 13}]));
    assert_eq!(finding.evidence["untraced"], 3);
    assert_eq!(finding.evidence["total"], 16);
}

#[test]
fn the_remedy_of_an_expectation_writes_to_the_very_file() {
    let remedy =
        |inventory: &Inventory, text: &str| inspect(inventory, &expect(&[text]), LARGE).remove(2).remedy;
    assert!(
        remedy(&sound(), "1Gi>=17")
            .ends_with("\n  echo 17 > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages")
    );
    assert!(
        remedy(&sound(), "1Gi@numa1>=9").ends_with(
            "\n  echo 9 > /sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages"
        )
    );
    let nowhere = remedy(&Inventory { pools: Reading::Absent, ..sound() }, "1Gi>=1");
    assert!(!nowhere.is_empty() && !nowhere.contains("echo"), "{nowhere}");
}

#[test]
fn a_numa_node_without_pages_or_without_a_cpu_is_named() {
    let of = |id, inventory: &Inventory, request: &Request| {
        inspect(inventory, request, LARGE).into_iter().find(|finding| finding.id == id).unwrap()
    };
    // node1 has only memory, node2 has only a CPU.
    let uneven = with_nodes(&[(0, true), (1, false), (2, true)], sound());
    let met = of(HP103, &uneven, &expect(&["1Gi@numa1>=8"]));
    assert_eq!(met.summary, "as expected (1Gi@numa1>=8); node1 has pages and no CPU");
    assert_eq!(of(HP103, &uneven, &expect(&["1Gi@numa0>=8"])).summary, "as expected (1Gi@numa0>=8)");
    assert_eq!(of(HP101, &uneven, &nothing()).summary, "16 pages; node1 has pages and no CPU");
    for (node, seen) in
        [(2, "node2 has no memory for a pool"), (7, "NUMA node 7 does not exist on this machine")]
    {
        let unmet = of(HP103, &uneven, &expect(&[&format!("1Gi@numa{node}>=1")]));
        assert_eq!(unmet.seen, seen);
        assert!(unmet.remedy.starts_with("expect pages of a NUMA node that has memory"), "{}", unmet.remedy);
    }
}

#[test]
fn a_shortfall_at_boot_that_is_not_for_want_of_memory_has_its_own_remedy() {
    let remedy = |inventory: &Inventory| {
        inspect(inventory, &nothing(), LARGE).into_iter().find(|one| one.id == HP104).unwrap().remedy
    };
    let asked = || BootRequest {
        pools: vec![BootPool { size: Some(LARGE), pages: 17, numa: vec![] }],
        ..BootRequest::default()
    };
    let boot = |boot, inventory| Inventory { boot: Reading::Known(boot), ..inventory };
    assert!(remedy(&boot(asked(), sound())).contains("defragment"));
    let cma = remedy(&boot(BootRequest { cma: true, ..asked() }, sound()));
    assert!(
        cma.contains("hugetlb_cma=") && cma.contains("echo 17 >") && !cma.contains("defragment"),
        "{cma}"
    );
    let not_offered = remedy(&boot(asked(), machine(vec![pool(SMALL, [512, 512, 0, 0, 0])])));
    assert!(not_offered.contains("a size that this kernel offers"), "{not_offered}");
}

#[test]
fn a_directory_of_an_empty_pool_is_told_beside_the_pages_that_there_are() {
    let directory = Directory {
        path: "/mnt/huge".into(),
        real_path: None,
        device: None,
        kind: Reading::Known(DirectoryKind::Hugetlbfs { size: LARGE, pages: None, inodes: None }),
        writable: Reading::Absent,
    };
    let mount = HugeMount {
        path: "/dev/hugepages".into(),
        size: Some(SMALL),
        limit_bytes: None,
        min_bytes: None,
        inodes: None,
        read_only: false,
        hidden_by: None,
        options: vec![],
        device: "0:5".into(),
    };
    let pools = vec![pool(SMALL, [32, 32, 0, 0, 0]), pool(LARGE, [0, 0, 0, 0, 0])];
    let inventory =
        Inventory { directory: Some(directory), mounts: Reading::Known(vec![mount]), ..machine(pools) };
    let request = Request { directory: Some("/mnt/huge".into()), ..Request::default() };
    let finding = inspect(&inventory, &request, LARGE).remove(0);
    assert_eq!(
        (finding.outcome, finding.summary.as_str()),
        (Outcome::Fail, "the pool is empty, although --dir /mnt/huge, a hugetlbfs of 1Gi, requires pages")
    );
    assert!(
        finding
            .remedy
            .starts_with("use the 32 pages of 2Mi that are free (--dir /dev/hugepages), or reserve")
    );
}

#[test]
fn a_peer_needs_pages_of_some_size() {
    let peer = Peer { socket: "/run/vhost".into(), listen: false, transmit: 0 };
    let request = Request { peer: Some(peer), ..Request::default() };
    let empty = || pool(SMALL, [0, 0, 0, 0, 0]);
    let of = |inventory: &Inventory| inspect(inventory, &request, SMALL).remove(0);
    assert_eq!(of(&machine(vec![empty(), pool(LARGE, [0, 0, 0, 0, 0])])).outcome, Outcome::Fail);
    assert_eq!(of(&machine(vec![empty(), pool(LARGE, [1, 1, 0, 0, 0])])).outcome, Outcome::Skip);
}

#[test]
fn an_old_x86_kernel_without_2mi_needs_an_option_of_the_command_line() {
    let only_large = || machine(vec![pool(LARGE, [16, 16, 0, 0, 0])]);
    let named = BootRequest { default_size: Some(LARGE), ..BootRequest::default() };
    let remedy = |inventory: &Inventory| inspect(inventory, &need("2Mi=8"), SMALL).remove(0).remedy;
    let old = Inventory { boot: Reading::Known(named), ..only_large() };
    assert!(remedy(&old).starts_with("add hugepagesz=2M to the kernel's command line"), "{}", remedy(&old));
    assert!(!remedy(&Inventory { cpu_1gi: Reading::Absent, ..old }).contains("hugepagesz"));
    assert!(!remedy(&only_large()).contains("hugepagesz"));
}

fn any_reading() -> impl Strategy<Value = Reading<u64>> {
    prop_oneof![
        (0_u64..20).prop_map(Reading::Known),
        any::<u64>().prop_map(Reading::Known),
        Just(Reading::Absent),
        Just(malformed()),
        Just(unreadable()),
    ]
}

proptest! {
    #[test]
    fn whatever_the_counters_are_there_is_one_finding_for_each_check_and_no_pass_from_the_unknown(
        readings in proptest::array::uniform5(any_reading()),
        of_node in proptest::array::uniform3(any_reading()),
        expectation in prop_oneof![Just(nothing()), Just(expect(&["1Gi>=4"])), Just(expect(&["1Gi@numa0=4"])), Just(need("1Gi=4"))],
        boot_pages in 0_u64..20,
        leaked in 0_u64..8,
    ) {
        let [total, free, reserved, surplus, overcommit] = readings;
        let [node_total, node_free, node_surplus] = of_node;
        let numa = vec![NumaPool { node: 0, total: node_total, free: node_free, surplus: node_surplus }];
        let known = total.known().is_some();
        let large = Pool { size: LARGE, mempolicy: Reading::Absent, total, free, reserved, surplus, overcommit, numa };
        let inventory = Inventory {
            pools: Reading::Known(vec![large]),
            holders: Some(leaks(leaked)),
            ..booted(asks(Some(LARGE), boot_pages, &[(0, boot_pages)]))
        };
        let findings = inspect(&inventory, &expectation, LARGE);
        let ids: Vec<_> = findings.iter().map(|finding| finding.id.number()).collect();
        prop_assert_eq!(ids, [101, 102, 103, 104, 105, 106, 107]);
        for finding in &findings {
            prop_assert!(!finding.summary.is_empty());
            let needs_total = matches!(finding.id, HP101 | HP102 | HP105 | HP106);
            prop_assert!(known || !needs_total || finding.outcome != Outcome::Pass);
        }
    }
}

#[test]
fn pools_that_cannot_be_listed_are_not_absent() {
    let unreadable = Inventory { pools: Reading::Unreadable("EACCES".to_owned()), ..Inventory::default() };
    let found = unlisted(&unreadable, &[]).unwrap();
    assert_eq!((found.id, found.size, found.outcome), (HP101, None, Outcome::Unknown));
    assert!(unlisted(&Inventory::default(), &[]).is_none(), "a kernel without hugetlb has none");
    assert!(
        unlisted(&unreadable, &[PageSize::from_bytes(2 << 20).unwrap()]).is_none(),
        "said about the size"
    );
}
