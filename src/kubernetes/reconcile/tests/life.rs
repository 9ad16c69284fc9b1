//! Tests the life of a node: the first verdict, changes of the pool, a reboot and a deletion.

use super::super::*;
use super::world::*;
use crate::names;
use hugeprobe_domain::reading::Reading;

#[test]
fn a_first_verdict_is_one_apply_and_one_event() {
    let mut world = World::new(&[(SMALL, 512), (LARGE, 16)], config(""));
    world.run(15);
    assert_eq!((world.verdict(), world.applies.len(), world.events.len()), ("pass", 1, 1));
    assert_eq!(world.reasons(), ["HugepagesVerified"]);
    assert_eq!(world.label(&names::size_label(size(LARGE))), Some("pass"));
    assert_eq!(world.label(names::VERDICT), Some("pass"));
    assert_eq!(world.annotation("hugeprobe.io/pool.2Mi"), Some("512 (numa0 512)"));
    assert_eq!(world.annotation(names::BOOT_ID), Some("boot-1"));
    assert!(world.annotation("hugeprobe.io/share.1Gi").unwrap().starts_with("pass"));
    assert_eq!(world.condition().unwrap()["status"], "True");
    assert_eq!(world.created, 2, "one pod per size");
    assert!(world.pods.is_empty(), "and none left");
    world.run(600);
    assert_eq!(
        (world.applies.len(), world.events.len(), world.created),
        (1, 1, 2),
        "nothing while nothing changes"
    );
}

#[test]
fn no_pool_and_nothing_expected_is_none_and_starts_no_pod() {
    let mut world = World::new(&[(SMALL, 0), (LARGE, 0)], config(""));
    world.run(60);
    assert_eq!((world.verdict(), world.applies.len(), world.created), ("none", 1, 0));
    assert_eq!((world.label(names::VERDICT), world.condition(), world.events.len()), (None, None, 0));
}

#[test]
fn what_is_expected_and_not_there_is_fail_without_a_pod() {
    let more = r#", "expectations": [{"nodeSelector": {"pool": "nfv"}, "expect": ["1Gi>=4"]}]"#;
    let mut world = World::new(&[(SMALL, 0), (LARGE, 0)], config(more));
    world.run(30);
    assert_eq!((world.verdict(), world.created), ("fail", 0));
    assert_eq!(world.label("hugeprobe.io/hugepages-1Gi"), Some("fail"));
    assert_eq!(world.reasons(), ["PoolMissing"]);
    assert!(world.annotation("hugeprobe.io/check.HP103.1Gi").unwrap().starts_with("fail: "));
    let mut other = World::new(&[(SMALL, 0), (LARGE, 0)], config(&more.replace("nfv", "web")));
    other.run(30);
    assert_eq!(other.verdict(), "none", "the expectation is about other nodes");
}

