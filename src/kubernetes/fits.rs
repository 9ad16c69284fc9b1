//! `hugeprobe fits`: on which nodes a pod that requests huge pages would work now. It changes nothing.
//!
//! ## Rights
//!
//! `list` on `nodes`, and `list` on `pods` of all namespaces. Without the second, the requests of other pods are unknown,
//! and so is every answer that would be a fit.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::api::{Api, ApiError, ListMeta, requests};
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
    let mut judged = Vec::new();
    let mut open = Vec::new();
    let nodes = |selector: Option<&str>, token: Option<&str>| requests::list_nodes(selector, PIECE, token);
    let mut token = None;
    loop {
        let each = |node: Candidate| match refusal(workload, &node) {
            Some(reason) => judged.push(NodeFit { name: node.name, reason: Some(reason) }),
            None => open.push(node),
        };
        match api.list(nodes(selector, token.as_deref())?, each).await {
            // The `continue` token expired between two pages (410): start again.
            Err(error) if error.is_expired() && token.is_some() => {
                judged.clear();
                open.clear();
                token = None;
            }
            page => match next(&page?) {
                Some(next) => token = Some(next),
                None => break,
            },
        }
    }
    let (requested, mut limits) = match requested(api, &open).await {
        Ok(requested) => (Some(requested), Vec::new()),
        Err(error) => (None, vec![format!("requests of other pods are not counted: {error}")]),
    };
    let now = Timestamp::now();
    let none = Pages::new();
    let mut blind = 0_usize;
    for node in open {
        let requested = requested.as_ref().map(|all| all.get(&node.name).unwrap_or(&none));
        let state = node.published.state(&node.boot_id, now);
        let reasons = [
            scheduler::resources(&need.pages, &node, requested),
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

/// Returns why the workload would not work on the node whatever the other pods there request.
fn refusal(workload: &Workload, node: &Candidate) -> Option<Reason> {
    let placed = workload.placement.refusal(node);
    let pages = || scheduler::resources(&workload.pages, node, None).filter(|reason| reason.is_definite);
    placed.or_else(pages)
}

/// Returns the pages that the pods of each node request.
async fn requested(api: &Api, nodes: &[Candidate]) -> Result<BTreeMap<String, Pages>, ApiError> {
    let mut sums: BTreeMap<String, PodRequests> = BTreeMap::new();
    if nodes.len() <= FEW {
        for node in nodes {
            let sum = sums.entry(node.name.clone()).or_default();
            api.list(requests::list_pods_of_node(&node.name)?, |pod: Pod| sum.add(&pod)).await?;
        }
    } else {
        let mut token = None;
        loop {
            let request = requests::list_bound_pods(PIECE, token.as_deref())?;
            let each = |pod: Pod| sums.entry(pod.node().to_owned()).or_default().add(&pod);
            match api.list(request, each).await {
                Err(error) if error.is_expired() && token.is_some() => {
                    sums.clear();
                    token = None;
                }
                page => match next(&page?) {
                    Some(next) => token = Some(next),
                    None => break,
                },
            }
        }
    }
    Ok(sums.into_iter().map(|(node, sum)| (node, sum.pages)).collect())
}

/// Returns the token of the next page.
fn next(page: &ListMeta) -> Option<String> {
    (!page.r#continue.is_empty()).then(|| page.r#continue.clone())
}
