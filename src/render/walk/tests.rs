//! Tests of the exact text of a walk.

use proptest::prelude::*;

use super::*;

fn counters(free: u64, reserved: u64, node0: u64, node1: u64) -> Counters {
    let node = |node, free| NodeCounters { node, total: 256, free, surplus: 0 };
    Counters { total: 512, free, reserved, surplus: 0, numa: vec![node(0, node0), node(1, node1)] }
}

fn movement() -> Movement {
    Movement {
        step: "write one byte of the first page".into(),
        documented: "a page is taken from the pool, and its reservation with it: free -1, reserved -1".into(),
        before: counters(512, 2, 256, 256),
        expected: Counters { numa: vec![], ..counters(511, 1, 0, 0) },
        after: counters(511, 1, 255, 256),
    }
}

fn shown(movement: &Movement, figures: &[Figure]) -> String {
    let mut out = Vec::new();
    step(2, movement, figures, &mut out, Style::default()).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_step_shows_what_moved() {
    let text = "
 2  write one byte of the first page
    a page is taken from the pool, and its reservation with it: free -1, reserved -1

                        before     after
    total                  512       512
    free                   512       511   -1
    reserved                 2         1   -1
    surplus                  0         0
    node0 free/total   256/256   255/256   free -1
    node1 free/total   256/256   256/256
";
    assert_eq!(shown(&movement(), &[]), text);
}

#[test]
fn what_processes_have_is_below_in_bytes() {
    let figure = |name: &str, before, after| Figure { name: name.into(), before, after };
    let figures = [
        figure("frontend maps", Some(4 << 20), Some(0)),
        figure("backend maps", Some(0), Some(2 << 20)),
        figure("frontend's cgroup pays", Some(0), None),
    ];
    let text = shown(&movement(), &figures);
    for line in [
        "    total                        512       512\n",
        "    frontend maps              4 MiB       0 B   -4 MiB\n",
        "    backend maps                 0 B     2 MiB   +2 MiB\n",
        "    frontend's cgroup pays       0 B         -   changed\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn what_went_astray_is_marked() {
    let mut movement = movement();
    movement.after.free = 512;
    movement.after.reserved = 2;
    movement.expected.numa = vec![NodeCounters { node: 0, total: 256, free: 256, surplus: 0 }];
    let text = shown(&movement, &[]);
    assert!(text.contains("free                   512       512   ✘ expected 511\n"), "{text}");
    assert!(text.contains("reserved                 2         2   ✘ expected 1\n"), "{text}");
    assert!(text.contains("255/256   free -1   ✘ expected 256/256\n"), "{text}");
}

#[test]
fn a_node_that_comes_or_goes_is_shown() {
    let mut movement = movement();
    movement.before.numa.pop();
    movement.after.numa.remove(0);
    let text = shown(&movement, &[]);
    assert!(text.contains("node0 free/total   256/256         -   changed\n"), "{text}");
    assert!(text.contains("node1 free/total         -   256/256   changed\n"), "{text}");
}

#[test]
fn the_opening_names_each_file() {
    let mut out = Vec::new();
    let size = PageSize::from_bytes(1 << 30).unwrap();
    let walk = Walk { size, pages: 1, nodes: vec![0, 1] };
    opening(&walk, &mut out, Style::default()).unwrap();
    let text = "hugepages-1Gi: 1 page, step by step

In another terminal, at any step:
  grep '' \\
    /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages \\
    /sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages \\
    /sys/kernel/mm/hugepages/hugepages-1048576kB/resv_hugepages \\
    /sys/kernel/mm/hugepages/hugepages-1048576kB/surplus_hugepages \\
    /sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages \\
    /sys/devices/system/node/node0/hugepages/hugepages-1048576kB/free_hugepages \\
    /sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages \\
    /sys/devices/system/node/node1/hugepages/hugepages-1048576kB/free_hugepages
";
    assert_eq!(String::from_utf8(out).unwrap(), text);
}

#[test]
fn who_shares_is_told_before_the_first_step_of_two() {
    let mut out = Vec::new();
    sharing("backend", &mut out, Style::default()).unwrap();
    process("frontend", 4711, &mut out).unwrap();
    process("backend", 4712, &mut out).unwrap();
    let text = "
Two processes share the pages over vhost-user: the backend touches them first
    frontend is process 4711: grep Hugetlb /proc/4711/smaps_rollup
    backend  is process 4712: grep Hugetlb /proc/4712/smaps_rollup
";
    assert_eq!(String::from_utf8(out).unwrap(), text);
}

#[test]
fn the_end_counts_the_steps_that_went_astray() {
    let closing = |steps, astray, stopped| {
        let mut out = Vec::new();
        closing(steps, astray, stopped, &mut out, Style::default()).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(closing(8, 0, false), "\n✔ 8 steps, the counters moved as documented\n");
    assert!(closing(8, 2, false).starts_with("\n? 8 steps, in 2 of them"));
    assert!(closing(0, 0, false).starts_with("\n?"));
}

#[test]
fn a_walk_that_stopped_early_shows_no_tick() {
    for (steps, astray, text) in [
        (0, 0, "\n? no step ran\n"),
        (1, 0, "\n? stopped after 1 step\n"),
        (3, 1, "\n? stopped after 3 steps\n"),
    ] {
        let mut out = Vec::new();
        closing(steps, astray, true, &mut out, Style::default()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

#[test]
fn a_pause_says_what_to_press() {
    let mut out = Vec::new();
    pause(&mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "\n    press Enter to continue ");
}

fn any_figure() -> impl Strategy<Value = Figure> {
    any::<(String, Option<u64>, Option<u64>)>().prop_map(|(name, before, after)| Figure {
        name,
        before,
        after,
    })
}

fn any_counters() -> impl Strategy<Value = Counters> {
    let node = any::<(u32, u64, u64)>();
    (any::<(u64, u64, u64, u64)>(), proptest::collection::vec(node, 0..3)).prop_map(
        |((total, free, reserved, surplus), nodes)| Counters {
            total,
            free,
            reserved,
            surplus,
            numa: nodes
                .into_iter()
                .map(|(node, total, free)| NodeCounters { node, total, free, surplus: 0 })
                .collect(),
        },
    )
}

proptest! {
    #[test]
    fn no_numbers_and_no_texts_panic(
        what: String,
        documented: String,
        before in any_counters(),
        after in any_counters(),
        figures in proptest::collection::vec(any_figure(), 0..3),
        width: usize,
    ) {
        let movement = Movement { step: what, documented, expected: before.clone(), before, after };
        let mut out = Vec::new();
        step(1, &movement, &figures, &mut out, Style { width, ..Style::default() }).unwrap();
        let text = String::from_utf8(out).unwrap();
        prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
        prop_assert!(movement.is_as_expected() || text.contains("   ✘ expected"));
    }
}
