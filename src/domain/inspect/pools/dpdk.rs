//! How DPDK counts the pages of the NUMA nodes before it takes any, which differs from what the kernel would give it.
//!
//! DPDK knows only the nodes that have a CPU. It adds up the free pages of these nodes, including those that other
//! processes have reserved. Only if the sum is 0, it counts the pages of the machine instead, including overcommit, and
//! takes them for those of node 0 (`calc_num_pages()` in `lib/eal/linux/eal_hugepage_info.c`).

use super::super::about::About;
use super::super::common::{count, needed, sum};
use crate::catalogue::{HP102, HP106};
use crate::check::{Because, Finding, Outcome};
use crate::inventory::Pool;
use crate::size::PageSize;

/// Too few pages for a DPDK process.
struct Short {
    free: u64,
    needed: u64,
    /// The NUMA node of the need.
    node: Option<u32>,
}

/// Returns HP106 if DPDK finds too few free pages in a pool that could grow by overcommit.
pub(super) fn no_overcommit(about: &About<'_>, pool: &Pool, file: &str) -> Option<Finding> {
    let Short { free, needed, node } = short(about, pool)?;
    let on = node.map_or(String::new(), |node| format!(" on node{node}"));
    let summary = format!(
        "DPDK stops: {} free{on} for {needed}, and it uses overcommit only where no page is free{}",
        if free == 1 { "1 page is".to_owned() } else { format!("{free} pages are") },
        if node.is_some_and(|node| node > 0) { ", as pages of node0" } else { "" }
    );
    let expected = match node {
        Some(node) => format!("{needed} free pages on node{node}"),
        None => format!("{needed} free pages, or none and {needed} by overcommit"),
    };
    let seen = format!("{free} free{on}, {} by overcommit", pool.growable().unwrap_or(0));
    let because = Because::new(expected, seen)
        .remedy(format!("make the pool as large as the workloads need:\n  echo PAGES > {file}"));
    Some(Finding::not_pass(HP106, about.size, Outcome::Fail, summary, because))
}

/// Returns the first DPDK process that finds too few free pages. The backend starts first.
fn short(about: &About<'_>, pool: &Pool) -> Option<Short> {
    let request = about.request;
    if !request.workload.uses_dpdk() || pool.growable().unwrap_or(0) == 0 {
        return None;
    }
    let machine = pool.free.get()?;
    let mut free = machine;
    for need in [&request.backend_need, &request.frontend_need, &request.need] {
        let Some(pages) = sum(need.iter(), pool.size) else { continue };
        if (1..pages).contains(&free) {
            return Some(Short { free, needed: pages, node: None });
        }
        free = free.saturating_sub(pages);
        let on_nodes = need.iter().filter(|need| need.size == pool.size);
        for (node, needed) in on_nodes.filter_map(|need| Some((need.node?, need.pages))) {
            let free = pool.numa.iter().find(|one| one.node == node)?.free.get()?;
            if free < needed && (machine > 0 || node > 0) {
                return Some(Short { free, needed, node: Some(node) });
            }
        }
    }
    None
}

/// Returns HP102 if the workload is DPDK and needs pages of a NUMA node that has no CPU.
pub(super) fn beyond_cpus(about: &About<'_>, pool: &Pool) -> Option<Finding> {
    let (request, size) = (about.request, about.size);
    if !request.workload.uses_dpdk() {
        return None;
    }
    let nodes = about.inventory.nodes.known()?;
    let has_no_cpu =
        |node: u32| nodes.iter().any(|one| one.node == node && one.cpus.known().is_some_and(Vec::is_empty));
    let needs = || request.needs().filter(|need| need.size == size);
    let named = needs().filter_map(|need| need.node).find(|node| has_no_cpu(*node));
    if let Some(node) = named {
        let summary = format!("node{node} has no CPU, and DPDK takes no pages from such a node");
        return Some(without_cpu(
            size,
            summary,
            "a need of pages on a node that has a CPU",
            &format!("node{node}"),
        ));
    }
    let needed = needed(request, size)?;
    let free_where = |wanted: bool| {
        let pools = pool.numa.iter().filter(|one| has_no_cpu(one.node) == wanted);
        pools.map(|one| one.free.get()).sum::<Option<u64>>()
    };
    let (far, near) = (free_where(true)?, free_where(false)?);
    // Where the pages of all nodes together are too few, HP509 says so.
    if far == 0 || near >= needed || pool.available()? < needed {
        return None;
    }
    let summary = format!(
        "{} of the {needed} needed are on nodes with a CPU, and DPDK takes no pages from other nodes",
        count(near, "free page")
    );
    let expected = format!("{} on nodes with a CPU", count(needed, "free page"));
    Some(without_cpu(size, summary, &expected, &format!("{near} there, {far} on nodes without a CPU")))
}

fn without_cpu(size: PageSize, summary: String, expected: &str, seen: &str) -> Finding {
    let because = Because::new(expected, seen).remedy(
        "move the pages to a node that has a CPU (`lscpu` lists the CPUs of each node):\n  echo PAGES > \
         /sys/devices/system/node/nodeN/hugepages/hugepages-SIZEkB/nr_hugepages",
    );
    Finding::not_pass(HP102, size, Outcome::Fail, summary, because)
}
