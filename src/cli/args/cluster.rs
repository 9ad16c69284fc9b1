//! The options of the verbs that call the Kubernetes API.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Arguments, ValueEnum};

/// The names of the forms of `nodes`.
#[cfg(feature = "kubectl")]
const FORMS: &str = "table, wide, short, json, yaml, name or jsonpath=TEMPLATE";
#[cfg(not(feature = "kubectl"))]
const FORMS: &str = "table, short, json or name";

/// The orders of `nodes`.
#[cfg(feature = "kubectl")]
const ORDERS: &str = "name, verdict (the worst first), age (the oldest first, nodes without a verdict before them), or a \
     JSONPath into the Node as in kubectl, such as .metadata.creationTimestamp";
#[cfg(not(feature = "kubectl"))]
const ORDERS: &str =
    "name, verdict (the worst first) or age (the oldest first, nodes without a verdict before them)";

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

    /// With --wait: what to wait for
    #[cfg(feature = "kubectl")]
    #[arg(long = "for", value_name = "WHAT", value_enum, default_value = "verdict", requires = "wait")]
    pub until: Until,

    /// How long to wait: seconds, or with a unit as 90s, 5m or 2h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = timeout)]
    pub timeout: Duration,

    /// After the nodes, print each again when what it shows changes, until interrupted; -o json and -o yaml print no list but
    /// one node after another
    #[cfg(feature = "kubectl")]
    #[arg(short, long, conflicts_with_all = ["wait", "by_cause"])]
    pub watch: bool,

    /// Only nodes that do not pass, those without a valid verdict among them
    #[arg(long)]
    pub failing: bool,

    /// A line for each cause: how many nodes have it, and the names of three
    #[arg(long)]
    pub by_cause: bool,

    /// The order of the nodes
    #[arg(
        long,
        help = format!("The order of the nodes: {ORDERS}"),
        value_name = "ORDER",
        value_parser = sort_by,
        default_value = "name"
    )]
    pub sort_by: SortBy,

    /// Without the line of column names and the line of totals
    #[arg(long)]
    pub no_headers: bool,

    /// The format of the output
    #[arg(
        short,
        long,
        help = format!("The format of the output: {FORMS}"),
        value_name = "FORM",
        value_parser = nodes_form,
        default_value = "table",
        conflicts_with = "by_cause"
    )]
    pub output: NodesForm,
}

/// `--for`.
#[cfg(feature = "kubectl")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// A valid verdict other than unknown, on every node
    Verdict,
    /// A valid pass, with or without warnings, on every node
    Pass,
}

/// `--sort-by`.
#[derive(Debug, Clone, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// By name
    Name,
    /// The worst first
    Verdict,
    /// The oldest verdict first, nodes without one before it
    Age,
    /// By what this path finds in the Node
    #[cfg(feature = "kubectl")]
    #[value(skip)]
    Field(String),
}

/// `-o` of `nodes`.
#[derive(Debug, Clone, PartialEq, Eq, ValueEnum)]
pub enum NodesForm {
    /// A table for people
    Table,
    /// The table with the pages of each NUMA node, and the agent
    #[cfg(feature = "kubectl")]
    Wide,
    /// A line for each node, for grep and awk
    Short,
    /// Everything that is published
    Json,
    /// The same as YAML
    #[cfg(feature = "kubectl")]
    Yaml,
    /// The names, as kubectl writes them
    Name,
    /// A template, as kubectl has them
    #[cfg(feature = "kubectl")]
    #[value(skip)]
    JsonPath(String),
}

/// Returns the form of this name, or of `jsonpath=TEMPLATE`.
fn nodes_form(text: &str) -> Result<NodesForm, String> {
    #[cfg(feature = "kubectl")]
    if let Some(template) = text.strip_prefix("jsonpath=") {
        return Ok(NodesForm::JsonPath(template.to_owned()));
    }
    NodesForm::from_str(text, false).map_err(|_| format!("use {FORMS}"))
}

/// Returns the order of this name, or by this path.
fn sort_by(text: &str) -> Result<SortBy, String> {
    let order = SortBy::from_str(text, false);
    #[cfg(feature = "kubectl")]
    return Ok(order.unwrap_or_else(|_| SortBy::Field(text.to_owned())));
    #[cfg(not(feature = "kubectl"))]
    order.map_err(|_| format!("use {ORDERS}"))
}

/// Returns the time of `90`, `90s`, `5m` or `2h`; at most a day.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.get(number.len()..)),
        None => (text, None),
    };
    let factor = match unit {
        Some("m") => 60,
        Some("h") => 3_600,
        _ => 1,
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match seconds.filter(|seconds| (1..=86_400).contains(seconds)) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err("use seconds, or a number with s, m or h, of at most a day".to_owned()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        for (text, seconds) in [
            ("90", Some(90)),
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("24h", Some(86_400)),
            ("25h", None),
            ("0", None),
            ("", None),
            ("m", None),
            ("-1s", None),
            ("1.5h", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(timeout(text).ok(), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn a_form_is_one_of_those_that_are_named() {
        assert_eq!(nodes_form("short"), Ok(NodesForm::Short));
        for text in ["", "Table", "jsonpath", "custom-columns=A:.a"] {
            assert!(nodes_form(text).unwrap_err().contains("table, "), "{text}");
        }
        #[cfg(feature = "kubectl")]
        assert_eq!(nodes_form("jsonpath={.a}"), Ok(NodesForm::JsonPath("{.a}".to_owned())));
    }
}
