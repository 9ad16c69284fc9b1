//! The vswitch that the probe pods test as well.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Config, ConfigError, Mode, Profile, refused};

/// A vswitch on the node, which the frontend of a probe pod tests as `check --peer` does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerConfig {
    /// Where the probe pod gets the socket from.
    #[serde(flatten)]
    pub source: PeerSource,
    /// Whether the vswitch connects to a socket that hugeprobe creates (OVS: dpdkvhostuserclient).
    #[serde(default)]
    pub listen: bool,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Where a probe pod gets the socket of the vswitch from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PeerSource {
    /// The path of the socket on the node.
    ///
    /// The path must be absolute and have at least two components. A component consists of `A-Z a-z 0-9 . _ -` and must
    /// not begin with a dot. The probe pod mounts the directory instead of the socket, because the vswitch may create
    /// the socket again.
    HostPath(String),
    /// A claim of the probe pod. Its DRA driver mounts the socket, and names it in the device metadata file.
    Claim(PeerClaim),
}

/// A request of a claim of the probe pod.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PeerClaim {
    /// The name of the claim in `probe.resourceClaims`.
    pub name: String,
    /// The name of the request in the template of the claim.
    pub request: String,
    /// The name of the DRA driver.
    pub driver: String,
}

// === impl PeerConfig ===

impl PeerConfig {
    pub(super) fn validate(&self, config: &Config) -> Result<(), ConfigError> {
        let needs = |why: &str| Err(refused("peer", &why));
        match &self.source {
            PeerSource::HostPath(_)
                if (config.profile, config.mode) != (Profile::Privileged, Mode::ProbePods) =>
            {
                needs("requires profile privileged and mode probePods, because a path of the host is mounted")
            }
            PeerSource::HostPath(path) => validate_path(path),
            PeerSource::Claim(_) if config.mode != Mode::ProbePods => needs("claim requires mode probePods"),
            PeerSource::Claim(claim) => claim.validate(config),
        }
    }
}

// === paths ===

/// Returns the directory and the name of a socket on the node.
#[must_use]
pub fn directory_and_name(host_path: &str) -> (&str, &str) {
    host_path.rsplit_once('/').unwrap_or(("", host_path))
}

/// Whether a part of a path needs no quoting, neither in a shell nor in the admission policy.
fn is_plain(part: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !part.is_empty() && !part.starts_with('.') && part.chars().all(known)
}

fn validate_path(path: &str) -> Result<(), ConfigError> {
    let mut parts = path.split('/');
    if parts.next() == Some("") && parts.clone().count() >= 2 && parts.all(is_plain) {
        return Ok(());
    }
    let path = path.escape_debug();
    Err(refused(
        "peer.hostPath",
        &format!(
            "'{path}' is not the path of a socket in a directory (each part may have only letters, digits, '.', \
             '_' and '-', and may not begin with '.')"
        ),
    ))
}

// === impl PeerClaim ===

impl PeerClaim {
    fn validate(&self, config: &Config) -> Result<(), ConfigError> {
        for (key, name) in [("name", &self.name), ("request", &self.request), ("driver", &self.driver)] {
            if !is_plain(name) {
                let key = format!("peer.claim.{key}");
                return Err(refused(&key, &format!("'{}' is not a name", name.escape_debug())));
            }
        }
        if config.probe.resource_claims.iter().any(|claim| claim.name == self.name) {
            return Ok(());
        }
        Err(refused(
            "peer.claim.name",
            &format!("'{}' is not a claim of probe.resourceClaims", self.name.escape_debug()),
        ))
    }
}
