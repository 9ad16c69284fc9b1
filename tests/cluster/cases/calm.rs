//! Calm and safe: what waits is no fault, what is in the way has a name, and nobody keeps the kubelet from the agent.

use serde_json::{Value, json};

use super::context::node::Node;
use super::context::pools::SMALL;
use super::context::{
    NAMESPACE, NODE, WORKLOAD_IMAGE, WORKLOADS, chart, daemon, kubectl, pods, script, wait,
};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("a first verdict that waits for the quota is one event, and no warning", first_install),
    case("idle connections to the metrics do not make the kubelet restart the agent", idle_connections),
    case("a leftover probe pod that cannot go is named on the Node", leftover),
    case("pages of sidecars and of whole pods are no use outside pods", accounting),
];

/// Events about this Node since it was registered: type and reason.
fn events(uid: &str) -> Vec<(String, String)> {
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let ours = |event: &&Value| {
        event["involvedObject"]["uid"] == uid && event["reportingComponent"] == "hugeprobe.io/agent"
    };
    let all = kubectl::list(&["events", "--namespace", "default"]);
    all.iter().filter(ours).map(|event| (text(event, "type"), text(event, "reason"))).collect()
}

fn first_install() {
    let changed = chart::with(&json!({"probe": {"maxInCluster": 1}}));
    chart::at_rest();
    let other = kubectl::apply_for_now(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "of-another-node", "namespace": NAMESPACE},
        "spec": {
            "priorityClassName": "hugeprobe-probe", "nodeSelector": {"kubernetes.io/hostname": "node-b"},
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "a", "image": WORKLOAD_IMAGE,
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]
        }
    }));
    // A Node that no agent has written to.
    let before = Node::read();
    kubectl::must(&["delete", "node", NODE]);
    daemon("restart", "kubelet");
    let uid = wait::until("the Node is registered again", 60, || {
        let node = kubectl::get(&["node", NODE]).ok_or("none")?;
        let uid = node["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        if uid == before.uid() { Err("the old one") } else { Ok(uid) }
    });
    wait::throughout("nothing is said while it waits", 60, || {
        let (published, events) = (Node::read().published(), events(&uid));
        if published.is_nothing() && events.is_empty() { Ok(()) } else { Err((published, events)) }
    });
    drop(other);
    chart::published("its turn comes", 150, super::context::node::Published::passes);
    wait::until("the event is there", 30, || match events(&uid).as_slice() {
        [(kind, reason)] if kind == "Normal" && reason.starts_with("HugepagesVerified") => Ok(()),
        others => Err(others.to_vec()),
    });
    drop(changed);
}

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

fn leftover() {
    let name = format!("hugeprobe-2mi-{NODE}-before");
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "finalizers": ["example.com/stays"], "labels": {
            "app.kubernetes.io/name": "hugeprobe", "app.kubernetes.io/component": "probe",
            "hugeprobe.io/size": "2Mi", "hugeprobe.io/node": NODE}},
        "spec": {
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [NODE]}]}]}}},
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "frontend", "image": WORKLOAD_IMAGE, "resources": {"requests": {"cpu": "1000"}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]
        }
    });
    kubectl::apply(&pod);
    let due = chart::due(SMALL);
    chart::published("the pod that is in the way is named", 150, |published| {
        published.annotation("probe").is_some_and(|probe| probe.contains("leftover probe pod"))
    });
    chart::show_ours();
    pod["metadata"]["finalizers"] = json!([]);
    kubectl::must(&[
        "patch",
        "pod",
        &name,
        "--namespace",
        NAMESPACE,
        "--type",
        "merge",
        "--patch",
        r#"{"metadata": {"finalizers": null}}"#,
    ]);
    chart::published("a pass once it is gone", 150, |published| {
        published.passes() && !published.annotations.contains_key("probe")
    });
    drop(due);
}

fn accounting() {
    let changed = chart::with(&json!({"podAccounting": true}));
    chart::at_rest();
    // A sidecar holds four pages beside a container that holds two.
    let mut sidecar = pods::workload("sidecar", SMALL, 2, 2);
    let mut holder = pods::workload("other", SMALL, 4, 4)["spec"]["containers"][0].clone();
    holder["name"] = json!("sidecar");
    holder["restartPolicy"] = json!("Always");
    sidecar["spec"]["initContainers"] = json!([holder]);
    // A pod of which only the whole has a limit.
    let mut whole = pods::workload("whole", SMALL, 2, 2);
    let resources = whole["spec"]["containers"][0]["resources"].take();
    whole["spec"]["containers"][0]["resources"] = json!({});
    whole["spec"]["resources"] = resources;
    let sidecar = kubectl::apply_for_now(&sidecar);
    pods::running(WORKLOADS, "sidecar", 60);
    let whole = kubectl::apply_for_now(&whole);
    pods::running(WORKLOADS, "whole", 60);
    // The agent lists after a minute, and says so after another.
    wait::throughout("no page is said to be used outside pods", 150, || {
        let published = Node::read().published();
        if published.names("HP202", "2Mi") { Err(published) } else { Ok(()) }
    });
    assert_eq!(chart::outcome("HP202", "2Mi").as_deref(), Some("pass"));
    drop((sidecar, whole, changed));
}
