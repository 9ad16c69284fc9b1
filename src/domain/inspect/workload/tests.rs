//! Tests that HP403, HP406, HP408, HP412 and HP414 have each of their outcomes, at the numbers measured in
//! docs/reference/workloads.md.

mod addresses;
mod descriptors;
mod ordinary_memory;

use super::*;
use crate::catalogue::{HP404, HP405, HP410, HP412, HP414, HP415};
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

/// The stack of a thread in the measurements, in bytes.
const STACK: u64 = 8 << 20;

/// The machine on which the numbers were measured: 2Mi and 1Gi, one NUMA node, no limits, all capabilities.
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
            cpu_time: unlimited(),
            inherited_files: Reading::Known(vec![]),
            swap_bytes: Reading::Known(0),
            overcommit: Reading::Known(0),
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
        [HP403, HP404, HP405, HP406, HP408, HP410, HP412, HP414, HP415]
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

#[test]
fn a_limit_of_cpu_time_ends_what_polls() {
    let mut inventory = inventory();
    inventory.limits.cpu_time = limit(3600, 7200);
    for (request, outcome) in [(dpdk(&[]), Fail), (ovs("2Mi=32"), Fail), (qemu(&[]), Warn)] {
        assert_eq!(find(&inventory, &request, HP415).outcome, outcome, "{:?}", request.workload);
    }
}