#[test]
fn a_pool_smaller_than_expected_fails_though_its_probe_passes() {
    let mut world = World::new(&[(LARGE, 8)], config(r#", "expectations": [{"expect": ["1Gi>=16"]}]"#));
    world.run(30);
    assert_eq!((world.verdict(), world.created), ("fail", 1));
    assert_eq!(world.reasons(), ["PoolNotAsExpected"]);
}

#[test]
fn a_pool_that_grew_after_the_kubelet_counted_is_stale_until_it_counts_again() {
    let mut world = World::new(&[(SMALL, 512)], config(r#", "expectations": [{"expect": ["2Mi>=1024"]}]"#));
    world.run(30);
    assert_eq!(world.reasons(), ["PoolNotAsExpected"]);
    world.set_pool(SMALL, 1024);
    world.run(30);
    assert_eq!(world.verdict(), "fail");
    assert_eq!(world.condition().unwrap()["reason"], "CapacityStale");
    world.restart_kubelet();
    world.run(30);
    assert_eq!(world.verdict(), "pass");
    assert_eq!(world.reasons(), ["PoolNotAsExpected", "CapacityStale", "HugepagesVerified"]);
}

#[test]
fn free_counts_alone_start_no_probe_and_no_write() {
    let mut world = World::new(&[(LARGE, 16)], config(""));
    world.run(30);
    for free in [15, 3, 0, 16] {
        let pool = world.pool(LARGE);
        pool.free = Reading::Known(free);
        pool.numa[0].free = Reading::Known(free);
        pool.reserved = Reading::Known(free / 2);
        world.run(60);
    }
    assert_eq!((world.created, world.applies.len(), world.verdict()), (1, 1, "pass"));
}

#[test]
fn surplus_pages_that_come_and_go_are_no_change() {
    let mut world = World::new(&[(SMALL, 16)], config(""));
    world.pool(SMALL).overcommit = Reading::Known(8);
    world.run(30);
    let pool = world.pool(SMALL);
    (pool.total, pool.surplus, pool.free) = (Reading::Known(20), Reading::Known(4), Reading::Known(2));
    world.run(60);
    assert_eq!((world.created, world.applies.len(), world.verdict()), (1, 1, "pass"));
}

#[test]
fn a_changed_pool_is_probed_again() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.run(30);
    world.set_pool(SMALL, 256);
    world.restart_kubelet();
    world.run(60);
    assert_eq!(
        (world.verdict(), world.annotation("hugeprobe.io/pool.2Mi")),
        ("pass", Some("256 (numa0 256)"))
    );
    assert!(
        world.created <= 3 && world.applies.len() <= 3,
        "{} pods, {} applies",
        world.created,
        world.applies.len()
    );
}

#[test]
fn a_pool_that_changed_does_not_pass_by_its_old_probe() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.run(30);
    world.fate = Fate::Pending;
    world.set_pool(SMALL, 256);
    world.restart_kubelet();
    world.run(60);
    assert_eq!(world.verdict(), "unknown");
}

#[test]
fn a_boot_voids_the_verdict_at_once() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.run(30);
    world.reboot("boot-2");
    world.run(1);
    assert_eq!((world.verdict(), world.annotation(names::BOOT_ID)), ("unknown", Some("boot-2")));
    world.run(30);
    assert_eq!((world.verdict(), world.annotation(names::BOOT_ID)), ("pass", Some("boot-2")));
    assert_eq!(world.reasons(), ["HugepagesVerified", "ProbePending", "HugepagesVerified"]);
}

#[test]
fn a_node_that_is_registered_again_is_told_anew() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.run(30);
    world.delete_node();
    world.run(60);
    assert_eq!(world.tries, 1, "there is nothing to write to");
    world.register("uid-2");
    world.run(30);
    assert_eq!((world.verdict(), world.applies.len(), world.events.len()), ("pass", 2, 2));
    assert_eq!(world.applies[1].1["metadata"]["uid"], "uid-2");
    assert_eq!(world.events[1].regarding.as_ref().unwrap().uid.as_deref(), Some("uid-2"));
}

#[test]
fn a_verdict_is_renewed_in_its_time() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.run(3 * 3600);
    let times: Vec<_> = world.applies.iter().map(|(time, _)| *time).collect();
    for pair in times.windows(2) {
        let minutes = (pair[1] - pair[0]) / 60;
        assert!((23..=37).contains(&minutes), "{minutes} minutes");
    }
    assert_eq!(world.events.len(), 1);
    let until: Timestamp = world.annotation(names::VALID_UNTIL).unwrap().parse().unwrap();
    assert!(until > world.now());
    assert_eq!(world.created, world.applies.len(), "each by another probe");
}

#[test]
fn the_condition_keeps_its_time_while_its_status_stays() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.run(2 * 3600 + 1800);
    let condition = |index: usize| world.applies[index].1["status"]["conditions"][0].clone();
    assert!(world.applies.len() > 3);
    assert_eq!(condition(0)["lastTransitionTime"], condition(3)["lastTransitionTime"]);
    assert_ne!(condition(0)["lastHeartbeatTime"], condition(3)["lastHeartbeatTime"]);
}

#[test]
fn no_verdict_passes_without_a_boot_id() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.machine.host.boot_id = Reading::Unreadable("no".into());
    world.run(60);
    assert_eq!((world.verdict(), world.created), ("unknown", 0));
}
