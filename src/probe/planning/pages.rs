//! How many pages the steps may take.

use super::job::prevented;
use hugeprobe_domain::cgroup::{HugetlbCgroup, HugetlbCounterKind};
use hugeprobe_domain::inventory::{Inventory, Pool};
use hugeprobe_domain::memory_cgroup::{MemoryCgroup, Reclaim};
use hugeprobe_domain::plan::NotRun;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// The number of pages with which every check runs. More would prove nothing more (design: no step holds more than two
/// 1Gi pages).
pub(super) const PAGES: u64 = 2;

/// Returns how many pages the steps may take without taking them from other processes. The sum of available pages, of
/// pages kept for them (`min_size=` of `--dir`) and of pages by which the pool may grow is limited by what this process
/// may use. The result is at least one, so that the kernel itself enforces a limit of zero.
pub(super) fn pages_to_take(inventory: &Inventory, size: PageSize, kept: u64) -> Result<u64, NotRun> {
    let Some(pool) = inventory.pool(size) else {
        return Err(prevented(format!("no pool of {size} was found"), "see HP101"));
    };
    let (Some(available), growable) = (pool.available(), pool.growable().unwrap_or(0)) else {
        return Err(prevented("the pool's counters cannot be read", "see HP101"));
    };
    let allowed = free_on_allowed_nodes(inventory, pool);
    let obtainable = available.min(allowed).saturating_add(growable).saturating_add(kept);
    if obtainable == 0 && available > 0 {
        return Err(prevented(
            elsewhere(inventory, pool),
            "free a page on that NUMA node, or extend cpuset.mems",
        ));
    }
    if obtainable == 0 {
        let count = |reading: &Reading<u64>| reading.get().unwrap_or(0);
        let why = format!(
            "no free page for a test: {} of {} are in use, {} more are reserved",
            count(&pool.total).saturating_sub(count(&pool.free)),
            count(&pool.total),
            count(&pool.reserved)
        );
        return Err(prevented(
            why,
            "free a page, or state with --need how many pages the workload needs: HP509 then checks that",
        ));
    }
    let in_memory = room_in_memory(inventory, inventory.memory_cgroup.known(), size);
    if in_memory == 0 {
        // Exceeding the hugetlb limit is a valid test, because it raises SIGBUS. A touch beyond memory.max hangs.
        return Err(prevented(format!("memory.max has no room for a page of {size}"), "see HP401"));
    }
    Ok(PAGES.min(obtainable).min(room_in_cgroup(inventory, size)).max(1).min(in_memory))
}

/// Returns how many pages are free on the NUMA nodes that this process may use. The kernel reserves no more for it
/// (`allowed_mems_nr()` in its `mm/hugetlb.c`). Returns `u64::MAX` where that is not known.
fn free_on_allowed_nodes(inventory: &Inventory, pool: &Pool) -> u64 {
    let Some(mems) = inventory.privileges.mems.known().filter(|_| !pool.numa.is_empty()) else {
        return u64::MAX;
    };
    let allowed = pool.numa.iter().filter(|node| mems.contains(&node.node));
    allowed.map(|node| node.free.get().unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
}

/// Describes the free pages that this process may not use, by NUMA node.
fn elsewhere(inventory: &Inventory, pool: &Pool) -> String {
    let mems = inventory.privileges.mems.known().map(Vec::as_slice).unwrap_or_default();
    let (allowed, others): (Vec<_>, Vec<_>) = pool.numa.iter().partition(|node| mems.contains(&node.node));
    let allowed: Vec<_> = allowed.iter().map(|node| format!("node{}", node.node)).collect();
    let others =
        others.iter().filter_map(|node| Some((node.node, node.free.get().filter(|free| *free > 0)?)));
    let others: Vec<_> = others.map(|(node, free)| format!("{free} on node{node}")).collect();
    format!(
        "this process may use only the memory of {} (Mems_allowed_list), which has no free page; free: {}",
        if allowed.is_empty() { "NUMA nodes without a pool".to_owned() } else { allowed.join(", ") },
        others.join(", ")
    )
}

/// Returns how many whole pages the limits of this process's cgroups allow, as far as they are known.
fn room_in_cgroup(inventory: &Inventory, size: PageSize) -> u64 {
    inventory.cgroup.known().map_or(u64::MAX, |cgroup| room_in(cgroup, size))
}

/// Returns how many whole pages the limits of a memory cgroup allow, if huge pages count against them, as far as they are
/// known.
pub(super) fn room_in_memory(inventory: &Inventory, cgroup: Option<&MemoryCgroup>, size: PageSize) -> u64 {
    let cgroup = cgroup.filter(|_| inventory.huge_pages_count_as_memory.get() == Some(true));
    let room = cgroup.and_then(|cgroup| cgroup.tightest(Reclaim::CacheAndSwap));
    room.map_or(u64::MAX, |room| room.left / size.bytes())
}

/// Returns how many whole pages the limits of a cgroup and of its ancestors allow, as far as they are known.
pub(super) fn room_in(cgroup: &HugetlbCgroup, size: PageSize) -> u64 {
    let left = |kind| cgroup.headroom(size, kind).tightest.map_or(u64::MAX, |room| room.left);
    left(HugetlbCounterKind::Fault).min(left(HugetlbCounterKind::Reservation)) / size.bytes()
}
