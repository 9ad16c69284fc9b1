//! Tables of counters that were seen on real kernels, and properties checked against a small model of the kernel's
//! pool.

use proptest::prelude::*;

use super::*;

/// Counters of a machine with one NUMA node.
fn counters(total: u64, free: u64, reserved: u64, surplus: u64) -> Counters {
    Counters { total, free, reserved, surplus, numa: vec![NodeCounters { node: 0, total, free, surplus }] }
}

/// Counters of a machine with two NUMA nodes: (total, free, surplus) each.
fn two(reserved: u64, nodes: [(u64, u64, u64); 2]) -> Counters {
    let numa: Vec<_> = (0..)
        .zip(nodes)
        .map(|(node, (total, free, surplus))| NodeCounters { node, total, free, surplus })
        .collect();
    let sum = |count: fn(&NodeCounters) -> u64| numa.iter().map(count).sum();
    Counters { total: sum(|n| n.total), free: sum(|n| n.free), reserved, surplus: sum(|n| n.surplus), numa }
}

fn movement(before: &Counters, step: Step, numa: &[(u32, u64)], after: &Counters) -> Movement {
    Movement {
        step: String::new(),
        documented: step.documented(),
        before: before.clone(),
        expected: step.expect(before, after, numa),
        after: after.clone(),
    }
}

#[test]
fn the_steps_move_the_counters_as_seen_on_real_kernels() {
    let reserve = |pages| Step::Reserve { pages, held: 0 };
    let touch = Step::Touch { pages: 1 };
    let release = |touched, unused| Step::Release { touched, unused, held: 0 };
    let populate = |pages| Step::Populate { pages, held: 0 };
    for (step, before, after) in [
        // A pool that nothing else uses.
        (reserve(2), counters(16, 16, 0, 0), counters(16, 16, 2, 0)),
        (touch, counters(16, 16, 2, 0), counters(16, 15, 1, 0)),
        (touch, counters(16, 15, 1, 0), counters(16, 14, 0, 0)),
        (release(2, 0), counters(16, 14, 0, 0), counters(16, 16, 0, 0)),
        (release(1, 1), counters(16, 15, 1, 0), counters(16, 16, 0, 0)),
        (populate(2), counters(16, 16, 0, 0), counters(16, 14, 0, 0)),
        // 66 pages with overcommit 2: mapping free + 2 pages grows the pool at once, and the release shrinks it again.
        (reserve(66), counters(64, 64, 0, 0), counters(66, 66, 66, 2)),
        (touch, counters(66, 66, 66, 2), counters(66, 65, 65, 2)),
        (release(1, 65), counters(66, 65, 65, 2), counters(64, 64, 0, 0)),
        (populate(66), counters(64, 64, 0, 0), counters(66, 0, 0, 2)),
        (release(66, 0), counters(66, 0, 0, 2), counters(64, 64, 0, 0)),
        // Only overcommit, no persistent page.
        (reserve(2), counters(0, 0, 0, 0), counters(2, 2, 2, 2)),
        (release(1, 1), counters(2, 1, 1, 2), counters(0, 0, 0, 0)),
        // The first page that is freed removes the surplus of another process. Persistent and used pages are as before.
        (touch, counters(10, 3, 1, 2), counters(10, 2, 0, 2)),
        (release(1, 0), counters(10, 2, 0, 2), counters(9, 2, 0, 1)),
    ] {
        let moved = movement(&before, step, &[], &after);
        assert!(moved.is_as_expected(), "{step:?}: {}", moved.off_by());
    }
}

#[test]
fn counters_that_do_not_move_are_not_as_documented() {
    let still = counters(16, 16, 4, 0);
    for step in [
        Step::Reserve { pages: 2, held: 0 },
        Step::Touch { pages: 1 },
        Step::Populate { pages: 2, held: 0 },
        Step::Release { touched: 2, unused: 0, held: 0 },
        Step::Release { touched: 0, unused: 2, held: 0 },
    ] {
        assert!(!movement(&still, step, &[], &still).is_as_expected(), "{step:?}");
    }
    assert!(movement(&still, Step::Nothing, &[], &still).is_as_expected());
}

