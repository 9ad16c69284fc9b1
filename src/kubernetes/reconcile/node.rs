//! The parts of a Node object that the reconciler needs: hugeprobe's own keys, the facts that it judges, and which
//! client wrote the keys.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;

use crate::names;
use crate::quantity::in_pages;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// The parts of a Node that matter to the reconciler.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct NodeView {
    pub(super) uid: String,
    /// The resource version, which grows with every write; `None` if it is not a number.
    pub(super) version: Option<u128>,
    /// All labels, because expectations select nodes by them.
    pub(super) labels: BTreeMap<String, String>,
    /// The annotations with hugeprobe's prefix, without [`names::RECHECK`], which the agent neither writes nor removes.
    pub(super) annotations: BTreeMap<String, String>,
    /// The value of [`names::RECHECK`].
    pub(super) recheck: Option<String>,
    /// `.status.capacity` of each huge page size, in pages.
    capacity: BTreeMap<PageSize, Reading<u64>>,
    /// Whether the kubelet gives the huge pages of a pod's limit to its containers.
    pub(super) has_pod_level_pages: bool,
    pub(super) condition: Option<ShownCondition>,
    /// The annotations with the prefix whose last writer was one of hugeprobe's applies.
    pub(super) owned: BTreeSet<String>,
}

/// hugeprobe's condition as the Node shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShownCondition {
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    /// Since when it has had this status.
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
                .filter(|(key, _)| key.starts_with(names::PREFIX) && *key != names::RECHECK)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            recheck: metadata.annotations.as_ref().and_then(|all| all.get(names::RECHECK)).cloned(),
            capacity: capacity
                .into_iter()
                .flatten()
                .filter_map(|(name, amount)| in_pages(name, &amount.0))
                .collect(),
            has_pod_level_pages: status
                .and_then(|status| status.node_info.as_ref())
                .is_some_and(|info| has_pod_level_pages(&info.kubelet_version)),
            condition: conditions
                .and_then(|all| all.iter().find(|one| one.type_ == names::CONDITION))
                .map(ShownCondition::of),
            owned: owned(metadata),
        }
    }

    /// Returns the number of pages of `size` that the kubelet has counted.
    pub(super) fn capacity(&self, size: PageSize) -> Reading<u64> {
        self.capacity.get(&size).cloned().unwrap_or(Reading::Absent)
    }

    /// Returns the labels with hugeprobe's prefix.
    pub(super) fn own_labels(&self) -> impl Iterator<Item = (&String, &String)> {
        self.labels.iter().filter(|(key, _)| key.starts_with(names::PREFIX))
    }

    /// Returns whether the Node has an annotation or a label with hugeprobe's prefix, or its condition.
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

/// Returns the annotations with the prefix that managedFields assigns to hugeprobe's applies. If another client
/// writes a different value, the API server removes the key from hugeprobe's entry.
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

/// Returns whether a kubelet of this version, such as `v1.34.4`, knows huge pages in the limit of a pod. Before, its containers
/// would get none. An API server is never older than the kubelets of its cluster.
///
/// Source: the feature gate PodLevelResources, which is on by default since 1.34, and `GetHugepageLimitsFromResources()` in
/// pkg/kubelet/kuberuntime.
fn has_pod_level_pages(kubelet: &str) -> bool {
    const SINCE: (u32, u32) = (1, 34);
    let mut numbers = kubelet.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse::<u32>().ok();
    number().zip(number()).is_some_and(|version| version >= SINCE)
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

    #[test]
    fn the_version_of_the_kubelet_decides_about_pages_of_a_pod() {
        for (version, has) in [
            ("v1.34.0", true),
            ("v1.34.1+k3s1", true),
            ("v1.37.2-gke.100", true),
            ("v2.0.0", true),
            ("v1.33.9", false),
            ("v1.9.0", false),
            ("1.40", true),
            ("", false),
            ("v1", false),
            ("x.34", false),
        ] {
            assert_eq!(has_pod_level_pages(version), has, "{version}");
        }
    }
}
