//! What several inspections need: numbers of pages, and texts about cgroup limits.

use crate::inventory::Inventory;
use crate::memory_cgroup::Reclaim;
use crate::request::{PageCount, Request};
use crate::size::PageSize;
pub(super) use crate::text::count;

/// The number of pages with which every check can run.
pub(super) const PAGES_OF_ALL_STEPS: u64 = 2;

/// Returns how many pages of `size` are needed, by all processes and on all NUMA nodes together; `None` if none are.
pub(super) fn needed(request: &Request, size: PageSize) -> Option<u64> {
    sum(request.needs(), size)
}

/// Returns how many pages of `size` there are in `needs`; `None` if no need is about `size`.
pub(super) fn sum<'a>(needs: impl IntoIterator<Item = &'a PageCount>, size: PageSize) -> Option<u64> {
    needs.into_iter().filter(|need| need.size == size).map(|need| need.pages).reduce(u64::saturating_add)
}

/// The remedy if the limits of a cgroup cannot be read.
pub(super) const MOUNT_CGROUPS: &str =
    "mount the cgroup hierarchy where this process can read it (in a container: /sys/fs/cgroup, read-only)";

/// Returns what to add to a text about limits: nothing if the limits of all parent cgroups were read.
pub(super) const fn as_far_as_visible(complete: bool) -> &'static str {
    if complete { "" } else { ", as far as parent cgroups are visible from here" }
}

/// Returns the most that the kernel can reclaim to stay below a memory limit.
pub(super) fn most_reclaimed(inventory: &Inventory) -> Reclaim {
    if inventory.limits.swap_bytes.get() == Some(0) { Reclaim::Cache } else { Reclaim::CacheAndSwap }
}