#[test]
fn counters_that_would_fall_below_zero_are_not_as_documented() {
    let none = counters(8, 8, 0, 0);
    for step in [Step::Touch { pages: 1 }, Step::Release { touched: 0, unused: 1, held: 0 }] {
        assert!(!movement(&none, step, &[], &none).is_as_expected(), "{step:?}");
    }
}

#[test]
fn a_page_is_expected_on_the_numa_node_that_the_mapping_names() {
    let before = two(1, [(4, 4, 0), (4, 4, 0)]);
    let on_1 = two(0, [(4, 4, 0), (4, 3, 0)]);
    let touch = Step::Touch { pages: 1 };
    assert!(movement(&before, touch, &[(1, 1)], &on_1).is_as_expected());
    assert!(!movement(&before, touch, &[(0, 1)], &on_1).is_as_expected());
    assert!(movement(&before, touch, &[], &on_1).is_as_expected());
}

#[test]
fn a_mount_with_min_size_pays_for_what_it_holds_and_no_more() {
    let before = counters(16, 16, 4, 0);
    let step = Step::Reserve { pages: 2, held: 4 };
    for (reserved, good) in [(3, false), (4, true), (5, true), (6, true), (7, false)] {
        let after = counters(16, 16, reserved, 0);
        assert_eq!(movement(&before, step, &[], &after).is_as_expected(), good, "reserved {reserved}");
    }
    let touched = counters(16, 14, 2, 0);
    let populate = Step::Populate { pages: 2, held: 4 };
    assert!(movement(&before, populate, &[], &touched).is_as_expected());
    let release = Step::Release { touched: 2, unused: 0, held: 4 };
    assert!(movement(&touched, release, &[], &before).is_as_expected());
}

#[test]
fn surplus_pages_that_come_and_go_are_not_a_difference() {
    let before = counters(16, 16, 0, 0);
    let step = Step::Reserve { pages: 2, held: 0 };
    assert!(movement(&before, step, &[], &counters(19, 19, 2, 3)).is_as_expected());
    assert!(!movement(&before, step, &[], &counters(19, 19, 2, 2)).is_as_expected());
}

#[test]
fn a_difference_is_named() {
    let off_by = |after: &Counters| {
        let before = counters(16, 16, 0, 0);
        movement(&before, Step::Nothing, &[], after).off_by()
    };
    assert_eq!(off_by(&counters(16, 15, 2, 0)), "free -1, reserved +2, node0 free -1");
    assert_eq!(off_by(&counters(16, 16, 0, 0)), "");
}

/// A small model of the kernel's pool: what `mm/hugetlb.c` does under its lock.
#[derive(Debug, Clone)]
struct Pool {
    nodes: Vec<NodeCounters>,
    reserved: u64,
}

impl Pool {
    fn counters(&self) -> Counters {
        let sum = |count: fn(&NodeCounters) -> u64| self.nodes.iter().map(count).sum();
        Counters {
            total: sum(|n| n.total),
            free: sum(|n| n.free),
            reserved: self.reserved,
            surplus: sum(|n| n.surplus),
            numa: self.nodes.clone(),
        }
    }

    fn reserve(&mut self, pages: u64, choice: usize) {
        while self.reserved + pages > self.counters().free {
            let count = self.nodes.len();
            let node = &mut self.nodes[choice % count];
            node.total += 1;
            node.free += 1;
            node.surplus += 1;
        }
        self.reserved += pages;
    }

    fn touch(&mut self, choice: usize) -> u32 {
        let count = self.nodes.len();
        let index = (0..count).map(|i| (choice + i) % count).find(|i| self.nodes[*i].free > 0).unwrap();
        self.nodes[index].free -= 1;
        self.reserved -= 1;
        self.nodes[index].node
    }

