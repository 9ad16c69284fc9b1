//! The part of the configuration about the probe pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::SELinuxOptions;
use serde::Deserialize;
use serde_json::Value;

use super::{ConfigError, Profile, refused, within};
use crate::domain::size::PageSize;

/// The probe pods.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProbeConfig {
    /// hugeprobe's image.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: PullPolicy,
    /// Names of secrets of the namespace to pull it with.
    pub image_pull_secrets: Vec<String>,
    /// A class that never preempts and is preempted by everybody.
    pub priority_class_name: String,
    /// An account without any right.
    pub service_account_name: String,
    /// Pages of a size in each container's limit, at most; see [`ProbeConfig::pages`].
    pub pages: BTreeMap<PageSize, u64>,
    /// As whom it runs; left out if null, as OpenShift wants it.
    pub run_as_user: Option<i64>,
    /// See `run_as_user`.
    pub run_as_group: Option<i64>,
    /// Without it only root may write to the hugetlbfs.
    pub fs_group: Option<i64>,
    /// The workload's runtime class; null for the node's own.
    pub runtime_class_name: Option<String>,
    /// CPU of each container, request and limit.
    pub cpu: String,
    /// Memory of each container, request and limit.
    pub memory: String,
    /// `activeDeadlineSeconds`.
    pub deadline_seconds: u64,
    /// How long a pod may wait to be scheduled.
    pub pending_seconds: u64,
    /// How long a verdict may last, in hours, while the node is busy and no probe can run.
    pub busy_hours: u64,
    /// Its SELinux options: a type that may use the socket of `peer`, for one.
    pub se_linux_options: Option<SELinuxOptions>,
    /// Labels besides its own.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum PullPolicy {
    /// Whether it is there or not.
    Always,
    /// If it is not there.
    #[default]
    IfNotPresent,
    /// Not at all.
    Never,
}

/// What a container gets of a size that `pages` does not name: two pages run every check; of the small ones two more let
/// several regions be shared.
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
    /// Pages of `size` in each container's limit, at most.
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
