//! HP506 and HP507: allocates one page from each NUMA node and checks on which node it is.
//!
//! The kernel counts reservations for the whole machine, so it is unknown from which node a reserved page will be
//! allocated. A node is tried only if it would still have a free page for every reservation on the machine.

use std::fmt;
use std::io;

use serde_json::json;

use super::AllocationTask;
use super::backing::{Backing, touch};
use super::evidence::pool;
use super::explain::error_name;
use super::numa::{NodeBinding, NodeBindingError};
use super::pool::PoolCounters;
use hugeprobe_domain::catalogue::{HP506, HP507};
use hugeprobe_domain::check::{Because, Finding, Outcome};
use hugeprobe_domain::counters::{Counters, NodeCounters};
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::pool_id::PoolId;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::{HugeLen, PageSize};
use hugeprobe_linux::list::format_list;
use hugeprobe_linux::map::Fill;
use hugeprobe_linux::pools;
use hugeprobe_linux::root::HostRoot;

/// The result for one node.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Landing {
    /// The page is on the node. The text is the name of the method.
    There(&'static str),
    /// The page is on another node, although this one had free pages before and after.
    Elsewhere(u32),
    /// The page is on another node, and this one had no free page before or after.
    Taken,
    /// The touch failed with the errno of this name.
    Refused(String),
    /// The node has no free page.
    Empty,
    /// Not tried: all its free pages may be reserved by other processes.
    HeldBack,
    /// Not tried: this process may not use the node's memory. The text says why.
    NotAllowed(String),
    /// Not tried, for the reason in the text.
    NotAsked(String),
    /// Inconclusive, for the reason in the text.
    Unknown(String),
}

/// A node as it was at the start, and the result for it.
struct Node {
    counters: NodeCounters,
    has_no_cpu: bool,
    landing: Landing,
}

/// The maximum number of attempts on one node. Another process may take the node's last page in between, so a page that
/// is on another node is requested again.
const TRIES: u32 = 3;
/// The maximum number of NUMA nodes that are tried, because the report about them must fit in a part.
const MOST_NODES: usize = 128;

/// Tries each node and reports HP506 and HP507.
///
/// # Errors
///
/// The reader of `output` is gone, or the length is too large for any machine.
pub(super) fn run(task: &AllocationTask, size: PageSize, output: &mut dyn WorkerOutput) -> io::Result<()> {
    let len = HugeLen::new(size, 1).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    output.step(HP506, "read the NUMA nodes")?;
    let counters = PoolCounters::new(task, size);
    let start = match counters.read() {
        Ok(start) if start.numa.len() > 1 => start,
        Ok(_) => {
            output.found(Finding::skip(HP506, size, "one NUMA node"))?;
            return output.found(Finding::skip(HP507, size, "one NUMA node"));
        }
        Err(why) => {
            for id in [HP506, HP507] {
                let because = Because::new("the pool's counters per NUMA node", why.as_str());
                let summary = "the counters cannot be read";
                output.found(Finding::not_pass(id, size, Outcome::Unknown, summary, because))?;
            }
            return Ok(());
        }
    };
    let root = task.root();
    let mut nodes = Vec::new();
    for (index, of_node) in start.numa.iter().enumerate() {
        let landing = if index < MOST_NODES {
            ask_again(*of_node, len, &counters, &start, output)?
        } else {
            Landing::NotAsked(format!("more than {MOST_NODES} NUMA nodes"))
        };
        nodes.push(Node { counters: *of_node, has_no_cpu: has_no_cpu(&root, of_node.node), landing });
    }
    let shown: Vec<_> = nodes
        .iter()
        .take(MOST_NODES)
        .map(|Node { counters, landing, .. }| {
            json!({ "node": counters.node, "free": counters.free, "total": counters.total, "landed": landing.to_string() })
        })
        .collect();
    let left_out = nodes.len().saturating_sub(MOST_NODES);
    output.found(
        where_asked(size, &nodes, &counters.allowed().to_string())
            .with("nodes", &shown)
            .with("left_out", left_out),
    )?;
    output.found(each_gives(size, &nodes).with("nodes", &shown).with("pool", pool(&start)))
}

