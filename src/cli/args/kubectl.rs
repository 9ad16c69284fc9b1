//! The options of the verbs of the kubectl plugin that only people use.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args as Arguments, ValueEnum};

use super::cluster::{Cluster, timeout};

/// `fits`.
#[derive(Debug, Arguments)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["filename", "hugepages_1gi", "hugepages_2mi"]))]
pub struct Fits {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// The manifest of a Pod, or of a Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or KubeVirt VirtualMachine; `-`
    /// reads standard input
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["hugepages_1gi", "hugepages_2mi"])]
    pub filename: Option<PathBuf>,

    /// What a pod without a manifest requests of 1Gi pages, as in its resources: 4Gi
    #[arg(long = "hugepages-1Gi", value_name = "AMOUNT")]
    pub hugepages_1gi: Option<String>,

    /// What it requests of 2Mi pages: 64Mi
    #[arg(long = "hugepages-2Mi", value_name = "AMOUNT")]
    pub hugepages_2mi: Option<String>,

    /// One NUMA node has to have all pages of the pod
    #[arg(long)]
    pub same_numa: bool,

    /// Only nodes with these labels: pool=nfv,zone!=b
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,

    /// The format of the output
    #[arg(short, long, value_name = "FORM", value_enum, default_value = "table")]
    pub output: FitsForm,
}

/// `-o` of `fits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FitsForm {
    /// A table for people
    Table,
    /// A line for each node, for grep and awk
    Short,
    /// Everything, for programs
    Json,
    /// The names of the nodes on which the pod fits, as kubectl writes them
    Name,
}

/// `node`.
#[derive(Debug, Arguments)]
pub struct Node {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// The name of the Node
    #[arg(value_name = "NODE", value_parser = node_name)]
    pub node: String,
}

/// `recheck`.
#[derive(Debug, Arguments)]
#[command(group = ArgGroup::new("which").required(true).args(["nodes", "selector", "all"]))]
pub struct Recheck {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// The names of the Nodes
    #[arg(value_name = "NODE", value_parser = node_name)]
    pub nodes: Vec<String>,

    /// All nodes with these labels on which an agent has published a verdict: pool=nfv,zone!=b
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,

    /// All nodes on which an agent has published a verdict
    #[arg(long)]
    pub all: bool,

    /// Wait until the agents have answered, and show the verdicts
    #[arg(long)]
    pub wait: bool,

    /// How long to wait: seconds, or with a unit as 90s, 5m or 2h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = timeout)]
    pub timeout: Duration,
}

/// `who`.
#[derive(Debug, Arguments)]
pub struct Who {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// The name of the Node
    #[arg(value_name = "NODE", value_parser = node_name)]
    pub node: String,
}

/// `why`.
#[derive(Debug, Arguments)]
pub struct Why {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// The pod, as kubectl names it
    #[arg(value_name = "pod/NAME", value_parser = pod_name)]
    pub pod: String,

    /// Its namespace [default: that of the context]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// Returns the name in `NAME` or `node/NAME`.
fn node_name(text: &str) -> Result<String, String> {
    object_name(text.strip_prefix("node/").unwrap_or(text), "a node")
}

/// Returns the name in `pod/NAME`, `pods/NAME`, `po/NAME` or `NAME`.
fn pod_name(text: &str) -> Result<String, String> {
    let (kind, name) = text.split_once('/').unwrap_or(("pod", text));
    if !matches!(kind, "pod" | "pods" | "po") {
        return Err(format!("'{kind}' is not a pod; name one of its pods"));
    }
    object_name(name, "a pod")
}

/// Returns the name if it can be one. It becomes a part of a path.
fn object_name(name: &str, what: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_allowed) {
        return Err(format!("'{name}' cannot be the name of {what}"));
    }
    Ok(name.to_owned())
}
