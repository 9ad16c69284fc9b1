//! HP201 to HP203: compare the kernel's pools with the views of the kubelet, the scheduler and the probe pods.
//!
//! Summaries contain no number that changes with use. They are published on the Node, which is written only when
//! something has changed. Such numbers are in the evidence.

#[cfg(test)]
mod tests;

use super::about::{trouble, untold};
use super::common::count;
use crate::catalogue::{HP201, HP202, HP203};
use crate::check::{Because, Finding, Outcome};
use crate::inventory::Inventory;
use crate::reading::Reading;
use crate::request::Request;
use crate::size::PageSize;

/// The users of pages, as far as the cluster or the host shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodUse {
    /// Pages that the pods bound to this node request, summed over all pods. Sizes without any are left out.
    Requested(Vec<(PageSize, u64)>),
    /// Pages that processes outside pods hold, summed over all processes. Sizes without any are left out.
    Outside(Vec<(PageSize, u64)>),
    /// The pods could not be listed; the text names the missing permission.
    NotSeen(String),
}

/// The state of the probe pod of one page size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// The last probe pod ran.
    Ran,
    /// No probe pod has finished yet.
    NotYet,
    /// No probe has a valid result; the text says why.
    Never(String),
    /// The last probe could not run, and the verdict of the previous one still applies.
    Stands {
        /// Why the last probe could not run.
        why: String,
        /// Whether the reason is normal: the node is busy, or the probe waits for its turn.
        ordinary: bool,
    },
}

/// Returns the finding of HP201.
///
/// `capacity` is the capacity of the Node in pages, absent if the Node does not have the resource.
#[must_use]
pub fn capacity(
    inventory: &Inventory,
    request: &Request,
    size: PageSize,
    capacity: &Reading<u64>,
) -> Finding {
    let there = match (&inventory.pools, inventory.pool(size)) {
        (_, Some(pool)) => match pool.persistent() {
            Some(pages) => pages,
            None => return untold(HP201, size, trouble(&[&pool.total, &pool.surplus])),
        },
        (Reading::Known(_) | Reading::Absent, None) => 0,
        (Reading::Unreadable(why) | Reading::Malformed(why), None) => return untold(HP201, size, why),
    };
    let told = match capacity {
        Reading::Known(pages) => *pages,
        Reading::Absent => 0,
        Reading::Unreadable(why) | Reading::Malformed(why) => {
            let because = Because::new("the node's capacity in whole pages", why.clone());
            return Finding::not_pass(HP201, size, Outcome::Unknown, why.clone(), because);
        }
    };
    let resource = size.resource_name();
    let wanted = wanted(inventory, request, size);
    let finding = if told == there {
        match there {
            0 if wanted == 0 => Finding::skip(HP201, size, "neither node nor kernel has a page of this size"),
            0 => {
                let because =
                    Because::new(count(wanted, "page"), "none: the kubelet does not count surplus pages")
                        .remedy("set nr_hugepages of the size, then restart the kubelet");
                Finding::not_pass(
                    HP201,
                    size,
                    Outcome::Fail,
                    "the node has no page of this size for pods",
                    because,
                )
            }
            _ => Finding::pass(
                HP201,
                size,
                format!("the node's capacity matches the pool: {}", count(there, "page")),
            ),
        }
    } else {
        let outcome = if told > there || told == 0 || told < wanted { Outcome::Fail } else { Outcome::Warn };
        let summary = format!("the node's capacity is {told} pages, the kernel has {there}");
        let because = Because::new(
            format!("{there} pages as {resource} in .status.capacity"),
            format!("{told} pages: the kubelet has not counted again since the pool changed"),
        );
        Finding::not_pass(HP201, size, outcome, summary, because)
    };
    finding.with("capacity", told).with("persistent", there)
}

/// Returns the finding of HP202, about pages in use outside pods.
#[must_use]
pub fn outside(inventory: &Inventory, size: PageSize, capacity: &Reading<u64>, pods: &PodUse) -> Finding {
    let Some(pool) = inventory.pool(size) else {
        return Finding::skip(HP202, size, "no pool of this size");
    };
    let of_size = |counts: &[(PageSize, u64)]| {
        counts.iter().filter(|(its, _)| *its == size).map(|(_, pages)| *pages).fold(0, u64::saturating_add)
    };
    let (Some(total), Some(free)) = (pool.total.get(), pool.free.get()) else {
        return untold(HP202, size, trouble(&[&pool.total, &pool.free]));
    };
    let used = total.saturating_sub(free);
    let (outside, requested) = match pods {
        PodUse::NotSeen(right) => return Finding::skip(HP202, size, right.clone()),
        PodUse::Requested(counts) => (used.saturating_sub(of_size(counts)), Some(of_size(counts))),
        PodUse::Outside(counts) => (of_size(counts), None),
    };
    let finding = if outside == 0 {
        Finding::pass(HP202, size, "no page is known to be in use outside pods")
    } else {
        let promised =
            capacity.get().zip(requested).map_or(0, |(capacity, asked)| capacity.saturating_sub(asked));
        let left = pool.available().unwrap_or(0).saturating_add(pool.growable().unwrap_or(0));
        let (outcome, summary) = if promised > 0 && left == 0 {
            (Outcome::Fail, "the scheduler still assigns pages that processes outside pods hold")
        } else {
            (Outcome::Warn, "pages are in use that no pod has requested")
        };
        let seen = format!("at least {} in use outside pods", count(outside, "page"));
        Finding::not_pass(HP202, size, outcome, summary, Because::new("pages in use by pods only", seen))
    };
    finding.with("used", used).with("requested", requested).with("outside", outside)
}

/// Returns the finding of HP203, about the admission of probe pods.
#[must_use]
pub fn admission(size: PageSize, admission: &Admission) -> Finding {
    let because = |why: &str| Because::new("a probe pod that runs to completion", why);
    match admission {
        Admission::Ran => Finding::pass(HP203, size, "a pod with pages of this size was admitted and ran"),
        Admission::NotYet => {
            let why = "no probe has finished yet";
            Finding::not_pass(
                HP203,
                size,
                Outcome::Unknown,
                why,
                because(why).remedy("wait until the first probe finishes"),
            )
        }
        Admission::Never(why) => Finding::not_pass(
            HP203,
            size,
            Outcome::Unknown,
            format!("no probe has reported: {why}"),
            because(why),
        ),
        Admission::Stands { why, ordinary: true } => {
            Finding::pass(HP203, size, format!("{why}: the verdict of the previous probe still applies"))
        }
        Admission::Stands { why, ordinary: false } => Finding::not_pass(
            HP203,
            size,
            Outcome::Warn,
            format!("the last probe could not run, the previous verdict still applies: {why}"),
            because(why),
        ),
    }
}

/// Returns how many pages are required: the maximum of the expectations and the sum of the needs. Without expectations,
/// the number on the boot command line takes their place.
fn wanted(inventory: &Inventory, request: &Request, size: PageSize) -> u64 {
    let expected = request.expect.iter().filter(|one| one.size == size).map(|one| one.pages);
    let needed =
        request.need.iter().filter(|one| one.size == size).map(|one| one.pages).fold(0, u64::saturating_add);
    let booted = inventory
        .boot
        .known()
        .and_then(|boot| boot.asked(size, inventory.default_size.get()))
        .map_or(0, |asked| asked.pages);
    expected.max().unwrap_or(booted).max(needed)
}
