//! The counters of the pool that a worker takes pages from, and whether others move them.

use super::AllocationTask;
use super::nodes::AllowedNodes;
use crate::domain::counters::Counters;
use crate::domain::size::PageSize;
use crate::linux::counters::{CounterFiles, CountersError, overcommit};
use crate::linux::root::HostRoot;

/// The counters of one size.
#[derive(Debug)]
pub(super) struct PoolCounters {
    files: Result<CounterFiles, CountersError>,
    root: HostRoot,
    size: PageSize,
    allowed: AllowedNodes,
    /// As they were after the last step.
    last: Option<Counters>,
    moved_by_others: bool,
}

/// Pages that can be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reservable {
    /// Free on the NUMA nodes that this process may use, and not reserved.
    pub(super) free: u64,
    /// What overcommit may add.
    pub(super) overcommit: u64,
}

impl PoolCounters {
    pub(super) fn new(task: &AllocationTask, size: PageSize) -> Self {
        let root = task.root();
        let files = CounterFiles::open(&root, size);
        let allowed = AllowedNodes::read(&root);
        Self { files, root, size, allowed, last: None, moved_by_others: false }
    }

    /// The NUMA nodes that this process may use.
    pub(super) const fn allowed(&self) -> &AllowedNodes {
        &self.allowed
    }

    /// The counters now, or why they cannot be read.
    pub(super) fn read(&self) -> Result<Counters, String> {
        match &self.files {
            Ok(files) => files.read().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The counters before a step. If they are not as the step before left them, others have moved them.
    pub(super) fn before_step(&mut self) -> Result<Counters, String> {
        let now = self.read()?;
        self.moved_by_others |= self.last.as_ref().is_some_and(|last| *last != now);
        Ok(now)
    }

    /// The counters after a step.
    pub(super) fn after_step(&mut self) -> Result<Counters, String> {
        let now = self.read();
        self.last = now.clone().ok();
        now
    }

    /// Whether counters moved between two steps, while this process took and gave back nothing.
    pub(super) const fn moved_by_others(&self) -> bool {
        self.moved_by_others
    }

    /// What can be reserved when the counters are `now`.
    pub(super) fn reservable(&self, now: &Counters) -> Reservable {
        let overcommit = overcommit(&self.root, self.size).get().unwrap_or(0).saturating_sub(now.surplus);
        Reservable { free: now.available().min(self.allowed.free(now)), overcommit }
    }
}

impl Reservable {
    /// Both together.
    pub(super) const fn pages(self) -> u64 {
        self.free.saturating_add(self.overcommit)
    }
}
