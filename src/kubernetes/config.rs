//! The agent's configuration, agent.json, which the Helm chart renders from its values.
//!
//! An invalid value is refused at startup, with a message that names the value.

mod peer;
mod probe;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::Value;

use hugeprobe_domain::request::{Expectation, PageCount, Request, Workload};
use hugeprobe_domain::size::PageSize;
pub use peer::{PeerClaim, PeerConfig, PeerSource, directory_and_name};
pub use probe::{ProbeConfig, PullPolicy, ResourceClaim};

/// The configuration file. Every key except `probe.image` has a default. Resident mode does not use `probe.image`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// The permissions of the agent and its probe pods.
    pub profile: Profile,
    /// Where the probes run.
    pub mode: Mode,
    /// The workload whose limits are checked.
    pub workload: Workload,
    /// The seccomp profile of the workload.
    pub workload_seccomp: WorkloadSeccomp,
    /// Whether to watch the Node. If false, the agent polls the Node instead.
    pub watch_node: bool,
    /// How often the pools are read, in seconds. They are polled because sysfs does not notify of changes.
    pub tick_seconds: u64,
    /// How long a verdict is used before it is renewed, in minutes, with a jitter of 20 % in either direction.
    pub renew_minutes: u64,
    /// The page sizes to check. If empty, every size that has pages or is expected.
    pub sizes: Vec<PageSize>,
    /// What the nodes should have. All entries that match a node add up.
    ///
    /// If none matches, the boot command line determines what is expected.
    pub expectations: Vec<NodeExpectation>,
    /// Whether the agent may list the pods of the node, in all namespaces.
    pub pod_accounting: bool,
    /// The probe pods.
    pub probe: ProbeConfig,
    /// A vswitch on the node, which is tested as well; null for none.
    pub peer: Option<PeerConfig>,
    /// The configuration of resident mode.
    pub resident: ResidentConfig,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The permissions of the agent and its probe pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// An agent and probe pods that conform to the Pod Security Standard `restricted`.
    #[default]
    Restricted,
    /// Root, the capabilities that mbind and locked memory require, and access to the host's processes.
    Privileged,
}

/// Where the probes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// In a short-lived pod for each size.
    #[default]
    ProbePods,
    /// In two containers that run permanently in the agent's pod.
    Resident,
}

/// A seccomp profile type, as in a pod's `securityContext`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum WorkloadSeccomp {
    /// No seccomp profile, the default of Kubernetes.
    #[default]
    Unconfined,
    /// The default profile of the container runtime.
    RuntimeDefault,
}

/// What the nodes with certain labels should have.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeExpectation {
    /// Labels and values that the node must have. If empty, every node matches.
    pub node_selector: BTreeMap<String, String>,
    /// The expected pools, in the syntax of `--expect`.
    pub expect: Vec<Expectation>,
    /// The pages that a workload needs, in the syntax of `--need`.
    pub need: Vec<PageCount>,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The configuration of resident mode.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResidentConfig {
    /// The directory that the agent shares with the two containers. It has one subdirectory for each size.
    pub directory: String,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The reason why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The JSON cannot be parsed.
    #[error("the configuration cannot be parsed: {0}")]
    Form(#[from] serde_json::Error),
    /// A value is invalid.
    #[error("the configuration's {key} {why}")]
    Value {
        /// The key of the value.
        key: String,
        /// What is wrong with the value.
        why: String,
    },
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            mode: Mode::default(),
            workload: Workload::default(),
            workload_seccomp: WorkloadSeccomp::default(),
            watch_node: true,
            tick_seconds: 10,
            renew_minutes: 30,
            sizes: Vec::new(),
            expectations: Vec::new(),
            pod_accounting: false,
            probe: ProbeConfig::default(),
            peer: None,
            resident: ResidentConfig::default(),
            unknown: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Parses and validates agent.json.
    ///
    /// # Errors
    ///
    /// The JSON cannot be parsed, or a value is invalid. Unknown keys are ignored, because during an upgrade agents of
    /// the old version read the configuration of the new version.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_str(text)?;
        config.validate()?;
        Ok(config)
    }

    /// Returns the keys that were ignored, each with its path: `probe.cpus`.
    #[must_use]
    pub fn unknown_keys(&self) -> Vec<String> {
        let expectations = self.expectations.iter().enumerate();
        let parts = [
            (String::new(), &self.unknown),
            ("probe.".to_owned(), &self.probe.unknown),
            ("resident.".to_owned(), &self.resident.unknown),
        ];
        (parts.into_iter())
            .chain(self.peer.iter().map(|peer| ("peer.".to_owned(), &peer.unknown)))
            .chain(expectations.map(|(index, entry)| (format!("expectations[{index}]."), &entry.unknown)))
            .flat_map(|(path, keys)| keys.keys().map(move |key| format!("{path}{key}")))
            .collect()
    }

    /// Returns the request for a node with these labels: the sum of all entries that match. If two entries need pages
    /// of the same pool, the larger number counts.
    #[must_use]
    pub fn request(&self, labels: &BTreeMap<String, String>) -> Request {
        let mut request =
            Request { sizes: self.sizes.clone(), workload: self.workload, ..Request::default() };
        for entry in self.expectations.iter().filter(|entry| entry.matches(labels)) {
            request.expect.extend(
                entry.expect.iter().filter(|one| !request.expect.contains(one)).copied().collect::<Vec<_>>(),
            );
            for need in &entry.need {
                match request.need.iter_mut().find(|other| (other.size, other.node) == (need.size, need.node))
                {
                    Some(other) => other.pages = other.pages.max(need.pages),
                    None => request.need.push(*need),
                }
            }
        }
        request
    }

    fn validate(&self) -> Result<(), ConfigError> {
        within("tickSeconds", self.tick_seconds, 1..=3600)?;
        within("renewMinutes", self.renew_minutes, 1..=1440)?;
        for (index, entry) in self.expectations.iter().enumerate() {
            let request = Request {
                sizes: self.sizes.clone(),
                expect: entry.expect.clone(),
                need: entry.need.clone(),
                ..Request::default()
            };
            request.validate().map_err(|error| refused(&format!("expectations[{index}]"), &error))?;
        }
        if let Some(peer) = &self.peer {
            peer.validate(self)?;
        }
        match self.mode {
            Mode::ProbePods => self.probe.validate(self.profile),
            Mode::Resident if !self.resident.directory.starts_with('/') => Err(refused(
                "resident.directory",
                &format!("'{}' is not an absolute path", self.resident.directory),
            )),
            Mode::Resident => self.probe.validate_pages(),
        }
    }
}

impl NodeExpectation {
    /// Returns whether the selector matches a node with these labels.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

// === impl ResidentConfig ===

impl Default for ResidentConfig {
    fn default() -> Self {
        Self { directory: "/run/hugeprobe".to_owned(), unknown: BTreeMap::new() }
    }
}

fn within(key: &str, value: u64, range: RangeInclusive<u64>) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(refused(key, &format!("is {value}, but must be from {} to {}", range.start(), range.end())))
}

fn refused(key: &str, why: &impl ToString) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), why: why.to_string() }
}
