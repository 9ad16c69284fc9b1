//! The Node as readers see it: what is published about its pages, and what the kubelet says of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{NODE, kubectl};

/// One reading of a Node.
#[derive(Debug, Clone)]
pub(crate) struct Node(Value);

/// What is published under our prefix, and nothing else: easy to compare, and to print when a case fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// Annotations without the prefix.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Labels without the prefix.
    pub(crate) labels: BTreeMap<String, String>,
    /// Status and reason of the condition.
    pub(crate) condition: Option<(String, String)>,
}

const PREFIX: &str = "hugeprobe.io/";
const CONDITION: &str = "hugeprobe.io/HugepagesReady";

// === impl Node ===

impl Node {
    /// The node as it is now.
    pub(crate) fn read() -> Self {
        Self::named(NODE)
    }

    /// Another node of the cluster.
    pub(crate) fn named(name: &str) -> Self {
        Self(kubectl::get(&["node", name]).unwrap_or_else(|| panic!("there is no node {name}")))
    }

    /// The whole object.
    pub(crate) fn json(&self) -> &Value {
        &self.0
    }

    /// Its uid: another one after it was deleted and registered again.
    pub(crate) fn uid(&self) -> &str {
        self.0["metadata"]["uid"].as_str().unwrap()
    }

    /// The boot id that the kubelet reports.
    pub(crate) fn boot_id(&self) -> &str {
        self.0["status"]["nodeInfo"]["bootID"].as_str().unwrap()
    }

    /// Whether the container runtime says that it supports pods in user namespaces.
    pub(crate) fn offers_user_namespaces(&self) -> bool {
        let handlers = self.0["status"]["runtimeHandlers"].as_array();
        handlers.into_iter().flatten().any(|handler| handler["features"]["userNamespaces"] == true)
    }

    /// What the kubelet offers of a resource, in the API's own spelling.
    pub(crate) fn capacity(&self, resource: &str) -> String {
        self.0["status"]["capacity"][resource].as_str().unwrap_or("0").to_owned()
    }

    /// What is published.
    pub(crate) fn published(&self) -> Published {
        let ours = |what: &str| -> BTreeMap<String, String> {
            let all = self.0["metadata"][what].as_object();
            let pairs = all.into_iter().flatten();
            pairs
                .filter_map(|(key, value)| {
                    Some((key.strip_prefix(PREFIX)?.to_owned(), value.as_str()?.to_owned()))
                })
                .collect()
        };
        let conditions = self.0["status"]["conditions"].as_array();
        let condition = conditions.into_iter().flatten().find(|condition| condition["type"] == CONDITION);
        let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        Published {
            annotations: ours("annotations"),
            labels: ours("labels"),
            condition: condition.map(|condition| (text(condition, "status"), text(condition, "reason"))),
        }
    }

    /// The node without us: what an uninstall must leave. What the kubelet writes by the minute is left out.
    pub(crate) fn without_us(&self) -> Value {
        let mut rest = self.0.clone();
        for pointer in ["/metadata/managedFields", "/metadata/resourceVersion", "/status/images"] {
            if let Some(value) = rest.pointer_mut(pointer) {
                *value = Value::Null;
            }
        }
        for what in ["annotations", "labels"] {
            if let Some(map) = rest["metadata"][what].as_object_mut() {
                map.retain(|key, _| !key.starts_with(PREFIX));
            }
        }
        if let Some(conditions) = rest["status"]["conditions"].as_array_mut() {
            conditions.retain(|condition| condition["type"] != CONDITION);
            for condition in conditions {
                condition["lastHeartbeatTime"] = Value::Null;
            }
        }
        rest
    }
}

// === impl Published ===

impl Published {
    /// An annotation without the prefix.
    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str)
    }

    /// The verdict of the node.
    pub(crate) fn verdict(&self) -> Option<&str> {
        self.annotation("verdict")
    }

    /// What schedulers select by: a pass, warnings included.
    pub(crate) fn passes(&self) -> bool {
        self.labels.get("verdict").is_some_and(|label| label == "pass")
    }

    /// The same of a size.
    pub(crate) fn passes_for(&self, size: &str) -> bool {
        self.labels.get(&format!("hugepages-{size}")).is_some_and(|label| label == "pass")
    }

    /// Nothing at all: no agent was ever here.
    pub(crate) fn is_nothing(&self) -> bool {
        self.annotations.is_empty() && self.labels.is_empty() && self.condition.is_none()
    }

    /// Whether a check that is not pass is published, for a size.
    pub(crate) fn names(&self, id: &str, size: &str) -> bool {
        self.annotations.contains_key(&format!("check.{id}.{size}"))
    }
}
