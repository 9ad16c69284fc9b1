//! Tests writing: outages, refusals, keys of other clients, and clocks that are set.

use super::super::*;
use super::world::*;
use crate::names;
use crate::reconcile::refusal::Call;

#[test]
fn after_an_outage_the_latest_state_is_published_once() {
    for refusal in [
        Refusal::Unavailable("connection refused".into()),
        Refusal::Throttled { after_seconds: Some(7) },
        Refusal::Throttled { after_seconds: None },
    ] {
        let mut world = World::new(&[(SMALL, 512)], config(""));
        world.run(30);
        world.outage = Some(refusal);
        for pages in [256, 128, 64] {
            world.set_pool(SMALL, pages);
            world.run(90);
        }
        assert_eq!(world.applies.len(), 1);
        assert!(world.tries < 20, "it asks less and less: {}", world.tries);
        world.restart_kubelet();
        world.end_outage();
        world.run(180);
        assert_eq!(
            (world.verdict(), world.annotation("hugeprobe.io/pool.2Mi")),
            ("pass", Some("64 (numa0 64)"))
        );
        assert!(world.applies.len() <= 3, "{}", world.applies.len());
    }
}

#[test]
fn an_outage_of_an_hour_without_a_change_needs_at_most_the_renewal() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.run(30);
    world.outage = Some(Refusal::Unavailable("down".into()));
    world.run(3000);
    world.end_outage();
    world.run(300);
    assert!(world.applies.len() <= 2, "{}", world.applies.len());
    assert_eq!((world.verdict(), world.events.len()), ("pass", 1));
}

#[test]
fn an_apply_that_is_refused_is_tried_again_and_told_once() {
    for refusal in [
        Refusal::Forbidden("nodes/status is forbidden".into()),
        Refusal::Invalid("no".into()),
        Refusal::Gone("not found".into()),
        Refusal::Conflict("the object has been modified".into()),
    ] {
        let mut world = World::new(&[(SMALL, 512)], config(""));
        world.refuses.insert(Call::Apply, refusal.clone());
        world.run(120);
        assert!((2..10).contains(&world.tries), "{refusal:?}: {}", world.tries);
        assert_eq!(world.events.len(), 0, "what is not shown is not told");
        world.refuses.clear();
        world.run(600);
        assert_eq!((world.verdict(), world.applies.len(), world.events.len()), ("pass", 1, 1), "{refusal:?}");
    }
}

/// A restarted API server forbids everything until it has read its rules.
#[test]
fn a_refusal_after_an_outage_is_tried_again_after_half_a_minute() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.refuses.insert(Call::Apply, Refusal::Unavailable("connection refused".into()));
    world.run(600);
    world.refuses.insert(Call::Apply, Refusal::Forbidden("nodes/status is forbidden".into()));
    let tries = world.tries;
    while world.tries == tries {
        world.run(1);
    }
    world.refuses.clear();
    world.run(60);
    assert_eq!((world.verdict(), world.applies.len()), ("pass", 1));
}

#[test]
fn an_event_that_could_not_be_told_is_told_later() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.refuses.insert(Call::Emit, Refusal::Throttled { after_seconds: None });
    world.run(60);
    assert_eq!((world.applies.len(), world.events.len()), (1, 0));
    world.refuses.clear();
    world.run(300);
    assert_eq!(world.events.len(), 1);
}

#[test]
fn what_others_write_under_the_prefix_is_overwritten_or_removed() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.run(30);
    for (key, value) in [
        (names::VERDICT, "fail"),
        (names::BOOT_ID, "forged"),
        ("hugeprobe.io/check.HP601.2Mi", "fail: not so"),
        ("hugeprobe.io/anything", "at all"),
        (names::VALID_UNTIL, "2999-01-01T00:00:00Z"),
        (names::CHECKED_AT, "nonsense"),
    ] {
        world.forge(key, value);
        world.run(10);
        assert_ne!(world.annotation(key), Some(value), "{key}");
        assert_eq!((world.verdict(), world.annotation(names::BOOT_ID)), ("pass", Some("boot-1")), "{key}");
    }
    assert_eq!(world.annotation("hugeprobe.io/anything"), None);
    world.change_node(|node| node["metadata"]["labels"]["hugeprobe.io/hugepages-4Mi"] = "pass".into());
    world.run(10);
    assert_eq!(world.label("hugeprobe.io/hugepages-4Mi"), None);
    assert_eq!((world.events.len(), world.created), (1, 1), "nothing turned, nothing was probed");
}

#[test]
fn what_an_api_server_makes_of_a_value_is_not_fought() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.run(30);
    // A webhook replaces the value each time.
    for _ in 0..20 {
        world.forge(names::SUMMARY, "rewritten");
        world.run(1);
    }
    assert!(world.applies.len() <= 22);
}

#[test]
fn a_clock_that_is_set_starts_no_storm_and_times_out_nothing() {
    for skew in [-400_000_000, -7200, 7200, 400_000_000] {
        let mut world = World::new(&[(SMALL, 512)], config(""));
        world.run(30);
        world.skew = skew;
        world.run(600);
        assert!(world.applies.len() <= 3, "{skew}: {}", world.applies.len());
        assert!(world.created <= 3, "{skew}: {}", world.created);
        let until: Timestamp = world.annotation(names::VALID_UNTIL).unwrap().parse().unwrap();
        assert!(until > world.now(), "{skew}");
        assert_eq!((world.verdict(), world.events.len()), ("pass", 1), "{skew}");
        world.run(3600);
        let checked: Timestamp = world.annotation(names::CHECKED_AT).unwrap().parse().unwrap();
        assert!(checked <= world.now(), "{skew}");
    }
}

#[test]
fn an_echo_of_the_node_before_the_apply_is_no_change() {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    let before = world.node.clone().unwrap();
    world.run(30);
    for _ in 0..5 {
        world.tell(Observation::Node(Some(Box::new(parsed(&before)))));
    }
    assert_eq!(world.applies.len(), 1);
}
