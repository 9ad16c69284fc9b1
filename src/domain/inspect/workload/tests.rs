//! Tests that HP403 to HP406 and HP408 have each of their outcomes, at the numbers measured in
//! docs/reference/workloads.md.

mod ordinary_memory;

use super::*;
use crate::catalogue::{HP404, HP410, HP412, HP414};
use crate::inventory::{CpusInSysfs, Limits, NumaNode, Pool, Privileges};
use crate::request::Workload;
use Outcome::{Fail, Pass, Unknown, Warn};

const NONE: Limit = Limit { soft: None, hard: None };

fn limit(soft: u64, hard: u64) -> Reading<Limit> {
    Reading::Known(Limit { soft: Some(soft), hard: Some(hard) })
}

fn pool(size: &str, pages: u64) -> Pool {
    Pool {
        size: size.parse().unwrap(),
        total: Reading::Known(pages),
        free: Reading::Known(pages),
        reserved: Reading::Known(0),
        surplus: Reading::Known(0),
        overcommit: Reading::Known(0),
        mempolicy: Reading::Absent,
        numa: vec![],
    }
}

/// The machine on which the numbers were measured: 2Mi and 1Gi, one NUMA node, no limits, all capabilities.
/// The stack of a thread in the measurements, in bytes.
const STACK: u64 = 8 << 20;

fn inventory() -> Inventory {
    let unlimited = || Reading::Known(NONE);
    Inventory {
        pools: Reading::Known(vec![pool("2Mi", 64), pool("1Gi", 0)]),
        nodes: Reading::Known(vec![NumaNode { node: 0, cpus: Reading::Absent }]),
        limits: Limits {
            memlock: unlimited(),
            nofile: limit(1024, 4096),
            address_space: unlimited(),
            data: unlimited(),
            file_size: unlimited(),
            stack: limit(STACK, STACK),
            inherited_files: Reading::Known(vec![]),
            swap_bytes: Reading::Known(0),
        },
        cpus_in_sysfs: CpusInSysfs { with_core_id: Reading::Known(true), on_a_node: Reading::Known(true) },
        privileges: Privileges {
            capabilities: Reading::Known(u64::MAX),
            cpus: Reading::Known(2),
            ..Privileges::default()
        },
        ..Inventory::default()
    }
}

fn in_directory() -> Request {
    Request { directory: Some("/dev/hugepages".into()), ..dpdk(&[]) }
}

fn dpdk(need: &[&str]) -> Request {
    Request { need: need.iter().map(|text| text.parse().unwrap()).collect(), ..Request::default() }
}

fn qemu(need: &[&str]) -> Request {
    Request { workload: Workload::Qemu, ..dpdk(need) }
}

fn ovs(backend: &str) -> Request {
    let backend_need = vec![backend.parse().unwrap()];
    Request { workload: Workload::Ovs, backend_need, ..both() }
}

fn with_dir(request: Request) -> Request {
    Request { directory: Some("/mnt/huge".into()), ..request }
}

fn find(inventory: &Inventory, request: &Request, id: CheckId) -> Finding {
    let findings = inspect(inventory, request);
    assert_eq!(
        findings.iter().map(|finding| finding.id).collect::<Vec<_>>(),
        [HP403, HP404, HP405, HP406, HP408, HP410, HP412, HP414]
    );
    let finding = findings.into_iter().find(|finding| finding.id == id).unwrap();
    let answered = !finding.expected.is_empty() && !finding.seen.is_empty() && !finding.remedy.is_empty();
    assert_eq!(answered, finding.outcome != Pass, "{finding:?}");
    finding
}

