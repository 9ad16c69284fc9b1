//! `cleanup`, `nodes` and `policies` before the same API server.

use std::time::Duration;

use hugeprobe::domain::check::Verdict;
use hugeprobe::domain::published::Fleet;
use hugeprobe::kubernetes::api::{Api, Unmetered};
use hugeprobe::kubernetes::cleanup::{self, Done, Scope};
use hugeprobe::kubernetes::nodes;
use hugeprobe::kubernetes::policies;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

use super::kubelet::{Fate, play};
use super::stage::{BOOT, Machine, OTHER_BOOT, Stage};
use super::world::{Fault, NAMESPACE, NODE, World};

fn api(world: &World) -> Api {
    Api::new(world.client(), Arc::new(Unmetered))
}

async fn clean(world: &World, scope: Scope) -> (Done, String) {
    let mut out = Vec::new();
    let done = cleanup::run(&api(world), &scope, NAMESPACE, &mut out).await.unwrap();
    (done, String::from_utf8(out).unwrap())
}

fn node(world: &World) -> Value {
    let mut node = world.state().nodes[NODE].clone();
    node["metadata"]["resourceVersion"] = Value::Null;
    node
}

/// A Node with a verdict on it, and a probe that an agent left.
async fn littered() -> (World, Value) {
    let world = World::new(BOOT, 8);
    world.change_node(|node| node["metadata"]["annotations"]["example.com/mine"] = "x".into());
    let before = node(&world);
    play(&world, Fate::Pass, Duration::from_millis(500));
    let stage = Stage::begin(world, Machine::new(8), &json!({"renewMinutes": 1}));
    stage.until_verdict("pass").await;
    play(&stage.world, Fate::Endless, Duration::from_millis(500));
    stage.until("the next probe", |stage| !stage.world.state().pods.is_empty()).await;
    let (world, _) = stage.kill().await;
    (world, before)
}

