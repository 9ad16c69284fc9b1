//! What the reconciler keeps of a Node object: its own keys, what it needs to judge, and who wrote them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;

use crate::domain::reading::Reading;
use crate::domain::size::PageSize;
use crate::kubernetes::names;
use crate::kubernetes::quantity::in_pages;

/// A Node, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct NodeView {
    pub(super) uid: String,
    /// Grows with every write; `None` if it is not a number.
    pub(super) version: Option<u128>,
    /// All labels: expectations select by them.
    pub(super) labels: BTreeMap<String, String>,
    /// The annotations under hugeprobe's prefix.
    pub(super) annotations: BTreeMap<String, String>,
    /// `.status.capacity` of each size of huge pages, in pages.
    capacity: BTreeMap<PageSize, Reading<u64>>,
    pub(super) condition: Option<ShownCondition>,
    /// Annotations under the prefix that hugeprobe's own applies have written last.
    pub(super) owned: BTreeSet<String>,
}

/// hugeprobe's condition, as the Node has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShownCondition {
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    /// Since when it has this status.
    pub(super) since: Option<Timestamp>,
}

// === impl ===

impl NodeView {
    pub(super) fn of(node: &Node) -> Self {
        let metadata = &node.metadata;
        let status = node.status.as_ref();
        let capacity = status.and_then(|status| status.capacity.as_ref());
        let conditions = status.and_then(|status| status.conditions.as_ref());
        let annotations = metadata.annotations.iter().flatten();
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            version: metadata.resource_version.as_deref().and_then(|version| version.parse().ok()),
            labels: metadata.labels.clone().unwrap_or_default(),
            annotations: annotations
                .filter(|(key, _)| key.starts_with(names::PREFIX))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            capacity: capacity
                .into_iter()
                .flatten()
                .filter_map(|(name, amount)| in_pages(name, &amount.0))
                .collect(),
            condition: conditions
                .and_then(|all| all.iter().find(|one| one.type_ == names::CONDITION))
                .map(ShownCondition::of),
            owned: owned(metadata),
        }
    }

    /// Pages of `size` that the kubelet counted.
    pub(super) fn capacity(&self, size: PageSize) -> Reading<u64> {
        self.capacity.get(&size).cloned().unwrap_or(Reading::Absent)
    }

    /// The labels under hugeprobe's prefix.
    pub(super) fn own_labels(&self) -> impl Iterator<Item = (&String, &String)> {
        self.labels.iter().filter(|(key, _)| key.starts_with(names::PREFIX))
    }

    /// Whether the Node has any key with hugeprobe's prefix.
    pub(super) fn shows_anything(&self) -> bool {
        !self.annotations.is_empty() || self.own_labels().next().is_some() || self.condition.is_some()
    }
}

impl ShownCondition {
    fn of(condition: &NodeCondition) -> Self {
        Self {
            status: condition.status.clone(),
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
            since: condition.last_transition_time.as_ref().map(|time| time.0),
        }
    }
}

/// The annotations under the prefix that managedFields gives to hugeprobe's applies. A client that writes another value takes
/// the key away from there.
fn owned(metadata: &ObjectMeta) -> BTreeSet<String> {
    let entries = metadata.managed_fields.iter().flatten().filter(|entry| is_ours(entry));
    let fields = entries.filter_map(|entry| entry.fields_v1.as_ref()?.0.pointer("/f:metadata/f:annotations"));
    fields
        .filter_map(Value::as_object)
        .flat_map(|keys| keys.keys())
        .filter_map(|key| key.strip_prefix("f:"))
        .filter(|key| key.starts_with(names::PREFIX))
        .map(str::to_owned)
        .collect()
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(names::MANAGER) && entry.operation.as_deref() == Some("Apply")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_our_applies_wrote_is_ours() {
        let node: Node = serde_json::from_value(serde_json::json!({
            "metadata": {
                "uid": "u", "resourceVersion": "17",
                "annotations": {"hugeprobe.io/verdict": "pass", "hugeprobe.io/boot-id": "b", "other": "x"},
                "managedFields": [
                    {"manager": "hugeprobe", "operation": "Apply", "subresource": "status",
                     "fieldsV1": {"f:metadata": {"f:annotations": {"f:hugeprobe.io/verdict": {}, "f:else": {}}}}},
                    {"manager": "hugeprobe", "operation": "Update",
                     "fieldsV1": {"f:metadata": {"f:annotations": {"f:hugeprobe.io/boot-id": {}}}}},
                    {"manager": "kubectl", "operation": "Apply",
                     "fieldsV1": {"f:metadata": {"f:annotations": {"f:hugeprobe.io/boot-id": {}}}}},
                    {"manager": "hugeprobe", "operation": "Apply", "fieldsV1": [1, "x"]},
                ],
            },
        }))
        .unwrap();
        let view = NodeView::of(&node);
        assert_eq!(view.owned, BTreeSet::from(["hugeprobe.io/verdict".to_owned()]));
        assert_eq!(view.annotations.len(), 2);
        assert_eq!((view.uid.as_str(), view.version), ("u", Some(17)));
    }
}
