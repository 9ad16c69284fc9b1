//! The causes for which nodes do not pass, and the nodes of each.

use std::collections::BTreeMap;

use super::{Fleet, FleetNode, VerdictState};
use crate::check::{CheckId, Verdict};
use crate::size::PageSize;

/// A cause, and the nodes that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause<'a> {
    /// The check that did not pass; `None` if the verdict is not valid, or if it names no check.
    pub check: Option<(CheckId, Option<PageSize>)>,
    /// The cause in words, as the first of the nodes has it.
    pub text: String,
    /// The names of the nodes, sorted.
    pub nodes: Vec<&'a str>,
}

/// Nodes with the same key have the same cause. Texts of the same check differ in numbers.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Check(CheckId, Option<PageSize>),
    NotValid(String),
    Summary(String),
}

impl Fleet {
    /// Returns the causes of all nodes, the one with the most nodes first. A node with several causes is in each of them.
    #[must_use]
    pub fn causes(&self) -> Vec<Cause<'_>> {
        let mut causes: BTreeMap<Key, Cause<'_>> = BTreeMap::new();
        for node in &self.nodes {
            for (key, check, text) in of_node(node) {
                let cause = causes.entry(key).or_insert_with(|| Cause { check, text, nodes: Vec::new() });
                cause.nodes.push(&node.name);
            }
        }
        let mut causes: Vec<_> = causes.into_values().collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.nodes.len()));
        causes
    }
}

type Found = (Key, Option<(CheckId, Option<PageSize>)>, String);

fn of_node(node: &FleetNode) -> Vec<Found> {
    let VerdictState::Fresh(verdict) = &node.state else {
        // The time of an expired verdict differs from node to node.
        let text = match &node.state {
            VerdictState::Expired(_) => "expired and not renewed: no agent runs on the node".to_owned(),
            state => state.why().unwrap_or_default(),
        };
        return vec![(Key::NotValid(text.clone()), None, format!("{}: {text}", node.state.word()))];
    };
    let published = &node.published;
    if published.checks.is_empty() && matches!(verdict, Verdict::Unknown | Verdict::Fail) {
        return vec![(Key::Summary(published.summary.clone()), None, published.summary.clone())];
    }
    let of_check = |((id, size), text): (&(CheckId, Option<PageSize>), &String)| {
        (Key::Check(*id, *size), Some((*id, *size)), text.clone())
    };
    published.checks.iter().map(of_check).collect()
}
