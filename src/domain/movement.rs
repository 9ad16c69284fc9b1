//! The effect of a step on a pool's counters, as the kernel documents it.
//!
//! Three counts show it: pages in use (total minus free), reserved pages and persistent pages (total minus surplus).
//! With overcommit, a reservation adds surplus pages and a release removes some. The kernel chooses how many, and on
//! which NUMA node. The surplus is therefore taken as it was seen, and total and free are expected to be consistent
//! with it.
//!
//! Sources: Documentation/mm/hugetlbfs_reserv.rst; `hugetlb_acct_memory()`, `gather_surplus_pages()`,
//! `return_unused_surplus_pages()` and `free_huge_folio()` in the kernel's `mm/hugetlb.c`.

use serde::{Deserialize, Serialize};

use super::counters::{Counters, Movement, NodeCounters};

/// The effect of a step on a pool.
///
/// `held` is the maximum number of pages that a mount with `min_size=` may have reserved beforehand. They are not
/// reserved a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Neither takes a page nor gives one back.
    Nothing,
    /// mmap or shmget: reserves the pages and does not allocate any.
    Reserve {
        /// Pages requested.
        pages: u64,
        /// See [`Step`].
        held: u64,
    },
    /// The first touch of reserved pages.
    Touch {
        /// Pages touched.
        pages: u64,
    },
    /// mmap with MAP_POPULATE: reserves and touches the pages at once.
    Populate {
        /// Pages requested.
        pages: u64,
        /// See [`Step`].
        held: u64,
    },
    /// The end of a mapping and of its file.
    Release {
        /// Pages that were touched.
        touched: u64,
        /// Pages that were reserved and never touched.
        unused: u64,
        /// See [`Step`].
        held: u64,
    },
}

/// How many pages a step adds to the counts.
struct Change {
    used: i64,
    /// The minimum and the maximum. The actual number depends on the pages that a mount holds.
    reserved: [i64; 2],
}

// === impl Step ===

impl Step {
    /// Returns the counters that are expected after the step, if they were `before` before it and `seen` after it.
    /// Where the kernel has a choice, `seen` decides.
    ///
    /// `numa` says where the pages are that the step takes or gives back: (NUMA node, pages). If it does not add up to
    /// all of them and there are several nodes, the counters of the nodes are not judged.
    #[must_use]
    pub fn expect(self, before: &Counters, seen: &Counters, numa: &[(u32, u64)]) -> Counters {
        let Change { used, reserved: [fewest, most] } = self.change();
        let moved = seen.reserved.wrapping_sub(before.reserved).cast_signed();
        let [total, free] = expected([before.total, before.free, before.surplus], seen.surplus, used);
        let placed = numa.iter().map(|(_, pages)| *pages).fold(0, u64::saturating_add);
        let is_placed = placed == used.unsigned_abs();
        let node = |node: &NodeCounters| {
            let seen = seen.numa.iter().find(|other| other.node == node.node).unwrap_or(node);
            let pages = numa.iter().filter(|(other, _)| *other == node.node).map(|(_, pages)| *pages);
            let pages = pages.fold(0, u64::saturating_add).cast_signed();
            let used = match before.numa.len() {
                1 => used,
                _ if is_placed => pages.wrapping_mul(used.signum()),
                _ => return *seen,
            };
            let [total, free] = expected([node.total, node.free, node.surplus], seen.surplus, used);
            NodeCounters { node: node.node, total, free, surplus: seen.surplus }
        };
        Counters {
            total,
            free,
            reserved: before.reserved.wrapping_add_signed(moved.min(most).max(fewest)),
            surplus: seen.surplus,
            numa: before.numa.iter().map(node).collect(),
        }
    }

    /// Returns a description of the effect for the user.
    #[must_use]
    pub fn documented(self) -> String {
        match self {
            Self::Nothing => "no page is taken or given back".to_owned(),
            Self::Reserve { pages, .. } => format!("reserved +{pages}, no page is used"),
            Self::Touch { pages } => format!("free -{pages}, reserved -{pages}"),
            Self::Populate { pages, .. } => format!("free -{pages} at once"),
            Self::Release { touched, unused: 0, .. } => format!("free +{touched}: all counters as before"),
            Self::Release { touched: 0, unused, .. } => format!("reserved -{unused}: all counters as before"),
            Self::Release { touched, unused, .. } => {
                format!("free +{touched}, reserved -{unused}: all counters as before")
            }
        }
    }

    fn change(self) -> Change {
        let signed = u64::cast_signed;
        match self {
            Self::Nothing => Change { used: 0, reserved: [0, 0] },
            Self::Reserve { pages, held } => {
                Change { used: 0, reserved: [signed(pages.saturating_sub(held)), signed(pages)] }
            }
            Self::Touch { pages } => {
                let fewer = signed(pages).wrapping_neg();
                Change { used: signed(pages), reserved: [fewer, fewer] }
            }
            Self::Populate { pages, held } => {
                Change { used: signed(pages), reserved: [signed(held.min(pages)).wrapping_neg(), 0] }
            }
            Self::Release { touched, unused, held } => {
                let fewest = signed(unused).wrapping_neg();
                let kept = signed(held.min(touched.saturating_add(unused)));
                Change { used: signed(touched).wrapping_neg(), reserved: [fewest, fewest.wrapping_add(kept)] }
            }
        }
    }
}

/// Returns total and free of a pool or a NUMA node after `used` more pages are in use and the surplus is `surplus`.
///
/// A count that would fall below zero is a contradiction. It wraps around to a value that no counter can have, so that
/// the comparison fails.
const fn expected([total, free, before]: [u64; 3], surplus: u64, used: i64) -> [u64; 2] {
    let after = total.wrapping_sub(before).wrapping_add(surplus);
    let in_use = total.wrapping_sub(free).wrapping_add_signed(used);
    [after, after.wrapping_sub(in_use)]
}

// === impl Movement ===

impl Movement {
    /// Returns whether every counter is as expected, on every NUMA node.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.expected == self.after
    }

    /// Returns the differences from the expected counters: `free -1, reserved -1, node0 free -1`. Empty if there are
    /// none.
    #[must_use]
    pub fn off_by(&self) -> String {
        let mut parts = Vec::new();
        let mut compare = |name: String, expected: u64, seen: u64| {
            let difference = seen.wrapping_sub(expected).cast_signed();
            if difference != 0 {
                parts.push(format!("{name} {difference:+}"));
            }
        };
        let (expected, after) = (&self.expected, &self.after);
        compare("total".to_owned(), expected.total, after.total);
        compare("free".to_owned(), expected.free, after.free);
        compare("reserved".to_owned(), expected.reserved, after.reserved);
        let nodes = |one: &Counters| one.numa.iter().map(|node| node.node).collect::<Vec<_>>();
        let mut all = [nodes(expected), nodes(after)].concat();
        all.sort_unstable();
        all.dedup();
        for number in all {
            let [expected, after] = [expected, after].map(|counters| {
                counters.numa.iter().find(|node| node.node == number).copied().unwrap_or_default()
            });
            compare(format!("node{number} total"), expected.total, after.total);
            compare(format!("node{number} free"), expected.free, after.free);
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests;
