//! The scheduler and the kubelets, as far as the API server sees them: what becomes of each probe pod.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::Admin;
use super::cost::KUBELET;
use super::kubelet::{Fate, status};

pub(crate) const PODS: &str = "/api/v1/namespaces/hugeprobe/pods";
/// How long a probe pod takes from its creation to its end. In the cluster of `make cluster` it is less than 5 s.
pub(crate) const PROBE: Duration = Duration::from_secs(5);

/// What another client of the API server sees.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The verdict's label and the time of the check, of each Node.
    pub(crate) verdicts: BTreeMap<String, (String, String)>,
    /// The Nodes whose verdict was taken away or changed since this was cleared.
    pub(crate) changed: BTreeSet<String>,
    /// The probe pods that exist, and all that ever did, by uid.
    alive: BTreeSet<String>,
    ever: BTreeSet<String>,
    /// The most probe pods that existed at once, and how many were deleted, since this was set.
    pub(crate) most: usize,
    pub(crate) gone: usize,
}

/// Plays what becomes of every probe pod, for ever.
pub(crate) async fn play(seen: Arc<Mutex<Seen>>) -> Infallible {
    let admin = Admin::new(KUBELET);
    let see = |pod: Value, gone| {
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] != "probe" {
            return;
        }
        let admin = admin.clone();
        if seen.lock().unwrap().pod(&pod, gone) {
            tokio::spawn(async move { run(&admin, pod).await });
        } else if !gone && pod["metadata"]["deletionTimestamp"].is_string() {
            tokio::spawn(async move { end(&admin, &pod).await });
        }
    };
    admin.clone().follow(PODS, see).await
}

/// From the binding to the end: 12 writes, as many as a pod of two containers causes whose image is present.
async fn run(admin: &Admin, pod: Value) {
    let name = pod["metadata"]["name"].as_str().unwrap();
    let node = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        [0]["matchFields"][0]["values"][0];
    sleep(PROBE / 25).await;
    let target = json!({"apiVersion": "v1", "kind": "Node", "name": node});
    let binding =
        json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target});
    admin.ask("POST", &format!("{PODS}/{name}/binding"), &binding).await;
    event(admin, &pod, "Scheduled").await;
    // With the uid, as a kubelet does: an agent may have replaced the pod by another of its name.
    let uid = &pod["metadata"]["uid"];
    let show = async |status: Value| {
        let body = json!({"metadata": {"uid": uid}, "status": status});
        admin.ask("PATCH", &format!("{PODS}/{name}/status"), &body).await
    };
    let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
    let creating = ["frontend", "backend"].map(|side| {
        json!({"name": side, "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": waiting})
    });
    show(json!({"phase": "Pending", "containerStatuses": creating})).await;
    sleep(PROBE / 4).await;
    for reason in ["Pulled", "Created", "Started", "Pulled", "Created", "Started"] {
        event(admin, &pod, reason).await;
    }
    show(status(Fate::Endless, &pod)).await;
    sleep(PROBE / 2).await;
    let end = status(Fate::Pass, &pod);
    let mut half = status(Fate::Endless, &pod);
    half["containerStatuses"][0] = end["containerStatuses"][0].clone();
    show(half).await;
    sleep(PROBE / 5).await;
    show(end).await;
}

/// The deletion of a pod on a node is complete when the kubelet has stopped its containers.
async fn end(admin: &Admin, pod: &Value) {
    let metadata = &pod["metadata"];
    let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}});
    admin.ask("DELETE", &format!("{PODS}/{}", metadata["name"].as_str().unwrap()), &options).await;
}

async fn event(admin: &Admin, pod: &Value, reason: &str) {
    let metadata = &pod["metadata"];
    let body = json!({
        "apiVersion": "v1", "kind": "Event", "type": "Normal", "reason": reason, "message": "Created container frontend",
        "metadata": {"generateName": "probe.", "namespace": "hugeprobe"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "namespace": "hugeprobe", "uid": metadata["uid"]},
        "source": {"component": "kubelet"}, "firstTimestamp": metadata["creationTimestamp"], "count": 1,
    });
    admin.ask("POST", "/api/v1/namespaces/hugeprobe/events", &body).await;
}

// === impl Seen ===

impl Seen {
    /// Takes in a probe pod. Returns whether it is new.
    fn pod(&mut self, pod: &Value, gone: bool) -> bool {
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        if gone {
            self.alive.remove(&uid);
            self.gone += 1;
            return false;
        }
        self.alive.insert(uid.clone());
        self.most = self.most.max(self.alive.len());
        self.ever.insert(uid)
    }

    /// Takes in a Node.
    pub(crate) fn node(&mut self, node: &Value) {
        let metadata = &node["metadata"];
        let text = |kind: &str, key: &str| metadata[kind][key].as_str().unwrap_or_default().to_owned();
        let name = metadata["name"].as_str().unwrap().to_owned();
        let now = (text("labels", "hugeprobe.io/verdict"), text("annotations", "hugeprobe.io/checked-at"));
        let before = self.verdicts.insert(name.clone(), now.clone());
        if before.is_some_and(|before| !before.0.is_empty() && before.0 != now.0) {
            self.changed.insert(name);
        }
    }
}
