//! `hugeprobe who`: who holds the huge pages of one node. It changes nothing.
//!
//! ## Rights
//!
//! `get` on the Node; `list` on `pods` of all namespaces; `get` on `pods/proxy` in the agent's namespace, because the number
//! of free pages is not published on the Node. What may not be read is named in the answer.

use std::collections::BTreeMap;

use serde_json::Value;

use super::api::{Api, ApiError, requests};
use super::fits::Candidate;
use super::pod_requests::Pod;
use super::quantity::in_pages;
use hugeprobe_domain::catalogue::{HP105, HP202};
use hugeprobe_domain::size::PageSize;
use hugeprobe_domain::who::{Counters, Holdings, NodeHoldings, NumaCounters, PodPages};

/// The metric with the kernel's counters, up to its labels.
const POOL_PAGES: &str = "hugeprobe_pool_pages{";

/// The pods of a node that matter.
#[derive(Default)]
struct Pods {
    holding: BTreeMap<PageSize, Vec<PodPages>>,
    agent: Option<Agent>,
}

/// The pod of the agent.
struct Agent {
    namespace: String,
    name: String,
    port: u16,
}

/// Reads who holds the pages of the node.
///
/// # Errors
///
/// The Node cannot be read. If the rest cannot be read, the answer says so.
pub async fn read(api: &Api, name: &str) -> Result<NodeHoldings, ApiError> {
    let node: Candidate = api.object(requests::get_node(name)?).await?;
    let mut limits = Vec::new();
    let mut pods = Pods::default();
    let listed = match api.list(requests::list_pods_of_node(name)?, |pod| pods.add(&pod)).await {
        Ok(_) => true,
        Err(error) => {
            limits.push(format!("the pods of the node are not known: {error}"));
            false
        }
    };
    let counters = match (&pods.agent, listed) {
        (Some(agent), _) => match metrics(api, agent).await {
            Ok(text) => counters(&text),
            Err(error) => {
                limits.push(format!(
                    "the pages in use are not known, the metrics of the agent have them: {error}"
                ));
                BTreeMap::new()
            }
        },
        (None, true) => {
            limits.push("the pages in use are not known: no pod of an agent runs on the node".to_owned());
            BTreeMap::new()
        }
        (None, false) => BTreeMap::new(),
    };
    limits.extend(unseen(&node));
    let sizes = sizes(&node, pods.holding, counters, listed);
    Ok(NodeHoldings { node: node.name, profile: node.published.profile, sizes, limits })
}

async fn metrics(api: &Api, agent: &Agent) -> Result<String, ApiError> {
    api.text(requests::get_metrics(&agent.namespace, &agent.name, agent.port)?).await
}

/// Returns what the agent of the node cannot see.
fn unseen(node: &Candidate) -> Vec<String> {
    let published = &node.published;
    let mut limits = Vec::new();
    if !published.unseen.is_empty() {
        let profile = &published.profile;
        limits.push(format!("the agent (profile {profile}) cannot see: {}", published.unseen));
    }
    limits.push(format!(
        "not shown: which process holds which page; `hugeprobe check --only {HP105}` on the node reads that"
    ));
    limits
}

fn sizes(
    node: &Candidate,
    mut holding: BTreeMap<PageSize, Vec<PodPages>>,
    mut counters: BTreeMap<PageSize, Counters>,
    listed: bool,
) -> BTreeMap<PageSize, Holdings> {
    let published = &node.published;
    let mut allocatable: BTreeMap<PageSize, Option<u64>> = BTreeMap::new();
    for (name, amount) in &node.allocatable {
        if let Some((size, pages)) = in_pages(name, amount) {
            allocatable.insert(size, pages.get());
        }
    }
    // The kubelet reports each size that the kernel supports, with 0 pages of most.
    let assigned = allocatable.iter().filter(|(_, pages)| **pages != Some(0)).map(|(size, _)| *size);
    let mut all: Vec<PageSize> = assigned.chain(holding.keys().copied()).collect();
    all.extend(published.pools.iter().filter(|(_, pool)| pool.total != Some(0)).map(|(size, _)| *size));
    all.extend(counters.iter().filter(|(_, counters)| counters.total() > 0).map(|(size, _)| *size));
    let each = |size: PageSize| {
        let mut pods = holding.remove(&size).unwrap_or_default();
        pods.sort_by(|one, other| (other.pages, &one.pod).cmp(&(one.pages, &other.pod)));
        let check = |id| Some((id, published.checks.get(&(id, Some(size)))?.clone()));
        let holdings = Holdings {
            allocatable: allocatable.get(&size).copied().flatten(),
            pool: published.pools.get(&size).cloned(),
            counters: counters.remove(&size),
            pods: listed.then_some(pods),
            checks: [HP105, HP202].into_iter().filter_map(check).collect(),
        };
        (size, holdings)
    };
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(each).collect()
}

// === impl Pods ===

