//! A pool's counters at one moment, and how they moved in one step.

use serde::Serialize;

/// One size's counters at one moment, in pages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// `nr_hugepages`.
    pub total: u64,
    /// `free_hugepages`.
    pub free: u64,
    /// `resv_hugepages`.
    pub reserved: u64,
    /// `surplus_hugepages`.
    pub surplus: u64,
    /// Per NUMA node, by number; the kernel keeps no reservations per node.
    pub numa: Vec<NodeCounters>,
}

/// One size's counters on one NUMA node, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct NodeCounters {
    /// The NUMA node's number.
    pub node: u32,
    /// `nr_hugepages`.
    pub total: u64,
    /// `free_hugepages`.
    pub free: u64,
    /// `surplus_hugepages`.
    pub surplus: u64,
}

/// A step and the counters before and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// What was done: "write one byte of the first page".
    pub step: String,
    /// What the kernel documents that it does to the counters.
    pub documented: String,
    /// Before it.
    pub before: Counters,
    /// What was expected after it.
    pub expected: Counters,
    /// After it.
    pub after: Counters,
}

/// What the kernel counts of a process or a cgroup before and after a step, bytes; `None` where it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Whose, and which: "frontend maps".
    pub name: String,
    /// Before the step.
    pub before: Option<u64>,
    /// After it.
    pub after: Option<u64>,
}

// === impl Counters ===

impl Counters {
    /// Pages that are allocated: total less free.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.total.saturating_sub(self.free)
    }

    /// Available pages: free minus reserved.
    #[must_use]
    pub const fn available(&self) -> u64 {
        self.free.saturating_sub(self.reserved)
    }
}
