//! The amount of memory for which the limits are judged.

use super::super::super::inventory::Inventory;
use super::super::super::reading::Reading;
use super::super::super::request::{PageCount, Request};
use super::super::super::size::PageSize;

/// The smallest memory on each side with which testpmd and QEMU passed frames when measured, in bytes.
const LEAST_MEMORY: u64 = 16 << 20;

/// The page size in bytes that is assumed if none is known.
const COMMON_PAGE: u64 = 2 << 20;

/// The memory that one process of the workload maps: `--need` and the need of its role, or the minimum if there is no
/// need.
///
/// Limits apply to one process, and frontend and backend are two processes. Each number is therefore that of the role
/// that needs more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// The total, in bytes.
    pub(super) bytes: u64,
    pub(super) pages: u64,
    /// The smallest page size, in bytes.
    pub(super) smallest_page: u64,
    /// The size of the largest file of pages in bytes: all memory of one page size, or one page if each has its own file.
    pub(super) largest_file: u64,
    /// The most memory of one need, in bytes. Each need is one memory backend of QEMU.
    pub(super) largest_backend: u64,
    /// The number of memory backends of QEMU.
    pub(super) backends: u64,
}

// === impl Memory ===

impl Memory {
    pub(super) fn of(inventory: &Inventory, request: &Request) -> Self {
        let by_page = request.workload.has_file_per_page();
        if request.needs().next().is_none() {
            let page = smallest_size(inventory, request).map_or(COMMON_PAGE, PageSize::bytes);
            return Self::of_needs(&[(page, LEAST_MEMORY.div_ceil(page))], by_page);
        }
        let of_role = |own: &[PageCount]| {
            let needs = request.need.iter().chain(own);
            let needs = needs.map(|need| (need.size.bytes(), need.pages));
            Self::of_needs(&needs.collect::<Vec<_>>(), by_page)
        };
        of_role(&request.frontend_need).or_more(of_role(&request.backend_need))
    }

    /// Sums up `needs`, which are pairs of page size in bytes and number of pages. `by_page` says that each page has a
    /// file of its own.
    fn of_needs(needs: &[(u64, u64)], by_page: bool) -> Self {
        let bytes = |needs: &mut dyn Iterator<Item = &(u64, u64)>| {
            needs.fold(0_u64, |sum, (page, pages)| sum.saturating_add(page.saturating_mul(*pages)))
        };
        let of_size = |page| bytes(&mut needs.iter().filter(|need| need.0 == page));
        let of_file = |need: &(u64, u64)| if by_page { need.0 } else { of_size(need.0) };
        Self {
            bytes: bytes(&mut needs.iter()),
            pages: needs.iter().fold(0, |sum, need| sum.saturating_add(need.1)),
            smallest_page: needs.iter().map(|need| need.0).min().unwrap_or(u64::MAX),
            largest_file: needs.iter().map(of_file).max().unwrap_or_default(),
            largest_backend: needs
                .iter()
                .map(|need| bytes(&mut std::iter::once(need)))
                .max()
                .unwrap_or_default(),
            backends: needs.len() as u64,
        }
    }

    /// Returns the more demanding of the two values for each number.
    fn or_more(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            pages: self.pages.max(other.pages),
            smallest_page: self.smallest_page.min(other.smallest_page),
            largest_file: self.largest_file.max(other.largest_file),
            largest_backend: self.largest_backend.max(other.largest_backend),
            backends: self.backends.max(other.backends),
        }
    }
}

/// Returns the smallest page size that the run is about; `None` if no page size is known.
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
