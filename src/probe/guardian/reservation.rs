//! The pages that one run added to the pools, and its journal. The caller must hold the lock of the run directory.

use std::collections::BTreeSet;
use std::io;

use hugeprobe_domain::journal::{PoolRecord, Record, added};
use hugeprobe_domain::pool_id::PoolId;
use hugeprobe_domain::request::PageCount;
use hugeprobe_domain::reserve::{GivenBack, PoolCount, PoolGain};
use hugeprobe_linux::journal_file::JournalFile;
use hugeprobe_linux::nr_hugepages::{self, PoolError};
use hugeprobe_linux::root::HostRoot;
use hugeprobe_linux::run_directory::{Locked, RunDirectoryError};

/// The pages that a run, alive or dead, added to the pools.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    root: &'a HostRoot,
    journal: JournalFile,
    record: Record,
}

/// The result of shrinking the pools.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// The pages given back, for each pool that was shrunk.
    pub(super) given: Vec<GivenBack>,
    /// A sentence for each problem that left pages in a pool.
    pub(super) problems: Vec<String>,
}

/// Why a pool was not grown.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrowError {
    /// The journal could not be written. Without it no pool is changed.
    #[error("cannot write the journal: {0}")]
    Journal(#[from] io::Error),
    /// The pool could not be read.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// A pool that is to be shrunk.
#[derive(Debug, Clone, Copy)]
struct Shrink {
    pool: PoolId,
    start: PoolCount,
    /// The number of persistent pages to keep.
    target: u64,
    /// Whether its surplus pages are made persistent first.
    absorbs: bool,
}

// === impl Reservation ===

impl<'a> Reservation<'a> {
    /// Starts a reservation for a run that has added nothing yet, with an empty journal.
    pub(super) fn begin(
        root: &'a HostRoot,
        locked: &Locked,
        run: &str,
        boot_id: String,
    ) -> Result<Self, RunDirectoryError> {
        let record = Record { boot_id, pools: Vec::new() };
        Ok(Self { root, journal: locked.create(run)?, record })
    }

    /// Restores the reservation of a dead run from its journal.
    pub(super) const fn of_dead(root: &'a HostRoot, journal: JournalFile, record: Record) -> Self {
        Self { root, journal, record }
    }

    /// Returns the id of the boot in which the pages were added.
    pub(super) fn boot_id(&self) -> &str {
        &self.record.boot_id
    }

    /// Requests `asked` more persistent pages in `pool` from the kernel, in addition to those of the runs `others`. The
    /// second value is the kernel's error, if any; usually the kernel adds fewer pages without an error.
    pub(super) fn grow(
        &mut self,
        others: &[Record],
        pool: PoolId,
        asked: u64,
    ) -> Result<(PoolGain, Option<PoolError>), GrowError> {
        let before = nr_hugepages::count(self.root, pool)?;
        let persistent = before.persistent();
        let entry = self.record.get(pool).unwrap_or_else(|| PoolRecord {
            pool,
            before: persistent.saturating_sub(added(others, pool)),
            got: 0,
        });
        self.write(&[PoolRecord { got: entry.got.saturating_add(asked), ..entry }])?;
        let refusal = nr_hugepages::set(self.root, pool, persistent, persistent.saturating_add(asked)).err();
        let after = nr_hugepages::count(self.root, pool)?;
        let got = before.gained(after, asked);
        // If there is no space for this line, the previous one counts: no pool is shrunk below `before` in any case.
        let _ = self.write(&[PoolRecord { got: entry.got.saturating_add(got), ..entry }]);
        let from_surplus = before.surplus.saturating_sub(after.surplus).min(got);
        Ok((PoolGain { pool, got, from_surplus }, refusal))
    }

    /// Shrinks the pools by the pages that the run added, see [`PoolRecord::target`]. `others` are the runs that still
    /// have pages.
    ///
    /// The kernel frees persistent pages only down to the number of pages in use on all nodes, including surplus pages
    /// in use. It turns the rest into surplus pages, and a free surplus page stays in the pool until it is used. With
    /// several nodes, no page may therefore be surplus while free pages are removed. So all surplus pages are made
    /// persistent first, then the free pages of each pool are removed, and the pages in use come last: these become
    /// surplus, and as many pages are surplus as before.
    pub(super) fn give_back(&mut self, others: &[Record]) -> Restored {
        let mut restored = Restored::default();
        let shrinks = self.shrinks(others, &mut restored.problems);
        // Records the targets as the new floors, so that a kill in the middle of the shrink does not change them. If
        // there is no space for this line, the previous one counts.
        let entries: Vec<PoolRecord> = shrinks.iter().map(|shrink| shrink.record(others)).collect();
        let _ = self.write(&entries);
        for shrink in shrinks.iter().filter(|shrink| shrink.absorbs) {
            let (from, surplus) = (shrink.start.persistent(), shrink.start.surplus);
            // An error is harmless: a page that stays surplus only delays the freeing of another page.
            let _ = nr_hugepages::set(self.root, shrink.pool, from, from.saturating_add(surplus));
        }
        for shrink in &shrinks {
            let free = nr_hugepages::free(self.root, shrink.pool).unwrap_or(0);
            // An error here occurs again in the loop below, which reports it.
            let _ = self.shrink(shrink.pool, |persistent| shrink.target.max(persistent.saturating_sub(free)));
        }
        for shrink in &shrinks {
            let shrunk = self.shrink(shrink.pool, |_| shrink.target).and_then(|_| self.free_stuck(shrink));
            match shrunk {
                Ok(now) => {
                    if now > shrink.target {
                        let pages = now - shrink.target;
                        let problem = format!("{}: the kernel keeps {pages} pages too many", shrink.pool);
                        restored.problems.push(problem);
                    }
                    let pages = shrink.start.persistent().saturating_sub(now);
                    if pages > 0 {
                        restored.given.push(GivenBack { pool: shrink.pool, pages });
                    }
                }
                Err(PoolError::Gone(_)) => {}
                Err(error) => restored.problems.push(format!("{}: {error}", shrink.pool)),
            }
        }
        restored
    }

    /// Does the same as [`Self::give_back`], and removes the journal if there were no problems.
    pub(super) fn end(mut self, others: &[Record], locked: &Locked) -> Restored {
        let mut restored = self.give_back(others);
        if restored.problems.is_empty()
            && let Err(error) = locked.remove(&self.journal)
        {
            restored.problems.push(error.to_string());
        }
        restored
    }

    /// Returns what to do with each pool. A pool that has disappeared together with its node needs nothing.
    fn shrinks(&self, others: &[Record], problems: &mut Vec<String>) -> Vec<Shrink> {
        let mut shrinks: Vec<Shrink> = Vec::new();
        for entry in &self.record.pools {
            match nr_hugepages::count(self.root, entry.pool) {
                Ok(start) => {
                    let target = entry.target(start.persistent(), added(others, entry.pool));
                    shrinks.push(Shrink { pool: entry.pool, start, target, absorbs: false });
                }
                Err(PoolError::Gone(_)) => {}
                Err(error) => problems.push(format!("{}: {error}", entry.pool)),
            }
        }
        let shrinking = shrinks.iter().filter(|shrink| shrink.target < shrink.start.persistent());
        let sizes: BTreeSet<_> = shrinking.map(|shrink| shrink.pool.size).collect();
        for size in sizes {
            let pools = nr_hugepages::pools_for(self.root, &PageCount { size, pages: 1, node: None });
            for pool in pools.into_iter().filter(|pools| pools.len() > 1).flatten() {
                let Ok(start) = nr_hugepages::count(self.root, pool) else { continue };
                match shrinks.iter_mut().find(|shrink| shrink.pool == pool) {
                    _ if start.surplus == 0 => {}
                    Some(shrink) => shrink.absorbs = true,
                    None => shrinks.push(Shrink { pool, start, target: start.persistent(), absorbs: true }),
                }
            }
        }
        shrinks
    }

    /// Shrinks one pool if it has more persistent pages than `target` returns for their number.
    fn shrink(&self, pool: PoolId, target: impl Fn(u64) -> u64) -> Result<u64, PoolError> {
        let persistent = nr_hugepages::count(self.root, pool)?.persistent();
        let target = target(persistent);
        if target >= persistent {
            return Ok(persistent);
        }
        nr_hugepages::set(self.root, pool, persistent, target)?;
        Ok(nr_hugepages::count(self.root, pool)?.persistent())
    }

    /// Frees surplus pages that no process uses. Returns the number of persistent pages.
    ///
    /// A process that dies during a shrink may free a page after the kernel has counted the pages in use and before it
    /// declares the rest surplus (`set_max_huge_pages()`). This page remains free and surplus until it is used (seen on
    /// 6.18, once in a few hundred kills). It can be freed after it has been made persistent once more.
    fn free_stuck(&self, shrink: &Shrink) -> Result<u64, PoolError> {
        let pool = shrink.pool;
        let count = nr_hugepages::count(self.root, pool)?;
        let persistent = count.persistent();
        let used = count.total.saturating_sub(nr_hugepages::free(self.root, pool).unwrap_or(0));
        // The kernel counts reserved pages only per machine. A reserved page may rightly be both free and surplus.
        let Ok(reserved) = nr_hugepages::reserved(self.root, pool) else { return Ok(persistent) };
        let stuck = count.surplus.saturating_sub(used.saturating_add(reserved)).min(shrink.most());
        if stuck == 0 || nr_hugepages::set(self.root, pool, persistent, persistent + stuck).is_err() {
            return Ok(persistent);
        }
        self.shrink(pool, |_| shrink.target)
    }

    /// Appends the record to the journal with `entries` changed.
    fn write(&mut self, entries: &[PoolRecord]) -> io::Result<()> {
        let mut record = self.record.clone();
        entries.iter().for_each(|entry| record.set(*entry));
        self.journal.append(&record.line()?)?;
        self.record = record;
        Ok(())
    }
}

impl Shrink {
    /// Returns the pool's journal record for the duration of the shrink.
    fn record(&self, others: &[Record]) -> PoolRecord {
        let before = self.target.saturating_sub(added(others, self.pool));
        PoolRecord { pool: self.pool, before, got: self.most() }
    }

    /// Returns how many persistent pages the pool may have above its target during the shrink.
    fn most(&self) -> u64 {
        let surplus = if self.absorbs { self.start.surplus } else { 0 };
        self.start.persistent().saturating_sub(self.target).saturating_add(surplus)
    }
}
