//! Trees of kernel files, read as a machine would be: what is in each, to the last page, and what the inspections of the
//! pools make of it. `tests/fixtures/README.md` tells where they come from.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test states its expectation by panicking"
)]

use hugeprobe::domain::check::{Finding, Outcome};
use hugeprobe::domain::inspect::pools::{inspect, inspect_machine};
use hugeprobe::domain::inventory::{BootPool, Inventory, Pool, Privileges};
use hugeprobe::domain::reading::Reading;
use hugeprobe::domain::request::Request;
use hugeprobe::domain::size::PageSize;
use hugeprobe::linux::root::HostRoot;
use hugeprobe::linux::{boot, cpu, holders, host, meminfo, pools};

fn machine(name: &str) -> Inventory {
    let root = HostRoot::new(format!("{}/tests/fixtures/nodes/{name}", env!("CARGO_MANIFEST_DIR")));
    assert!(root.path("/proc").is_dir(), "no fixture {name}");
    Inventory {
        host: host::read(&root),
        pools: pools::read(&root),
        nodes: pools::nodes(&root),
        boot: boot::read(&root),
        default_size: meminfo::default_size(&root),
        cpu_1gi: cpu::has_1gi(&root),
        hardware_corrupted_bytes: meminfo::hardware_corrupted(&root),
        holders: Some(holders::read(&root, &Privileges::default())),
        ..Inventory::default()
    }
}

fn size(text: &str) -> PageSize {
    text.parse().unwrap()
}

fn expect(texts: &[&str]) -> Request {
    Request { expect: texts.iter().map(|text| text.parse().unwrap()).collect(), ..Request::default() }
}

fn number(reading: &Reading<u64>) -> String {
    match reading {
        Reading::Known(number) => number.to_string(),
        Reading::Absent => "absent".to_owned(),
        Reading::Unreadable(_) => "unreadable".to_owned(),
        Reading::Malformed(_) => "malformed".to_owned(),
    }
}

/// `SIZE total/free/reserved/surplus/overcommit/mempolicy`, then `nodeN total/free/surplus`.
fn shown(pool: &Pool) -> String {
    let join =
        |readings: &[&Reading<u64>]| readings.iter().map(|one| number(one)).collect::<Vec<_>>().join("/");
    let all = [&pool.total, &pool.free, &pool.reserved, &pool.surplus, &pool.overcommit, &pool.mempolicy];
    let mut text = format!("{} {}", pool.size, join(&all));
    for node in &pool.numa {
        text = format!("{text} node{} {}", node.node, join(&[&node.total, &node.free, &node.surplus]));
    }
    text
}

fn pools_of(inventory: &Inventory) -> Vec<String> {
    inventory.pools.known().unwrap().iter().map(shown).collect()
}

/// Every finding as `HP101 pass 32 pages`.
fn found(inventory: &Inventory, request: &Request, of: &str) -> Vec<String> {
    let one = |finding: Finding| format!("{} {} {}", finding.id, finding.outcome, finding.summary);
    inspect(inventory, request, size(of)).into_iter().map(one).collect()
}

