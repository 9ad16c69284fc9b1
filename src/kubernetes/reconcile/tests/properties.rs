//! Property tests with random events in random order. The world asserts that no apply publishes an unproven
//! pass (`World::hold_to_truth`), and these tests count the writes.

use crate::reconcile::refusal::Call;
use proptest::prelude::*;
use serde_json::Value;

use super::super::*;
use super::world::*;
use crate::names;
use hugeprobe_domain::reading::Reading;

/// An event that changes the world.
#[derive(Debug, Clone)]
enum Event {
    Seconds(i64),
    Fate(Fate),
    Pool(&'static str, u64),
    Free(u64),
    Capacity,
    RestartAgent,
    Reboot(u8),
    Deleted,
    Registered(u8),
    Outage,
    Refuses(Call),
    Clock(i64),
    Forged(&'static str, &'static str),
}

fn calm() -> impl Strategy<Value = Event> {
    let fate = prop_oneof![
        4 => Just(Fate::Reports("pass")),
        1 => Just(Fate::Reports("fail")),
        1 => Just(Fate::Pending),
        1 => Just(Fate::Preempted),
        1 => Just(Fate::NoImage),
        1 => Just(Fate::Forges),
        1 => Just(Fate::Hangs),
    ];
    prop_oneof![
        6 => (1_i64..120).prop_map(Event::Seconds),
        3 => fate.prop_map(Event::Fate),
        2 => (prop_oneof![Just(SMALL), Just(LARGE)], 0_u64..3).prop_map(|(size, pages)| Event::Pool(size, pages * 2)),
        1 => (0_u64..5).prop_map(Event::Free),
        1 => Just(Event::Capacity),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let refused = prop_oneof![
        Just(Call::CreatePod),
        Just(Call::DeletePod),
        Just(Call::ListPods),
        Just(Call::Apply),
        Just(Call::Emit)
    ];
    prop_oneof![
        8 => calm(),
        1 => Just(Event::RestartAgent),
        1 => (1_u8..4).prop_map(Event::Reboot),
        1 => Just(Event::Deleted),
        1 => (1_u8..4).prop_map(Event::Registered),
        1 => Just(Event::Outage),
        1 => refused.prop_map(Event::Refuses),
        1 => (-100_000_i64..100_000).prop_map(Event::Clock),
        1 => prop_oneof![
            Just(Event::Forged(names::VERDICT, "pass")),
            Just(Event::Forged(names::BOOT_ID, "boot-2")),
            Just(Event::Forged("hugeprobe.io/probe.2Mi", "pass 2026-11-23T05:38:15Z 0000000000000000")),
        ],
    ]
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::Seconds(seconds) => world.run(seconds),
        Event::Fate(fate) => world.fate = fate,
        Event::Pool(size, pages) => world.set_pool(size, pages),
        Event::Free(free) => world.pool(SMALL).free = Reading::Known(free),
        Event::Capacity => world.restart_kubelet(),
        Event::RestartAgent => world.restart_agent(),
        Event::Reboot(boot) => world.reboot(&format!("boot-{boot}")),
        Event::Deleted => world.delete_node(),
        Event::Registered(uid) => world.register(&format!("uid-{uid}")),
        Event::Outage => match world.outage {
            None => world.outage = Some(Refusal::Unavailable("down".into())),
            Some(_) => world.end_outage(),
        },
        Event::Refuses(call) => {
            if world.refuses.remove(&call).is_none() {
                world.refuses.insert(call, Refusal::Forbidden("no".into()));
            }
        }
        Event::Clock(skew) => world.skew = skew,
        Event::Forged(key, value) => world.forge(key, value),
    }
}

/// Returns the content of an apply without its times.
fn substance(body: &Value) -> Value {
    let mut body = body.clone();
    for key in [names::CHECKED_AT, names::VALID_UNTIL, "hugeprobe.io/probe.2Mi", "hugeprobe.io/probe.1Gi"] {
        body["metadata"]["annotations"].as_object_mut().unwrap().remove(key);
    }
    if let Some(conditions) = body.pointer_mut("/status/conditions/0").and_then(Value::as_object_mut) {
        conditions.remove("lastHeartbeatTime");
        conditions.remove("lastTransitionTime");
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn never_a_pass_without_a_probe_that_passed(events in proptest::collection::vec(any_event(), 1..40)) {
        let mut world = World::new(&[(SMALL, 4), (LARGE, 2)], config(""));
        for event in events {
            happen(&mut world, event);
        }
        // Once all faults are gone, the Node shows a pass soon, regardless of what happened before.
        world.skew = 0;
        world.refuses.clear();
        world.outage = None;
        world.set_pool(SMALL, 4);
        world.set_pool(LARGE, 2);
        world.fate = Fate::Reports("pass");
        world.register("uid-9");
        world.end_outage();
        world.run(2700);
        prop_assert_eq!(world.verdict(), "pass");
        prop_assert_eq!(world.pods.len(), 0);
    }

    #[test]
    fn the_same_is_written_twice_only_to_renew_it(events in proptest::collection::vec(calm(), 1..40)) {
        let mut world = World::new(&[(SMALL, 4), (LARGE, 2)], config(""));
        for event in events {
            happen(&mut world, event);
        }
        for pair in world.applies.windows(2) {
            let same = substance(&pair[0].1) == substance(&pair[1].1);
            prop_assert!(!same || pair[1].0 - pair[0].0 >= 10 * 60, "{} and {}: {}", pair[0].0, pair[1].0, pair[1].1);
        }
        let turns = world.applies.windows(2).filter(|pair| substance(&pair[0].1) != substance(&pair[1].1)).count();
        prop_assert!(world.events.len() <= turns + 1);
    }
}
