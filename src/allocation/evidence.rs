//! Builds the evidence of findings. It is kept short, because a whole part is at most 64 KiB, even on machines with
//! many NUMA nodes.

use serde_json::{Value, json};

use super::attempts::Attempts;
use super::backing::Observed;
use hugeprobe_domain::check::Finding;
use hugeprobe_domain::counters::{Counters, Movement, NodeCounters};

/// The maximum number of NUMA nodes that are shown, of those whose counters moved.
const NODES_SHOWN: usize = 8;

/// Adds what the steps showed to a finding: the counters before, expected and after, and the last state of the mapping.
pub(super) fn with_attempts(mut finding: Finding, attempts: &[&Attempts]) -> Finding {
    let shown: Vec<_> = attempts.iter().filter_map(|attempts| attempts.shown()).collect();
    let steps: Vec<_> = shown.iter().filter_map(|done| done.movement.as_ref().ok()).map(movement).collect();
    if !steps.is_empty() {
        finding = finding.with("steps", steps);
    }
    if let Some(observed) = shown.last().and_then(|done| done.mapping.as_ref()) {
        finding = finding.with("mapping", mapping(observed));
    }
    let tries = attempts.iter().map(|attempts| attempts.tries()).max().unwrap_or(0);
    if tries > 1 {
        let off: Vec<_> = attempts.iter().flat_map(|attempts| attempts.off_by()).collect();
        finding = finding.with("tries", tries);
        if !off.is_empty() {
            finding = finding.with("off_by", off);
        }
    }
    finding
}

/// Returns what the kernel shows about a mapping of this process.
pub(super) fn mapping(observed: &Observed) -> Value {
    let numa = observed.numa_maps.clone().map(|nodes| {
        nodes
            .iter()
            .map(|(node, pages)| (format!("node{node}"), Value::from(*pages)))
            .collect::<serde_json::Map<_, _>>()
    });
    json!({ "smaps": observed.smaps, "numa_maps": numa })
}

/// Returns the machine's counters, without the NUMA nodes.
pub(super) fn counters(counters: &Counters) -> Value {
    json!({
        "total": counters.total,
        "free": counters.free,
        "reserved": counters.reserved,
        "surplus": counters.surplus,
    })
}

/// Returns the counters of a pool, with at most [`NODES_SHOWN`] NUMA nodes.
pub(super) fn pool(now: &Counters) -> Value {
    let mut value = counters(now);
    if let Some(object) = value.as_object_mut() {
        object.insert("numa".to_owned(), json!(now.numa.iter().take(NODES_SHOWN).collect::<Vec<_>>()));
    }
    value
}

fn movement(movement: &Movement) -> Value {
    let node = |counters: &Counters, number| counters.numa.iter().find(|node| node.node == number).copied();
    let moved = movement.before.numa.iter().filter_map(|before| {
        let (expected, after) = (node(&movement.expected, before.node), node(&movement.after, before.node));
        (expected != Some(*before) || after != Some(*before)).then(|| {
            json!({
                "node": before.node,
                "before": one_node(Some(*before)),
                "expected": one_node(expected),
                "after": one_node(after),
            })
        })
    });
    json!({
        "step": movement.step,
        "documented": movement.documented,
        "before": counters(&movement.before),
        "expected": counters(&movement.expected),
        "after": counters(&movement.after),
        "numa": moved.take(NODES_SHOWN).collect::<Vec<_>>(),
    })
}

fn one_node(node: Option<NodeCounters>) -> Value {
    node.map_or(
        Value::Null,
        |node| json!({ "total": node.total, "free": node.free, "surplus": node.surplus }),
    )
}
