//! What the kernel documents that a step does to a pool's counters, and what a series of tries amounts to.
//!
//! Stated over used (total less free), persistent (total less surplus) and surplus pages, not over the files as they
//! stand: with overcommit a reservation grows the pool, and releasing shrinks it again. Where the kernel has a choice
//! that cannot be known (the NUMA node of a surplus page, what a mount with `min_size=` pays for), the choice that was
//! seen is taken if it is one that the kernel may make; everything else must be met to the page.
//!
//! Sources: Documentation/mm/hugetlbfs_reserv.rst; `hugetlb_acct_memory()`, `gather_surplus_pages()`,
//! `return_unused_surplus_pages()` and `free_huge_folio()` in the kernel's `mm/hugetlb.c`.

use std::fmt;

use super::counters::{Counters, Movement, NodeCounters};

/// What a step does. `held` is how many pages at most a mount with `min_size=` may have reserved beforehand: those are
/// not reserved twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// mmap or shmget: so many pages are reserved, none is allocated.
    Reserve {
        /// Pages asked for.
        pages: u64,
        /// See [`Step`].
        held: u64,
    },
    /// The first touch of reserved pages.
    Touch(Placed),
    /// mmap with MAP_POPULATE: reserved and touched at once.
    Populate {
        /// Pages asked for.
        placed: Placed,
        /// See [`Step`].
        held: u64,
    },
    /// The end of a mapping and its file.
    Release {
        /// Pages that were touched.
        placed: Placed,
        /// Pages that were reserved and never touched.
        unused: u64,
        /// See [`Step`].
        held: u64,
    },
}

/// Allocated pages, and the NUMA nodes that they are on as far as known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placed {
    /// How many.
    pub pages: u64,
    /// (NUMA node, pages); believed only if it adds up to `pages`.
    pub numa: Vec<(u32, u64)>,
}

/// What a series of tries of one step amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// At least one try went as documented.
    AsDocumented,
    /// Every try went wrong by the same pages, while between the tries nothing moved: it is not somebody else.
    Otherwise(Deviation),
    /// No try went as documented, and others may be the reason.
    Disturbed,
}

/// By how many pages counters differ from what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    total: i64,
    free: i64,
    reserved: i64,
    surplus: i64,
    /// Per NUMA node: total, free, surplus.
    numa: Vec<(u32, [i64; 3])>,
}

/// Fewer tries than this prove nothing about the kernel.
pub const TRIES_TO_JUDGE: usize = 3;

/// What a series of tries of one step amounts to. `quiet` says that no counter moved while nothing was done here,
/// between the tries, for about as long as they took themselves.
#[must_use]
pub fn judge(tries: &[Movement], quiet: bool) -> Judgement {
    if tries.iter().any(Movement::is_as_expected) {
        return Judgement::AsDocumented;
    }
    let mut deviations = tries.iter().map(Movement::deviation);
    match deviations.next() {
        Some(first) if quiet && tries.len() >= TRIES_TO_JUDGE && deviations.all(|other| other == first) => {
            Judgement::Otherwise(first)
        }
        _ => Judgement::Disturbed,
    }
}

// === impl Step ===

impl Step {
    /// The counters after the step, if they are `before` beforehand; `seen` decides where the kernel has a choice.
    #[must_use]
    pub fn expect(&self, before: &Counters, seen: &Counters) -> Counters {
        let mut after = before.clone();
        let mut known = Some(before.numa.clone());
        match self {
            Self::Reserve { pages, held } => {
                let newly = seen.reserved.saturating_sub(before.reserved);
                let prepaid = pages.saturating_sub(newly).min(*held);
                let grown = after.reserve(pages.saturating_sub(prepaid));
                known = known.filter(|_| grown == 0);
            }
            Self::Touch(placed) => {
                after.take(placed.pages);
                known = placed.taken_from(&before.numa);
            }
            Self::Populate { placed, held } => {
                let prepaid = before.reserved.saturating_sub(seen.reserved).min(*held).min(placed.pages);
                let grown = after.reserve(placed.pages.saturating_sub(prepaid));
                after.take(placed.pages);
                known = placed.taken_from(&before.numa).filter(|_| grown == 0);
            }
            Self::Release { placed, unused, held } => {
                let least = less(before.reserved, *unused);
                let returned = placed.pages.saturating_add(*unused);
                let prepaid = seen.reserved.saturating_sub(least).min(*held).min(returned);
                let (fewest, most) = surplus_given_back(before, placed, *unused);
                let gone = before.surplus.saturating_sub(seen.surplus).clamp(fewest, most);
                after.surplus = less(before.surplus, gone);
                after.total = less(before.total, gone);
                after.free = less(before.free.saturating_add(placed.pages), gone);
                after.reserved = least.saturating_add(prepaid);
                known = placed.returned_to(&before.numa);
            }
        }
        after.numa = settle(before, &after, known, seen);
        after
    }

