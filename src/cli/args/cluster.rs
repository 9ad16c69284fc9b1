//! The verbs that speak to a cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args as Arguments;

use crate::render::Format;

/// `agent`.
#[derive(Debug, Arguments)]
pub struct Agent {
    /// The configuration, JSON, as the chart writes it
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,

    /// Where /metrics, /healthz and /readyz are served
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:9595")]
    pub listen: SocketAddr,
}

/// Which cluster.
#[derive(Debug, Arguments)]
pub struct Cluster {
    /// The kubeconfig [default: KUBECONFIG, else ~/.kube/config, else the pod's own account]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The kubeconfig's context [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// `nodes`.
#[derive(Debug, Arguments)]
pub struct Nodes {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// Only nodes with these labels: pool=nfv,zone!=b
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,

    /// Wait until every one of them has a verdict that counts and is not unknown
    #[arg(long)]
    pub wait: bool,

    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,

    /// How to print it: table, short or json
    #[arg(short, long, value_name = "FORM", default_value_t)]
    pub output: Format,
}

/// `cleanup`.
#[derive(Debug, Arguments)]
pub struct Cleanup {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// Every node of the cluster [default: the one that NODE_NAME names]
    #[arg(long)]
    pub all_nodes: bool,

    /// Where the probe pods are [default: POD_NAMESPACE, else that of the context]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}