#[test]
fn without_limits_everything_passes() {
    for request in [dpdk(&[]), qemu(&[]), dpdk(&["2Mi=512", "1Gi=16"])] {
        for finding in inspect(&inventory(), &request) {
            assert_eq!(finding.outcome, Pass, "{finding:?}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let nothing = Inventory::default();
    for id in [HP403, HP404, HP405, HP406, HP408] {
        assert_eq!(find(&nothing, &dpdk(&[]), id).outcome, Unknown, "{id}");
    }
    assert_eq!(find(&nothing, &qemu(&[]), HP403).outcome, Pass, "QEMU locks nothing");
}

#[test]
fn a_frontend_with_a_file_for_each_page_has_eight_at_most() {
    let frontend = |workload, pages: u64| Request {
        workload,
        frontend_need: vec![format!("2Mi={pages}").parse().unwrap()],
        ..Request::default()
    };
    for (request, outcome) in [
        (frontend(Workload::DpdkFilePerPage, 8), Pass),
        (frontend(Workload::DpdkFilePerPage, 9), Fail),
        (frontend(Workload::DpdkLegacyMem, 9), Fail),
        (frontend(Workload::Dpdk, 9), Pass),
        (frontend(Workload::Ovs, 9), Pass),
        (Request { workload: Workload::DpdkFilePerPage, ..dpdk(&["2Mi=9"]) }, Pass),
    ] {
        assert_eq!(find(&inventory(), &request, HP412).outcome, outcome, "{request:?}");
    }
}

/// A frontend and a backend in one place.
fn both() -> Request {
    Request {
        frontend_need: vec!["2Mi=8".parse().unwrap()],
        backend_need: vec!["2Mi=8".parse().unwrap()],
        ..Request::default()
    }
}

#[test]
fn memlock_is_a_warning_where_memory_could_be_swapped() {
    const G: u64 = 1 << 30;
    let all = Reading::Known(u64::MAX);
    let without_lock = Reading::Known(u64::MAX ^ (1 << CAP_IPC_LOCK));
    for (bytes, swap, capabilities, outcome) in [
        (8 << 20, Reading::Known(0), without_lock.clone(), Pass),
        (8 << 20, Reading::Known(G), all.clone(), Pass),
        (8 << 20, Reading::Known(G), without_lock.clone(), Warn),
        (0, Reading::Known(G), without_lock.clone(), Warn),
        (128 * G - 1, Reading::Known(G), without_lock.clone(), Warn),
        (128 * G, Reading::Known(G), without_lock.clone(), Pass),
        (8 << 20, Reading::Absent, without_lock, Unknown),
        (8 << 20, Reading::Known(G), Reading::Absent, Unknown),
        (8 << 20, Reading::Known(0), Reading::Absent, Pass),
    ] {
        let mut inventory = inventory();
        inventory.limits.memlock = limit(bytes, bytes);
        inventory.limits.swap_bytes = swap.clone();
        inventory.privileges.capabilities = capabilities.clone();
        let finding = find(&inventory, &dpdk(&[]), HP403);
        assert_eq!(finding.outcome, outcome, "{bytes} {swap:?} {capabilities:?}");
    }
}

#[test]
fn descriptors_are_judged_at_the_numbers_measured() {
    for (request, soft, hard, outcome) in [
        (dpdk(&[]), 12, 24, Fail),
        (dpdk(&[]), 9, 4096, Fail),
        (dpdk(&[]), 10, 4096, Pass),
        (with_dir(dpdk(&[])), 11, 4096, Fail),
        (dpdk(&[]), 12, 25, Warn),
        (dpdk(&[]), 12, 38, Warn),
        (dpdk(&[]), 12, 39, Pass),
        (with_dir(dpdk(&[])), 31, 31, Fail),
        (with_dir(dpdk(&[])), 32, 32, Warn),
        (with_dir(dpdk(&[])), 46, 46, Pass),
        (with_dir(dpdk(&["1Gi=1"])), 29, 29, Fail),
        (with_dir(dpdk(&["1Gi=1"])), 30, 30, Pass),
        (dpdk(&["2Mi=512"]), 1024, 1046, Warn),
        (dpdk(&["2Mi=512"]), 1024, 1047, Pass),
        (dpdk(&["2Mi=256@numa0", "2Mi=256@numa1"]), 1024, 1046, Warn),
        // 57, one for each page of its own, and one region of each of two ports.
        (ovs("2Mi=32"), 12, 90, Fail),
        (ovs("2Mi=32"), 12, 91, Unknown),
        (ovs("2Mi=32"), 12, 98, Unknown),
        (ovs("2Mi=32"), 12, 99, Warn),
        (ovs("2Mi=32"), 12, 112, Warn),
        (ovs("2Mi=32"), 12, 113, Pass),
        (ovs("2Mi=32"), 9, 4096, Fail),
        (Request { frontend_need: vec!["2Mi=512".parse().unwrap()], ..ovs("2Mi=32") }, 12, 113, Pass),
        (qemu(&[]), 17, 4096, Fail),
        (qemu(&[]), 18, 4096, Pass),
        (qemu(&["2Mi=8@numa0", "2Mi=8@numa1"]), 18, 4096, Fail),
        (qemu(&["2Mi=8@numa0", "2Mi=8@numa1"]), 19, 4096, Pass),
    ] {
        let mut inventory = inventory();
        inventory.limits.nofile = limit(soft, hard);
        let finding = find(&inventory, &request, HP404);
        assert_eq!(finding.outcome, outcome, "{:?} {soft} {hard}: {finding:?}", request.workload);
    }
    let mut inventory = inventory();
    inventory.limits.nofile = Reading::Known(NONE);
    assert_eq!(find(&inventory, &dpdk(&["2Mi=1000000"]), HP404).summary, "no limit");
}

#[test]
fn address_space_is_judged_at_the_numbers_measured() {
    const M: u64 = 1 << 20;
    const R: u64 = 128 << 30;
    let mut inventory = inventory();
    for (request, soft, outcome) in [
        (dpdk(&[]), R, Fail),
        (dpdk(&[]), R + 128 * M - 1, Fail),
        (dpdk(&[]), R + 128 * M, Warn),
        (dpdk(&[]), R + 128 * M + 1024 * M, Pass),
        (dpdk(&["2Mi=512"]), R + 128 * M, Fail),
        (with_dir(dpdk(&[])), R / 2 + 136 * M, Warn),
        (with_dir(dpdk(&[])), R / 2 + 135 * M, Fail),
        (ovs("2Mi=32"), R + 960 * M - 1, Fail),
        (ovs("2Mi=32"), R + 960 * M, Warn),
        (ovs("2Mi=32"), R + 1984 * M, Pass),
        (qemu(&[]), 1304 * M - 1, Fail),
        (qemu(&[]), 1304 * M, Pass),
        (qemu(&["2Mi=512"]), 1304 * M, Fail),
    ] {
        inventory.limits.address_space = limit(soft, soft);
        assert_eq!(find(&inventory, &request, HP405).outcome, outcome, "{:?} {soft}", request.workload);
    }
    // A second node doubles what DPDK reserves, unless it has no CPU.
    for (cpus, outcome) in [(vec![1], Fail), (vec![], Warn)] {
        let nodes = [(0, vec![0]), (1, cpus)];
        let node = |(node, cpus)| NumaNode { node, cpus: Reading::Known(cpus) };
        inventory.nodes = Reading::Known(nodes.map(node).into());
        inventory.limits.address_space = limit(R + 128 * M, R + 128 * M);
        assert_eq!(find(&inventory, &dpdk(&[]), HP405).outcome, outcome);
    }
    // It is not known how much DPDK would reserve. Only a limit that is enough for the maximum passes.
    inventory.nodes = Reading::Unreadable("EACCES".into());
    for (soft, outcome) in [(R + 128 * M, Unknown), ((514 << 30) + 128 * M, Pass)] {
        inventory.limits.address_space = limit(soft, soft);
        assert_eq!(find(&inventory, &dpdk(&[]), HP405).outcome, outcome, "{soft}");
    }
}

#[test]
fn private_memory_is_judged_at_the_numbers_measured() {
    const M: u64 = 1 << 20;
    let mut inventory = inventory();
    for (request, soft, outcome) in [
        (dpdk(&[]), 53 * M - 1, Fail),
        (dpdk(&[]), 53 * M, Warn),
        (in_directory(), 61 * M - 1, Fail),
        (in_directory(), 61 * M, Warn),
        (dpdk(&[]), 2048 * M, Pass),
        (ovs("2Mi=32"), 127 * M - 1, Fail),
        (ovs("2Mi=32"), 127 * M, Warn),
        (qemu(&[]), 75 * M - 1, Fail),
        (qemu(&[]), 1066 * M - 1, Unknown),
        (qemu(&[]), 1066 * M, Warn),
    ] {
        inventory.limits.data = limit(soft, soft);
        let finding = find(&inventory, &request, HP405);
        assert_eq!(finding.outcome, outcome, "{soft}");
        assert_eq!(outcome == Pass, !finding.summary.contains("RLIMIT_DATA"), "{finding:?}");
    }
    // 64 CPUs: Open vSwitch has 62 more threads than on two.
    inventory.privileges.cpus = Reading::Known(64);
    for (soft, outcome) in [(623 * M - 1, Fail), (623 * M, Warn)] {
        inventory.limits.data = limit(soft, soft);
        assert_eq!(find(&inventory, &ovs("2Mi=32"), HP405).outcome, outcome, "{soft}");
    }
    // With 512 CPUs, the stacks alone are more than what is enough for every other workload.
    inventory.privileges.cpus = Reading::Known(512);
    inventory.limits.data = limit(2048 * M, 2048 * M);
    assert_eq!(find(&inventory, &ovs("2Mi=32"), HP405).outcome, Fail);
    inventory.limits.address_space = limit(M, M);
    assert_eq!(find(&inventory, &dpdk(&[]), HP405).outcome, Fail, "the worse of both");
}

#[test]
fn larger_stacks_of_threads_need_more_private_memory_and_addresses() {
    const M: u64 = 1 << 20;
    const R: u64 = 128 << 30;
    let mut inventory = inventory();
    inventory.limits.stack = limit(64 * M, 64 * M);
    let unlimited = inventory.limits.clone();
    for (request, soft, outcome) in [
        (dpdk(&[]), 333 * M - 1, Fail),
        (dpdk(&[]), 333 * M, Warn),
        (ovs("2Mi=32"), (31 + 12 * 64) * M - 1, Fail),
        (ovs("2Mi=32"), (31 + 12 * 64) * M, Warn),
    ] {
        inventory.limits.data = limit(soft, soft);
        assert_eq!(find(&inventory, &request, HP405).outcome, outcome, "{soft}");
    }
    inventory.limits = unlimited;
    // 16 MiB are those of the peer.
    for (soft, outcome) in [(R + (72 + 320 + 16) * M - 1, Fail), (R + (72 + 320 + 16) * M, Warn)] {
        inventory.limits.address_space = limit(soft, soft);
        assert_eq!(find(&inventory, &dpdk(&[]), HP405).outcome, outcome, "{soft}");
    }
}

#[test]
fn where_the_cpus_are_not_known_the_limits_of_open_vswitch_are_unknown() {
    const M: u64 = 1 << 20;
    let mut inventory = inventory();
    inventory.privileges.cpus = Reading::Unreadable("sched_getaffinity: EPERM".into());
    let unlimited = inventory.limits.clone();
    for (data, outcome) in [(127 * M - 1, Fail), (127 * M, Unknown), (4096 * M, Unknown)] {
        inventory.limits.data = limit(data, data);
        assert_eq!(find(&inventory, &ovs("2Mi=32"), HP405).outcome, outcome, "{data}");
        assert_ne!(
            find(&inventory, &dpdk(&[]), HP405).outcome,
            Unknown,
            "testpmd has the same threads everywhere"
        );
    }
    // The space reserved for two page sizes, 128 MiB, 12 heaps of 64 MiB, and the pages.
    let least = (128 << 30) + 960 * M;
    inventory.limits = unlimited;
    for (space, outcome) in [(least - 1, Fail), (least, Unknown), (600 << 30, Unknown)] {
        inventory.limits.address_space = limit(space, space);
        assert_eq!(find(&inventory, &ovs("2Mi=32"), HP405).outcome, outcome, "{space}");
    }
}

#[test]
fn file_size_is_judged_at_the_numbers_measured() {
    const M: u64 = 1 << 20;
    let mut inventory = inventory();
    for (request, soft, outcome) in [
        (dpdk(&[]), 1024 * M - 1, Fail),
        (dpdk(&[]), 1024 * M, Pass),
        (with_dir(dpdk(&[])), 16 * M - 1, Fail),
        (with_dir(dpdk(&[])), 16 * M, Pass),
        (with_dir(dpdk(&["2Mi=16@numa0", "2Mi=16@numa1"])), 63 * M, Fail),
        (Request { workload: Workload::DpdkFilePerPage, ..with_dir(dpdk(&[])) }, 2 * M - 1, Fail),
        (Request { workload: Workload::DpdkLegacyMem, ..with_dir(dpdk(&[])) }, 1, Pass),
        (qemu(&[]), 16 * M, Pass),
        (qemu(&["2Mi=16@numa0", "2Mi=16@numa1"]), 32 * M, Pass),
        (qemu(&["2Mi=16@numa0", "2Mi=16@numa1"]), 31 * M, Fail),
    ] {
        inventory.limits.file_size = limit(soft, soft);
        assert_eq!(find(&inventory, &request, HP406).outcome, outcome, "{:?} {soft}", request.workload);
    }
    inventory.pools = Reading::Unreadable("EACCES".into());
    inventory.limits.file_size = limit(64 * M, 64 * M);
    assert_eq!(find(&inventory, &dpdk(&[]), HP406).outcome, Unknown);
}

#[test]
fn no_capability_is_needed_and_those_there_are_told() {
    let mut inventory = inventory();
    inventory.privileges.capabilities = Reading::Known(0);
    let finding = find(&inventory, &dpdk(&[]), HP408);
    assert_eq!(finding.outcome, Pass);
    assert_eq!(finding.summary, "none is needed (lacks CAP_IPC_LOCK, lacks CAP_SYS_NICE)");
}

#[test]
fn where_nothing_is_asked_for_the_least_is_of_the_smallest_size_with_pages() {
    let mut inventory = inventory();
    inventory.limits.address_space = limit((128 << 30) + (128 << 20), 1 << 40);
    assert_eq!(find(&inventory, &dpdk(&[]), HP405).outcome, Warn);
    inventory.pools = Reading::Known(vec![pool("2Mi", 0), pool("1Gi", 2)]);
    assert_eq!(find(&inventory, &dpdk(&[]), HP405).outcome, Fail, "one page of 1Gi is the least");
    let named = Request { sizes: vec!["2Mi".parse().unwrap()], ..dpdk(&[]) };
    assert_eq!(find(&inventory, &named, HP405).outcome, Warn);
}

#[test]
fn descriptors_that_are_inherited_are_not_the_workloads() {
    for (soft, hard, inherited, request, outcome) in [
        (27, 27, &[3, 4, 5][..], dpdk(&["2Mi=1"]), Fail),
        (28, 28, &[3, 4, 5], dpdk(&["2Mi=1"]), Pass),
        (28, 28, &[3, 4, 5], with_dir(dpdk(&["2Mi=1"])), Fail),
        (20, 20, &[3, 4, 5], qemu(&["2Mi=8"]), Fail),
        (21, 21, &[3, 4, 5], qemu(&["2Mi=8"]), Pass),
        // Descriptors with numbers beyond the limit do not count against it.
        (25, 25, &[251], dpdk(&["2Mi=1"]), Pass),
        (12, 64, &[251], dpdk(&["2Mi=1"]), Pass),
        (10, 64, &[9], dpdk(&["2Mi=1"]), Fail),
    ] {
        let mut inventory = inventory();
        inventory.limits.nofile = limit(soft, hard);
        inventory.limits.inherited_files = Reading::Known(inherited.to_vec());
        let finding = find(&inventory, &request, HP404);
        assert_eq!(finding.outcome, outcome, "{soft} {hard} {inherited:?} {request:?}");
    }
}

#[test]
fn descriptors_that_cannot_be_counted_make_a_pass_unknown() {
    let mut inventory = inventory();
    inventory.limits.nofile = limit(64, 64);
    inventory.limits.inherited_files = Reading::Unreadable("cannot read /proc/self/fdinfo/3".to_owned());
    let finding = find(&inventory, &dpdk(&["2Mi=1"]), HP404);
    assert_eq!(finding.outcome, Unknown);
    assert!(finding.remedy.contains("fdinfo/3"), "{finding:?}");
    inventory.limits.nofile = limit(9, 9);
    assert_eq!(find(&inventory, &dpdk(&["2Mi=1"]), HP404).outcome, Fail);
}

#[test]
fn limits_of_a_process_are_for_the_role_that_needs_more() {
    let roles = Request {
        frontend_need: vec!["2Mi=8".parse().unwrap()],
        backend_need: vec!["2Mi=8".parse().unwrap()],
        ..Request::default()
    };
    let mut inventory = inventory();
    inventory.limits.nofile = limit(38, 38);
    assert_eq!(find(&inventory, &roles, HP404).outcome, Warn, "23 and two for each of 8 pages are 39");
    inventory.limits.nofile = limit(39, 39);
    assert_eq!(find(&inventory, &roles, HP404).outcome, Pass);
    const M: u64 = 1 << 20;
    for (soft, outcome) in [(16 * M - 1, Fail), (16 * M, Pass)] {
        inventory.limits.file_size = limit(soft, soft);
        assert_eq!(find(&inventory, &with_dir(roles.clone()), HP406).outcome, outcome, "{soft}");
    }
    for (soft, outcome) in [((128 << 30) + 128 * M - 1, Fail), ((128 << 30) + 128 * M, Warn)] {
        inventory.limits.address_space = limit(soft, soft);
        assert_eq!(find(&inventory, &roles, HP405).outcome, outcome, "{soft}");
    }
    let backend_needs_more = Request { backend_need: vec!["2Mi=9".parse().unwrap()], ..roles };
    inventory.limits.file_size = limit(16 * M, 16 * M);
    assert_eq!(find(&inventory, &with_dir(backend_needs_more), HP406).outcome, Fail);
}
