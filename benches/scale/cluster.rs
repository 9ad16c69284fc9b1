//! The cluster: the chart, Nodes as kwok and a kubelet make them, and the pods of the DaemonSet.

use std::process::Command;

use hugeprobe::kubernetes::reconcile::Identity;
use serde_json::{Value, json};

use super::client::Admin;
use super::kubelets::PODS;
use super::stage::BOOT;

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

/// A Node of about 14 kB, as kwok makes it, with the 50 images that a kubelet reports.
pub(crate) fn node(name: &str) -> Value {
    let image = |number: u64| {
        let names = ["", "@sha256:"].map(|mark| {
            format!("registry.example.com/some-team/service-{number}{mark}{:064x}", number * 7919)
        });
        json!({"names": names, "sizeBytes": 100_000_000 + number})
    };
    let amounts = json!({"cpu": "32", "memory": "256Gi", "pods": "110", "hugepages-2Mi": "1Gi"});
    let labels =
        json!({"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name});
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "status": {
            "capacity": amounts, "allocatable": amounts, "images": (0..50).map(image).collect::<Vec<_>>(),
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}],
            "nodeInfo": {"bootID": BOOT, "machineID": "", "systemUUID": "", "kernelVersion": "", "osImage": "", "architecture": "amd64",
                         "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "", "operatingSystem": "linux"},
        },
    })
}

/// Sets the quota of probe pods.
pub(crate) async fn set_quota(admin: &Admin, pods: usize) {
    let path = "/api/v1/namespaces/hugeprobe/resourcequotas/hugeprobe-probes";
    admin.ask("PATCH", path, &json!({"spec": {"hard": {"pods": pods.to_string()}}})).await;
}
