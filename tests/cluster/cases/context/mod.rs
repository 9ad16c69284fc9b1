//! What a case in the cluster stands on: the scripts beside this directory, kubectl's JSON, the machine's pools, the chart.

pub(crate) mod chart;
pub(crate) mod kubectl;
pub(crate) mod machine;
pub(crate) mod node;
pub(crate) mod ovs;
pub(crate) mod pods;
pub(crate) mod pools;
pub(crate) mod prometheus;
pub(crate) mod testpmd;
pub(crate) mod wait;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The one node, as `tests/cluster/up` names it.
pub(crate) const NODE: &str = "node-a";

/// Where the chart is installed.
pub(crate) const NAMESPACE: &str = "hugeprobe";

/// Where cases run pods of their own.
pub(crate) const WORKLOADS: &str = "workloads";

/// The image of workloads: `pause`, and `hold`, which takes pages and keeps them.
pub(crate) const WORKLOAD_IMAGE: &str = "localhost/workload:1";

/// The cluster that `make cluster` left running from this clone.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The minor version of its API server: 34 of v1.34.4.
    pub(crate) minor: u32,
}

/// The minor version from which on an API server has MutatingAdmissionPolicies without an alpha API.
pub(crate) const MUTATING_POLICIES: u32 = 34;

/// Why no case can run here.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

/// A script of tests/cluster.
pub(crate) fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster").join(name))
}

/// A file that the scripts leave: target/cluster/NAME.
pub(crate) fn left(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cluster").join(name)
}

/// `tests/cluster/daemon ACTION NAME`: one daemon of the cluster stops or starts alone.
pub(crate) fn daemon(action: &str, name: &str) {
    let status = script("daemon").args([action, name]).status().unwrap();
    assert!(status.success(), "daemon {action} {name}: {status}");
}

/// The minor version from which on a kubelet gives the huge pages in the limit of a pod to its containers.
pub(crate) const POD_LEVEL_PAGES: u32 = 34;

/// The minor version of the API server.
pub(crate) fn minor() -> Result<u32, Missing> {
    let answer = kubectl::run(&["get", "--raw", "/version"]).map_err(Missing)?;
    let version: Value = serde_json::from_str(&answer).map_err(|error| Missing(error.to_string()))?;
    let text = version["gitVersion"].as_str().unwrap_or_default();
    let minor = text.strip_prefix("v1.").and_then(|rest| rest.split('.').next()?.parse().ok());
    minor.ok_or_else(|| Missing(format!("an API server of a version 1.x, and this is {text:?}")))
}

// === impl Cluster ===

impl Cluster {
    /// The cluster, if there is one, its node Ready and the chart installed.
    pub(crate) fn find() -> Result<Self, Missing> {
        if !left("state/ready").exists() {
            return Err(Missing("the cluster that `make cluster` starts".to_owned()));
        }
        kubectl::run(&["get", "node", NODE]).map_err(Missing)?;
        chart::values().map_err(Missing)?;
        Ok(Self { minor: minor()? })
    }
}
