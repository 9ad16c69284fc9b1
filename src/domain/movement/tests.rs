//! Tables of what was seen on real kernels, and properties against a small model of the kernel's pool.

use proptest::prelude::*;

use super::*;

/// One NUMA node.
fn counters(total: u64, free: u64, reserved: u64, surplus: u64) -> Counters {
    Counters { total, free, reserved, surplus, numa: vec![NodeCounters { node: 0, total, free, surplus }] }
}

/// Two NUMA nodes: (total, free, surplus) each.
fn two(reserved: u64, nodes: [(u64, u64, u64); 2]) -> Counters {
    let numa: Vec<_> = (0..)
        .zip(nodes)
        .map(|(node, (total, free, surplus))| NodeCounters { node, total, free, surplus })
        .collect();
    let sum = |count: fn(&NodeCounters) -> u64| numa.iter().map(count).sum();
    Counters { total: sum(|n| n.total), free: sum(|n| n.free), reserved, surplus: sum(|n| n.surplus), numa }
}

fn placed(numa: &[(u32, u64)]) -> Placed {
    Placed { pages: numa.iter().map(|(_, pages)| pages).sum(), numa: numa.to_vec() }
}

fn movement(before: &Counters, step: &Step, after: &Counters) -> Movement {
    Movement {
        step: String::new(),
        documented: String::new(),
        before: before.clone(),
        expected: step.expect(before, after),
        after: after.clone(),
        figures: Vec::new(),
    }
}

#[test]
fn the_steps_move_the_counters_as_seen_on_real_kernels() {
    let reserve = |pages| Step::Reserve { pages, held: 0 };
    let touch = Step::Touch(placed(&[(0, 1)]));
    let release = |pages, unused| Step::Release { placed: placed(&[(0, pages)]), unused, held: 0 };
    let populate = |pages| Step::Populate { placed: placed(&[(0, pages)]), held: 0 };
    for (step, before, after) in [
        // A quiet pool.
        (reserve(2), counters(16, 16, 0, 0), counters(16, 16, 2, 0)),
        (touch.clone(), counters(16, 16, 2, 0), counters(16, 15, 1, 0)),
        (touch.clone(), counters(16, 15, 1, 0), counters(16, 14, 0, 0)),
        (release(2, 0), counters(16, 14, 0, 0), counters(16, 16, 0, 0)),
        (release(1, 1), counters(16, 15, 1, 0), counters(16, 16, 0, 0)),
        (populate(2), counters(16, 16, 0, 0), counters(16, 14, 0, 0)),
        // 66 pages with overcommit 2: mapping free + 2 grows the pool at once, release takes it back.
        (reserve(66), counters(64, 64, 0, 0), counters(66, 66, 66, 2)),
        (touch.clone(), counters(66, 66, 66, 2), counters(66, 65, 65, 2)),
        (release(1, 65), counters(66, 65, 65, 2), counters(64, 64, 0, 0)),
        (populate(66), counters(64, 64, 0, 0), counters(66, 0, 0, 2)),
        (release(66, 0), counters(66, 0, 0, 2), counters(64, 64, 0, 0)),
        // Only overcommit, no persistent page.
        (reserve(2), counters(0, 0, 0, 0), counters(2, 2, 2, 2)),
        (release(1, 1), counters(2, 1, 1, 2), counters(0, 0, 0, 0)),
        // Somebody else's surplus goes with the first page that is freed: persistent and used pages are as before.
        (touch, counters(10, 3, 1, 2), counters(10, 2, 0, 2)),
        (release(1, 0), counters(10, 2, 0, 2), counters(9, 2, 0, 1)),
    ] {
        let moved = movement(&before, &step, &after);
        assert!(moved.is_as_expected(), "{step:?}: {}", moved.deviation());
    }
}

#[test]
fn counters_that_do_not_move_are_not_as_documented() {
    let still = counters(16, 16, 4, 0);
    for step in [
        Step::Reserve { pages: 2, held: 0 },
        Step::Touch(Placed::somewhere(1)),
        Step::Populate { placed: Placed::somewhere(2), held: 0 },
        Step::Release { placed: Placed::somewhere(2), unused: 0, held: 0 },
        Step::Release { placed: Placed::somewhere(0), unused: 2, held: 0 },
    ] {
        assert!(!movement(&still, &step, &still).is_as_expected(), "{step:?}");
    }
}

#[test]
fn a_page_is_expected_on_the_numa_node_that_the_mapping_names() {
    let before = two(1, [(4, 4, 0), (4, 4, 0)]);
    let on_1 = two(0, [(4, 4, 0), (4, 3, 0)]);
    assert!(movement(&before, &Step::Touch(placed(&[(1, 1)])), &on_1).is_as_expected());
    assert!(!movement(&before, &Step::Touch(placed(&[(0, 1)])), &on_1).is_as_expected());
    assert!(movement(&before, &Step::Touch(Placed::somewhere(1)), &on_1).is_as_expected());
    let nowhere = Counters { free: 7, reserved: 0, ..before.clone() };
    assert!(!movement(&before, &Step::Touch(Placed::somewhere(1)), &nowhere).is_as_expected());
}