impl Pods {
    fn add(&mut self, pod: &Value) {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        if text("/metadata/labels/app.kubernetes.io~1component") == "agent"
            && let Some(port) = metrics_port(pod)
        {
            self.agent = Some(Agent { namespace: namespace.to_owned(), name: name.to_owned(), port });
        }
        let Ok(requests) = serde_json::from_value::<Pod>(pod.clone()) else { return };
        for (size, pages) in requests.requests().into_iter().filter(|(_, pages)| *pages > 0) {
            let pod =
                PodPages { pod: format!("{namespace}/{name}"), phase: requests.phase().to_owned(), pages };
            self.holding.entry(size).or_default().push(pod);
        }
    }
}

/// Returns the port `metrics` of an agent's pod; `None` if it is not one of hugeprobe's.
fn metrics_port(pod: &Value) -> Option<u16> {
    let containers = pod.pointer("/spec/containers")?.as_array()?;
    let is_ours =
        |container: &Value| container.pointer("/command/0").and_then(Value::as_str) == Some("/hugeprobe");
    if !containers.iter().any(is_ours) {
        return None;
    }
    let ports = containers.iter().filter_map(|container| container.get("ports")?.as_array()).flatten();
    let mut metrics = ports.filter(|port| port.get("name").and_then(Value::as_str) == Some("metrics"));
    u16::try_from(metrics.next()?.get("containerPort")?.as_u64()?).ok()
}

/// Reads the counters of each size from the text of `/metrics`. A size with a counter that is missing is left out.
fn counters(text: &str) -> BTreeMap<PageSize, Counters> {
    type Numa = BTreeMap<Option<u32>, [Option<u64>; 2]>;
    let mut sizes: BTreeMap<PageSize, (Numa, u64)> = BTreeMap::new();
    for line in text.lines() {
        let Some((labels, pages)) = line.strip_prefix(POOL_PAGES).and_then(|rest| rest.split_once("} "))
        else {
            continue;
        };
        let label = |name: &str| {
            let mut pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"'))
        };
        let (Some(Ok(size)), Ok(pages)) = (label("size").map(str::parse), pages.trim().parse::<u64>()) else {
            continue;
        };
        let node = label("numa_node").and_then(|node| node.parse().ok());
        let (numa, reserved) = sizes.entry(size).or_default();
        match label("state") {
            Some("reserved") => *reserved = pages,
            Some("total") => numa.entry(node).or_default()[0] = Some(pages),
            Some("free") => numa.entry(node).or_default()[1] = Some(pages),
            _ => {}
        }
    }
    let known = |(size, (numa, reserved)): (PageSize, (Numa, u64))| {
        let both = |(node, [total, free]): (Option<u32>, [Option<u64>; 2])| {
            Some((node, NumaCounters { total: total?, free: free? }))
        };
        let numa: Option<BTreeMap<_, _>> = numa.into_iter().map(both).collect();
        Some((size, Counters { numa: numa.filter(|numa| !numa.is_empty())?, reserved }))
    };
    sizes.into_iter().filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_are_those_of_the_agents_metrics() {
        let text = "\
# HELP hugeprobe_pool_pages Pages.
hugeprobe_pool_pages{size=\"2Mi\",numa_node=\"\",state=\"reserved\"} 3
hugeprobe_pool_pages{size=\"2Mi\",numa_node=\"0\",state=\"total\"} 8
hugeprobe_pool_pages{size=\"2Mi\",numa_node=\"0\",state=\"free\"} 6
hugeprobe_pool_pages{size=\"2Mi\",numa_node=\"1\",state=\"total\"} 4
hugeprobe_pool_pages{size=\"2Mi\",numa_node=\"1\",state=\"free\"} 4
hugeprobe_pool_pages{size=\"1Gi\",numa_node=\"\",state=\"total\"} 2
hugeprobe_pool_pages{size=\"1Gi\",numa_node=\"\",state=\"free\"} 2
hugeprobe_pool_pages{size=\"1Gi\",numa_node=\"\",state=\"surplus\"} 1
hugeprobe_pool_pages{size=\"16Gi\",numa_node=\"0\",state=\"total\"} 2
hugeprobe_pool_pages{size=\"16Gi\",numa_node=\"\",state=\"reserved\"} 0
hugeprobe_pool_pages{size=\"odd\",numa_node=\"\",state=\"total\"} 2
hugeprobe_pool_pages{size=\"1Gi\" 2
hugeprobe_verdict{size=\"2Mi\",verdict=\"pass\"} 1
";
        let sizes = counters(text);
        assert_eq!(sizes.len(), 2);
        let small = &sizes[&"2Mi".parse().unwrap()];
        assert_eq!((small.total(), small.used(), small.reserved), (12, 2, 3));
        assert_eq!(small.numa[&Some(0)], NumaCounters { total: 8, free: 6 });
        assert_eq!(sizes[&"1Gi".parse().unwrap()].numa[&None], NumaCounters { total: 2, free: 2 });
    }
}
