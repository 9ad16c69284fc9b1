//! Tests of how DPDK counts the pages of the NUMA nodes.

use super::*;
use crate::workload::Workload;

#[test]
fn dpdk_takes_no_pages_of_a_node_without_a_cpu() {
    let found = |inventory: &Inventory, request: &Request| {
        inspect(inventory, request, LARGE).into_iter().find(|finding| finding.id == HP102).unwrap()
    };
    // Eight pages on each node, and node1 has only memory.
    let uneven = || with_nodes(&[(0, true), (1, false)], sound());
    let there = found(&uneven(), &need("1Gi=1@numa1"));
    assert_eq!((there.outcome, there.seen.as_str()), (Outcome::Fail, "node1"));
    assert_eq!(found(&uneven(), &need("1Gi=8@numa0")).outcome, Outcome::Pass);
    assert_eq!(found(&uneven(), &need("1Gi=8")).outcome, Outcome::Pass);
    let anywhere = found(&uneven(), &need("1Gi=9"));
    assert_eq!(
        (anywhere.outcome, anywhere.seen.as_str()),
        (Outcome::Fail, "8 there, 8 on nodes without a CPU")
    );
    // More than all nodes have: HP509 finds that.
    assert_eq!(found(&uneven(), &need("1Gi=17")).outcome, Outcome::Pass);
    // QEMU takes them.
    let qemu = Request { workload: Workload::Qemu, ..need("1Gi=1@numa1") };
    assert_eq!(found(&uneven(), &qemu).outcome, Outcome::Pass);
    // All nodes have a CPU, or that is not known.
    let even = with_nodes(&[(0, true), (1, true)], sound());
    assert_eq!(found(&even, &need("1Gi=9@numa1")).outcome, Outcome::Pass);
    let unknown = Inventory { nodes: unreadable(), ..sound() };
    assert_eq!(found(&unknown, &need("1Gi=9@numa1")).outcome, Outcome::Pass);
}

#[test]
fn dpdk_uses_overcommit_only_as_pages_of_node_0() {
    let found = |free: [u64; 2], text: &str| {
        let inventory = with_pool(|pool| {
            let free_of = |node: u32| Reading::Known(free[node as usize]);
            pool.total = Reading::Known(free[0] + free[1]);
            pool.free = pool.total.clone();
            pool.overcommit = Reading::Known(16);
            pool.numa = [0, 1]
                .map(|node| NumaPool {
                    node,
                    total: free_of(node),
                    free: free_of(node),
                    surplus: Reading::Known(0),
                })
                .into();
        });
        let findings = inspect(&inventory, &need(text), LARGE);
        findings.into_iter().find(|finding| finding.id == HP106).unwrap()
    };
    assert_eq!(found([0, 0], "1Gi=8@numa0").outcome, Outcome::Warn, "only overcommit, which is not for ever");
    let second = found([0, 0], "1Gi=8@numa1");
    assert_eq!((second.outcome, second.expected.as_str()), (Outcome::Fail, "8 free pages on node1"));
    let other = found([0, 8], "1Gi=8@numa0");
    assert_eq!((other.outcome, other.seen.as_str()), (Outcome::Fail, "0 free on node0, 16 by overcommit"));
    assert_eq!(found([0, 8], "1Gi=8@numa1").outcome, Outcome::Pass);
}
