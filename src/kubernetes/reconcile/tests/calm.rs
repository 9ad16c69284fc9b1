//! Tests that waiting is not reported as a fault, that a busy node does not pass forever, and that an obstacle is
//! named.

use super::super::*;
use super::texts::leftover;
use super::world::*;
use crate::names;
use crate::reconcile::refusal::Call;

fn warnings(world: &World) -> usize {
    world.events.iter().filter(|event| event.type_.as_deref() == Some("Warning")).count()
}

/// What delays the end of a node's first probe.
enum Obstacle {
    Create(Refusal),
    Fate(Fate),
}

/// A first installation on a large cluster, where quota, scheduler, registry or RBAC are not ready for minutes.
#[test]
fn a_first_install_is_one_apply_and_one_event_whatever_is_slow() {
    for (name, obstacle, seconds) in [
        ("quota", Obstacle::Create(Refusal::Quota("exceeded quota: hugeprobe".into())), 3000),
        (
            "no right to create pods yet",
            Obstacle::Create(Refusal::Forbidden("pods is forbidden".into())),
            200,
        ),
        ("no scheduler", Obstacle::Fate(Fate::Unseen), 3000),
        ("Pending for a moment", Obstacle::Fate(Fate::Pending), 25),
        ("the image is being pulled", Obstacle::Fate(Fate::NoImage), 200),
        ("the kubelet does not admit it yet", Obstacle::Fate(Fate::Refused("UnexpectedAdmissionError")), 200),
    ] {
        let mut world = World::new(&[(SMALL, 512), (LARGE, 16)], config(""));
        match obstacle {
            Obstacle::Create(refusal) => drop(world.refuses.insert(Call::CreatePod, refusal)),
            Obstacle::Fate(fate) => world.fate = fate,
        }
        world.run(seconds);
        assert_eq!((world.applies.len(), world.events.len()), (0, 0), "{name}");
        assert_eq!(world.reconciler.view().verdict, None, "{name}: nothing for an alert");
        world.refuses.clear();
        world.fate = Fate::Reports("pass");
        // A pod that is already pending keeps its old fate unless it is changed here.
        world.pods.values_mut().for_each(|made| made.turn(Fate::Reports("pass")));
        [SMALL, LARGE].iter().for_each(|size| world.passes(size));
        world.run(400);
        assert_eq!((world.verdict(), world.applies.len()), ("pass", 1), "{name}");
        assert_eq!((world.reasons(), warnings(&world)), (vec!["HugepagesVerified"], 0), "{name}");
    }
}

#[test]
fn waiting_that_lasts_is_said_without_a_warning_and_a_fault_with_one() {
    let quota = || Refusal::Quota("exceeded quota: hugeprobe".into());
    for (refusal, reason, shown, warned) in [
        (quota(), "ProbePending", "waiting since", 0),
        (Refusal::Forbidden("pods is forbidden".into()), "ProbePodNotAdmitted", "prevented since", 1),
    ] {
        let mut world = World::new(&[(LARGE, 16)], config(""));
        world.refuses.insert(Call::CreatePod, refusal);
        world.run(4000);
        assert_eq!((world.verdict(), world.reasons(), warnings(&world)), ("unknown", vec![reason], warned));
        assert!(world.annotation(names::PROBE).unwrap().starts_with(shown));
        world.refuses.clear();
        world.run(1900);
        assert_eq!((world.verdict(), world.annotation(names::PROBE)), ("pass", None));
    }
    let mut world = World::new(&[(LARGE, 16)], config(""));
    world.refuses.insert(Call::CreatePod, quota());
    world.run(60);
    assert!(world.reconciler.view().awaits_turn, "and a roll-out goes on");
}

/// With 100 nodes beside a full quota, each agent that had to wait wrote its Node twice more.
#[test]
fn a_renewal_that_waits_for_its_turn_is_one_apply() {
    let mut world = World::new(&[(LARGE, 16)], config(""));
    world.run(30);
    world.refuses.insert(Call::CreatePod, Refusal::Quota("exceeded quota: hugeprobe".into()));
    world.run(50 * 60);
    let blocked = world.reconciler.view().probes[0].blocked.map(|blocked| blocked.reason);
    assert_eq!((blocked, world.annotation(names::PROBE), world.applies.len()), (Some("quota"), None, 1));
    world.refuses.clear();
    world.run(400);
    assert_eq!((world.verdict(), world.applies.len(), world.events.len()), ("pass", 2, 1));
}

