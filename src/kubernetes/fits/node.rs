//! A Node with only the fields that decide whether a pod fits.
//!
//! It is not [`SlimNode`](crate::slim::SlimNode), because the agent has no use for the spec of its Node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use serde::{Deserialize, Deserializer};

use crate::names::PREFIX;
use hugeprobe_domain::published::Published;

/// A node on which a pod may be placed.
#[derive(Debug, Clone, Default)]
pub struct Candidate {
    /// The name.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is cordoned.
    pub is_unschedulable: bool,
    /// The taints.
    pub taints: Vec<Taint>,
    /// `.status.allocatable` of huge pages, by the name of the resource.
    pub allocatable: BTreeMap<String, String>,
    /// `.status.nodeInfo.bootID`.
    pub boot_id: String,
    /// What hugeprobe published.
    pub published: Published,
}

#[derive(Deserialize)]
struct Shape {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    unschedulable: Option<bool>,
    taints: Option<Vec<Taint>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    allocatable: Option<BTreeMap<String, String>>,
    node_info: Option<Info>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    #[serde(rename = "bootID")]
    boot_id: String,
}

// === impl Candidate ===

impl<'de> Deserialize<'de> for Candidate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Shape { metadata, spec, status } = Shape::deserialize(deserializer)?;
        let (labels, annotations) =
            (metadata.labels.unwrap_or_default(), metadata.annotations.unwrap_or_default());
        let mut allocatable = status.allocatable.unwrap_or_default();
        allocatable.retain(|name, _| name.starts_with("hugepages-"));
        Ok(Self {
            published: Published::read(&annotations, &labels, PREFIX),
            name: metadata.name,
            labels,
            is_unschedulable: spec.unschedulable.unwrap_or(false),
            taints: spec.taints.unwrap_or_default(),
            allocatable,
            boot_id: status.node_info.unwrap_or_default().boot_id,
        })
    }
}
