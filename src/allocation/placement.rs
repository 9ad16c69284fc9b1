//! HP506 and HP507: one page from each NUMA node, and where it landed.
//!
//! The kernel counts reservations for the whole machine, so nobody knows on which node a reserved page will be taken. A
//! node is asked only if it would keep a page for every reservation there is.

use std::io;

use serde_json::json;

use super::AllocationTask;
use super::backing::{Backing, touch};
use super::evidence::pool;
use super::explain::{error_name, mems_allowed};
use super::numa::{NoWay, Way};
use super::pool::PoolCounters;
use crate::domain::catalogue::{HP506, HP507};
use crate::domain::check::{Because, Finding, Outcome};
use crate::domain::counters::{Counters, NodeCounters};
use crate::domain::part::WorkerOutput;
use crate::domain::size::{HugeLen, PageSize};
use crate::linux::map::Fill;

/// What came of asking one node.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Landing {
    /// The page is there.
    There(&'static str),
    /// The page is on another node, though this one had some before and after.
    Elsewhere(u32),
    /// The node had none left when its turn came.
    Taken,
    /// The touch was refused; the errno's name.
    Refused(String),
    /// No page is free.
    Empty,
    /// Its free pages may all be promised to others.
    HeldBack,
    /// There was no way to ask, or to tell; why.
    NotAsked(String),
}

/// Others may take a node's last page in between: a page that lands elsewhere is tried again.
const TRIES: u32 = 3;
/// NUMA nodes asked at most: what is told of them must fit a part.
const MOST_NODES: usize = 128;

/// Asks each node and reports HP506 and HP507.
///
/// # Errors
///
/// The reader of `output` is gone; no machine has the length.
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
    let mut landings = Vec::new();
    for node in start.numa.iter().take(MOST_NODES) {
        let mut landing = Landing::Empty;
        for round in 1..=TRIES {
            let now = counters.read().unwrap_or_else(|_| start.clone());
            landing = match of_node(&now, node.node) {
                Some(node) if node.free == 0 => Landing::Empty,
                Some(node) if node.free <= now.reserved => Landing::HeldBack,
                _ => {
                    let again = if round > 1 { format!(" (try {round})") } else { String::new() };
                    output.step(HP506, &format!("take one page of node{}{again}", node.node))?;
                    ask(node.node, len, &counters)
                }
            };
            if !matches!(landing, Landing::Elsewhere(_)) {
                break;
            }
        }
        landings.push((*node, landing));
    }
    let nodes: Vec<_> = landings
        .iter()
        .map(|(node, landing)| {
            json!({ "node": node.node, "free": node.free, "total": node.total, "landed": landing.to_string() })
        })
        .collect();
    let left_out = start.numa.len().saturating_sub(MOST_NODES);
    output.found(where_asked(size, &landings).with("nodes", &nodes).with("left_out", left_out))?;
    output.found(each_gives(size, &landings).with("nodes", &nodes).with("pool", pool(&start)))
}

