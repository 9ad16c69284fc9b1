//! Judges facts that were read: one file per group of the catalogue, each a pure function from inventory and request
//! to findings.

mod about;
mod common;
mod holders;
pub mod kubernetes;
pub mod limits;
pub mod mounts;
pub mod peer;
pub mod pools;
pub mod reserve;
mod workload;

use super::check::Finding;
use super::inventory::Inventory;
use super::request::Request;
use super::size::PageSize;

/// Every finding that facts alone allow, about `sizes` and about the machine.
#[must_use]
pub fn all(inventory: &Inventory, request: &Request, sizes: &[PageSize]) -> Vec<Finding> {
    let mut findings = pools::inspect_machine(inventory);
    findings.extend(limits::inspect_machine(inventory, request));
    findings.extend(pools::unlisted(inventory, sizes));
    for &size in sizes {
        findings.extend(pools::inspect(inventory, request, size));
        findings.extend(mounts::inspect(inventory, request, size));
        findings.extend(limits::inspect(inventory, request, size));
    }
    findings
}

/// HP1xx alone: what can be said of the machine by a process that will not be the one to take the pages.
#[must_use]
pub fn kernel(inventory: &Inventory, request: &Request, sizes: &[PageSize]) -> Vec<Finding> {
    let mut findings = pools::inspect_machine(inventory);
    findings.extend(pools::unlisted(inventory, sizes));
    findings.extend(sizes.iter().flat_map(|&size| pools::inspect(inventory, request, size)));
    findings
}
