//! Kubernetes objects that are reduced to the fields that hugeprobe uses while they are parsed.
//!
//! A Node has tens of kilobytes, most of them image names and managed fields.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus, NodeSystemInfo, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::names::{MANAGER, PREFIX};
use hugeprobe_domain::published::Published;

/// A Node with only the fields that hugeprobe uses.
#[derive(Debug, Clone)]
pub struct SlimNode(pub Node);

/// A Pod without its managed fields.
#[derive(Debug, Clone)]
pub struct SlimPod(pub Pod);

/// A Node as JSON, with the fields that some part of hugeprobe uses. `S` is what is read of its spec.
#[derive(Deserialize)]
pub(crate) struct NodeShape<S = IgnoredAny> {
    pub(crate) metadata: Meta,
    pub(crate) spec: Option<S>,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) name: String,
    uid: Option<String>,
    resource_version: Option<String>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    managed_fields: Option<Vec<ManagedFieldsEntry>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    capacity: Option<BTreeMap<String, Quantity>>,
    allocatable: Option<BTreeMap<String, Quantity>>,
    conditions: Option<Vec<NodeCondition>>,
    node_info: Option<Info>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    #[serde(rename = "bootID")]
    boot_id: String,
    #[serde(rename = "kubeletVersion")]
    kubelet_version: String,
}

// === impl NodeShape ===

impl<S> NodeShape<S> {
    /// Returns what hugeprobe published on the Node.
    pub(crate) fn published(&self) -> Published {
        let none = BTreeMap::new();
        let Meta { annotations, labels, .. } = &self.metadata;
        Published::read(annotations.as_ref().unwrap_or(&none), labels.as_ref().unwrap_or(&none), PREFIX)
    }

    /// Returns `.status.nodeInfo.bootID`; empty if the Node does not have it.
    pub(crate) fn boot_id(&self) -> &str {
        self.status.node_info.as_ref().map_or("", |info| info.boot_id.as_str())
    }

    /// Returns the quantities of `.status.allocatable`.
    pub(crate) fn allocatable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.status.allocatable.iter().flatten().map(|(name, amount)| (name.as_str(), amount.0.as_str()))
    }
}

// === impl SlimNode, SlimPod ===

impl<'de> Deserialize<'de> for SlimNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let NodeShape::<IgnoredAny> { metadata, status, .. } = NodeShape::deserialize(deserializer)?;
        let Meta { name, uid, resource_version, labels, annotations, managed_fields } = metadata;
        // Keep the managed fields of hugeprobe: they decide what an apply has to overwrite. Those of other managers are
        // large and not used.
        let ours = |entry: &ManagedFieldsEntry| entry.manager.as_deref() == Some(MANAGER);
        let Status { capacity, allocatable, conditions, node_info } = status;
        let metadata = ObjectMeta {
            name: Some(name),
            uid,
            resource_version,
            labels,
            annotations,
            managed_fields: managed_fields.map(|all| all.into_iter().filter(ours).collect()),
            ..ObjectMeta::default()
        };
        let node_info = node_info.map(|Info { boot_id, kubelet_version }| NodeSystemInfo {
            boot_id,
            kubelet_version,
            ..NodeSystemInfo::default()
        });
        let status = NodeStatus { capacity, allocatable, conditions, node_info, ..NodeStatus::default() };
        Ok(Self(Node { metadata, status: Some(status), ..Node::default() }))
    }
}

impl<'de> Deserialize<'de> for SlimPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pod = Pod::deserialize(deserializer)?;
        pod.metadata.managed_fields = None;
        Ok(Self(pod))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_is_kept_and_the_rest_is_not() {
        let json = serde_json::json!({
            "metadata": {"name": "node-a", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"}, "managedFields": [{"manager": "kubelet"}, {"manager": "hugeprobe"}]},
            "spec": {"podCIDR": "10.0.0.0/24"},
            "status": {"capacity": {"hugepages-2Mi": "16Mi"}, "nodeInfo": {"bootID": "b", "kernelVersion": "6"}, "images": [{"names": ["x"]}]},
        });
        let node: SlimNode = serde_json::from_value(json).unwrap();
        assert_eq!(node.0.status.as_ref().unwrap().node_info.as_ref().unwrap().boot_id, "b");
        let managers: Vec<_> =
            node.0.metadata.managed_fields.iter().flatten().map(|entry| entry.manager.clone()).collect();
        assert_eq!(managers, [Some("hugeprobe".to_owned())]);
        assert_eq!(node.0.status.as_ref().unwrap().images, None);
        assert_eq!(node.0.status.unwrap().capacity.unwrap()["hugepages-2Mi"].0, "16Mi");
    }

    #[test]
    fn a_node_that_has_only_a_name_is_one() {
        let node: NodeShape = serde_json::from_str(r#"{"metadata": {"name": "node-a"}}"#).unwrap();
        assert_eq!((node.boot_id(), node.published().verdict), ("", None));
    }
}
