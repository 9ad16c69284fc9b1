//! Whether one NUMA node has all pages that a pod needs.
//!
//! The pages of each NUMA node are published, but not which of them other pods use. So the answer is certain only if
//! the pages that other pods request cannot be where they are in the way.

use super::{Need, Pages, Reason, Step, of_size};
use crate::published::Published;
use crate::size::PageSize;

/// The pages of one NUMA node, of each size that is needed.
type Part = Pages;

/// Returns why one NUMA node may not have all pages of the pod; `None` if it has, or if nothing asks for it.
///
/// A pod that does not ask for one NUMA node may be refused all the same: with the Memory Manager `Static` and the
/// Topology Manager policy `single-numa-node` the kubelet refuses a Guaranteed pod if no node has all its pages. A Node does
/// not show the policies of its kubelet.
pub(super) fn compare(need: &Need, published: &Published, requested: Option<&Pages>) -> Option<Reason> {
    let Some(parts) = parts(need, published) else {
        let why = "the number of pages of each NUMA node is not published".to_owned();
        return need.same_numa.then(|| Reason::unknown(Step::Pages, why));
    };
    let large: Vec<&Part> = parts.iter().filter(|part| spare(need, part).is_some()).collect();
    if large.is_empty() {
        let why = format!("needs {}; no NUMA node has as many: {}", need.text(), shown(need, published));
        return if need.same_numa {
            Some(Reason::no(Step::Pages, why))
        } else {
            let why = format!("{why}; a Topology Manager may refuse the pod");
            (parts.len() > 1).then(|| Reason::unknown(Step::Pages, why))
        };
    }
    if !need.same_numa {
        return None;
    }
    // Unknown requests are a reason of the scheduler's already.
    let requested = requested?;
    let others = |size: &PageSize| requested.get(size).copied().unwrap_or(0);
    // Other pods are in the way of one NUMA node if they use more pages of it than it can spare.
    let is_certain_on_one = large.iter().any(|part| {
        spare(need, part).is_some_and(|spare| spare.iter().all(|(size, spare)| others(size) <= *spare))
    });
    // They are in the way of all NUMA nodes only if they use more than each can spare.
    let blocking: u64 = large
        .iter()
        .filter_map(|part| spare(need, part)?.into_values().next())
        .map(|spare| spare.saturating_add(1))
        .fold(0, u64::saturating_add);
    let is_certain_on_all = need.pages.len() == 1 && need.pages.keys().all(|size| others(size) < blocking);
    if is_certain_on_one || is_certain_on_all {
        return None;
    }
    let others: Vec<_> = need.pages.keys().map(|size| of_size(others(size), *size)).collect();
    let why = format!(
        "other pods request {}, and the NUMA nodes that they use are not published: {}",
        others.join(" and "),
        shown(need, published)
    );
    Some(Reason::unknown(Step::Pages, why))
}

/// Returns the pages of each NUMA node; `None` if a number is missing.
fn parts(need: &Need, published: &Published) -> Option<Vec<Part>> {
    let mut parts: std::collections::BTreeMap<u32, Part> = std::collections::BTreeMap::new();
    for size in need.pages.keys() {
        let pool = published.pools.get(size).filter(|pool| !pool.numa.is_empty())?;
        for (node, pages) in &pool.numa {
            parts.entry(*node).or_default().insert(*size, (*pages)?);
        }
    }
    Some(parts.into_values().collect())
}

/// Returns how many pages of each size a NUMA node has beyond the need; `None` if it has too few of a size.
fn spare(need: &Need, part: &Part) -> Option<Pages> {
    need.pages.iter().map(|(size, pages)| Some((*size, part.get(size)?.checked_sub(*pages)?))).collect()
}

/// Formats `numa0 2, numa1 4 of 1Gi`.
fn shown(need: &Need, published: &Published) -> String {
    let of_size = need.pages.keys().filter_map(|size| {
        let pool = published.pools.get(size)?;
        let nodes = pool.numa.iter().map(|(node, pages)| format!("numa{node} {}", pages.unwrap_or(0)));
        Some(format!("{} of {size}", nodes.collect::<Vec<_>>().join(", ")))
    });
    of_size.collect::<Vec<_>>().join("; ")
}