    /// What it does, for a person.
    #[must_use]
    pub fn documented(&self) -> String {
        match self {
            Self::Reserve { pages, .. } => format!("reserved +{pages}, no page is used"),
            Self::Touch(placed) => format!("free -{0}, reserved -{0}", placed.pages),
            Self::Populate { placed, .. } => format!("free -{} at once", placed.pages),
            Self::Release { placed, unused: 0, .. } => format!("free +{}: all as before", placed.pages),
            Self::Release { placed: Placed { pages: 0, .. }, unused, .. } => {
                format!("reserved -{unused}: all as before")
            }
            Self::Release { placed, unused, .. } => {
                format!("free +{}, reserved -{unused}: all as before", placed.pages)
            }
        }
    }
}

impl Counters {
    /// Reserves `pages`; what is not free and unreserved is added as surplus. Tells how many pages that is.
    fn reserve(&mut self, pages: u64) -> u64 {
        self.reserved = self.reserved.saturating_add(pages);
        let grown = self.reserved.saturating_sub(self.free);
        self.total = self.total.saturating_add(grown);
        self.free = self.free.saturating_add(grown);
        self.surplus = self.surplus.saturating_add(grown);
        grown
    }

    /// Allocates `pages` that were reserved.
    fn take(&mut self, pages: u64) {
        self.free = less(self.free, pages);
        self.reserved = less(self.reserved, pages);
    }
}

/// What is left of a counter. One that would fall below zero contradicts itself; it wraps round, to where none can be.
const fn less(count: u64, pages: u64) -> u64 {
    count.wrapping_sub(pages)
}

/// The fewest and the most surplus pages that a release gives back. A page that is freed goes if its NUMA node has
/// surplus; then, for each unused reservation, one surplus page that is free.
fn surplus_given_back(before: &Counters, placed: &Placed, unused: u64) -> (u64, u64) {
    let of_the_freed = match before.numa.as_slice() {
        [] | [_] => Some(placed.pages.min(before.surplus)),
        nodes if placed.adds_up() => {
            Some(nodes.iter().map(|node| placed.on(node.node).min(node.surplus)).fold(0, u64::saturating_add))
        }
        _ => None,
    };
    let most_of_the_unused = |left: u64| unused.min(left);
    match of_the_freed {
        Some(freed) if before.numa.len() <= 1 => {
            let free = before.free.saturating_add(placed.pages.saturating_sub(freed));
            let exactly =
                freed.saturating_add(most_of_the_unused(before.surplus.saturating_sub(freed)).min(free));
            (exactly, exactly)
        }
        Some(freed) => {
            (freed, freed.saturating_add(most_of_the_unused(before.surplus.saturating_sub(freed))))
        }
        None => (0, placed.pages.saturating_add(unused).min(before.surplus)),
    }
}

/// The NUMA nodes' counters: as known, if that adds up to what the machine's do; else as seen, if that does; else none,
/// which no machine with nodes shows.
fn settle(
    before: &Counters,
    after: &Counters,
    known: Option<Vec<NodeCounters>>,
    seen: &Counters,
) -> Vec<NodeCounters> {
    if let [only] = before.numa.as_slice() {
        let moved = |value: u64, from: u64, to: u64| value.wrapping_add(to).wrapping_sub(from);
        return vec![NodeCounters {
            node: only.node,
            total: moved(only.total, before.total, after.total),
            free: moved(only.free, before.free, after.free),
            surplus: moved(only.surplus, before.surplus, after.surplus),
        }];
    }
    let adds_up = |numa: &[NodeCounters]| {
        let of = |counters: &Counters, numa: &[NodeCounters]| {
            let rest =
                |of_all: u64, count: fn(&NodeCounters) -> u64| numa.iter().map(count).fold(of_all, less);
            [
                rest(counters.total, |n| n.total),
                rest(counters.free, |n| n.free),
                rest(counters.surplus, |n| n.surplus),
            ]
        };
        let same_nodes = numa.iter().map(|n| n.node).eq(before.numa.iter().map(|n| n.node));
        same_nodes && of(before, &before.numa) == of(after, numa)
    };
    match known {
        Some(known) if adds_up(&known) => known,
        _ if adds_up(&seen.numa) => seen.numa.clone(),
        _ => Vec::new(),
    }
}

