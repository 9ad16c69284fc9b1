//! The cluster: the chart, the Nodes, of which kwok makes the status, and the pods of the DaemonSet.

use std::process::Command;
use std::time::Duration;

use hugeprobe::kubernetes::reconcile::Identity;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::Admin;
use super::seen::PODS;

/// Installs or upgrades the chart with the values that docs/howto/install-in-a-cluster.md recommends for so many nodes.
pub(crate) fn install(tag: &str, nodes: usize) {
    let (helm, chart) = (std::env::var("HELM").unwrap(), std::env::var("CHART").unwrap());
    let (tick, probes) = (nodes.div_ceil(40).max(10), most_probes(nodes));
    let values = format!(
        "expectations[0].expect={{2Mi>=64}},image.tag={tag},tickSeconds={tick},probe.maxInCluster={probes}"
    );
    let done = Command::new(helm)
        .args(["--kubeconfig", "admin.conf", "upgrade", "--install", "hugeprobe", &chart, "--no-hooks"])
        .args(["--namespace", "hugeprobe", "--set", &values])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The value `probe.maxInCluster`.
pub(crate) fn most_probes(nodes: usize) -> usize {
    nodes.div_ceil(80).max(40)
}

/// Creates the Nodes, the agents' pods, and a token for each agent that is bound to its pod.
pub(crate) async fn make(admin: &Admin, count: usize) -> Vec<(Identity, String)> {
    let set = admin.get("/apis/apps/v1/namespaces/hugeprobe/daemonsets/hugeprobe").await;
    let mut agents = Vec::new();
    for number in 0..count {
        agents.push(agent(admin, number, set["spec"]["template"]["spec"].clone()).await);
    }
    ready(admin, count).await;
    agents
}

async fn agent(admin: &Admin, number: usize, mut spec: Value) -> (Identity, String) {
    let (name, pod) = (format!("node-{number:05}"), format!("hugeprobe-{number:05}"));
    admin.ask("POST", "/api/v1/nodes", &node(&name)).await;
    spec["nodeName"] = name.as_str().into();
    let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": spec});
    let made = admin.ask("POST", PODS, &body).await;
    let uid = made["metadata"]["uid"].as_str().unwrap().to_owned();
    let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": pod, "uid": uid});
    let body = json!({"spec": {"boundObjectRef": bound, "expirationSeconds": 86400}});
    let path = "/api/v1/namespaces/hugeprobe/serviceaccounts/hugeprobe-agent/token";
    let token = admin.ask("POST", path, &body).await["status"]["token"].as_str().unwrap().to_owned();
    (Identity { node: name, pod, pod_uid: uid, namespace: "hugeprobe".to_owned() }, token)
}

/// A Node as a kubelet registers it.
pub(crate) fn node(name: &str) -> Value {
    let labels =
        json!({"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
}

/// Waits until kwok has made all Nodes Ready.
pub(crate) async fn ready(admin: &Admin, count: usize) {
    for number in 0..count {
        let path = format!("/api/v1/nodes/node-{number:05}");
        while admin.get(&path).await["status"]["images"].is_null() {
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Sets the quota of probe pods.
pub(crate) async fn set_quota(admin: &Admin, pods: usize) {
    let path = "/api/v1/namespaces/hugeprobe/resourcequotas/hugeprobe-probes";
    admin.ask("PATCH", path, &json!({"spec": {"hard": {"pods": pods.to_string()}}})).await;
}
