//! The agent's configuration: agent.json, which the chart renders from its values. An invalid value is refused with a
//! sentence that names the value, before anything is done.

mod probe;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::Value;

use crate::domain::request::{Expectation, PageCount, Request, Workload};
use crate::domain::size::PageSize;
pub use probe::{ProbeConfig, PullPolicy};

/// The whole file. Every key has a default but `probe.image`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// How much the agent and its probe pods may do.
    pub profile: Profile,
    /// Who takes the pages.
    pub mode: Mode,
    /// Whose limits are judged.
    pub workload: Workload,
    /// What seccomp profile the workload runs under.
    pub workload_seccomp: WorkloadSeccomp,
    /// False: the Node is fetched now and then instead of watched.
    pub watch_node: bool,
    /// How often the pools are read; sysfs does not notify.
    pub tick_seconds: u64,
    /// How long a verdict is valid before it is renewed, 20 % more or less.
    pub renew_minutes: u64,
    /// The sizes looked at; empty: every one that has pages or is expected.
    pub sizes: Vec<PageSize>,
    /// What nodes should have. All entries that match a node add up; if none does, the boot command line counts.
    pub expectations: Vec<NodeExpectation>,
    /// Whether the pods of the node may be listed, in all namespaces.
    pub pod_accounting: bool,
    /// The probe pods.
    pub probe: ProbeConfig,
    /// The vswitch of the node that is asked, too, whether it takes the pages; null for none.
    pub peer: Option<PeerConfig>,
    /// The two containers beside the agent, in resident mode.
    pub resident: ResidentConfig,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// How much the agent and its probe pods may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Pod Security `restricted`.
    #[default]
    Restricted,
    /// Root, the capabilities that mbind and locked memory take, and the host's processes.
    Privileged,
}

/// Who takes the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// A short-lived pod per size.
    #[default]
    ProbePods,
    /// Two containers that stand beside the agent.
    Resident,
}

/// A seccomp profile, as a pod names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum WorkloadSeccomp {
    /// Kubernetes' default.
    #[default]
    Unconfined,
    /// The container runtime's own.
    RuntimeDefault,
}

/// What the nodes with certain labels should have.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeExpectation {
    /// Labels that the node must have, with these values; empty: every node.
    pub node_selector: BTreeMap<String, String>,
    /// What is configured, as `--expect` has it.
    pub expect: Vec<Expectation>,
    /// What a workload takes, as `--need` has it.
    pub need: Vec<PageCount>,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A vswitch on the node: what `check --peer` is for, by the frontend of a probe pod.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerConfig {
    /// Its socket on the node: an absolute path, of `A-Z a-z 0-9 . _ -` and two components at least, none of which begins
    /// with a dot. A probe pod gets the directory, because the socket may be created again.
    pub host_path: String,
    /// Whether it connects, and the socket is made for it (OVS: dpdkvhostuserclient).
    #[serde(default)]
    pub listen: bool,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Resident mode.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResidentConfig {
    /// The directory that the agent shares with the two containers; one directory per size in there.
    pub directory: String,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The JSON cannot be parsed.
    #[error("the configuration cannot be parsed: {0}")]
    Form(#[from] serde_json::Error),
    /// A value that makes no sense.
    #[error("the configuration's {key} {why}")]
    Value {
        /// Which one.
        key: String,
        /// What is wrong with it.
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
    /// Reads agent.json.
    ///
    /// # Errors
    ///
    /// JSON that does not parse, or a value that makes no sense. Keys that are not known are ignored: during an upgrade agents
    /// of the version before read the configuration of the next.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_str(text)?;
        config.validate()?;
        Ok(config)
    }

    /// The keys that were ignored, each with its path: `probe.cpus`.
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

    /// The request for a node with these labels: every entry that matches, added up. Of two needs of the same pool the
    /// larger one counts.
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
            peer.validate()?;
            if (self.profile, self.mode) != (Profile::Privileged, Mode::ProbePods) {
                let why =
                    "requires profile privileged and mode probePods, because a path of the host is mounted";
                return Err(refused("peer", &why));
            }
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
    /// Whether a node with these labels is meant.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

// === impl PeerConfig ===

impl PeerConfig {
    /// The directory of the socket on the node.
    #[must_use]
    pub fn directory(&self) -> &str {
        self.host_path.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    /// The name of the socket in there.
    #[must_use]
    pub fn name(&self) -> &str {
        self.host_path.rsplit_once('/').map_or(self.host_path.as_str(), |(_, name)| name)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let is_plain = |part: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            !part.is_empty() && !part.starts_with('.') && part.chars().all(known)
        };
        let mut parts = self.host_path.split('/');
        if parts.next() == Some("") && parts.clone().count() >= 2 && parts.all(is_plain) {
            return Ok(());
        }
        let path = self.host_path.escape_debug();
        Err(refused(
            "peer.hostPath",
            &format!(
                "'{path}' is not the path of a socket in a directory (each part may have only letters, digits, '.', \
                 '_' and '-', and may not begin with '.')"
            ),
        ))
    }
}

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