#[test]
fn the_two_socket_server_has_16_pages_on_each_node_and_two_of_node_0_are_touched() {
    for (name, free, reserved, on_node_0, counted) in [
        ("two-socket-1gi", 32, 2, 16, "32 of 32 free, 2 of them reserved"),
        ("two-socket-1gi-touched-1", 31, 1, 15, "31 of 32 free, 1 of them reserved"),
        ("two-socket-1gi-touched-2", 30, 0, 14, "30 of 32 free"),
    ] {
        let inventory = machine(name);
        assert_eq!(
            pools_of(&inventory),
            [
                "2Mi 0/0/0/0/0/0 node0 0/0/0 node1 0/0/0".to_owned(),
                format!("1Gi 32/{free}/{reserved}/0/0/32 node0 16/{on_node_0}/0 node1 16/16/0"),
            ]
        );
        let cpus: Vec<_> = inventory.nodes.known().unwrap().iter().map(|node| node.cpus.clone()).collect();
        let list = |ranges: &[std::ops::RangeInclusive<u32>]| {
            Reading::Known(ranges.iter().cloned().flatten().collect())
        };
        assert_eq!(cpus, [list(&[0..=15, 32..=47]), list(&[16..=31, 48..=63])]);
        let boot = inventory.boot.known().unwrap();
        assert_eq!(
            boot.pools,
            [BootPool { size: Some(size("1Gi")), pages: 32, numa: vec![(0, 16), (1, 16)] }]
        );
        assert_eq!(inventory.default_size, Reading::Known(size("1Gi")));

        let request = expect(&["1Gi>=32", "1Gi@numa0>=16", "1Gi@numa1=16"]);
        let owners = if free == 32 {
            "HP105 pass no page in use".to_owned()
        } else {
            "HP105 skip not every owner is visible: a captured tree has no descriptors".to_owned()
        };
        assert_eq!(
            found(&inventory, &request, "1Gi"),
            [
                "HP101 pass 32 pages".to_owned(),
                format!("HP102 pass {counted}"),
                "HP103 pass as expected (1Gi>=32, 1Gi@numa0>=16, 1Gi@numa1=16)".to_owned(),
                "HP104 pass requested 16 on node0, 16 on node1 at boot, all present".to_owned(),
                owners,
                "HP106 pass no surplus".to_owned(),
                "HP107 pass the CPU has pdpe1gb".to_owned(),
            ]
        );
        let small = found(&inventory, &Request::default(), "2Mi");
        assert!(
            small.iter().all(|finding| finding.contains(" skip ") || finding == "HP105 pass no page in use")
        );
    }
}

#[test]
fn a_machine_with_one_node_is_read_as_it_was_captured() {
    let inventory = machine("one-node");
    assert_eq!(pools_of(&inventory), ["2Mi 48/48/0/0/0/48 node0 48/48/0", "1Gi 1/1/0/0/0/1 node0 1/1/0"]);
    assert_eq!((inventory.host.name.as_str(), inventory.host.kernel.as_str()), ("node", "6.18.44"));
    assert!(inventory.host.boot_id.known().is_some());
    assert_eq!(inventory.nodes.known().unwrap().len(), 1);
    assert_eq!(inventory.cpu_1gi, Reading::Known(true));
    // Built without CONFIG_MEMORY_FAILURE.
    assert_eq!(inventory.hardware_corrupted_bytes, Reading::Absent);
    assert_eq!(inspect_machine(&inventory)[0].outcome, Outcome::Skip);
    let large = found(&inventory, &Request::default(), "1Gi");
    assert_eq!(large[1], "HP102 warn 1 of 1 free: not enough for every step");
}

#[test]
fn a_boot_that_gave_the_pages_to_another_node_is_seen_though_the_total_is_right() {
    let inventory = machine("boot-shortfall");
    assert_eq!(
        pools_of(&inventory),
        [
            "2Mi 32/32/0/0/0/32 node0 11/11/0 node1 11/11/0 node2 10/10/0",
            "1Gi 3/3/0/0/0/3 node0 0/0/0 node1 1/1/0 node2 2/2/0",
        ]
    );
    let booted = |request: &Request, of: &str| found(&inventory, request, of).remove(3);
    let asked = "requested 1 on node0, 1 on node1, 1 on node2 at boot, got 0 on node0";
    assert_eq!(booted(&Request::default(), "1Gi"), format!("HP104 fail {asked}"));
    assert_eq!(booted(&expect(&["1Gi@numa2>=2"]), "1Gi"), format!("HP104 warn {asked}"));
    assert_eq!(booted(&Request::default(), "2Mi"), "HP104 pass requested 32 pages at boot, all present");
    assert_eq!(
        found(&inventory, &expect(&["1Gi>=3", "1Gi@numa0>=1"]), "1Gi")[2],
        "HP103 fail not as expected (1Gi@numa0>=1): 0 on node0"
    );
}