// === impl Placed ===

impl Placed {
    /// `pages` pages, nobody knows where.
    #[must_use]
    pub const fn somewhere(pages: u64) -> Self {
        Self { pages, numa: Vec::new() }
    }

    fn adds_up(&self) -> bool {
        self.numa.iter().map(|(_, pages)| *pages).fold(0, u64::saturating_add) == self.pages
    }

    fn on(&self, node: u32) -> u64 {
        self.numa.iter().filter(|(n, _)| *n == node).map(|(_, pages)| *pages).fold(0, u64::saturating_add)
    }

    /// The nodes' counters once these pages were taken; `None` if it is not known from where.
    fn taken_from(&self, nodes: &[NodeCounters]) -> Option<Vec<NodeCounters>> {
        self.adds_up().then(|| {
            let take =
                |node: &NodeCounters| NodeCounters { free: less(node.free, self.on(node.node)), ..*node };
            nodes.iter().map(take).collect()
        })
    }

    /// The nodes' counters once these pages were given back; a node with surplus keeps none.
    fn returned_to(&self, nodes: &[NodeCounters]) -> Option<Vec<NodeCounters>> {
        self.adds_up().then(|| {
            let give = |node: &NodeCounters| {
                let pages = self.on(node.node);
                let gone = pages.min(node.surplus);
                NodeCounters {
                    node: node.node,
                    total: node.total.saturating_sub(gone),
                    free: node.free.saturating_add(pages.saturating_sub(gone)),
                    surplus: node.surplus.saturating_sub(gone),
                }
            };
            nodes.iter().map(give).collect()
        })
    }
}

// === impl Movement, Deviation ===

impl Movement {
    /// Whether every counter is where it was expected, on every NUMA node.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.expected == self.after
    }

    /// By how much it is not.
    #[must_use]
    pub fn deviation(&self) -> Deviation {
        Deviation::between(&self.expected, &self.after)
    }
}

impl Deviation {
    /// From one moment to another.
    #[must_use]
    pub fn between(from: &Counters, to: &Counters) -> Self {
        let less = |to: u64, from: u64| less(to, from).cast_signed();
        let zero = |node| NodeCounters { node, ..NodeCounters::default() };
        let mut nodes: Vec<u32> = from.numa.iter().chain(&to.numa).map(|node| node.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let at = |counters: &Counters, number| {
            counters.numa.iter().find(|node| node.node == number).copied().unwrap_or(zero(number))
        };
        let numa = nodes.into_iter().map(|number| {
            let (from, to) = (at(from, number), at(to, number));
            (number, [less(to.total, from.total), less(to.free, from.free), less(to.surplus, from.surplus)])
        });
        Self {
            total: less(to.total, from.total),
            free: less(to.free, from.free),
            reserved: less(to.reserved, from.reserved),
            surplus: less(to.surplus, from.surplus),
            numa: numa.filter(|(_, by)| *by != [0; 3]).collect(),
        }
    }
}

impl fmt::Display for Deviation {
    /// `free -1, reserved -1, node0 free -1`; `nothing` if there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut add = |prefix: &str, fields: &[(&str, i64)]| {
            parts.extend(
                fields.iter().filter(|(_, by)| *by != 0).map(|(name, by)| format!("{prefix}{name} {by:+}")),
            );
        };
        add(
            "",
            &[
                ("total", self.total),
                ("free", self.free),
                ("reserved", self.reserved),
                ("surplus", self.surplus),
            ],
        );
        for (node, [total, free, surplus]) in &self.numa {
            add(&format!("node{node} "), &[("total", *total), ("free", *free), ("surplus", *surplus)]);
        }
        f.pad(&if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") })
    }
}

#[cfg(test)]
mod tests;
