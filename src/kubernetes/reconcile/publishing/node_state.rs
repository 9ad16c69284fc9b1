//! The state of a Node in a form that can be compared. It excludes the times, because new times alone are not a
//! change.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::node::NodeView;
use super::super::size_state::ProbeResult;
use crate::names;
use crate::publication::Content;

/// Everything with hugeprobe's prefix, without the times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct NodeState {
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    /// The status, the reason and the message.
    condition: Option<[String; 3]>,
}

/// The value that overwrites labels of other clients. The admission policy allows only the values of verdicts.
const OVERWRITTEN: &str = "unknown";

// === impl ===

impl NodeState {
    /// Returns the state that the Node should have.
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

    /// Returns the state that the Node has. Labels that hugeprobe does not use are ignored, because the admission
    /// policy does not permit the agent to write them.
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

/// Adds to the content the keys with the prefix that other clients wrote, so that they can be removed. Returns the
/// content and whether any key was added.
///
/// An apply removes only keys that hugeprobe owns. The first apply overwrites the other keys and so becomes their
/// owner. The next apply leaves them out, and the API server removes them.
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

/// Returns since when the condition has had the status that is applied; `None` if it has another status now.
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
