//! How many pages the plan takes, and from which NUMA nodes.

use super::*;

#[test]
fn no_more_pages_are_taken_than_nobody_else_has_a_claim_to() {
    let limit = 2 << 20;
    for (name, inventory, expected) in [
        ("plenty", machine(vec![pool("2Mi", 8, 8, 0, 0)]), Some(2)),
        ("two", machine(vec![pool("2Mi", 8, 2, 0, 0)]), Some(2)),
        ("one", machine(vec![pool("2Mi", 8, 1, 0, 0)]), Some(1)),
        ("all but one reserved", machine(vec![pool("2Mi", 8, 8, 7, 0)]), Some(1)),
        ("all reserved", machine(vec![pool("2Mi", 8, 8, 8, 0)]), None),
        ("all in use", machine(vec![pool("2Mi", 8, 0, 0, 0)]), None),
        ("all in use, but it may grow", machine(vec![pool("2Mi", 8, 0, 0, 4)]), Some(2)),
        ("limits for one", with_limits(machine(vec![pool("2Mi", 8, 8, 0, 0)]), limit, 9 * limit), Some(1)),
        (
            "reservations for one",
            with_limits(machine(vec![pool("2Mi", 8, 8, 0, 0)]), 9 * limit, limit),
            Some(1),
        ),
        (
            "a limit of none is met for real",
            with_limits(machine(vec![pool("2Mi", 8, 8, 0, 0)]), 0, 0),
            Some(1),
        ),
    ] {
        let (plan, jobs) = planned(&inventory, &Request::default());
        let taken = tasks(&jobs).find(|task| task.role == Role::Memfd).map(|task| task.pages);
        assert_eq!(taken, expected, "{name}");
        assert_eq!(find(&plan, HP503).mandatory, expected != Some(1), "{name}");
        let prevented = find(&plan, HP501)
            .roles
            .iter()
            .all(|duty| matches!(duty.not_run, Some(NotRun::Prevented { .. })));
        assert_eq!(prevented, expected.is_none(), "{name}");
    }
}

#[test]
fn placement_takes_more_than_one_numa_node() {
    let node = |node| NumaPool {
        node,
        total: Reading::Known(4),
        free: Reading::Known(4),
        surplus: Reading::Known(0),
    };
    for (nodes, tried) in [(vec![node(0)], false), (vec![node(0), node(1)], true)] {
        let inventory = machine(vec![Pool { numa: nodes, ..pool("2Mi", 8, 8, 0, 0) }]);
        let (plan, _) = planned(&inventory, &Request::default());
        assert_eq!(find(&plan, HP506).roles[0].not_run.is_none(), tried);
    }
}

/// A machine on which node0 has 8 free pages and node1 has `free`, and the process may only use the memory of `mems`.
fn two_nodes(free: u64, mems: Vec<u32>) -> Inventory {
    let node = |node, free| NumaPool {
        node,
        total: Reading::Known(8),
        free: Reading::Known(free),
        surplus: Reading::Known(0),
    };
    let both = Pool { numa: vec![node(0, 8), node(1, free)], ..pool("2Mi", 16, 8 + free, 0, 0) };
    let mut inventory = machine(vec![both]);
    inventory.privileges.mems = Reading::Known(mems);
    inventory
}

#[test]
fn no_more_pages_are_taken_than_the_allowed_numa_nodes_have() {
    for (free, mems, pages) in [(1, vec![1], 1), (8, vec![1], 2), (1, vec![0, 1], 2), (0, vec![0], 2)] {
        let (_, jobs) = planned(&two_nodes(free, mems.clone()), &Request::default());
        let memfd = tasks(&jobs).find(|task| task.role == Role::Memfd).unwrap();
        assert_eq!(memfd.pages, pages, "{free} free on node1, mems {mems:?}");
    }
}

#[test]
fn a_process_whose_numa_nodes_have_no_free_page_finds_them_busy_and_not_broken() {
    let (plan, jobs) = planned(&two_nodes(0, vec![1]), &Request::default());
    assert!(tasks(&jobs).all(|task| task.role.is_about_machine()), "{jobs:?}");
    for duty in &find(&plan, HP501).roles {
        assert!(
            matches!(&duty.not_run, Some(NotRun::Prevented { why, .. }) if why.contains("node1")),
            "{duty:?}"
        );
    }
}

#[test]
fn pages_that_the_mount_keeps_are_taken_there_and_nowhere_else() {
    let mount = HugeMount {
        path: "/dev/hugepages".to_owned(),
        size: Some(size("2Mi")),
        limit_bytes: None,
        min_bytes: Some(8 << 20),
        inodes: None,
        read_only: false,
        hidden_by: None,
        options: Vec::new(),
        device: "0:53".to_owned(),
    };
    for (reserved, tried) in [(8, true), (0, false)] {
        let mut inventory = with_directory(machine(vec![pool("2Mi", 8, reserved, reserved, 0)]), "2Mi");
        inventory.mounts = Reading::Known(vec![mount.clone()]);
        if let Some(directory) = &mut inventory.directory {
            directory.real_path = Some("/dev/hugepages".to_owned());
            directory.device = Some("0:53".to_owned());
        }
        let (plan, _) = planned(&inventory, &request(&[("dir", "/dev/hugepages")]));
        let duty = |id: CheckId, role| {
            find(&plan, id).roles.iter().find(|duty| duty.role == role).unwrap().not_run.is_none()
        };
        assert_eq!(duty(HP501, Role::Hugetlbfs), tried);
        assert_eq!(duty(HP604, Role::Frontend(Session::FrontendFirst)), tried);
        assert!(!duty(HP501, Role::Memfd), "a memfd cannot have them");
    }
}
