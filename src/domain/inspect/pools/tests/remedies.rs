//! Tests of what the findings of HP1xx say: owners, evidence and remedies.

use super::*;
use crate::catalogue::{HP103, HP104};
use crate::peer::Peer;

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

/// The other pages of the pool are reserved by `min_size=` of the mount, for files in that directory.
#[test]
fn a_leaked_page_is_a_warning_where_the_mount_keeps_pages_for_the_workload() {
    for (min_bytes, outcome) in [(None, Outcome::Fail), (Some(4 * LARGE.bytes()), Outcome::Warn)] {
        let inventory = Inventory {
            directory: Some(Directory {
                real_path: Some("/mnt/huge".into()),
                device: Some("0:5".into()),
                ..directory(LARGE)
            }),
            mounts: Reading::Known(vec![HugeMount {
                path: "/mnt/huge".into(),
                size: Some(LARGE),
                min_bytes,
                ..mount()
            }]),
            pools: machine(vec![pool(LARGE, [5, 4, 4, 0, 0])]).pools,
            ..busy(leaks(1))
        };
        let request = Request { directory: Some("/mnt/huge".into()), ..Request::default() };
        let finding = inspect(&inventory, &request, LARGE).remove(4);
        assert_eq!((finding.id, finding.outcome), (HP105, outcome), "{min_bytes:?}");
    }
}

fn directory(size: PageSize) -> Directory {
    Directory {
        path: "/mnt/huge".into(),
        real_path: None,
        device: None,
        kind: Reading::Known(DirectoryKind::Hugetlbfs { size, pages: None, inodes: None }),
        writable: Reading::Absent,
        listing: Reading::Absent,
    }
}

fn mount() -> HugeMount {
    HugeMount {
        path: "/dev/hugepages".into(),
        size: Some(SMALL),
        limit_bytes: None,
        min_bytes: None,
        inodes: None,
        read_only: false,
        hidden_by: None,
        options: vec![],
        device: "0:5".into(),
    }
}

#[test]
fn a_directory_of_an_empty_pool_is_told_beside_the_pages_that_there_are() {
    let pools = vec![pool(SMALL, [32, 32, 0, 0, 0]), pool(LARGE, [0, 0, 0, 0, 0])];
    let inventory = Inventory {
        directory: Some(directory(LARGE)),
        mounts: Reading::Known(vec![mount()]),
        ..machine(pools)
    };
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