#[test]
fn a_mount_with_min_size_pays_for_what_it_holds_and_no_more() {
    let before = counters(16, 16, 4, 0);
    let step = Step::Reserve { pages: 2, held: 4 };
    for (reserved, good) in [(3, false), (4, true), (5, true), (6, true), (7, false)] {
        let after = counters(16, 16, reserved, 0);
        assert_eq!(movement(&before, &step, &after).is_as_expected(), good, "reserved {reserved}");
    }
    let touched = counters(16, 14, 2, 0);
    let populate = Step::Populate { placed: placed(&[(0, 2)]), held: 4 };
    assert!(movement(&before, &populate, &touched).is_as_expected());
    let release = Step::Release { placed: placed(&[(0, 2)]), unused: 0, held: 4 };
    assert!(movement(&touched, &release, &before).is_as_expected());
}

#[test]
fn only_the_same_deviation_on_a_quiet_pool_is_the_kernels() {
    let before = counters(16, 16, 0, 0);
    let step = Step::Reserve { pages: 2, held: 0 };
    let good = movement(&before, &step, &counters(16, 16, 2, 0));
    let wrong = movement(&before, &step, &counters(16, 16, 1, 0));
    let other = movement(&before, &step, &counters(16, 15, 2, 0));
    let tries = |list: &[&Movement]| list.iter().map(|one| (*one).clone()).collect::<Vec<_>>();
    let otherwise = Judgement::Otherwise(wrong.deviation());
    for (list, quiet, judgement) in [
        (tries(&[&good]), true, Judgement::AsDocumented),
        (tries(&[&wrong, &other, &good]), false, Judgement::AsDocumented),
        (tries(&[&wrong, &wrong, &wrong]), true, otherwise),
        (tries(&[&wrong, &wrong, &wrong]), false, Judgement::Disturbed),
        (tries(&[&wrong, &wrong]), true, Judgement::Disturbed),
        (tries(&[&wrong, &wrong, &other]), true, Judgement::Disturbed),
        (tries(&[]), true, Judgement::Disturbed),
    ] {
        assert_eq!(judge(&list, quiet), judgement, "{list:?}");
    }
}

#[test]
fn a_deviation_reads_well() {
    let (from, to) = (counters(16, 16, 0, 0), counters(16, 15, 2, 0));
    assert_eq!(Deviation::between(&from, &to).to_string(), "free -1, reserved +2, node0 free -1");
    assert_eq!(Deviation::between(&from, &from).to_string(), "nothing");
}

/// The kernel's pool in little: what `mm/hugetlb.c` does under its lock.
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
        let step = |pool: &mut Pool, step: Step, act: &mut dyn FnMut(&mut Pool)| {
            let before = pool.counters();
            act(pool);
            let moved = movement(&before, &step, &pool.counters());
            prop_assert!(moved.is_as_expected(), "{:?} from {:?}: {}", step, before, moved.deviation());
            Ok(())
        };
        step(&mut pool, Step::Reserve { pages, held: 0 }, &mut |pool| pool.reserve(pages, choice))?;
        let mut on = Vec::new();
        for index in 0..touched {
            let choice = choice + usize::try_from(index).unwrap();
            let node = pool.clone().touch(choice);
            let placed = if blind { Placed::somewhere(1) } else { placed(&[(node, 1)]) };
            step(&mut pool, Step::Touch(placed), &mut |pool| on.push(pool.touch(choice)))?;
        }
        let numa: Vec<_> = on.iter().map(|node| (*node, 1)).collect();
        let placed = if blind { Placed::somewhere(touched) } else { placed(&numa) };
        let unused = pages - touched;
        step(&mut pool, Step::Release { placed, unused, held: 0 }, &mut |pool| pool.release(&on, unused))?;
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
        prop_assert!(!movement(&before, &step, &after).is_as_expected());
    }

    #[test]
    fn no_counters_panic(before in any_counters(), seen in any_counters(), pages: u64, unused: u64, held: u64) {
        let placed = Placed { pages, numa: vec![(0, pages), (1, unused)] };
        for step in [
            Step::Reserve { pages, held },
            Step::Touch(placed.clone()),
            Step::Populate { placed: placed.clone(), held },
            Step::Release { placed, unused, held },
        ] {
            let _ = movement(&before, &step, &seen).deviation().to_string();
        }
    }

    #[test]
    fn what_others_disturb_is_never_judged_the_kernels(tries in prop::collection::vec((0_u64..3, 0_u64..3), 0..6)) {
        let before = counters(16, 16, 0, 0);
        let step = Step::Reserve { pages: 2, held: 0 };
        let tries: Vec<_> = tries
            .into_iter()
            .map(|(gone, reserved)| movement(&before, &step, &counters(16, 16 - gone, reserved, 0)))
            .collect();
        prop_assert!(!matches!(judge(&tries, false), Judgement::Otherwise(_)));
        if judge(&tries, true) == Judgement::AsDocumented {
            prop_assert!(tries.iter().any(Movement::is_as_expected));
        }
    }
}
