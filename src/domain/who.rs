//! Who holds the huge pages of a node: the pods that request them, and what is in use beyond that.

use std::collections::BTreeMap;

use super::check::CheckId;
use super::published::PublishedPool;
use super::size::PageSize;

/// What is known about the pages of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHoldings {
    /// The name of the Node.
    pub node: String,
    /// The profile of its agent; empty if none is published.
    pub profile: String,
    /// Each page size that the node has or that a pod requests.
    pub sizes: BTreeMap<PageSize, Holdings>,
    /// What is not known, a sentence each.
    pub limits: Vec<String>,
}

/// What is known about the pages of one size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// The pages that the scheduler assigns; `None` if the Node does not have the resource.
    pub allocatable: Option<u64>,
    /// The pool as the agent published it: configured pages.
    pub pool: Option<PublishedPool>,
    /// The counters of the kernel, as the agent read them last; `None` if they could not be read.
    pub counters: Option<Counters>,
    /// The pods that request pages, the one with the most first; `None` if the pods could not be listed.
    pub pods: Option<Vec<PodPages>>,
    /// The checks of pages without an owner (HP105) and of pages in use outside pods (HP202), as published.
    pub checks: Vec<(CheckId, String)>,
}

/// The pages of one size by NUMA node. Without NUMA, the key is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// All pages and the free ones of each NUMA node.
    pub numa: BTreeMap<Option<u32>, NumaCounters>,
    /// The pages that are reserved and not in use.
    pub reserved: u64,
}

/// The pages of one NUMA node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NumaCounters {
    /// All pages, surplus pages included.
    pub total: u64,
    /// The free ones.
    pub free: u64,
}

/// The pages that one pod requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPages {
    /// The namespace and the name, as `NAMESPACE/NAME`.
    pub pod: String,
    /// `.status.phase`.
    pub phase: String,
    /// The pages of the size.
    pub pages: u64,
}

/// What is in use beyond the requests of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remainder {
    /// At least so many pages are in use that no pod requests.
    Outside(u64),
    /// No more pages are in use than pods request. Pods may use fewer than they request.
    Within,
    /// The number of pages in use is not known.
    Unknown,
}

// === impl ===

impl Holdings {
    /// Returns the sum of what pods request; `None` if it is not known.
    #[must_use]
    pub fn requested(&self) -> Option<u64> {
        Some(self.pods.as_ref()?.iter().map(|pod| pod.pages).fold(0, u64::saturating_add))
    }

    /// Returns what is in use beyond the requests of pods.
    #[must_use]
    pub fn remainder(&self) -> Remainder {
        let Some((counters, requested)) = self.counters.as_ref().zip(self.requested()) else {
            return Remainder::Unknown;
        };
        match counters.used().checked_sub(requested) {
            Some(pages) if pages > 0 => Remainder::Outside(pages),
            _ => Remainder::Within,
        }
    }
}

impl Counters {
    /// Returns all pages.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.numa.values().map(|one| one.total).fold(0, u64::saturating_add)
    }

    /// Returns the free pages.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.numa.values().map(|one| one.free).fold(0, u64::saturating_add)
    }

    /// Returns the pages in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.total().saturating_sub(self.free())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remainder_is_what_is_in_use_and_not_requested() {
        let pod = |pages| PodPages { pod: "a/b".into(), phase: "Running".into(), pages };
        let counters = |free| {
            let numa =
                [(Some(0), NumaCounters { total: 8, free }), (Some(1), NumaCounters { total: 8, free: 8 })];
            Some(Counters { numa: numa.into(), reserved: 0 })
        };
        for (counters, requested, expected) in [
            (counters(2), Some(&[4, 1][..]), Remainder::Outside(1)),
            (counters(2), Some(&[]), Remainder::Outside(6)),
            (counters(2), Some(&[4, 2]), Remainder::Within),
            (counters(8), Some(&[4]), Remainder::Within),
            (counters(2), None, Remainder::Unknown),
            (None, Some(&[4]), Remainder::Unknown),
        ] {
            let pods = requested.map(|pages| pages.iter().copied().map(pod).collect());
            let holdings = Holdings { counters, pods, ..Holdings::default() };
            assert_eq!(holdings.remainder(), expected, "{requested:?}");
        }
    }
}
