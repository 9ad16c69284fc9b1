//! The pages that one run added to the pools, and its journal. To be used under the lock of the run directory.

use std::collections::BTreeSet;
use std::io;

use crate::domain::journal::{PoolRecord, Record, added};
use crate::domain::request::PageCount;
use crate::domain::reserve::{GivenBack, PoolCount, PoolGain, PoolId};
use crate::linux::journal_file::JournalFile;
use crate::linux::nr_hugepages::{self, PoolError};
use crate::linux::root::HostRoot;
use crate::linux::run_directory::{Locked, RunDirectoryError};

/// What a run, alive or dead, added to the pools.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    root: &'a HostRoot,
    journal: JournalFile,
    record: Record,
}

/// What shrinking the pools amounted to.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// Per pool that was shrunk.
    pub(super) given: Vec<GivenBack>,
    /// What is left to be given back and why, a sentence each.
    pub(super) problems: Vec<String>,
}

/// Why a pool was not grown.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrowError {
    /// Without a journal nothing is changed.
    #[error("cannot write the journal: {0}")]
    Journal(#[from] io::Error),
    /// The pool could not be read.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// A pool that is about to be shrunk.
#[derive(Debug, Clone, Copy)]
struct Shrink {
    pool: PoolId,
    start: PoolCount,
    /// Persistent pages that it is to have at the end.
    target: u64,
    /// Whether its surplus pages are made persistent first.
    absorbs: bool,
}

// === impl Reservation ===

impl<'a> Reservation<'a> {
    /// A run that has added nothing yet, with an empty journal.
    pub(super) fn begin(
        root: &'a HostRoot,
        locked: &Locked,
        run: &str,
        boot_id: String,
    ) -> Result<Self, RunDirectoryError> {
        let record = Record { boot_id, pools: Vec::new() };
        Ok(Self { root, journal: locked.create(run)?, record })
    }

    /// A dead run, by its journal.
    pub(super) const fn of_dead(root: &'a HostRoot, journal: JournalFile, record: Record) -> Self {
        Self { root, journal, record }
    }

    /// The boot that it belongs to.
    pub(super) fn boot_id(&self) -> &str {
        &self.record.boot_id
    }

    /// Asks the kernel for `asked` more persistent pages in `pool`, beside those of the runs `others`. The second of the
    /// pair is the kernel's refusal, if it gave one; usually it gives fewer pages and no error.
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
        // If there is no room for it, the line before counts: no pool is shrunk below `before` in any case.
        let _ = self.write(&[PoolRecord { got: entry.got.saturating_add(got), ..entry }]);
        let from_surplus = before.surplus.saturating_sub(after.surplus).min(got);
        Ok((PoolGain { pool, got, from_surplus }, refusal))
    }

    /// Shrinks the pools by what the run added, see [`PoolRecord::target`]; `others` are the runs that still have pages.
    ///
    /// The kernel frees persistent pages only until as many are left as are in use anywhere, surplus pages included. What
    /// it cannot free becomes surplus, and free pages that are surplus stay until they are used. So, with several nodes,
    /// no page must be surplus while free pages go: all surplus pages are made persistent first, then every pool gives what
    /// it has free, and last what is in use, which makes as many pages surplus as before.
    pub(super) fn give_back(&mut self, others: &[Record]) -> Restored {
        let mut restored = Restored::default();
        let shrinks = self.shrinks(others, &mut restored.problems);
        // From here on the targets are the floor, so that a kill in the middle changes nothing about them. If there is no
        // room for the line, the one before counts.
        let entries: Vec<PoolRecord> = shrinks.iter().map(|shrink| shrink.record(others)).collect();
        let _ = self.write(&entries);
        for shrink in shrinks.iter().filter(|shrink| shrink.absorbs) {
            let (from, surplus) = (shrink.start.persistent(), shrink.start.surplus);
            // A page that stays surplus only delays the freeing of another.
            let _ = nr_hugepages::set(self.root, shrink.pool, from, from.saturating_add(surplus));
        }
        for shrink in &shrinks {
            let free = nr_hugepages::free(self.root, shrink.pool).unwrap_or(0);
            // An error comes again below.
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

    /// As [`Self::give_back`], and removes the journal if nothing is left to be given back.
    pub(super) fn end(mut self, others: &[Record], locked: &Locked) -> Restored {
        let mut restored = self.give_back(others);
        if restored.problems.is_empty()
            && let Err(error) = locked.remove(&self.journal)
        {
            restored.problems.push(error.to_string());
        }
        restored
    }

    /// What is to be done to which pool. A pool that is gone, with its node, needs nothing.
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

    /// Shrinks one pool, if it has more persistent pages than `target` makes of their number.
    fn shrink(&self, pool: PoolId, target: impl Fn(u64) -> u64) -> Result<u64, PoolError> {
        let persistent = nr_hugepages::count(self.root, pool)?.persistent();
        let target = target(persistent);
        if target >= persistent {
            return Ok(persistent);
        }
        nr_hugepages::set(self.root, pool, persistent, target)?;
        Ok(nr_hugepages::count(self.root, pool)?.persistent())
    }

    /// Frees surplus pages that no process uses. Returns the persistent pages.
    ///
    /// A page that its dying user frees in the middle of a shrink, between the kernel's look at what is in use and its
    /// declaring the rest surplus (`set_max_huge_pages()`), stays behind free and surplus until it is used (seen on
    /// 6.18, once in some hundred kills). Made persistent once more, it can be freed.
    fn free_stuck(&self, shrink: &Shrink) -> Result<u64, PoolError> {
        let pool = shrink.pool;
        let count = nr_hugepages::count(self.root, pool)?;
        let persistent = count.persistent();
        let used = count.total.saturating_sub(nr_hugepages::free(self.root, pool).unwrap_or(0));
        // The kernel counts reservations per machine only: reserved pages may be free and surplus for a good reason.
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
    /// What the journal says of the pool while it is shrunk.
    fn record(&self, others: &[Record]) -> PoolRecord {
        let before = self.target.saturating_sub(added(others, self.pool));
        PoolRecord { pool: self.pool, before, got: self.most() }
    }

    /// How many persistent pages the pool may have above its target meanwhile.
    fn most(&self) -> u64 {
        let surplus = if self.absorbs { self.start.surplus } else { 0 };
        self.start.persistent().saturating_sub(self.target).saturating_add(surplus)
    }
}
