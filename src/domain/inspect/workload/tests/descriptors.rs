//! Tests of HP404, at the numbers measured in docs/reference/workloads.md.

use super::*;

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
