//! The state of a Node in a form that is compared: without the times, because new times alone are not a change.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::node::NodeView;
use super::super::size_state::ProbeResult;
use crate::kubernetes::names;
use crate::kubernetes::publication::Content;

/// Everything under hugeprobe's prefix save the times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct NodeState {
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    /// Status, reason, message.
    condition: Option<[String; 3]>,
}

/// What a foreign label is overwritten with: admission allows no other words.
const OVERWRITTEN: &str = "unknown";

// === impl ===

impl NodeState {
    /// The state that the Node is to have.
    pub(in super::super) fn desired(content: &Content) -> Self {
        Self {
            annotations: without_times(&content.annotations),
            labels: content.labels.clone(),
            condition: content
                .condition
                .as_ref()
                .map(|one| [one.status.clone(), one.reason.clone(), one.message.clone()]),
        }
    }

    /// The state that the Node has. Labels that hugeprobe does not use are left alone: admission does not let it write them.
    pub(in super::super) fn observed(node: &NodeView) -> Self {
        let labels = node.own_labels().filter(|(key, _)| is_label(key));
        Self {
            annotations: without_times(&node.annotations),
            labels: labels.map(|(key, value)| (key.clone(), value.clone())).collect(),
            condition: node
                .condition
                .as_ref()
                .map(|one| [one.status.clone(), one.reason.clone(), one.message.clone()]),
        }
    }
}

/// The content, and the steps to remove keys under the prefix that other clients wrote: an apply removes only what
/// is its own, so they are overwritten first, and left out by the next apply. Whether there are any.
pub(in super::super) fn with_scrub(mut content: Content, node: &NodeView) -> (Content, bool) {
    let mut scrubs = false;
    for key in node.annotations.keys() {
        let is_time = [names::CHECKED_AT, names::VALID_UNTIL].contains(&key.as_str());
        if !is_time && !content.annotations.contains_key(key) && !node.owned.contains(key) {
            content.annotations.insert(key.clone(), String::new());
            scrubs = true;
        }
    }
    for (key, value) in node.own_labels().filter(|(key, _)| is_label(key)) {
        if !content.labels.contains_key(key) && value != OVERWRITTEN {
            content.labels.insert(key.clone(), OVERWRITTEN.to_owned());
            scrubs = true;
        }
    }
    (content, scrubs)
}

/// Since when the condition has the status that it is to have.
pub(in super::super) fn same_status_since(content: &Content, node: &NodeView) -> Option<Timestamp> {
    let (desired, observed) = (content.condition.as_ref()?, node.condition.as_ref()?);
    observed.since.filter(|_| desired.status == observed.status)
}

fn is_label(key: &str) -> bool {
    key == names::VERDICT
        || key.strip_prefix(names::PREFIX).is_some_and(|rest| rest.starts_with("hugepages-"))
}

fn without_times(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let probe = format!("{}.", names::PROBE);
    annotations
        .iter()
        .filter(|(key, _)| ![names::CHECKED_AT, names::VALID_UNTIL].contains(&key.as_str()))
        .map(|(key, value)| {
            let value =
                if key.starts_with(&probe) { ProbeResult::without_time(value) } else { value.clone() };
            (key.clone(), value)
        })
        .collect()
}
