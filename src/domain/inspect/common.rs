//! Counts of what is needed, and how a number reads.

use crate::domain::request::{PageCount, Request};
use crate::domain::size::PageSize;

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

/// `1 page`, `2 pages`.
pub(super) fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
