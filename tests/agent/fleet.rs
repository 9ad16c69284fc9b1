//! `recheck`, `who`, `nodes --watch` and the events of `node` before the same API server.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hugeprobe::domain::check::Verdict;
use hugeprobe::domain::published::{Fleet, FleetNode};
use hugeprobe::domain::who::Remainder;
use hugeprobe::kubernetes::api::{Api, Unmetered};
use hugeprobe::kubernetes::follow::follow;
use hugeprobe::kubernetes::nodes::{self, Which};
use hugeprobe::kubernetes::order::Key;
use hugeprobe::kubernetes::{node_report, recheck, who};
use hugeprobe::render::jsonpath::Field;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::kubelet::{Fate, play};
use super::stage::{BOOT, Machine, Stage};
use super::world::{Fault, NAMESPACE, NODE, World};

const MINUTE: Duration = Duration::from_secs(60);

fn api(world: &World) -> Api {
    Api::new(world.client(), Arc::new(Unmetered))
}

#[tokio::test(start_paused = true)]
async fn an_agent_answers_a_request_for_another_probe_and_is_waited_for() {
    let world = World::new(BOOT, 8);
    play(&world, Fate::Pass, Duration::from_millis(800));
    let stage = Stage::begin(world, Machine::new(8), &json!({}));
    stage.until_verdict("pass").await;
    stage.pass(10 * MINUTE).await;
    let count = |kind: &str| stage.world.done(kind).len();
    let before = (count("create pods"), count("patch nodes/status"));

    // The clock of the stage is not that of the test, which is later by far: it would be a time in the future.
    let value = "2026-11-23T05:10:00.5Z";
    recheck::request(&api(&stage.world), NODE, value).await.unwrap();
    let mut told = Vec::new();
    let answered = |node: &FleetNode| told.push(node.name.clone());
    let nodes = [NODE.to_owned()];
    let waited = recheck::wait(&api(&stage.world), None, &nodes, value, 5 * MINUTE, answered).await;
    let (fleet, silent) = waited.unwrap();
    assert_eq!((told, silent), (vec![NODE.to_owned()], Vec::new()));
    assert_eq!(fleet.nodes[0].published.rechecked, value);
    assert_eq!((count("create pods"), count("patch nodes/status")), (before.0 + 1, before.1 + 1));
    // The API server of a cluster has the request as the agent's annotations are: nothing removes it.
    assert_eq!(stage.world.annotation("recheck").as_deref(), Some(value));
    stage.pass(20 * MINUTE).await;
    assert_eq!(count("create pods"), before.0 + 1, "{}", stage.seen());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_answer_is_named_after_the_timeout() {
    let world = World::new(BOOT, 8);
    let value = recheck::value();
    recheck::request(&api(&world), NODE, &value).await.unwrap();
    world.fault_times("list nodes", Fault::Status(500, "InternalError", "etcd".into()), 3);
    let nodes = [NODE.to_owned()];
    let (fleet, silent) = recheck::wait(&api(&world), None, &nodes, &value, MINUTE, |_| {}).await.unwrap();
    assert_eq!((fleet.verdict(), silent), (Verdict::Unknown, nodes.to_vec()));
    assert!(recheck::request(&api(&world), "other", &value).await.unwrap_err().is_not_found());
    world.fault("watch nodes", Fault::Status(403, "Forbidden", "no".into()));
    recheck::wait(&api(&world), None, &nodes, &value, MINUTE, |_| {}).await.unwrap_err();
}

/// The answers arrive by one watch, however many nodes are asked.
#[tokio::test]
async fn all_nodes_that_were_asked_are_followed_by_one_list_and_one_watch() {
    let world = World::default();
    for name in ["node-a", "node-b", "node-c", "other"] {
        world.state().nodes.insert(name.into(), told(name, "pass", 3600));
    }
    let by_agents = world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        for name in ["node-b", "other", "node-a"] {
            let mut node = told(name, "fail", 3600);
            node["metadata"]["annotations"]["hugeprobe.io/rechecked"] = "now".into();
            by_agents.send_node("MODIFIED", &node);
        }
        by_agents.send_node("DELETED", &told("node-c", "pass", 3600));
    });
    let asked = ["node-a", "node-b", "node-c", "node-d"].map(str::to_owned);
    let mut answers = Vec::new();
    let answered = |node: &FleetNode| answers.push(node.name.clone());
    let begin = Instant::now();
    let waited = recheck::wait(&api(&world), Some("pool=nfv"), &asked, "now", MINUTE, answered).await;
    let (fleet, silent) = waited.unwrap();
    assert!(begin.elapsed() < MINUTE / 2, "nodes that are gone are not waited for");
    let shown: Vec<_> = fleet.nodes.iter().map(|node| (node.name.as_str(), node.state.word())).collect();
    let expected = [("node-a", "fail"), ("node-b", "fail"), ("node-c", "deleted")];
    assert_eq!(shown, expected.map(|(name, word)| (name, word.to_owned())));
    // node-d was deleted before the list.
    assert_eq!((answers, silent), (vec!["node-b".to_owned(), "node-a".to_owned()], asked[2..].to_vec()));
    assert_eq!(["list nodes", "watch nodes", "get nodes"].map(|kind| world.tried(kind).len()), [1, 1, 0]);
}