#[test]
fn arm64_has_other_sizes_and_no_question_of_pdpe1gb() {
    let inventory = machine("arm64-4k");
    assert_eq!(
        pools_of(&inventory),
        [
            "64Ki 0/0/0/0/0/0 node0 0/0/0",
            "2Mi 64/64/0/0/0/64 node0 64/64/0",
            "32Mi 4/4/0/0/0/4 node0 4/4/0",
            "1Gi 0/0/0/0/0/0 node0 0/0/0",
        ]
    );
    assert_eq!(inventory.cpu_1gi, Reading::Absent);
    // hugepages=64 stands before any size: the default size's.
    assert_eq!(
        found(&inventory, &Request::default(), "2Mi")[3],
        "HP104 pass requested 64 pages at boot, all present"
    );
    assert_eq!(
        found(&inventory, &Request::default(), "32Mi")[3],
        "HP104 pass requested 4 pages at boot, all present"
    );

    let inventory = machine("arm64-64k");
    assert_eq!(
        pools_of(&inventory),
        ["2Mi 0/0/0/0/0/0 node0 0/0/0", "512Mi 8/6/0/0/0/8 node0 8/6/0", "16Gi 1/1/0/0/0/1 node0 1/1/0",]
    );
    assert_eq!(inventory.default_size, Reading::Known(size("512Mi")));
    assert_eq!(inventory.holders.as_ref().unwrap().untraced, [(size("512Mi"), 2)]);
    assert_eq!(inspect_machine(&inventory)[0].summary, "128 KiB set aside as broken");
    assert_eq!(
        found(&inventory, &expect(&["1Gi>=1"]), "1Gi")[0],
        "HP101 fail the kernel does not offer 1Gi (it offers 2Mi, 512Mi, 16Gi), although --expect 1Gi>=1 requires pages"
    );
}

#[test]
fn a_kernel_without_huge_pages_has_none_and_hides_none() {
    let inventory = machine("no-hugetlb");
    assert_eq!(inventory.pools, Reading::Absent);
    assert_eq!(inventory.nodes, Reading::Absent);
    assert_eq!(inventory.default_size, Reading::Absent);
    let of = |request: &Request| found(&inventory, request, "2Mi");
    assert!(of(&Request::default()).iter().all(|finding| finding.contains(" skip ")));
    let expected = of(&expect(&["2Mi>=4"]));
    assert_eq!(
        expected[0],
        "HP101 fail the kernel has no huge pages, although --expect 2Mi>=4 requires pages"
    );
    assert_eq!(expected[2], "HP103 fail not as expected (2Mi>=4): 0 pages");
}

#[test]
fn garbage_is_no_number_and_passes_no_check() {
    let inventory = machine("garbage");
    assert_eq!(
        pools_of(&inventory),
        [
            "2Mi malformed/malformed/malformed/malformed/malformed/malformed node0 malformed/malformed/absent",
            "64Mi unreadable/absent/absent/absent/absent/absent",
            "1Gi 2/malformed/malformed/malformed/malformed/2",
        ]
    );
    assert!(matches!(inventory.nodes, Reading::Malformed(_)));
    assert!(matches!(inventory.hardware_corrupted_bytes, Reading::Malformed(_)));
    assert!(matches!(inventory.default_size, Reading::Malformed(_)));
    assert!(matches!(inventory.host.boot_id, Reading::Malformed(_)));
    assert_eq!((inventory.host.name.as_str(), inventory.host.kernel.as_str()), ("?", "?"));
    assert_eq!(inventory.boot.known().unwrap().not_understood, ["hugepagesz=3M", "hugepages=many"]);
    for of in ["2Mi", "64Mi", "1Gi"] {
        for finding in inspect(&inventory, &expect(&[&format!("{of}>=1")]), size(of)) {
            let number = finding.id.number();
            // The one total that is a number, and a boot that asked for one page of 1Gi.
            let may_pass = of == "1Gi" && number == 101;
            let not_asked = matches!(number, 104 | 107) && finding.outcome == Outcome::Skip;
            assert!(may_pass || not_asked || finding.outcome == Outcome::Unknown, "{finding:#?}");
        }
    }
}
