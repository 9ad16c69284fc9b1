//! Compares the texts that users read on a Node and in its events, one situation after another, with texts.txt beside
//! this file. `make docs` updates that file.

use std::fmt::Write as _;

use super::super::*;
use super::world::*;
use crate::names;
use crate::reconcile::refusal::Call;
use hugeprobe_domain::cgroup::{CgroupVersion, HugetlbCounterKind};
use hugeprobe_domain::limit_conflict::{LimitConflict, LimitConflicts};
use hugeprobe_domain::reading::Reading;

const FILE: &str = "reconcile/tests/texts.txt";

/// Returns a world in which probes of 1Gi end with this fate, after this many seconds.
fn with(fate: Fate, seconds: i64) -> World {
    let mut world = World::new(&[(LARGE, 16)], config(""));
    world.fate = fate;
    world.run(seconds);
    world
}

/// Returns the same world, but after a probe that passed.
fn after_a_pass(fate: Fate, seconds: i64) -> World {
    let mut world = with(Fate::Reports("pass"), 30);
    world.fate = fate;
    world.run(seconds);
    world
}

/// Returns a world in which the API server refuses to create a probe pod.
fn refused(refusal: Refusal) -> World {
    let mut world = World::new(&[(LARGE, 16)], config(""));
    world.refuses.insert(Call::CreatePod, refusal);
    world.run(3700);
    world
}

/// Returns a world whose kubelet counted 512 pages before the pool was set to `pages`.
fn counted_before(pages: u64) -> World {
    let mut world = World::new(&[(SMALL, 512)], config(""));
    world.run(30);
    world.set_pool(SMALL, pages);
    world.run(60);
    world
}

