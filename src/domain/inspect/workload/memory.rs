//! How much memory the limits are judged for.

use super::super::super::inventory::Inventory;
use super::super::super::reading::Reading;
use super::super::super::request::{PageCount, Request};
use super::super::super::size::PageSize;

/// The least memory that testpmd and QEMU were seen to pass frames with, on each side.
const LEAST_MEMORY: u64 = 16 << 20;

/// What is reckoned with where no page size is known.
const COMMON_PAGE: u64 = 2 << 20;

/// What one process of the workload maps: `--need` and what its role needs, or else the least. Of the two roles, the one that maps
/// more: limits are those of a process, and frontend and backend are two.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// All of it.
    pub(super) bytes: u64,
    pub(super) pages: u64,
    /// The smallest page of it, bytes.
    pub(super) smallest_page: u64,
    /// The most of one size, which DPDK may keep in one file.
    pub(super) largest_size: u64,
    /// The most in one `--need`, which is one memory backend of QEMU's.
    pub(super) largest_backend: u64,
    /// How many of those.
    pub(super) backends: u64,
}

// === impl Memory ===

impl Memory {
    pub(super) fn of(inventory: &Inventory, request: &Request) -> Self {
        if request.needs().next().is_none() {
            let page = smallest_size(inventory, request).map_or(COMMON_PAGE, PageSize::bytes);
            return Self::of_needs(&[(page, LEAST_MEMORY.div_ceil(page))]);
        }
        let of_role = |own: &[PageCount]| {
            let needs = request.need.iter().chain(own);
            Self::of_needs(&needs.map(|need| (need.size.bytes(), need.pages)).collect::<Vec<_>>())
        };
        of_role(&request.frontend_need).or_more(of_role(&request.backend_need))
    }

    /// Of these: bytes of a page, and pages.
    fn of_needs(needs: &[(u64, u64)]) -> Self {
        let bytes = |needs: &mut dyn Iterator<Item = &(u64, u64)>| {
            needs.fold(0_u64, |sum, (page, pages)| sum.saturating_add(page.saturating_mul(*pages)))
        };
        let of_size = |page| bytes(&mut needs.iter().filter(|need| need.0 == page));
        Self {
            bytes: bytes(&mut needs.iter()),
            pages: needs.iter().fold(0, |sum, need| sum.saturating_add(need.1)),
            smallest_page: needs.iter().map(|need| need.0).min().unwrap_or(u64::MAX),
            largest_size: needs.iter().map(|need| of_size(need.0)).max().unwrap_or_default(),
            largest_backend: needs
                .iter()
                .map(|need| bytes(&mut std::iter::once(need)))
                .max()
                .unwrap_or_default(),
            backends: needs.len() as u64,
        }
    }

    /// The most of either, number by number.
    fn or_more(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            pages: self.pages.max(other.pages),
            smallest_page: self.smallest_page.min(other.smallest_page),
            largest_size: self.largest_size.max(other.largest_size),
            largest_backend: self.largest_backend.max(other.largest_backend),
            backends: self.backends.max(other.backends),
        }
    }
}

/// The smallest size that the run is about; `None` if no size is known at all.
fn smallest_size(inventory: &Inventory, request: &Request) -> Option<PageSize> {
    if !request.sizes.is_empty() {
        return request.sizes.iter().copied().min();
    }
    let pools = inventory.pools.known().map(Vec::as_slice).unwrap_or_default();
    let there = |number: &Reading<u64>| number.get().is_some_and(|pages| pages > 0);
    let with_pages =
        pools.iter().filter(|pool| there(&pool.total) || there(&pool.overcommit)).map(|pool| pool.size);
    with_pages.chain(request.named_sizes()).min().or_else(|| pools.iter().map(|pool| pool.size).min())
}
