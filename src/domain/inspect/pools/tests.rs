//! Tests of the HP1xx checks: the machines that they judge, and what is true of every machine.

mod dpdk;
mod outcomes;
mod remedies;

use proptest::prelude::*;

use super::*;
use crate::catalogue::HP105;
use crate::inventory::{
    BootPool, BootRequest, Directory, DirectoryKind, Holder, Holders, HugeMount, LeakedFile, LeakedSegment,
    NumaNode, NumaPool, Pool,
};

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