#[test]
fn a_failure_is_not_held_back_by_a_size_that_waits() {
    let mut world = World::new(&[(SMALL, 512)], config(r#", "expectations": [{"expect": ["1Gi>=4"]}]"#));
    world.refuses.insert(Call::CreatePod, Refusal::Quota("exceeded quota: hugeprobe".into()));
    world.run(30);
    assert_eq!((world.verdict(), warnings(&world)), ("fail", 1));
}

#[test]
fn a_busy_node_is_told_at_once_and_is_no_warning() {
    for busy in [Fate::Pending, Fate::NoCpu, Fate::Preempted, Fate::Refused("OutOfpods")] {
        let mut world = World::new(&[(LARGE, 16)], config(""));
        world.fate = busy.clone();
        world.run(60);
        assert_eq!((world.verdict(), world.reasons()), ("unknown", vec!["ProbePending"]), "{busy:?}");
        assert_eq!(warnings(&world), 0, "{busy:?}");
    }
}

#[test]
fn a_verdict_of_a_busy_node_has_a_greatest_age() {
    for busy in [Fate::Pending, Fate::NoCpu, Fate::Preempted] {
        let mut config = config("");
        config.probe.busy_hours = 4;
        let mut world = World::new(&[(LARGE, 16)], config);
        world.run(30);
        world.fate = busy.clone();
        world.run(3 * 3600);
        assert_eq!(world.verdict(), "pass", "{busy:?}");
        // A new agent does not restart the period.
        world.restart_agent();
        world.run(50 * 60);
        assert_eq!(world.verdict(), "pass", "{busy:?}");
        let until: Timestamp = world.annotation(names::VALID_UNTIL).unwrap().parse().unwrap();
        assert!(until <= Timestamp::from_second(1_800_000_000 + 4 * 3600 + 60).unwrap(), "{busy:?}: {until}");
        world.run(15 * 60);
        assert_eq!((world.verdict(), world.label(names::VERDICT)), ("unknown", Some("unknown")), "{busy:?}");
        assert_eq!((world.reasons(), warnings(&world)), (vec!["HugepagesVerified", "ProbePending"], 0));
    }
}

#[test]
fn what_a_busy_node_lacks_is_told_apart() {
    for (fate, kind, reason) in [
        (Fate::Pending, "busy", "pages"),
        (Fate::NoCpu, "busy", "cpu"),
        (Fate::Preempted, "busy", "deleted"),
        (Fate::Refused("OutOfpods"), "busy", "pods"),
        (Fate::Refused("Evicted"), "busy", "evicted"),
        (Fate::NoImage, "prevented", "pod"),
    ] {
        let mut world = World::new(&[(LARGE, 16)], config(""));
        world.fate = fate.clone();
        world.run(60);
        let view = world.reconciler.view();
        let blocked = view.probes[0].blocked.unwrap();
        assert_eq!((blocked.kind.as_str(), blocked.reason), (kind, reason), "{fate:?}");
    }
}

#[test]
fn a_pod_that_is_in_the_way_is_named_on_the_node() {
    let world = leftover();
    let shown = world.annotation(names::PROBE).unwrap();
    assert!(
        shown.starts_with("prevented since") && shown.ends_with("cannot be deleted: hugeprobe-1gi-node-a"),
        "{shown}"
    );
    assert_eq!((world.verdict(), world.created), ("unknown", 1));
}

/// It holds no page, but its name is in use: it has a finalizer, or may not be deleted.
#[test]
fn a_pod_that_has_ended_and_remains_is_named_on_the_node_when_its_size_is_due() {
    let mut world = World::new(&[(LARGE, 16), (SMALL, 512)], config(""));
    world.run(20);
    assert_eq!((world.verdict(), world.pods.len()), ("pass", 0));
    world.refuses.insert(Call::DeletePod, Refusal::Forbidden("pods is forbidden".into()));
    world.run(45 * 60);
    let shown = world.annotation(names::PROBE);
    assert_eq!(
        (world.verdict(), shown, world.pods.len()),
        ("pass", None, 2),
        "renewed once, and nothing is due"
    );
    world.run(30 * 60);
    let shown = world.annotation(names::PROBE).unwrap();
    assert!(shown.contains("2Mi a leftover probe pod cannot be deleted: hugeprobe-2mi-node-a"), "{shown}");
    world.refuses.clear();
    world.run(15 * 60);
    assert_eq!((world.verdict(), world.annotation(names::PROBE), world.pods.len()), ("pass", None, 0));
}

/// While the API server is away, no pod can be deleted, and none is left over because of that.
#[test]
fn an_outage_makes_no_pod_a_leftover() {
    let mut world = World::new(&[(LARGE, 16)], config(""));
    world.refuses.insert(Call::DeletePod, Refusal::Unavailable("connection refused".into()));
    world.run(50 * 60);
    assert_eq!((world.verdict(), world.annotation(names::PROBE), world.pods.len()), ("pass", None, 1));
    world.refuses.clear();
    world.run(15 * 60);
    assert_eq!((world.applies.len(), world.events.len(), world.pods.len()), (2, 1, 0));
}

/// Any client can set labels. A pod that can only run on another node blocks nothing here.
#[test]
fn a_pod_of_another_node_is_in_nobodys_way() {
    let mut world = World::new(&[(LARGE, 16)], config(""));
    let mut other = crate::probe_pod::probe_pod(
        &Identity { node: "node-b".into(), ..identity() },
        &config(""),
        &crate::probe_pod::Asked {
            size: size(LARGE),
            pages: 1,
            limit: crate::probe_pod::PageLimit::Containers,
            need: Vec::new(),
            memory_pays: false,
        },
    );
    other.metadata.uid = Some("foreign".into());
    world.tell(Observation::Pods(vec![other.clone()]));
    world.tell(Observation::Pod(Box::new(other.clone())));
    other.spec.as_mut().unwrap().node_name = Some("node-b".into());
    world.tell(Observation::Pod(Box::new(other)));
    world.run(30);
    assert_eq!((world.verdict(), world.annotation(names::PROBE)), ("pass", None));
}
