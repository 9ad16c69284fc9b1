//! The inspections: they judge facts that were read. Each group of the catalogue has one file, and each inspection is a
//! pure function from inventory and request to findings.

mod about;
mod common;
pub mod conflicts;
pub mod holders;
pub mod kubernetes;
pub mod limits;
pub mod mounts;
mod payer;
pub mod peer;
pub mod pools;
pub mod reserve;
mod workload;

use super::check::Finding;
use super::inventory::Inventory;
use super::request::Request;
use super::size::PageSize;

/// Returns every finding that can be made from facts alone, about the machine and about `sizes`.
#[must_use]
pub fn all(inventory: &Inventory, request: &Request, sizes: &[PageSize]) -> Vec<Finding> {
    let mut findings = pools::inspect_machine(inventory);
    findings.push(mounts::inspect_machine(inventory, request));
    findings.extend(limits::inspect_machine(inventory, request));
    findings.extend(pools::unlisted(inventory, sizes));
    for &size in sizes {
        findings.extend(pools::inspect(inventory, request, size));
        findings.extend(mounts::inspect(inventory, request, size));
        findings.extend(limits::inspect(inventory, request, size));
        findings.push(conflicts::inspect(inventory, size, &conflicts::PodNames::new()));
    }
    findings
}

/// Returns only the findings of HP1xx. They are valid even if another process will take the pages.
#[must_use]
pub fn kernel(inventory: &Inventory, request: &Request, sizes: &[PageSize]) -> Vec<Finding> {
    let mut findings = pools::inspect_machine(inventory);
    findings.extend(pools::unlisted(inventory, sizes));
    findings.extend(sizes.iter().flat_map(|&size| pools::inspect(inventory, request, size)));
    findings
}
