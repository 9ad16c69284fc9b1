//! Calm and safe: what waits writes nothing, what is in the way is named, and connections to the metrics do not keep the kubelet
//! from the agent.

use serde_json::{Value, json};

use super::context::node::{Node, Published};
use super::context::pools::{Holder, SMALL};
use super::context::{NAMESPACE, NODE, WORKLOADS, chart, kubectl, pods, script, wait};
use super::release::uninstalled;
use super::{Case, case, case_since};

pub(crate) const CASES: &[Case] = &[
    case("idle connections to the metrics do not make the kubelet restart the agent", idle_connections),
    case("a first install under a quota writes nothing until its turn, and then once", first_install),
    case("a probe pod of an earlier agent that does not go is named on the Node", leftover),
    // A pod may request huge pages as a whole from 1.34 on.
    case_since(34, "the pages of a sidecar and those of a whole pod count as requested", sidecar),
];

fn idle_connections() {
    let agent = chart::agent();
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap();
    let address = agent["status"]["podIP"].as_str().unwrap().to_owned();
    // Opened again when they are closed: eighty at a time, on both ports, for as long as three liveness probes take.
    let flood = "end=$((SECONDS + 80)); while [ $SECONDS -lt $end ]; do \
                 for i in $(seq 40); do for port in 9595 9596; do exec {fd}<>/dev/tcp/$0/$port && fds+=($fd); done; done; \
                 sleep 4; for fd in ${fds[@]}; do exec {fd}>&-; done; fds=(); done";
    let mut flood = script("inside").args(["bash", "-c", flood, &address]).spawn().unwrap();
    wait::throughout("the agent is ready and is not restarted", 75, || {
        let now = chart::agent();
        let ready = now["status"]["containerStatuses"][0]["ready"] == true;
        if ready && restarts(&now) == restarts(&agent) { Ok(()) } else { Err(now["status"].clone()) }
    });
    chart::page("/metrics").unwrap();
    // It may have ended by itself.
    let _ = flood.kill();
    flood.wait().unwrap();
}

/// The names and types of the events about the Node that agents recorded.
fn events() -> Vec<(String, String)> {
    let about_node = |event: &Value| event["regarding"]["name"] == NODE && event["action"].is_string();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    kubectl::list(&["events.events.k8s.io", "--namespace", "default"])
        .iter()
        .filter(|event| about_node(event) && text(&event["reportingController"]).starts_with("hugeprobe.io"))
        .map(|event| (text(&event["metadata"]["name"]), text(&event["type"])))
        .collect()
}

fn first_install() {
    let again = uninstalled();
    let full = kubectl::apply_for_now(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full", "namespace": NAMESPACE},
        "spec": {"hard": {"pods": "0"}, "scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["hugeprobe-probe"]}]}}
    }));
    let before = events();
    drop(again);
    let shows_nothing = || {
        let published = Node::read().published();
        if published.is_nothing() { Ok(()) } else { Err(published) }
    };
    wait::throughout("the Node shows nothing while the agent waits", 40, shows_nothing);
    let agent = chart::agent();
    kubectl::must(&["delete", "pod", chart::meta(&agent, "name"), "--namespace", NAMESPACE]);
    let waits = || {
        let series = "hugeprobe_probe_blocked_since_timestamp_seconds{";
        let metrics = chart::page("/metrics")?;
        let is_blocked = |line: &str| line.starts_with(series) && line.contains("reason=\"quota\"");
        if metrics.lines().any(is_blocked) { Ok(()) } else { Err(metrics) }
    };
    wait::until("another agent waits", 30, waits);
    wait::throughout("the Node shows nothing after the restart either", 20, shows_nothing);
    assert_eq!(events(), before, "nothing was told");
    drop(full);
    chart::published("a pass when its turn comes", 120, Published::passes);
    wait::until("one event, which is no warning", 10, || {
        let told: Vec<_> = events().into_iter().filter(|event| !before.contains(event)).collect();
        if let [(_, kind)] = told.as_slice()
            && kind == "Normal"
        {
            Ok(())
        } else {
            Err(told)
        }
    });
    let metrics = chart::metrics();
    let applies = metrics.lines().find(|line| {
        line.starts_with("hugeprobe_api_requests_total{")
            && line.contains("nodes/status")
            && line.contains("200")
    });
    assert!(applies.is_some_and(|line| line.ends_with(" 1")), "one apply: {applies:?}\n{metrics}");
    chart::show_ours();
}

/// A finalizer keeps it, as a controller of the cluster may.
fn leftover() {
    let due = chart::due(SMALL);
    let mut pod = wait::until("a probe of 2Mi is there", 60, || {
        let is_small = |pod: &&Value| pod["metadata"]["labels"]["hugeprobe.io/size"] == "2Mi";
        pods::probes().iter().find(is_small).cloned().ok_or("none")
    });
    drop(due);
    chart::at_rest();
    let name = chart::meta(&pod, "name").to_owned();
    let labels = pod["metadata"]["labels"].clone();
    pod["metadata"] =
        json!({"name": name, "namespace": NAMESPACE, "labels": labels, "finalizers": ["example.com/stay"]});
    pod["status"] = Value::Null;
    kubectl::apply(&pod);
    let kept = kubectl::Guard::run(
        &["get", "pod", &name, "--namespace", NAMESPACE],
        &[
            "patch",
            "pod",
            &name,
            "--namespace",
            NAMESPACE,
            "--type=json",
            "--patch",
            r#"[{"op": "remove", "path": "/metadata/finalizers"}]"#,
        ],
    );
    let due = chart::due(SMALL);
    let published = chart::published("the Node names it", 150, |published| {
        published.annotation("probe").is_some_and(|probe| probe.contains("leftover") && probe.contains(&name))
    });
    assert!(published.passes_for("2Mi") && published.names("HP203", "2Mi"), "{published:#?}");
    chart::show_ours();
    drop(kept);
    chart::published("a pass once it is gone", 120, |published| {
        published.passes() && !published.annotations.contains_key("probe")
    });
    drop(due);
}

fn sidecar() {
    let changed = chart::with(&json!({"podAccounting": true}));
    chart::at_rest();
    let mut pod = pods::workload("beside", SMALL, 4, 4);
    let mut sidecar = pods::workload("", SMALL, 8, 8)["spec"]["containers"][0].clone();
    sidecar["name"] = json!("sidecar");
    sidecar["restartPolicy"] = json!("Always");
    pod["spec"]["initContainers"] = json!([sidecar]);
    // KEP-2837: the request is in spec.resources, and the container has none.
    let mut whole = pods::workload("whole", SMALL, 10, 10);
    whole["spec"]["resources"] = whole["spec"]["containers"][0]["resources"].take();
    let free = SMALL.free();
    let workload = [pod, whole].map(|pod| kubectl::apply_for_now(&pod));
    for name in ["beside", "whole"] {
        pods::running(WORKLOADS, name, 30);
    }
    wait::until("both pods hold their pages", 20, || match free - SMALL.free() {
        22.. => Ok(()),
        held => Err(held),
    });
    // HP202 fails after a minute, and pods are listed every minute.
    let outside = |published: &Published| published.names("HP202", "2Mi");
    wait::throughout("no page is in use outside pods", 130, || {
        let published = Node::read().published();
        if published.passes_for("2Mi") && !outside(&published) { Ok(()) } else { Err(published) }
    });
    // Without which the case would show nothing.
    let holder = Holder::take(6);
    chart::published("pages outside pods are told of", 180, outside);
    drop((holder, workload, changed));
}
