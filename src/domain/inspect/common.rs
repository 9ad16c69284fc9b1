//! Numbers of pages that the request needs.

use crate::domain::request::{PageCount, Request};
use crate::domain::size::PageSize;
pub(super) use crate::domain::text::count;

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
