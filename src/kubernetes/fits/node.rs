//! A Node with only the fields that decide whether a pod fits.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use serde::{Deserialize, Deserializer};

use crate::slim::NodeShape;
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

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    unschedulable: Option<bool>,
    taints: Option<Vec<Taint>>,
}

// === impl Candidate ===

impl<'de> Deserialize<'de> for Candidate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = NodeShape::<Spec>::deserialize(deserializer)?;
        let pages = node.allocatable().filter(|(name, _)| name.starts_with("hugepages-"));
        let allocatable = pages.map(|(name, amount)| (name.to_owned(), amount.to_owned())).collect();
        let (published, boot_id) = (node.published(), node.boot_id().to_owned());
        let Spec { unschedulable, taints } = node.spec.unwrap_or_default();
        Ok(Self {
            published,
            name: node.metadata.name,
            labels: node.metadata.labels.unwrap_or_default(),
            is_unschedulable: unschedulable.unwrap_or(false),
            taints: taints.unwrap_or_default(),
            allocatable,
            boot_id,
        })
    }
}
