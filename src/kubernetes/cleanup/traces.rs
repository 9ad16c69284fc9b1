//! Finds what hugeprobe left on a Node. The managed fields record which field manager owns each field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::names::{CONDITION, MANAGER, PREFIX, RECHECK};

/// The parts of a Node that cleanup needs.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Traces {
    metadata: Meta,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: String,
    #[serde(default)]
    uid: String,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    managed_fields: Option<Vec<Managed>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Managed {
    manager: Option<String>,
    operation: Option<String>,
    #[serde(default)]
    fields_v1: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Condition {
    r#type: String,
}

/// The annotations, labels and condition that have hugeprobe's prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Untidy {
    annotations: BTreeSet<String>,
    labels: BTreeSet<String>,
    condition: bool,
}

// === impl Traces ===

impl Traces {
    pub(super) fn name(&self) -> &str {
        &self.metadata.name
    }

    pub(super) fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// Returns whether hugeprobe's field manager wrote fields of this Node by server-side apply.
    pub(super) fn was_applied(&self) -> bool {
        self.managed("Apply").next().is_some()
    }

    /// Returns the patch that removes what hugeprobe's field manager wrote by other means than apply, as an early
    /// version may have done, and an operator's request for another probe; `None` if there is nothing to remove.
    pub(super) fn updated(&self) -> Option<Value> {
        let (mut annotations, mut labels, mut condition) = (Map::new(), Map::new(), false);
        let there = self.untidy();
        for managed in self.managed("Update") {
            let fields = &managed.fields_v1;
            let owned = |kind: &str, key: &str| {
                fields
                    .pointer(&format!("/f:metadata/f:{kind}"))
                    .is_some_and(|of| of.get(format!("f:{key}")).is_some())
            };
            annotations.extend(
                there
                    .annotations
                    .iter()
                    .filter(|key| owned("annotations", key))
                    .map(|key| (key.clone(), Value::Null)),
            );
            labels.extend(
                there.labels.iter().filter(|key| owned("labels", key)).map(|key| (key.clone(), Value::Null)),
            );
            let conditions = fields.pointer("/f:status/f:conditions");
            let key = format!("k:{{\"type\":\"{CONDITION}\"}}");
            condition |= there.condition && conditions.is_some_and(|of| of.get(key).is_some());
        }
        if there.annotations.contains(RECHECK) {
            annotations.insert(RECHECK.to_owned(), Value::Null);
        }
        if annotations.is_empty() && labels.is_empty() && !condition {
            return None;
        }
        let metadata = json!({"uid": self.uid(), "annotations": annotations, "labels": labels});
        let mut patch = Map::from_iter([("metadata".to_owned(), metadata)]);
        if condition {
            let gone = json!({"conditions": [{"type": CONDITION, "$patch": "delete"}]});
            patch.insert("status".to_owned(), gone);
        }
        Some(Value::Object(patch))
    }

    /// Returns all keys with hugeprobe's prefix, including those that other field managers wrote.
    pub(super) fn untidy(&self) -> Untidy {
        let ours = |texts: &Option<BTreeMap<String, String>>| {
            texts
                .iter()
                .flatten()
                .map(|(key, _)| key)
                .filter(|key| key.starts_with(PREFIX))
                .cloned()
                .collect()
        };
        Untidy {
            annotations: ours(&self.metadata.annotations),
            labels: ours(&self.metadata.labels),
            condition: self.status.conditions.iter().flatten().any(|one| one.r#type == CONDITION),
        }
    }

    fn managed(&self, operation: &'static str) -> impl Iterator<Item = &Managed> {
        self.metadata.managed_fields.iter().flatten().filter(move |managed| {
            managed.manager.as_deref() == Some(MANAGER) && managed.operation.as_deref() == Some(operation)
        })
    }
}

// === impl Untidy ===

impl Untidy {
    /// Returns what is in `self` but not in `other`.
    pub(super) fn without(&self, other: &Self) -> Self {
        Self {
            annotations: self.annotations.difference(&other.annotations).cloned().collect(),
            labels: self.labels.difference(&other.labels).cloned().collect(),
            condition: self.condition && !other.condition,
        }
    }
}

impl fmt::Display for Untidy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |keys: &BTreeSet<String>| {
            keys.iter().map(|key| key.strip_prefix(PREFIX).unwrap_or(key)).collect::<Vec<_>>().join(", ")
        };
        let mut pieces = Vec::new();
        if !self.annotations.is_empty() {
            pieces.push(format!("annotations {}", names(&self.annotations)));
        }
        if !self.labels.is_empty() {
            pieces.push(format!("labels {}", names(&self.labels)));
        }
        if self.condition {
            pieces.push("the condition".to_owned());
        }
        f.write_str(&pieces.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_updated_is_taken_away_by_name_and_only_what_our_manager_owns() {
        let traces = |operation: &str, manager: &str| -> Traces {
            serde_json::from_value(json!({
                "metadata": {
                    "name": "node-a", "uid": "u",
                    "annotations": {"hugeprobe.io/verdict": "pass", "hugeprobe.io/note": "x", "example.com/a": "b"},
                    "labels": {"hugeprobe.io/verdict": "pass"},
                    "managedFields": [{"manager": manager, "operation": operation, "fieldsV1": {
                        "f:metadata": {"f:annotations": {"f:hugeprobe.io/verdict": {}, "f:example.com/a": {}},
                                       "f:labels": {"f:hugeprobe.io/verdict": {}}},
                        "f:status": {"f:conditions": {"k:{\"type\":\"hugeprobe.io/HugepagesReady\"}": {}}},
                    }}],
                },
                "status": {"conditions": [{"type": "Ready"}, {"type": "hugeprobe.io/HugepagesReady"}]},
            }))
            .unwrap()
        };
        let patch = traces("Update", MANAGER).updated().unwrap();
        assert_eq!(
            patch,
            json!({
                "metadata": {"uid": "u", "annotations": {"hugeprobe.io/verdict": null}, "labels": {"hugeprobe.io/verdict": null}},
                "status": {"conditions": [{"type": "hugeprobe.io/HugepagesReady", "$patch": "delete"}]},
            })
        );
        assert!(!traces("Update", MANAGER).was_applied());
        assert!(traces("Apply", MANAGER).was_applied());
        for (operation, manager) in [("Update", "kubectl"), ("Apply", MANAGER)] {
            assert_eq!(traces(operation, manager).updated(), None);
        }
        let mut requested = traces("Apply", MANAGER);
        requested.metadata.annotations.get_or_insert_default().insert(RECHECK.to_owned(), "x".to_owned());
        let patch = requested.updated().unwrap();
        assert_eq!(patch["metadata"]["annotations"], json!({"hugeprobe.io/recheck": null}));
    }
}
