//! What the scheduler compares of a node and a pod, as far as huge pages need it: taints, node selector, required node
//! affinity, and the huge pages that are allocatable.
//!
//! Sources: kubernetes/pkg/scheduler/framework/plugins, the plugins NodeUnschedulable, TaintToleration, NodeAffinity and
//! NodeResourcesFit; k8s.io/component-helpers/scheduling/corev1/nodeaffinity for the operators.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration};
use serde::Deserialize;

use super::node::Candidate;
use crate::quantity::in_pages;
use hugeprobe_domain::fit::{Pages, Reason, Step, of_size};
use hugeprobe_domain::size::PageSize;

/// The taint of a node that is cordoned.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The fields of a pod's spec that decide on which nodes it may be placed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Placement {
    /// The only node, if the scheduler is not asked.
    pub node_name: Option<String>,
    /// Labels that a node must have.
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Only the required node affinity is used.
    pub affinity: Option<Affinity>,
    /// The taints that do not matter.
    pub tolerations: Option<Vec<Toleration>>,
}

// === impl Placement ===

impl Placement {
    /// Returns why the scheduler does not place the pod on the node, without regard to resources; `None` if it may.
    #[must_use]
    pub fn refusal(&self, node: &Candidate) -> Option<Reason> {
        let why = self.not_named(node).or_else(|| self.tainted(node)).or_else(|| self.unselected(node))?;
        Some(Reason::no(Step::Scheduler, why))
    }

    fn not_named(&self, node: &Candidate) -> Option<String> {
        let name = self.node_name.as_ref().filter(|name| !name.is_empty() && **name != node.name)?;
        Some(format!("spec.nodeName of the pod is {name}"))
    }

    fn tainted(&self, node: &Candidate) -> Option<String> {
        let cordoned =
            Taint { key: UNSCHEDULABLE.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
        if node.is_unschedulable && !self.tolerates(&cordoned) {
            return Some("the node is cordoned".to_owned());
        }
        let is_hard = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
        let taint = node.taints.iter().filter(is_hard).find(|taint| !self.tolerates(taint))?;
        let value = taint.value.as_ref().filter(|value| !value.is_empty());
        let value = value.map(|value| format!("={value}")).unwrap_or_default();
        Some(format!("the pod does not tolerate the taint {}{value}:{}", taint.key, taint.effect))
    }

    fn tolerates(&self, taint: &Taint) -> bool {
        let is_same = |text: &Option<String>, other: &str| {
            text.as_deref().is_none_or(|text| text.is_empty() || text == other)
        };
        self.tolerations.iter().flatten().any(|toleration| {
            is_same(&toleration.effect, &taint.effect)
                && is_same(&toleration.key, &taint.key)
                && match toleration.operator.as_deref() {
                    Some("Exists") => true,
                    // Without a key, the operator has to be `Exists`.
                    None | Some("" | "Equal") => {
                        toleration.key.as_deref().is_some_and(|key| !key.is_empty())
                            && toleration.value.as_deref().unwrap_or_default()
                                == taint.value.as_deref().unwrap_or_default()
                    }
                    Some(_) => false,
                }
        })
    }

    fn unselected(&self, node: &Candidate) -> Option<String> {
        let selector = self.node_selector.iter().flatten();
        for (key, value) in selector {
            if node.labels.get(key) != Some(value) {
                return Some(format!("nodeSelector: the node does not have the label {key}={value}"));
            }
        }
        let affinity = self.affinity.as_ref()?.node_affinity.as_ref()?;
        let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
        if required.node_selector_terms.iter().any(|term| is_matched(term, node)) {
            return None;
        }
        Some("the required node affinity does not match the labels of the node".to_owned())
    }
}

/// Returns whether the node matches all expressions of the term. A term without expressions matches no node.
fn is_matched(term: &NodeSelectorTerm, node: &Candidate) -> bool {
    let labels = term.match_expressions.iter().flatten();
    let fields = term.match_fields.iter().flatten();
    if labels.clone().next().is_none() && fields.clone().next().is_none() {
        return false;
    }
    // The only field is the name.
    let name = |field: &NodeSelectorRequirement| {
        field.key == "metadata.name" && is_required(field, Some(node.name.as_str()))
    };
    labels.into_iter().all(|one| is_required(one, node.labels.get(&one.key).map(String::as_str)))
        && fields.into_iter().all(name)
}

fn is_required(required: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = required.values.as_deref().unwrap_or_default();
    let is_among = value.is_some_and(|value| values.iter().any(|one| one == value));
    let numbers = || {
        let bound: i64 = values.first()?.parse().ok()?;
        Some((value?.parse::<i64>().ok()?, bound))
    };
    match required.operator.as_str() {
        "In" => is_among,
        "NotIn" => !is_among,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(value, bound)| value > bound),
        "Lt" => numbers().is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

/// Compares the pages of each size with those that are allocatable.
pub(super) fn allocatable(pages: &Pages, node: &Candidate) -> Option<Reason> {
    Reason::first(pages.iter().filter_map(|(size, pages)| {
        let name = size.resource_name();
        let needs = of_size(*pages, *size);
        match allocatable_of(*size, node) {
            None => Some(Reason::no(Step::Scheduler, format!("needs {needs}; the node has no {name}"))),
            Some(Some(allocatable)) => (*pages > allocatable)
                .then(|| Reason::no(Step::Scheduler, format!("needs {needs}; {allocatable} allocatable"))),
            Some(None) => {
                let why = format!("the allocatable {name} of the node cannot be read");
                Some(Reason::unknown(Step::Scheduler, why))
            }
        }
    }))
}

/// Compares the pages of each size with the allocatable pages that other pods do not request. `requested` is `None` if
/// their requests are unknown.
pub(super) fn left(pages: &Pages, node: &Candidate, requested: Option<&Pages>) -> Option<Reason> {
    let Some(requested) = requested else {
        return Some(Reason::unknown(Step::Scheduler, "the requests of other pods are unknown".to_owned()));
    };
    pages.iter().find_map(|(size, pages)| {
        let allocatable = allocatable_of(*size, node)??;
        let others = requested.get(size).copied().unwrap_or(0);
        (*pages > allocatable.saturating_sub(others)).then(|| {
            let needs = of_size(*pages, *size);
            let why =
                format!("needs {needs}; {allocatable} allocatable, of which other pods request {others}");
            Reason::no(Step::Scheduler, why)
        })
    })
}

/// Returns the allocatable pages; `Some(None)` if the quantity cannot be read.
fn allocatable_of(size: PageSize, node: &Candidate) -> Option<Option<u64>> {
    let name = size.resource_name();
    let (_, pages) = in_pages(&name, node.allocatable.get(&name)?)?;
    Some(pages.get())
}

#[cfg(test)]
mod tests;
