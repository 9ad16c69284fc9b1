//! Reads the counters around a step, and watches them while nothing is done.

use std::thread;
use std::time::{Duration, Instant};

use super::Task;
use super::nodes::AllowedNodes;
use crate::domain::counters::Counters;
use crate::domain::size::PageSize;
use crate::linux::counters::{CounterFiles, CountersError, overcommit};
use crate::linux::root::HostRoot;

/// The counters of one size.
#[derive(Debug)]
pub(super) struct Meter {
    files: Result<CounterFiles, CountersError>,
    root: HostRoot,
    size: PageSize,
    allowed: AllowedNodes,
}

/// Pages that could be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reservable {
    /// Free on the NUMA nodes that this process may use, and reserved by nobody.
    pub(super) available: u64,
    /// What overcommit may add.
    pub(super) growable: u64,
}

/// How often counters are read while they are watched.
const LOOK_EVERY: Duration = Duration::from_micros(200);

impl Meter {
    pub(super) fn new(task: &Task, size: PageSize) -> Self {
        let root = task.root();
        let allowed = AllowedNodes::read(&root);
        Self { files: CounterFiles::open(&root, size), root, size, allowed }
    }

    /// The NUMA nodes that this process may use.
    pub(super) const fn allowed(&self) -> &AllowedNodes {
        &self.allowed
    }

    /// The counters now, or why they cannot be had.
    pub(super) fn read(&self) -> Result<Counters, String> {
        match &self.files {
            Ok(files) => files.read().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What could be reserved when the counters were `now`.
    pub(super) fn room(&self, now: &Counters) -> Reservable {
        let growable = overcommit(&self.root, self.size).get().unwrap_or(0).saturating_sub(now.surplus);
        Reservable { available: now.available().min(self.allowed.free(now)), growable }
    }

    /// Watches for as long as `time`. True if no counter moved.
    pub(super) fn is_quiet_for(&self, time: Duration) -> bool {
        let Ok(first) = self.read() else { return false };
        let start = Instant::now();
        while start.elapsed() < time {
            thread::sleep(LOOK_EVERY);
            if self.read().as_ref() != Ok(&first) {
                return false;
            }
        }
        true
    }
}

impl Reservable {
    /// Both together.
    pub(super) const fn pages(self) -> u64 {
        self.available.saturating_add(self.growable)
    }
}
