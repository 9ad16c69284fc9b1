//! What another client of the API server sees of the Nodes and the probe pods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::client::Admin;

pub(crate) const PODS: &str = "/api/v1/namespaces/hugeprobe/pods";

/// What it has seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The verdict's label and the time of the check, of each Node.
    pub(crate) verdicts: BTreeMap<String, (String, String)>,
    /// The Nodes whose verdict was taken away or changed since this was cleared.
    pub(crate) changed: BTreeSet<String>,
    /// The probe pods that exist, by uid.
    alive: BTreeSet<String>,
    /// The most probe pods that existed at once, and how many were deleted, since this was set.
    pub(crate) most: usize,
    pub(crate) gone: usize,
}

/// Follows the Nodes and the probe pods, for ever.
pub(crate) fn follow(admin: &Admin, seen: &Arc<Mutex<Seen>>) {
    let nodes = Arc::clone(seen);
    let see = move |node, _| nodes.lock().unwrap().node(&node);
    tokio::spawn(admin.clone().follow("/api/v1/nodes", see));
    let pods = Arc::clone(seen);
    let see = move |pod: Value, gone| {
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "probe" {
            pods.lock().unwrap().pod(&pod, gone);
        }
    };
    tokio::spawn(admin.clone().follow(PODS, see));
}

// === impl Seen ===

impl Seen {
    /// Takes in a probe pod.
    fn pod(&mut self, pod: &Value, gone: bool) {
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        if gone {
            self.alive.remove(&uid);
            self.gone += 1;
        } else {
            self.alive.insert(uid);
            self.most = self.most.max(self.alive.len());
        }
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
