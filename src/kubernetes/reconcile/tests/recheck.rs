//! Tests that an operator's request for another probe is followed once, at once, and not without end.

use super::super::recheck::requests::PER_HOUR;
use super::super::*;
use super::world::*;
use crate::names;
use crate::publication::seconds;
use crate::reconcile::refusal::Call;

/// Returns a world whose first probes have ended with this fate.
fn settled(fate: Fate) -> World {
    let mut world = World::new(&[(SMALL, 512), (LARGE, 16)], config(""));
    world.fate = fate;
    world.run(60);
    assert_eq!(world.created, 2);
    world
}

/// Writes the request, and returns its value.
fn request(world: &mut World) -> String {
    let value = seconds(world.now());
    world.forge(names::RECHECK, &value);
    value
}

fn answered(world: &World) -> Option<&str> {
    world.annotation(names::RECHECKED)
}

#[test]
fn a_request_is_one_probe_of_each_size_and_one_apply() {
    let mut world = settled(Fate::Reports("pass"));
    world.run(600);
    let applies = world.applies.len();
    let value = request(&mut world);
    world.run(30);
    assert_eq!((world.created, answered(&world)), (4, Some(value.as_str())));
    assert_eq!(world.applies.len(), applies + 1);
    let checked: Timestamp = world.annotation(names::CHECKED_AT).unwrap().parse().unwrap();
    assert!(checked > value.parse().unwrap(), "the verdict is of the new probes");
    assert_eq!(world.annotation(names::RECHECK), Some(value.as_str()), "the request is the operator's");
    world.run(600);
    assert_eq!((world.created, world.applies.len()), (4, applies + 1));
    assert_eq!(world.reasons().len(), 1, "the verdict is the same");
}

#[test]
fn a_request_does_not_wait_for_the_backoff_after_a_failure() {
    let mut world = settled(Fate::Reports("fail"));
    world.run(3 * 3600);
    let created = world.created;
    world.fate = Fate::Reports("pass");
    let value = request(&mut world);
    world.run(15);
    assert_eq!(
        (world.created - created, world.verdict(), answered(&world)),
        (2, "pass", Some(value.as_str()))
    );
}

#[test]
fn a_probe_that_began_before_the_request_is_not_its_answer() {
    let mut world = World::new(&[(LARGE, 16)], config(""));
    world.fate = Fate::Hangs;
    world.run(10);
    world.fate = Fate::Reports("pass");
    let value = request(&mut world);
    world.run(5);
    assert_eq!(world.created, 1, "the first probe is running");
    world.pods.values_mut().for_each(|made| made.turn(Fate::Reports("fail")));
    world.run(20);
    assert_eq!((world.created, world.verdict(), answered(&world)), (2, "pass", Some(value.as_str())));
}

#[test]
fn what_is_not_a_time_or_is_in_the_future_is_ignored_and_logged() {
    for (value, why) in [
        ("now", "it is not a time"),
        ("", "it is not a time"),
        ("2027-01-15", "it is not a time"),
        ("2127-01-15T08:00:00Z", "it is in the future"),
        ("x\u{1b}[2J", "hugeprobe.io/recheck=x?[2J is ignored"),
    ] {
        let mut world = settled(Fate::Reports("pass"));
        let applies = world.applies.len();
        world.forge(names::RECHECK, value);
        world.run(300);
        assert_eq!((world.created, world.applies.len(), answered(&world)), (2, applies, None), "{value}");
        let log = world.reconciler.view().recheck.unwrap();
        assert!(log.contains(why), "{log}");
    }
}

#[test]
fn a_time_from_before_the_last_probes_is_answered_without_a_probe() {
    let mut world = settled(Fate::Reports("pass"));
    world.run(20);
    let value = seconds(world.now() - jiff::SignedDuration::from_hours(1));
    world.forge(names::RECHECK, &value);
    world.run(60);
    assert_eq!((world.created, answered(&world)), (2, Some(value.as_str())));
}

#[test]
fn requests_beyond_the_limit_of_an_hour_wait() {
    let mut world = settled(Fate::Reports("pass"));
    let mut last = String::new();
    for _ in 0..PER_HOUR + 8 {
        last = request(&mut world);
        world.run(60);
    }
    let sizes = 2;
    assert_eq!(world.created, sizes + PER_HOUR * sizes);
    assert!(world.reconciler.view().recheck.unwrap().contains("it waits"));
    assert_ne!(answered(&world), Some(last.as_str()));
    // The first of them was followed an hour ago.
    let created = world.created;
    world.run(3600 - 60 * 20);
    let probes = world.created - created;
    world.run(120);
    assert_eq!(answered(&world), Some(last.as_str()));
    assert!(probes <= 2 * sizes, "{probes} probes");
}

#[test]
fn a_new_agent_does_not_follow_what_was_answered() {
    let created = |requested: bool| {
        let mut world = settled(Fate::Reports("pass"));
        if requested {
            request(&mut world);
        }
        world.run(30);
        let before = world.created;
        let applies = world.applies.len();
        world.restart_agent();
        world.run(60);
        assert_eq!(world.reconciler.view().recheck, None, "nothing new was requested");
        (world.created - before, world.applies.len() - applies)
    };
    assert_eq!(created(true), created(false));
}

#[test]
fn a_request_is_answered_only_after_the_turn_of_each_size_and_says_what_blocks() {
    let mut world = settled(Fate::Reports("pass"));
    world.refuses.insert(Call::CreatePod, Refusal::Quota("exceeded quota: hugeprobe".into()));
    let value = request(&mut world);
    world.run(600);
    assert_eq!((world.created, answered(&world)), (2, None));
    world.refuses.clear();
    world.run(600);
    assert_eq!((world.created, answered(&world)), (4, Some(value.as_str())));

    world.fate = Fate::Pending;
    let value = request(&mut world);
    world.run(120);
    assert_eq!(answered(&world), Some(value.as_str()));
    assert!(world.annotation(names::PROBE).unwrap().starts_with("busy since"));
    assert_eq!(world.verdict(), "pass", "the last verdict is valid while the node is busy");
}