#[tokio::test(start_paused = true)]
async fn cleaning_leaves_the_node_as_it_was_and_finds_nothing_the_second_time() {
    for scope in [Scope::AllNodes, Scope::Node(NODE.to_owned())] {
        let (world, mut before) = littered().await;
        let (done, told) = clean(&world, scope.clone()).await;
        assert_eq!(done, Done { nodes: 1, pods: 1, failures: 0 }, "{told}");
        assert!(told.contains("node node-a: removed annotations boot-id,"), "{told}");
        before["metadata"]["managedFields"] = json!([]);
        assert_eq!(node(&world), before);
        assert!(world.state().pods.is_empty());
        let writes = world.tried("patch nodes/status").len();
        let (again, told) = clean(&world, scope).await;
        assert_eq!((again, world.tried("patch nodes/status").len()), (Done::default(), writes), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_uninstall_of_many_nodes_is_no_burst() {
    let (world, _) = littered().await;
    let node = world.state().nodes[NODE].clone();
    for number in 0..99 {
        let mut node = node.clone();
        node["metadata"]["name"] = format!("node-{number}").into();
        world.state().nodes.insert(format!("node-{number}"), node);
    }
    let before = world.tried("patch nodes/status").len();
    let (done, told) = clean(&world, Scope::AllNodes).await;
    assert_eq!((done.nodes, done.failures), (100, 0), "{told}");
    let patches = world.tried("patch nodes/status").split_off(before);
    let took = patches[99].at - patches[0].at;
    assert!(took >= Duration::from_millis(990), "100 writes in {took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_wrote_under_our_prefix_is_left_and_named() {
    let (world, _) = littered().await;
    world.change_node(|node| node["metadata"]["annotations"]["hugeprobe.io/note"] = "by hand".into());
    let (done, told) = clean(&world, Scope::AllNodes).await;
    assert_eq!(done.failures, 0);
    assert!(told.contains("left annotations note, which hugeprobe did not write"), "{told}");
    assert_eq!(node(&world)["metadata"]["annotations"]["hugeprobe.io/note"], "by hand");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_cleaned_is_said_and_the_rest_is_cleaned() {
    let (world, _) = littered().await;
    world.fault("patch nodes/status", Fault::Status(403, "Forbidden", "no".into()));
    let (done, told) = clean(&world, Scope::AllNodes).await;
    assert_eq!((done.pods, done.nodes), (1, 0));
    assert!(
        done.failures > 0 && told.contains("cannot patch nodes/status node-a: 403 Forbidden: no"),
        "{told}"
    );
}

fn told(verdict: &str, boot: &str, valid: Timestamp) -> Value {
    json!({
        "metadata": {"name": NODE, "annotations": {
            "hugeprobe.io/verdict": verdict, "hugeprobe.io/boot-id": boot,
            "hugeprobe.io/checked-at": Timestamp::now().to_string(), "hugeprobe.io/valid-until": valid.to_string(),
        }},
        "status": {"nodeInfo": {"bootID": BOOT}},
    })
}

#[tokio::test]
async fn a_fleet_is_read_and_a_verdict_of_another_boot_or_out_of_date_is_no_pass() {
    let world = World::new(BOOT, 8);
    let (later, earlier) = (Timestamp::now() + SignedDuration::from_hours(1), Timestamp::now());
    for (name, node) in [
        ("b", told("pass", BOOT, later)),
        ("c", told("pass", OTHER_BOOT, later)),
        ("d", told("pass", BOOT, earlier)),
    ] {
        let mut node = node;
        node["metadata"]["name"] = name.into();
        world.state().nodes.insert(name.into(), node);
    }
    let fleet = nodes::read(&api(&world), Some("pool=nfv")).await.unwrap();
    let words: Vec<_> = fleet.nodes.iter().map(|node| (node.name.as_str(), node.state.word())).collect();
    let expected = [("b", "pass"), ("c", "stale"), ("d", "stale"), (NODE, "missing")];
    assert_eq!(words, expected.map(|(name, word)| (name, word.to_owned())));
    assert_eq!(fleet.verdict(), Verdict::Unknown);
    let asked = world.tried("list nodes").pop().unwrap();
    assert!(asked.uri.contains("labelSelector=pool%3Dnfv") && asked.uri.contains("limit="), "{}", asked.uri);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_every_node_is_told_or_the_time_is_up() {
    let world = World::new(BOOT, 8);
    world.fault_times("list nodes", Fault::Status(500, "InternalError", "etcd".into()), 2);
    let mut looks = 0;
    let late = nodes::wait(&api(&world), None, Duration::from_secs(60), Fleet::is_told, |_| looks += 1)
        .await
        .unwrap();
    assert_eq!(late.verdict(), Verdict::Unknown);
    assert!((10..40).contains(&looks), "{looks}");
    world
        .state()
        .nodes
        .insert(NODE.into(), told("pass", BOOT, Timestamp::now() + SignedDuration::from_hours(1)));
    let fleet =
        nodes::wait(&api(&world), None, Duration::from_secs(60), Fleet::is_told, |_| {}).await.unwrap();
    assert_eq!(fleet.verdict(), Verdict::Pass);
    world.fault("list nodes", Fault::Status(403, "Forbidden", "no".into()));
    assert!(nodes::wait(&api(&world), None, Duration::from_secs(60), Fleet::is_told, |_| {}).await.is_err());
}

/// An API server without policies accepts everything: two of the three writes should not have been, and nothing is changed.
#[tokio::test(start_paused = true)]
async fn policies_that_are_missing_are_reported_and_every_write_is_a_dry_run() {
    let world = World::new(BOOT, 8);
    let mut other = world.state().nodes[NODE].clone();
    other["metadata"]["name"] = "node-b".into();
    world.state().nodes.insert("node-b".into(), other);
    let before = world.state().nodes.clone();
    let tried = policies::try_all(&api(&world), NODE).await.unwrap();
    let expected: Vec<_> = tried.iter().map(policies::Tried::is_as_expected).collect();
    assert_eq!(expected, [true, false, false], "{tried:?}");
    assert!(tried[2].what.contains("node-b"), "{tried:?}");
    assert_eq!(world.state().nodes, before);
    let writes: Vec<_> =
        world.state().seen.iter().filter(|seen| seen.what.starts_with("patch")).cloned().collect();
    assert!(writes.len() == 3 && writes.iter().all(|seen| seen.uri.contains("dryRun=All")), "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn policies_cannot_be_tried_while_the_server_is_away() {
    let world = World::new(BOOT, 8);
    world.fault("patch nodes/status", Fault::Status(503, "ServiceUnavailable", "later".into()));
    policies::try_all(&api(&world), NODE).await.unwrap_err();
}