/// Returns a world in which this many of 512 pages are free, although no pod has requested any.
fn used_outside_pods(free: u64) -> World {
    let mut world = World::new(&[(SMALL, 512)], config(r#", "podAccounting": true"#));
    world.usage = Some(PodUse::Requested(vec![]));
    world.pool(SMALL).free = Reading::Known(free);
    world.run(120);
    world
}

/// Returns a world with a container whose pod has a hugetlb limit of 0.
pub(super) fn resized() -> World {
    let mut world = World::new(&[(SMALL, 512)], config(r#", "profile": "privileged""#));
    world.run(30);
    let pod = "/sys/fs/cgroup/kubepods/burstable/pod4fb5ca06-9dd5-496f-ba80-53309ce5fc88";
    let conflict = LimitConflict {
        size: size(SMALL),
        version: CgroupVersion::V2,
        kind: HugetlbCounterKind::Fault,
        parent: pod.to_owned(),
        directory: format!("{pod}/{}", "0123456789abcdef".repeat(4)),
        limit: 8 << 20,
        usage: Reading::Known(0),
    };
    world.machine.limit_conflicts =
        Reading::Known(LimitConflicts { found: vec![conflict], not_read: Vec::new() });
    world.run(30);
    world
}

/// Returns a world that was busy for longer than a verdict remains valid.
fn outlasted() -> World {
    let mut config = config("");
    config.probe.busy_hours = 1;
    let mut world = World::new(&[(LARGE, 16)], config);
    world.run(30);
    world.fate = Fate::Pending;
    world.run(2 * 3600);
    world
}

/// Returns a world with a probe pod of the previous agent that this agent may not delete.
pub(super) fn leftover() -> World {
    let mut world = with(Fate::Hangs, 5);
    world.refuses.insert(Call::DeletePod, Refusal::Forbidden("pods is forbidden".into()));
    world.restart_agent();
    world.run(500);
    world
}

fn situations() -> Vec<(&'static str, World)> {
    let probe = |reason| with(Fate::Refused(reason), 400);
    vec![
        ("the probe passes", with(Fate::Reports("pass"), 15)),
        ("the probe fails", with(Fate::Reports("fail"), 15)),
        ("the probe reports unknown", with(Fate::Reports("unknown"), 15)),
        ("the messages of the containers are malformed", with(Fate::Reports("nonsense"), 15)),
        ("the messages of the containers are forged", with(Fate::Forges, 15)),
        ("the probe pod stays Pending", with(Fate::Pending, 60)),
        ("the node has no CPU left", with(Fate::NoCpu, 60)),
        ("no scheduler looks at the probe pod", with(Fate::Unseen, 3700)),
        ("the probe pod is preempted", with(Fate::Preempted, 15)),
        ("the kubelet has no pages left", probe("OutOfhugepages-1Gi")),
        ("no NUMA node has the pages", probe("TopologyAffinityError")),
        ("the probe pod is evicted", probe("Evicted")),
        ("the kubelet refuses the probe pod", probe("UnexpectedAdmissionError")),
        ("the probe pod exceeds its deadline", probe("DeadlineExceeded")),
        ("the node shuts down", probe("NodeShutdown")),
        ("the image is missing", with(Fate::NoImage, 400)),
        ("the probe pod hangs", with(Fate::Hangs, 400)),
        ("after a pass, the node is busy", after_a_pass(Fate::Pending, 5400)),
        ("after a pass, the node is busy for longer than a verdict lasts", outlasted()),
        ("a probe pod that is left over cannot be deleted", leftover()),
        ("after a pass, the image is missing", after_a_pass(Fate::NoImage, 45 * 60)),
        ("after a pass, the image is missing for long", after_a_pass(Fate::NoImage, 90 * 60)),
        ("the quota is exceeded", refused(Refusal::Quota("exceeded quota: hugeprobe".into()))),
        ("creating pods is forbidden", refused(Refusal::Forbidden("pods is forbidden".into()))),
        ("the probe pod is invalid", refused(Refusal::Invalid("spec is invalid".into()))),
        ("there are no pools", {
            let mut world = World::new(&[], config(""));
            world.run(30);
            world
        }),
        ("the pool shrank", counted_before(256)),
        ("the pool grew", counted_before(1024)),
        ("the pool is gone", counted_before(0)),
        ("some pages are in use outside pods", used_outside_pods(500)),
        ("all pages are in use outside pods", used_outside_pods(0)),
        ("a pod was resized and may use no page", resized()),
    ]
}

/// Returns the texts of a Node: its condition, its annotations that are sentences, and its events.
fn shown(world: &World) -> String {
    // The keys whose values are text for users. The other values are versions, times and digests.
    let in_words = |key: &str| {
        [names::SUMMARY, names::PROBE, names::UNSEEN].contains(&key)
            || ["/check.", "/share."].iter().any(|infix| key.contains(infix))
    };
    let mut text = String::new();
    // Writing to a String cannot fail, so the results of writeln! are ignored here and below.
    if let Some(condition) = world.condition() {
        let part = |key: &str| condition[key].as_str().unwrap_or_default();
        let _ = writeln!(text, "condition {} {}: {}", part("status"), part("reason"), part("message"));
    }
    let annotations = world.node.as_ref().and_then(|node| node["metadata"]["annotations"].as_object());
    for (key, value) in annotations.into_iter().flatten().filter(|(key, _)| in_words(key)) {
        let _ = writeln!(text, "{key}: {}", value.as_str().unwrap_or_default());
    }
    for event in &world.events {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        let _ = writeln!(text, "event {} {}: {}", part(&event.type_), part(&event.reason), part(&event.note));
    }
    text
}

#[test]
fn nodes_and_events_read_as_kept() {
    let mut text = String::from(
        "# Conditions, annotations and events. Generated by `make docs`: do not edit, but read each change.\n",
    );
    for (situation, world) in situations() {
        let _ = write!(text, "\n## {situation}\n{}", shown(&world));
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = text.lines().zip(kept.lines().chain(std::iter::repeat(""))).find(|(now, kept)| now != kept);
    assert!(text == kept, "{FILE} is not what is made now; first difference: {differs:#?}\nRun `make docs`.");
}
