//! Calm and safe: what waits is no fault, what is in the way has a name, and nobody keeps the kubelet from the agent.

use serde_json::{Value, json};

use super::context::node::Node;
use super::context::pools::SMALL;
use super::context::{WORKLOADS, chart, kubectl, pods, script, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("idle connections to the metrics do not make the kubelet restart the agent", idle_connections),
    case("pages of sidecars and of whole pods are no use outside pods", accounting),
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
