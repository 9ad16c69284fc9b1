//! Counts of what is needed.

use crate::domain::request::{PageCount, Request};
use crate::domain::size::PageSize;
pub(super) use crate::domain::text::count;

/// With two pages every check runs.
pub(super) const PAGES_OF_ALL_STEPS: u64 = 2;

/// Pages of `size` that are needed, by all together and on all NUMA nodes; `None` if none are.
pub(super) fn needed(request: &Request, size: PageSize) -> Option<u64> {
    sum(request.needs(), size)
}

/// Pages of `size` in `needs`; `None` if there is none about it.
pub(super) fn sum<'a>(needs: impl IntoIterator<Item = &'a PageCount>, size: PageSize) -> Option<u64> {
    needs.into_iter().filter(|need| need.size == size).map(|need| need.pages).reduce(u64::saturating_add)
}
