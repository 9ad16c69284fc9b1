//! `hugeprobe fits`: on which nodes a pod that requests huge pages would work now. It changes nothing.
//!
//! ## Rights
//!
//! `list` on `nodes`, and `list` on `pods` of all namespaces. Without the second, the requests of other pods are unknown,
//! and so is every answer that would be a fit.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::api::{Api, ApiError, requests};
use super::pod_requests::{Pod, PodRequests};
use hugeprobe_domain::catalogue::HP202;
use hugeprobe_domain::fit::{Fit, Need, NodeFit, Pages, Reason};
use hugeprobe_domain::published::VerdictState;
use hugeprobe_domain::text::count;

mod node;
mod scheduler;
mod workload;

pub use node::Candidate;
pub use scheduler::Placement;
pub use workload::{Workload, WorkloadError};

/// The maximum number of objects in one response, which then has some megabytes.
const PIECE: u32 = 200;
/// Up to so many nodes, the pods of each are listed; of more, those of the whole cluster.
const FEW: usize = 16;
/// What no answer is about.
const NOT_COMPARED: &str =
    "not compared: CPU, memory and other resources, affinity to pods, topology spread, volumes";

/// The nodes that have been read: those that are refused in any case, and those that the requests of other pods decide.
#[derive(Default)]
struct Sorted {
    judged: Vec<NodeFit>,
    open: Vec<(Candidate, Option<Reason>)>,
}

/// Returns on which of the nodes that `selector` matches the workload would work, sorted by name.
///
/// # Errors
///
/// The nodes cannot be listed. If the pods cannot be listed, the answer says so.
pub async fn read(
    api: &Api,
    selector: Option<&str>,
    workload: &Workload,
    same_numa: bool,
) -> Result<Fit, ApiError> {
    let need = Need { pages: workload.pages.clone(), same_numa };
    let nodes = |token: Option<&str>| requests::list_nodes(selector, PIECE, token);
    let sort = |Sorted { judged, open }: &mut Sorted, node: Candidate| match refusal(workload, &node) {
        Err(reason) => judged.push(NodeFit { name: node.name, reason: Some(reason) }),
        Ok(unknown) => open.push((node, unknown)),
    };
    let (Sorted { mut judged, open }, _) = api.pages(nodes, sort).await?;
    let (requested, mut limits) = match requested(api, &open).await {
        Ok(requested) => (Some(requested), Vec::new()),
        Err(error) => (None, vec![format!("requests of other pods are not counted: {error}")]),
    };
    let now = Timestamp::now();
    let none = Pages::new();
    let mut blind = 0_usize;
    for (node, unknown) in open {
        let requested = requested.as_ref().map(|all| all.get(&node.name).unwrap_or(&none));
        let state = node.published.state(&node.boot_id, now);
        let reasons = [
            unknown,
            scheduler::left(&need.pages, &node, requested),
            need.compare(&node.published, &state, requested),
        ];
        let reason = Reason::first(reasons.into_iter().flatten());
        let is_blind =
            matches!(state, VerdictState::Fresh(_)) && node.published.unseen.contains(&HP202.to_string());
        blind += usize::from(reason.is_none() && is_blind);
        judged.push(NodeFit { name: node.name, reason });
    }
    if blind > 0 {
        limits.push(format!(
            "{HP202} is skipped on {}: processes outside pods may hold pages there",
            count(blind, "node")
        ));
    }
    limits.push(NOT_COMPARED.to_owned());
    judged.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Fit { need, nodes: judged, limits })
}

/// Returns why the workload would not work on the node whatever the other pods there request; `Ok` has the reason for
/// which that is unknown.
fn refusal(workload: &Workload, node: &Candidate) -> Result<Option<Reason>, Reason> {
    match workload.placement.refusal(node).or_else(|| scheduler::allocatable(&workload.pages, node)) {
        Some(reason) if reason.is_definite => Err(reason),
        unknown => Ok(unknown),
    }
}

/// Returns the pages that the pods of each node request.
async fn requested(
    api: &Api,
    nodes: &[(Candidate, Option<Reason>)],
) -> Result<BTreeMap<String, Pages>, ApiError> {
    let mut sums: BTreeMap<String, PodRequests> = BTreeMap::new();
    if nodes.len() <= FEW {
        for (node, _) in nodes {
            let sum = sums.entry(node.name.clone()).or_default();
            api.list(requests::list_pods_of_node(&node.name)?, |pod: Pod| sum.add(&pod)).await?;
        }
    } else {
        let request = |token: Option<&str>| requests::list_bound_pods(PIECE, token);
        let add = |sums: &mut BTreeMap<String, PodRequests>, pod: Pod| {
            sums.entry(pod.node().to_owned()).or_default().add(&pod);
        };
        (sums, _) = api.pages(request, add).await?;
    }
    Ok(sums.into_iter().map(|(node, sum)| (node, sum.pages)).collect())
}
