//! Tests of HP405, at the numbers measured in docs/reference/workloads.md.

use super::*;

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