fn pod(name: &str, pages: u64) -> Value {
    let limits = json!({"hugepages-2Mi": format!("{}Mi", 2 * pages)});
    json!({
        "metadata": {"namespace": NAMESPACE, "name": name, "labels": {}},
        "spec": {"nodeName": NODE, "containers": [{"name": "c", "resources": {"limits": limits}}]},
        "status": {"phase": "Running"},
    })
}

fn world_of_holders() -> World {
    let world = World::new(BOOT, 8);
    world.change_node(|node| {
        node["metadata"]["annotations"] = json!({
            "hugeprobe.io/verdict": "warn", "hugeprobe.io/profile": "privileged",
            "hugeprobe.io/check.HP202.2Mi": "warn: pages are in use that no pod has requested",
        });
    });
    let mut agent = pod("hugeprobe-agent", 0);
    agent["metadata"]["labels"]["app.kubernetes.io/component"] = "agent".into();
    agent["spec"]["containers"][0]["command"] = json!(["/hugeprobe"]);
    agent["spec"]["containers"][0]["ports"] = json!([{"name": "metrics", "containerPort": 9595}]);
    let pods = [("small", pod("small", 1)), ("large", pod("large", 3)), ("agent", agent)];
    world.state().pods.extend(pods.map(|(name, pod)| (name.to_owned(), pod)));
    let mut ended = pod("ended", 4);
    ended["status"]["phase"] = "Succeeded".into();
    world.state().pods.insert("ended".into(), ended);
    world.state().metrics = "\
hugeprobe_pool_pages{size=\"2Mi\",numa_node=\"0\",state=\"total\"} 8
hugeprobe_pool_pages{size=\"2Mi\",numa_node=\"0\",state=\"free\"} 2
"
    .to_owned();
    world
}

#[tokio::test]
async fn the_pods_and_what_is_in_use_beyond_them_are_found() {
    let world = world_of_holders();
    let found = who::read(&api(&world), NODE).await.unwrap();
    let holdings = &found.sizes[&"2Mi".parse().unwrap()];
    let pods: Vec<_> = holdings.pods.iter().flatten().map(|pod| (pod.pod.as_str(), pod.pages)).collect();
    assert_eq!(pods, [("hugeprobe/large", 3), ("hugeprobe/small", 1)]);
    assert_eq!((holdings.remainder(), holdings.allocatable), (Remainder::Outside(2), Some(8)));
    assert_eq!(holdings.checks.len(), 1);
    let seen = world.tried("get pods/proxy").pop().unwrap();
    assert!(seen.uri.ends_with("/pods/hugeprobe-agent:9595/proxy/metrics"), "{}", seen.uri);
}

#[tokio::test]
async fn what_may_not_be_read_is_named_and_is_not_counted_as_nothing() {
    for (fault, limit) in [
        (
            "get pods/proxy",
            "the pages in use are not known, the metrics of the agent have them: cannot get pods/proxy",
        ),
        ("list all pods", "the pods of the node are not known: cannot list pods: 403 Forbidden: no"),
    ] {
        let world = world_of_holders();
        world.fault(fault, Fault::Status(403, "Forbidden", "no".into()));
        let found = who::read(&api(&world), NODE).await.unwrap();
        let holdings = &found.sizes[&"2Mi".parse().unwrap()];
        assert_eq!(holdings.remainder(), Remainder::Unknown, "{fault}");
        assert_eq!(holdings.pods.is_none(), fault == "list all pods");
        assert!(found.limits[0].starts_with(limit), "{:?}", found.limits);
    }
    let world = world_of_holders();
    world.state().pods.remove("agent");
    let found = who::read(&api(&world), NODE).await.unwrap();
    assert_eq!(found.limits[0], "the pages in use are not known: no pod of an agent runs on the node");
    assert!(who::read(&api(&world), "other").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn what_a_path_finds_in_each_node_is_its_place_in_the_order() {
    let world = World::default();
    for (name, pages) in [("node-a", json!("1Gi")), ("node-b", json!("512Mi")), ("node-c", json!(null))] {
        let mut node = told(name, "pass", 3600);
        node["status"]["allocatable"] = json!({"hugepages-2Mi": pages});
        world.state().nodes.insert(name.into(), node);
    }
    let field = Field::parse("status.allocatable.hugepages-2Mi").unwrap();
    let (api, key) = (api(&world), |node: &Value| field.first(node).and_then(Key::of));
    let found = nodes::fields(&api, Some("pool=nfv"), key).await.unwrap();
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by(|(_, one), (_, other)| one.cmp(other));
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["node-b", "node-a"]);
    assert!(world.tried("list nodes")[0].uri.contains("labelSelector=pool%3Dnfv"));
}

/// A Node with a verdict that is valid for `seconds`.
fn told(name: &str, verdict: &str, seconds: i64) -> Value {
    let until = Timestamp::now() + SignedDuration::from_secs(seconds);
    json!({
        "metadata": {"name": name, "resourceVersion": "7", "annotations": {
            "hugeprobe.io/verdict": verdict, "hugeprobe.io/boot-id": BOOT,
            "hugeprobe.io/checked-at": Timestamp::now().to_string(), "hugeprobe.io/valid-until": until.to_string(),
        }},
        "status": {"nodeInfo": {"bootID": BOOT}},
    })
}

#[tokio::test]
async fn a_watch_shows_each_change_once_and_goes_on_after_the_api_server_was_away() {
    let world = World::default();
    for name in ["node-b", "node-c"] {
        world.state().nodes.insert(name.into(), told(name, "pass", 3600));
    }
    let mut shown = Vec::new();
    let (at_begin, by_change) = (world.clone(), world.clone());
    let begin = |fleet: &Fleet| {
        assert_eq!(fleet.nodes.len(), 2);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut beating = told("node-b", "pass", 3600);
            let before = at_begin.state().nodes["node-b"].clone();
            beating["metadata"]["annotations"] = before["metadata"]["annotations"].clone();
            beating["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
            at_begin.send_node("MODIFIED", &beating);
            at_begin.send_node("MODIFIED", &told("node-b", "fail", 3600));
            at_begin.send_node("DELETED", &told("node-c", "pass", 3600));
        });
        ControlFlow::Continue(())
    };
    let changed = |node: &FleetNode, _| {
        shown.push(format!("{} {}", node.name, node.state.word()));
        if shown.len() == 2 {
            // What happens while no watch runs.
            let mut state = by_change.state();
            state.nodes.remove("node-c");
            state.nodes.insert("node-b".into(), told("node-b", "fail", 3600));
            state.nodes.insert("node-d".into(), told("node-d", "warn", 3600));
            drop(state);
            by_change.break_watches();
        }
        if shown.last().is_some_and(|line| line.starts_with("node-d")) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    follow(&api(&world), Which::Labels(Some("pool=nfv")), begin, changed).await.unwrap();
    // node-b was checked once more meanwhile.
    assert_eq!(shown, ["node-b fail", "node-c deleted", "node-b fail", "node-d warn"]);
    let seen = world.tried("watch nodes");
    assert!(seen.iter().all(|seen| seen.uri.contains("labelSelector=pool%3Dnfv")), "{seen:?}");
}

#[tokio::test]
async fn the_last_events_are_shown_in_whatever_order_they_are_listed() {
    let world = World::new(BOOT, 8);
    for minute in 0..700 {
        let at: Timestamp = "2026-11-23T05:00:00Z".parse().unwrap();
        let at = at + SignedDuration::from_mins(minute);
        let event = json!({"type": "Normal", "reason": "R", "message": minute.to_string(), "lastTimestamp": at.to_string()});
        // The last are listed first.
        world.state().events.insert(format!("{:04}", 700 - minute), event);
    }
    let report = node_report::read(&api(&world), NODE).await.unwrap();
    let messages: Vec<_> = report.events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!((messages.len(), messages[0], messages[19]), (20, "680", "699"));
}