/// Tries one node, and tries again while the page is on another node.
fn ask_again(
    node: NodeCounters,
    len: HugeLen,
    counters: &PoolCounters,
    start: &Counters,
    output: &mut dyn WorkerOutput,
) -> io::Result<Landing> {
    let mut landing = Landing::Empty;
    for round in 1..=TRIES {
        let now = counters.read().unwrap_or_else(|_| start.clone());
        landing = match of_node(&now, node.node) {
            Some(node) if node.total == 0 => Landing::Empty,
            _ if !counters.allowed().has(node.node) => Landing::NotAllowed(counters.allowed().to_string()),
            Some(node) if node.free == 0 => Landing::Empty,
            Some(node) if node.free <= now.reserved => Landing::HeldBack,
            _ => {
                let again = if round > 1 { format!(" (try {round})") } else { String::new() };
                output.step(HP506, &format!("take one page of node{}{again}", node.node))?;
                ask(node.node, len, counters)
            }
        };
        if !matches!(landing, Landing::Elsewhere(_)) {
            break;
        }
    }
    Ok(landing)
}

/// Allocates one page of a node and frees it.
fn ask(node: u32, len: HugeLen, counters: &PoolCounters) -> Landing {
    let held = match Backing::Anonymous.map(len, Fill::OnTouch) {
        Ok(held) => held,
        Err(error) => return Landing::Unknown(error.to_string()),
    };
    let binding = match NodeBinding::new(node, &held.mapping, counters.allowed()) {
        Ok(binding) => binding,
        Err(NodeBindingError::NotAllowed(why)) => return Landing::NotAllowed(why),
        Err(NodeBindingError::NoMeans(why)) => return Landing::NotAsked(why),
        Err(NodeBindingError::Refused(why)) => return Landing::Unknown(why),
    };
    let before = counters.read();
    if let Err(error) = touch(&held.mapping, 0, len.size()) {
        return Landing::Refused(error_name(&error));
    }
    let landed = match held.observe().numa() {
        [(landed, 1)] => Ok(*landed),
        _ => held.mapping.node_of(0),
    };
    let after = counters.read();
    let (method, is_strict) = (binding.name(), matches!(binding, NodeBinding::Mbind));
    drop(binding);
    if let Err(error) = held.release() {
        return Landing::Unknown(format!("munmap: {error}"));
    }
    let had_some = |counters: &Result<Counters, String>| {
        counters.as_ref().ok().and_then(|now| of_node(now, node)).is_some_and(|node| node.free > 0)
    };
    match landed {
        Err(_) => Landing::Unknown("the kernel does not report where the page is".to_owned()),
        Ok(landed) if landed == node => Landing::There(method),
        Ok(_) if !had_some(&before) || !had_some(&after) => Landing::Taken,
        Ok(landed) if is_strict => Landing::Elsewhere(landed),
        // A memory policy of the caller would have the same effect. Whether there is one may be unknown, because
        // get_mempolicy may be forbidden together with mbind.
        Ok(landed) => Landing::Unknown(format!(
            "mbind is forbidden, and with {method} the page is on node{landed}: a memory policy may be the cause"
        )),
    }
}

fn of_node(counters: &Counters, number: u32) -> Option<&NodeCounters> {
    counters.numa.iter().find(|node| node.node == number)
}

fn has_no_cpu(root: &HostRoot, node: u32) -> bool {
    matches!(pools::cpus(root, node), Reading::Known(cpus) if cpus.is_empty())
}

/// Returns the finding of HP506: whether each page is on the requested node.
fn where_asked(size: PageSize, nodes: &[Node], mems: &str) -> Finding {
    let expected = "a page comes from the requested NUMA node if that node has a free page";
    let astray: Vec<_> = nodes
        .iter()
        .filter_map(|node| match node.landing {
            Landing::Elsewhere(other) => {
                Some(format!("requested from node{}, got node{other}", node.counters.node))
            }
            _ => None,
        })
        .collect();
    if !astray.is_empty() {
        let because = Because::new(expected, format!("{}, {TRIES} times in a row", astray.join("; ")))
            .remedy(format!(
                "check the memory policy (numactl --show) and the cpuset of this process: {mems}"
            ));
        return Finding::not_pass(HP506, size, Outcome::Fail, astray.join("; "), because);
    }
    let unknown = texts(nodes, |landing| matches!(landing, Landing::Unknown(_)));
    if !unknown.is_empty() {
        return Finding::not_pass(
            HP506,
            size,
            Outcome::Unknown,
            unknown.as_str(),
            Because::new(expected, unknown.as_str()),
        );
    }
    let there: Vec<_> = nodes
        .iter()
        .filter_map(|node| match node.landing {
            Landing::There(method) => Some((node.counters.node, method)),
            _ => None,
        })
        .collect();
    let left_out = texts(nodes, |landing| !matches!(landing, Landing::There(_)));
    let Some((_, method)) = there.first() else { return Finding::skip(HP506, size, left_out) };
    let numbers: Vec<_> = there.iter().map(|(node, _)| *node).collect();
    let summary = format!("pages come from the requested node{} by {method}", format_list(&numbers));
    let summary = if left_out.is_empty() { summary } else { format!("{summary}; {left_out}") };
    if nodes.iter().any(Node::was_left_out) {
        Finding::skip(HP506, size, summary)
    } else {
        Finding::pass(HP506, size, summary)
    }
}

