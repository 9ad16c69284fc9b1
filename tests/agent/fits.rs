//! `fits` and `why` before the same API server.

use std::sync::Arc;

use hugeprobe::domain::check::Verdict;
use hugeprobe::domain::fit::Fit;
use hugeprobe::domain::why::{Place, PodReport};
use hugeprobe::kubernetes::api::{Api, Unmetered};
use hugeprobe::kubernetes::fits::{self, Workload};
use hugeprobe::kubernetes::why;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::stage::{BOOT, OTHER_BOOT};
use super::world::{Fault, NAMESPACE, World};

/// A pod that needs two pages of 2Mi.
const POD: &str = "{kind: Pod, spec: {containers: [{resources: {limits: {hugepages-2Mi: 4Mi}}}]}}";

async fn read(world: &World) -> Fit {
    let api = Api::new(world.client(), Arc::new(Unmetered));
    fits::read(&api, None, &Workload::read(POD).unwrap(), false).await.unwrap()
}

/// A Node with four pages of 2Mi and a pass of the boot `boot`.
fn node(name: &str, boot: &str) -> Value {
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    json!({
        "metadata": {
            "name": name, "labels": {"hugeprobe.io/hugepages-2Mi": "pass"},
            "annotations": {
                "hugeprobe.io/verdict": "pass", "hugeprobe.io/boot-id": boot, "hugeprobe.io/pool.2Mi": "4 (numa0 4)",
                "hugeprobe.io/checked-at": Timestamp::now().to_string(), "hugeprobe.io/valid-until": later.to_string(),
                "hugeprobe.io/unseen": "use outside pods (HP202)",
            },
        },
        "status": {"nodeInfo": {"bootID": BOOT}, "allocatable": {"hugepages-2Mi": "8Mi"}},
    })
}

/// A pod of three pages of 2Mi that is bound to the node.
fn pod(node: &str, phase: &str) -> Value {
    let containers = json!([{"resources": {"limits": {"hugepages-2Mi": "6Mi"}}}]);
    json!({"spec": {"nodeName": node, "containers": containers}, "status": {"phase": phase}})
}

fn world(nodes: &[Value]) -> World {
    let world = World::default();
    for node in nodes {
        world.state().nodes.insert(node["metadata"]["name"].as_str().unwrap().into(), node.clone());
    }
    world.state().pods.insert("full".into(), pod("b", "Running"));
    world.state().pods.insert("ended".into(), pod("a", "Succeeded"));
    world
}

fn words(fit: &Fit) -> Vec<(&str, &str, &str)> {
    let reason =
        |node: &'_ hugeprobe::domain::fit::NodeFit| node.reason.as_ref().map_or("", |one| one.step.word());
    fit.nodes.iter().map(|node| (node.name.as_str(), node.word(), reason(node))).collect()
}

#[tokio::test]
async fn each_node_has_the_first_reason_whether_few_or_many_are_asked() {
    let mut cordoned = node("c", BOOT);
    cordoned["spec"] = json!({"unschedulable": true});
    let mut nodes = vec![node("a", BOOT), node("b", BOOT), cordoned, node("d", OTHER_BOOT)];
    for more in [0, 20] {
        nodes.extend((0..more).map(|number| node(&format!("z{number}"), OTHER_BOOT)));
        let world = world(&nodes);
        let fit = read(&world).await;
        let expected = [
            ("a", "yes", ""),
            ("b", "no", "scheduler"),
            ("c", "no", "scheduler"),
            ("d", "unknown", "staleness"),
        ];
        assert_eq!(words(&fit)[..4], expected);
        assert_eq!(fit.verdict(), Verdict::Pass);
        assert!(fit.limits[0].starts_with("HP202 is skipped on 1 node"), "{:?}", fit.limits);
        // A node that is left out already costs no request.
        assert_eq!(world.tried("list all pods").len(), if more == 0 { 3 } else { 1 });
    }
}

#[tokio::test]
async fn without_the_right_to_list_pods_nothing_is_a_fit() {
    let world = world(&[node("a", BOOT)]);
    world.fault("list all pods", Fault::Status(403, "Forbidden", "no".into()));
    let fit = read(&world).await;
    assert_eq!(words(&fit), [("a", "unknown", "scheduler")]);
    assert_eq!(fit.limits[0], "requests of other pods are not counted: cannot list pods: 403 Forbidden: no");
}

async fn asked(world: &World, name: &str) -> PodReport {
    let api = Api::new(world.client(), Arc::new(Unmetered));
    why::read(&api, NAMESPACE, name).await.unwrap()
}

#[tokio::test]
async fn a_pending_pod_is_compared_with_all_nodes_and_a_bound_one_has_its_node() {
    let world = world(&[node("a", OTHER_BOOT)]);
    let spec = json!({"containers": [{"name": "c", "resources": {"limits": {"hugepages-2Mi": "64Mi"}}}]});
    let pending = json!({
        "kind": "Pod", "metadata": {"name": "p", "uid": "u"}, "spec": spec,
        "status": {"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes\nare",
        }]},
    });
    let mut bound = pending.clone();
    bound["spec"]["nodeName"] = "a".into();
    world.state().pods.insert("p".into(), pending);
    world.state().pods.insert("q".into(), bound);
    let event = |kind: &str| json!({"type": kind, "reason": "FailedScheduling", "message": "0/1 nodes\nare", "count": 5});
    world.state().events.insert("normal".into(), event("Normal"));
    world.state().events.insert("warning".into(), event("Warning"));

    let report = asked(&world, "p").await;
    assert_eq!(
        report.messages,
        ["event FailedScheduling: 0/1 nodes (5 times)", "event FailedScheduling: are"]
    );
    let Place::Nodes(fit) = &report.place else { panic!("{report:?}") };
    assert_eq!(words(fit), [("a", "no", "scheduler")]);
    assert!(report.has_cause() && !report.is_well);
    let seen = world.tried("list events").pop().unwrap();
    assert!(seen.uri.contains("involvedObject.uid%3Du"), "{}", seen.uri);

    world.fault("list events", Fault::Status(403, "Forbidden", "no".into()));
    let report = asked(&world, "q").await;
    assert_eq!(report.limits, ["events are not shown: cannot list events: 403 Forbidden: no"]);
    let Place::Node(node) = &report.place else { panic!("{report:?}") };
    assert_eq!((node.name.as_str(), node.state.verdict()), ("a", Verdict::Unknown));
    assert!(!report.has_cause(), "an unknown verdict is not a cause");
}