/// Takes one page of a node and gives it back.
fn ask(node: u32, len: HugeLen, counters: &PoolCounters) -> Landing {
    let held = match Backing::Anonymous.map(len, Fill::OnTouch) {
        Ok(held) => held,
        Err(error) => return Landing::NotAsked(error.to_string()),
    };
    let way = match Way::to(node, &held.mapping) {
        Ok(way) => way,
        Err(NoWay::Refused(why) | NoWay::Unasked(why)) => return Landing::NotAsked(why),
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
    let method = way.name();
    drop(way);
    if let Err(error) = held.release() {
        return Landing::NotAsked(format!("munmap: {error}"));
    }
    let had_some = |counters: &Result<Counters, String>| {
        counters.as_ref().ok().and_then(|now| of_node(now, node)).is_some_and(|node| node.free > 0)
    };
    match landed {
        Err(_) => Landing::NotAsked("nobody tells where the page landed".to_owned()),
        Ok(landed) if landed == node => Landing::There(method),
        Ok(landed) if had_some(&before) && had_some(&after) => Landing::Elsewhere(landed),
        Ok(_) => Landing::Taken,
    }
}

fn of_node(counters: &Counters, number: u32) -> Option<&NodeCounters> {
    counters.numa.iter().find(|node| node.node == number)
}

/// HP506.
fn where_asked(size: PageSize, landings: &[(NodeCounters, Landing)]) -> Finding {
    let astray: Vec<_> = landings
        .iter()
        .filter_map(|(node, landing)| match landing {
            Landing::Elsewhere(other) => Some(format!("asked of node{}, landed on node{other}", node.node)),
            _ => None,
        })
        .collect();
    if !astray.is_empty() {
        let because = Because::new(
            "a page lands on the NUMA node that it is asked of, as long as that has one",
            format!("{}, {TRIES} times in a row", astray.join("; ")),
        )
        .remedy(format!(
            "see the memory policy (numactl --show) and the cpuset of this process: {}",
            mems_allowed()
        ));
        return Finding::not_pass(HP506, size, Outcome::Fail, astray.join("; "), because);
    }
    let good: Vec<_> = landings
        .iter()
        .filter_map(|(node, landing)| match landing {
            Landing::There(method) => Some((format!("node{}", node.node), *method)),
            _ => None,
        })
        .collect();
    let left_out: Vec<_> = landings
        .iter()
        .filter(|(_, landing)| !matches!(landing, Landing::There(_)))
        .map(|(node, landing)| format!("node{}: {landing}", node.node))
        .collect();
    let left_out = left_out.join(", ");
    match good.first() {
        None => Finding::skip(HP506, size, left_out),
        Some((_, method)) => {
            let names: Vec<_> = good.iter().map(|(name, _)| name.as_str()).collect();
            let summary = format!("pages land on {} by {method}", names.join(", "));
            let summary = if left_out.is_empty() { summary } else { format!("{summary}; {left_out}") };
            Finding::pass(HP506, size, summary)
        }
    }
}

/// HP507.
fn each_gives(size: PageSize, landings: &[(NodeCounters, Landing)]) -> Finding {
    let none: Vec<_> = landings
        .iter()
        .filter(|(node, landing)| {
            node.total > 0 && matches!(landing, Landing::Empty | Landing::Taken | Landing::Refused(_))
        })
        .map(|(node, landing)| {
            (node.node, format!("node{} gives none of its {}: {landing}", node.node, node.total))
        })
        .collect();
    let each: Vec<_> =
        landings.iter().map(|(node, _)| format!("node{} {}/{}", node.node, node.free, node.total)).collect();
    if none.is_empty() {
        return Finding::pass(HP507, size, format!("free: {}", each.join(", ")));
    }
    let texts: Vec<_> = none.iter().map(|(_, text)| text.as_str()).collect();
    let paths: Vec<_> = none
        .iter()
        .map(|(node, _)| {
            format!("/sys/devices/system/node/node{node}/hugepages/{}/nr_hugepages", size.sysfs_name())
        })
        .collect();
    let because = Because::new("each NUMA node that has a pool can give a page", texts.join("; "))
        .remedy(format!("stop a workload on the node, or give it more pages: {}", paths.join(", ")));
    Finding::not_pass(HP507, size, Outcome::Warn, texts.join("; "), because)
}

impl std::fmt::Display for Landing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::There(method) => write!(f, "there, by {method}"),
            Self::Elsewhere(node) => write!(f, "on node{node}"),
            Self::Taken => f.write_str("its last page was taken by others"),
            Self::Refused(errno) => write!(f, "the touch was refused with {errno}: see HP401"),
            Self::Empty => f.write_str("no free page"),
            Self::HeldBack => f.write_str("left alone, its free pages may be promised to others"),
            Self::NotAsked(why) => write!(f, "not asked: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size() -> PageSize {
        PageSize::from_bytes(2 << 20).unwrap()
    }

    fn landings(list: &[(u64, Landing)]) -> Vec<(NodeCounters, Landing)> {
        (0..)
            .zip(list)
            .map(|(node, (total, landing))| {
                (NodeCounters { node, total: *total, free: *total, surplus: 0 }, landing.clone())
            })
            .collect()
    }

    #[test]
    fn each_way_a_page_can_land_has_its_outcome() {
        let there = || Landing::There("mbind");
        for (list, asked, gives) in [
            (vec![(4, there()), (4, there())], Outcome::Pass, Outcome::Pass),
            (vec![(4, there()), (4, Landing::Elsewhere(0))], Outcome::Fail, Outcome::Pass),
            (vec![(4, there()), (4, Landing::Taken)], Outcome::Pass, Outcome::Warn),
            (vec![(4, there()), (4, Landing::Empty)], Outcome::Pass, Outcome::Warn),
            (vec![(4, there()), (0, Landing::Empty)], Outcome::Pass, Outcome::Pass),
            (vec![(4, Landing::Refused("EFAULT".into())), (4, there())], Outcome::Pass, Outcome::Warn),
            (vec![(4, Landing::HeldBack), (4, Landing::HeldBack)], Outcome::Skip, Outcome::Pass),
            (vec![(4, Landing::NotAsked("mbind".into())), (0, Landing::Empty)], Outcome::Skip, Outcome::Pass),
        ] {
            let landings = landings(&list);
            assert_eq!(where_asked(size(), &landings).outcome, asked, "{list:?}");
            assert_eq!(each_gives(size(), &landings).outcome, gives, "{list:?}");
        }
    }
}
