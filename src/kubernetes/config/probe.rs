//! The `probe` section of the configuration.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::SELinuxOptions;
use serde::Deserialize;
use serde_json::Value;

use super::{ConfigError, Profile, refused, within};
use hugeprobe_domain::size::PageSize;

/// The configuration of the probe pods.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProbeConfig {
    /// The image, which contains hugeprobe.
    pub image: String,
    /// The image pull policy: `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: PullPolicy,
    /// Names of the image pull secrets in the probe pods' namespace.
    pub image_pull_secrets: Vec<String>,
    /// The priority class. It should never preempt other pods, and every other pod should be able to preempt it.
    pub priority_class_name: String,
    /// The service account. It needs no permissions.
    pub service_account_name: String,
    /// The maximum number of pages of each size in a container's limit; see [`ProbeConfig::pages`].
    pub pages: BTreeMap<PageSize, u64>,
    /// The user ID of the containers. If null, the pod does not set it, as OpenShift requires.
    pub run_as_user: Option<i64>,
    /// The group ID of the containers; null as for `run_as_user`.
    pub run_as_group: Option<i64>,
    /// The pod's `fsGroup`. Without it, only root can write to the hugetlbfs mount.
    pub fs_group: Option<i64>,
    /// The runtime class of the workload; null for the node's default.
    pub runtime_class_name: Option<String>,
    /// Whether the pod shares the host's user namespace, as pods do by default.
    pub host_users: bool,
    /// The claims on devices of a DRA driver that both containers have.
    pub resource_claims: Vec<ResourceClaim>,
    /// Whether the pod may have the node's only page as a limit of the pod, if the kubelet supports this.
    pub pod_level_resources: bool,
    /// The CPU request and limit of each container.
    pub cpu: String,
    /// The memory request and limit of each container.
    pub memory: String,
    /// The pod's `activeDeadlineSeconds`.
    pub deadline_seconds: u64,
    /// How long a pod may wait to be scheduled, in seconds.
    pub pending_seconds: u64,
    /// How long a verdict may stay valid while the node is busy and no probe can run, in hours.
    pub busy_hours: u64,
    /// The SELinux options of the pod, for example a type that may use the socket of `peer`.
    pub se_linux_options: Option<SELinuxOptions>,
    /// Labels in addition to those that hugeprobe sets.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pod.
    pub annotations: BTreeMap<String, String>,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A claim that Kubernetes makes from a template for each probe pod.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceClaim {
    /// Its name in the pod.
    pub name: String,
    /// The name of the ResourceClaimTemplate in the namespace of the agent.
    pub resource_claim_template_name: String,
}

/// The `imagePullPolicy` of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum PullPolicy {
    /// Always pull the image.
    Always,
    /// Pull the image if the node does not have it.
    #[default]
    IfNotPresent,
    /// Never pull the image.
    Never,
}

/// The default number of pages in a container's limit.
///
/// Every check can run with two pages. For 2 MiB pages the default is two more, so that several regions can be shared.
const PAGES: u64 = 2;
const PAGES_OF_2MI: u64 = 4;

// === impl ProbeConfig ===

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            image: String::new(),
            image_pull_policy: PullPolicy::default(),
            image_pull_secrets: Vec::new(),
            priority_class_name: "hugeprobe-probe".to_owned(),
            service_account_name: "hugeprobe-probe".to_owned(),
            pages: BTreeMap::new(),
            run_as_user: Some(65532),
            run_as_group: Some(65532),
            fs_group: Some(65532),
            runtime_class_name: None,
            host_users: true,
            resource_claims: Vec::new(),
            pod_level_resources: true,
            cpu: "200m".to_owned(),
            memory: "32Mi".to_owned(),
            deadline_seconds: 60,
            pending_seconds: 30,
            busy_hours: 168,
            se_linux_options: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            unknown: BTreeMap::new(),
        }
    }
}

impl ProbeConfig {
    /// Returns the maximum number of pages of `size` in each container's limit.
    #[must_use]
    pub fn pages(&self, size: PageSize) -> u64 {
        let default = if size.bytes() == 2 << 20 { PAGES_OF_2MI } else { PAGES };
        self.pages.get(&size).copied().unwrap_or(default)
    }

    pub(super) fn validate(&self, profile: Profile) -> Result<(), ConfigError> {
        self.validate_pages()?;
        within("probe.deadlineSeconds", self.deadline_seconds, 10..=600)?;
        within("probe.pendingSeconds", self.pending_seconds, 1..=600)?;
        within("probe.busyHours", self.busy_hours, 1..=8760)?;
        for (key, text) in [
            ("probe.image", &self.image),
            ("probe.priorityClassName", &self.priority_class_name),
            ("probe.serviceAccountName", &self.service_account_name),
            ("probe.cpu", &self.cpu),
            ("probe.memory", &self.memory),
        ] {
            if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return Err(refused(
                    key,
                    &format!("'{}' is empty or contains white space", text.escape_debug()),
                ));
            }
        }
        for (key, id) in [
            ("probe.runAsUser", self.run_as_user),
            ("probe.runAsGroup", self.run_as_group),
            ("probe.fsGroup", self.fs_group),
        ] {
            match id {
                Some(id) if !(0..=i64::from(u32::MAX)).contains(&id) => {
                    return Err(refused(key, &format!("{id} is not a valid id")));
                }
                Some(0) if profile == Profile::Restricted && key == "probe.runAsUser" => {
                    return Err(refused(key, &"0 is root, which the restricted profile does not allow"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn validate_pages(&self) -> Result<(), ConfigError> {
        self.pages.iter().try_for_each(|(size, pages)| within(&format!("probe.pages.{size}"), *pages, 1..=16))
    }
}
