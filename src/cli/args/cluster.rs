//! The options of the verbs that call the Kubernetes API.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as Arguments, ValueEnum};

/// `agent`.
#[derive(Debug, Arguments)]
pub struct Agent {
    /// The configuration as JSON, as the chart writes it
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,

    /// Where the pages are served.
    #[command(flatten)]
    pub listen: Listen,

    /// A socket for `hugeprobe pages`, which then serves the pages in place of this process
    #[arg(long, value_name = "SOCKET", hide = true, conflicts_with_all = ["listen", "listen_health"])]
    pub pages: Option<PathBuf>,
}

/// `pages`.
#[derive(Debug, Arguments)]
pub struct Pages {
    /// The socket of the agent
    #[arg(value_name = "SOCKET")]
    pub socket: PathBuf,

    /// Where the pages are served.
    #[command(flatten)]
    pub listen: Listen,
}

/// Where pages are served.
#[derive(Debug, Arguments)]
pub struct Listen {
    /// The address that serves /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:9595")]
    pub listen: SocketAddr,

    /// Another address that serves /healthz and /readyz, for the kubelet alone
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen_health: Option<SocketAddr>,
}

/// Which cluster.
#[derive(Debug, Arguments)]
pub struct Cluster {
    /// The kubeconfig [default: KUBECONFIG, else ~/.kube/config, else the service account of the pod]
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

    /// Wait until every node has a verdict that is neither stale nor unknown
    #[arg(long)]
    pub wait: bool,

    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,

    /// Only nodes that do not pass, those without a valid verdict among them
    #[arg(long)]
    pub failing: bool,

    /// A line for each cause: how many nodes have it, and the names of three
    #[arg(long)]
    pub by_cause: bool,

    /// The order of the nodes
    #[arg(long, value_name = "COLUMN", value_enum, default_value = "name")]
    pub sort_by: SortBy,

    /// Without the line of column names and the line of totals
    #[arg(long)]
    pub no_headers: bool,

    /// The format of the output
    #[arg(
        short,
        long,
        value_name = "FORM",
        value_enum,
        default_value = "table",
        conflicts_with = "by_cause"
    )]
    pub output: NodesForm,
}

/// `--sort-by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// By name
    Name,
    /// The worst first
    Verdict,
    /// The oldest verdict first, nodes without one before it
    Age,
}

/// `-o` of `nodes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NodesForm {
    /// A table for people
    Table,
    /// A line for each node, for grep and awk
    Short,
    /// Everything that is published
    Json,
    /// The names, as kubectl writes them
    Name,
}

/// `cleanup`.
#[derive(Debug, Arguments)]
pub struct Cleanup {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// Clean every node of the cluster [default: the one that NODE_NAME names]
    #[arg(long)]
    pub all_nodes: bool,

    /// The namespace of the probe pods [default: POD_NAMESPACE, else that of the context]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// `policies`.
#[derive(Debug, Arguments)]
pub struct Policies {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,
}
