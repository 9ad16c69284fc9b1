//! A pool's counters, and how one step changes them.

use serde::Serialize;

/// The counters of one page size at one moment, in pages.
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
    /// The counters of each NUMA node, sorted by number. The kernel does not count reservations per node.
    pub numa: Vec<NodeCounters>,
}

/// The counters of one page size on one NUMA node, in pages.
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
    /// What was done, such as "write one byte of the first page".
    pub step: String,
    /// The effect on the counters, as the kernel documents it.
    pub documented: String,
    /// The counters before the step.
    pub before: Counters,
    /// The counters expected after the step.
    pub expected: Counters,
    /// The counters after the step.
    pub after: Counters,
}

/// A kernel counter of a process or a cgroup before and after a step, in bytes. `None` if it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// The owner and the kind of the counter, such as "frontend maps".
    pub name: String,
    /// The value before the step.
    pub before: Option<u64>,
    /// The value after the step.
    pub after: Option<u64>,
}

// === impl Counters ===

impl Counters {
    /// Returns the number of allocated pages: total minus free.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.total.saturating_sub(self.free)
    }

    /// Returns the number of available pages: free minus reserved.
    #[must_use]
    pub const fn available(&self) -> u64 {
        self.free.saturating_sub(self.reserved)
    }
}