    fn release(&mut self, touched: &[u32], unused: u64) {
        for number in touched {
            let node = self.nodes.iter_mut().find(|node| node.node == *number).unwrap();
            if node.surplus > 0 {
                node.surplus -= 1;
                node.total -= 1;
            } else {
                node.free += 1;
            }
        }
        self.reserved -= unused;
        for _ in 0..unused.min(self.counters().surplus) {
            let Some(node) = self.nodes.iter_mut().find(|node| node.surplus > 0 && node.free > 0) else {
                break;
            };
            node.total -= 1;
            node.free -= 1;
            node.surplus -= 1;
        }
    }
}

prop_compose! {
    fn pool()(nodes in prop::collection::vec((0_u64..4, 0_u64..6, 0_u64..4), 1..4), reserved in 0_u64..8) -> Pool {
        let nodes: Vec<_> = (0..).zip(nodes).map(|(node, (used, free, surplus))| {
            NodeCounters { node, total: used + free, free, surplus: surplus.min(used + free) }
        }).collect();
        let free: u64 = nodes.iter().map(|node| node.free).sum();
        Pool { nodes, reserved: reserved.min(free) }
    }
}

fn any_counters() -> impl Strategy<Value = Counters> {
    let node =
        any::<[u64; 3]>().prop_map(|[total, free, surplus]| NodeCounters { node: 0, total, free, surplus });
    (any::<[u64; 4]>(), prop::collection::vec(node, 0..3)).prop_map(
        |([total, free, reserved, surplus], numa)| Counters { total, free, reserved, surplus, numa },
    )
}

proptest! {
    #[test]
    fn what_the_kernel_does_is_expected(
        mut pool in pool(), pages in 1_u64..4, touched in 0_u64..4, choice in 0_usize..3, blind: bool
    ) {
        let touched = touched.min(pages);
        let start = pool.counters();
        let step = |pool: &mut Pool, step: Step, act: &mut dyn FnMut(&mut Pool) -> Vec<(u32, u64)>| {
            let before = pool.counters();
            let numa = act(pool);
            let moved = movement(&before, step, if blind { &[] } else { &numa }, &pool.counters());
            prop_assert!(moved.is_as_expected(), "{:?} from {:?}: {}", step, before, moved.off_by());
            Ok(())
        };
        step(&mut pool, Step::Reserve { pages, held: 0 }, &mut |pool| {
            pool.reserve(pages, choice);
            Vec::new()
        })?;
        let mut on = Vec::new();
        for index in 0..touched {
            let choice = choice + usize::try_from(index).unwrap();
            step(&mut pool, Step::Touch { pages: 1 }, &mut |pool| {
                on.push(pool.touch(choice));
                vec![(on[on.len() - 1], 1)]
            })?;
        }
        let unused = pages - touched;
        step(&mut pool, Step::Release { touched, unused, held: 0 }, &mut |pool| {
            pool.release(&on, unused);
            on.iter().map(|node| (*node, 1)).collect()
        })?;
        let end = pool.counters();
        prop_assert_eq!(end.used(), start.used());
        prop_assert_eq!(end.reserved, start.reserved);
        prop_assert_eq!(end.total - end.surplus, start.total - start.surplus);
    }

    #[test]
    fn a_page_gone_astray_is_never_as_expected(mut pool in pool(), pages in 1_u64..4) {
        let before = pool.counters();
        pool.reserve(pages, 0);
        let mut after = pool.counters();
        after.free += 1;
        let step = Step::Reserve { pages, held: 0 };
        prop_assert!(!movement(&before, step, &[], &after).is_as_expected());
    }

    #[test]
    fn no_counters_panic(before in any_counters(), seen in any_counters(), pages: u64, unused: u64, held: u64) {
        for step in [
            Step::Nothing,
            Step::Reserve { pages, held },
            Step::Touch { pages },
            Step::Populate { pages, held },
            Step::Release { touched: pages, unused, held },
        ] {
            let _ = movement(&before, step, &[(0, pages), (1, unused)], &seen).off_by();
        }
    }
}