/// Returns the finding of HP507: whether each node can provide a page.
fn each_gives(size: PageSize, nodes: &[Node]) -> Finding {
    let expected = "each NUMA node that has a pool can provide a page";
    let none: Vec<_> = nodes.iter().filter(|node| node.gives_none()).collect();
    let mut notes: Vec<String> = none
        .iter()
        .map(|Node { counters, landing, .. }| {
            format!("node{} provides none of its {}: {landing}", counters.node, counters.total)
        })
        .collect();
    let unknown = texts(nodes, |landing| matches!(landing, Landing::Unknown(_)));
    if !unknown.is_empty() {
        notes.insert(0, unknown);
        let notes = notes.join("; ");
        return Finding::not_pass(
            HP507,
            size,
            Outcome::Unknown,
            notes.as_str(),
            Because::new(expected, notes.as_str()),
        );
    }
    if !none.is_empty() {
        let paths: Vec<_> = none
            .iter()
            .map(|Node { counters, .. }| PoolId::node(size, counters.node).file("nr_hugepages"))
            .collect();
        notes.extend(not_allowed(nodes));
        let because = Because::new(expected, notes.join("; "))
            .remedy(format!("stop a workload on the node, or give it more pages: {}", paths.join(", ")));
        return Finding::not_pass(HP507, size, Outcome::Warn, notes.join("; "), because);
    }
    let each: Vec<_> = nodes
        .iter()
        .map(|Node { counters, .. }| format!("node{} {}/{}", counters.node, counters.free, counters.total))
        .collect();
    notes.push(format!("free: {}", each.join(", ")));
    notes.extend(not_allowed(nodes));
    notes.extend(without_cpu(nodes));
    if nodes.iter().any(Node::was_left_out) {
        notes.push(texts(nodes, |landing| matches!(landing, Landing::HeldBack | Landing::NotAsked(_))));
        return Finding::skip(HP507, size, notes.join("; "));
    }
    Finding::pass(HP507, size, notes.join("; "))
}

/// Lists the nodes for whose result `chosen` is true, each with its result.
fn texts(nodes: &[Node], chosen: impl Fn(&Landing) -> bool) -> String {
    let chosen = nodes.iter().filter(|node| chosen(&node.landing));
    chosen.map(|node| format!("node{}: {}", node.counters.node, node.landing)).collect::<Vec<_>>().join(", ")
}

fn not_allowed(nodes: &[Node]) -> Option<String> {
    let text = texts(nodes, |landing| matches!(landing, Landing::NotAllowed(_)));
    (!text.is_empty()).then_some(text)
}

/// Returns a note about nodes that have pages but no CPU (HBM, CXL): no NIC and no thread is close to their pools.
fn without_cpu(nodes: &[Node]) -> Option<String> {
    let far = nodes.iter().filter(|node| node.has_no_cpu && node.counters.total > 0);
    let far: Vec<_> = far.map(|node| node.counters.node).collect();
    match far.as_slice() {
        [] => None,
        [node] => Some(format!("node{node} has pages and no CPU")),
        nodes => Some(format!("node{} have pages and no CPU", format_list(nodes))),
    }
}

// === impl Node ===

impl Node {
    /// Returns whether the node has a pool that this process may use, but provided no page.
    fn gives_none(&self) -> bool {
        self.counters.total > 0
            && matches!(self.landing, Landing::Empty | Landing::Taken | Landing::Refused(_))
    }

    /// Returns whether the node has a pool that this process may use, but was not tried.
    fn was_left_out(&self) -> bool {
        self.counters.total > 0 && matches!(self.landing, Landing::HeldBack | Landing::NotAsked(_))
    }
}

impl fmt::Display for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::There(method) => write!(f, "there, by {method}"),
            Self::Elsewhere(node) => write!(f, "on node{node}"),
            Self::Taken => f.write_str("other processes took its last page"),
            Self::Refused(errno) => write!(f, "the touch was refused with {errno}: see HP401"),
            Self::Empty => f.write_str("no free page"),
            Self::HeldBack => f.write_str("not tried: its free pages may be reserved by others"),
            Self::NotAllowed(why) => write!(f, "not allowed for this process ({why})"),
            Self::NotAsked(why) => write!(f, "not tried: {why}"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

#[cfg(test)]
mod tests;
