//! The counters of the pool from which a worker allocates pages, and whether other processes change them.

use super::AllocationTask;
use super::nodes::AllowedNodes;
use hugeprobe_domain::counters::Counters;
use hugeprobe_domain::size::PageSize;
use hugeprobe_linux::counters::{CounterFiles, CountersError};
use hugeprobe_linux::pools;
use hugeprobe_linux::root::HostRoot;

/// The counters of one page size.
#[derive(Debug)]
pub(super) struct PoolCounters {
    files: Result<CounterFiles, CountersError>,
    root: HostRoot,
    size: PageSize,
    allowed: AllowedNodes,
    /// The counters after the last step.
    last: Option<Counters>,
    moved_by_others: bool,
}

/// The number of pages that can be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reservable {
    /// Pages that are free on the NUMA nodes that this process may use, and that are not reserved.
    pub(super) free: u64,
    /// Pages that overcommit may add.
    pub(super) overcommit: u64,
}

impl PoolCounters {
    pub(super) fn new(task: &AllocationTask, size: PageSize) -> Self {
        let root = task.root();
        let files = CounterFiles::open(&root, size);
        let allowed = AllowedNodes::read(&root);
        Self { files, root, size, allowed, last: None, moved_by_others: false }
    }

    /// Returns the NUMA nodes that this process may use.
    pub(super) const fn allowed(&self) -> &AllowedNodes {
        &self.allowed
    }

    /// Returns the current counters, or why they cannot be read.
    pub(super) fn read(&self) -> Result<Counters, String> {
        match &self.files {
            Ok(files) => files.read().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Returns the counters before a step. If they differ from those after the previous step, other processes have
    /// changed them.
    pub(super) fn before_step(&mut self) -> Result<Counters, String> {
        let now = self.read()?;
        self.moved_by_others |= self.last.as_ref().is_some_and(|last| *last != now);
        Ok(now)
    }

    /// Returns the counters after a step.
    pub(super) fn after_step(&mut self) -> Result<Counters, String> {
        let now = self.read();
        self.last = now.clone().ok();
        now
    }

    /// Returns whether the counters changed between two steps, while this process allocated and freed nothing.
    pub(super) const fn moved_by_others(&self) -> bool {
        self.moved_by_others
    }

    /// Returns what can be reserved when the counters are `now`.
    pub(super) fn reservable(&self, now: &Counters) -> Reservable {
        let overcommit =
            pools::overcommit(&self.root, self.size).get().unwrap_or(0).saturating_sub(now.surplus);
        Reservable { free: now.available().min(self.allowed.free(now)), overcommit }
    }
}

impl Reservable {
    /// Returns the sum of both.
    pub(super) const fn pages(self) -> u64 {
        self.free.saturating_add(self.overcommit)
    }
}
