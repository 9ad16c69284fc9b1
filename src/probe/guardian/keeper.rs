//! Changes pools and keeps the journal of it: announce, write, look, confirm. To be used under the lock.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{GivenBack, Restored};
use crate::domain::journal::{Ledger, Record, Standing};
use crate::domain::request::PageCount;
use crate::domain::reserve::{PoolGain, PoolId};
use crate::domain::size::PageSize;
use crate::linux::journal_file::JournalFile;
use crate::linux::nr_hugepages::{self, PoolError};
use crate::linux::root::HostRoot;
use crate::linux::run_directory::{Locked, RunDirectoryError};

/// The one who may change the pools on behalf of one run, living or dead.
#[derive(Debug)]
pub(super) struct Keeper<'a> {
    root: &'a HostRoot,
    journal: JournalFile,
    ledger: Ledger,
}

/// Why a pool was not grown.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrowError {
    /// The journal could not be written: without it nothing is changed.
    #[error(transparent)]
    Journal(#[from] RunDirectoryError),
    /// The pool could not be read.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

// === impl Keeper ===

impl<'a> Keeper<'a> {
    /// Begins the journal of `run` in the boot `boot_id`.
    pub(super) fn begin(
        root: &'a HostRoot,
        locked: &Locked,
        run: &str,
        boot_id: String,
    ) -> Result<Self, RunDirectoryError> {
        let journal = locked.create(run)?;
        let mut keeper = Self { root, journal, ledger: Ledger::default() };
        if let Err(error) = keeper.announce(Record::Run { boot_id }) {
            let _ = locked.remove(&keeper.journal);
            return Err(error);
        }
        Ok(keeper)
    }

    /// Takes over the journal of a dead run.
    pub(super) fn adopt(root: &'a HostRoot, mut journal: JournalFile) -> Result<Self, RunDirectoryError> {
        let ledger = Ledger::read(&journal.recover()?);
        Ok(Self { root, journal, ledger })
    }

    /// Whether its journal counts in the boot `now`.
    pub(super) fn standing(&self, now: &str) -> Standing {
        self.ledger.standing(now)
    }

    /// Asks the kernel for `asked` more persistent pages in `pool`. The second of the pair is the kernel's refusal, if it
    /// gave one; usually it just stops short.
    pub(super) fn grow(
        &mut self,
        pool: PoolId,
        asked: u64,
    ) -> Result<(PoolGain, Option<PoolError>), GrowError> {
        let before = nr_hugepages::count(self.root, pool)?;
        let from = before.persistent();
        self.announce(Record::Grow { pool, before: from, asked })?;
        let refusal = nr_hugepages::set(self.root, pool, from, from.saturating_add(asked)).err();
        let after = nr_hugepages::count(self.root, pool)?;
        let got = before.gained(after, asked);
        self.note(Record::Grew { pool, got });
        let from_surplus = before.surplus.saturating_sub(after.surplus).min(got);
        Ok((PoolGain { pool, got, from_surplus }, refusal))
    }

    /// Gives back all that is owed.
    ///
    /// The kernel frees persistent pages only until as many are left as are in use anywhere, surplus pages included; what
    /// it may not free it declares surplus, and free pages that are surplus stay until somebody has used them. So, with
    /// several nodes, nothing must be surplus while free pages go: all surplus pages are made persistent first, then every
    /// pool gives what it has free, and last what is in use, which makes as many pages surplus as before.
    pub(super) fn give_back(&mut self) -> Restored {
        let mut restored = Restored::default();
        let owed = |pool| Some((pool, self.owed(pool).ok().filter(|pages| *pages > 0)?));
        let owed: BTreeMap<PoolId, u64> = self.ledger.pools().filter_map(owed).collect();
        let sizes: BTreeSet<PageSize> = owed.keys().map(|pool| pool.size).collect();
        for size in sizes {
            self.absorb_surplus(size);
        }
        let pools: Vec<_> = self.ledger.pools().collect();
        for pool in &pools {
            let free = nr_hugepages::free(self.root, *pool).unwrap_or(0);
            // What went wrong the second round will tell.
            let _ = self.give_back_to(*pool, free);
        }
        for pool in pools {
            let before = owed.get(&pool).copied().unwrap_or(0);
            let given = self.give_back_to(pool, u64::MAX).and_then(|()| self.settle(pool));
            match given.and_then(|()| self.owed(pool)) {
                Ok(after) => {
                    if after > 0 {
                        restored.problems.push(format!("{pool}: the kernel keeps {after} pages too many"));
                    }
                    if before > after {
                        restored.given.push(GivenBack { pool, pages: before - after });
                    }
                }
                Err(PoolError::Gone(_)) => {}
                Err(error) => restored.problems.push(format!("{pool}: {error}")),
            }
        }
        restored
    }

    /// Removes the journal.
    pub(super) fn remove(self, locked: &Locked) -> Result<(), RunDirectoryError> {
        locked.remove(&self.journal)
    }

    /// Makes surplus pages persistent, on every node if there are several; they are owed like any other from then on.
    fn absorb_surplus(&mut self, size: PageSize) {
        let pools = nr_hugepages::pools_for(self.root, &PageCount { size, pages: 1, node: None });
        for pool in pools.into_iter().filter(|pools| pools.len() > 1).flatten() {
            if let Ok(count) = nr_hugepages::count(self.root, pool)
                && count.surplus > 0
            {
                // One that stays surplus only delays the freeing of another.
                let _ = self.grow(pool, count.surplus);
            }
        }
    }

    /// Frees pages that are surplus though nobody has them.
    ///
    /// A page that its dying user frees in the middle of a shrink, between the kernel's look at what is in use and its
    /// declaring the rest surplus (`set_max_huge_pages()`), stays behind free and surplus until somebody uses it (seen on
    /// 6.18, once in some hundred kills). Made persistent once more, it can be freed.
    fn settle(&mut self, pool: PoolId) -> Result<(), PoolError> {
        let count = nr_hugepages::count(self.root, pool)?;
        let free = nr_hugepages::free(self.root, pool).unwrap_or(0);
        let used = count.total.saturating_sub(free);
        // Reservations are kept per machine alone: pages that are reserved may be free and surplus, and rightly so.
        let rightly = match nr_hugepages::reserved(self.root, pool) {
            Ok(reserved) => used.saturating_add(reserved),
            // What cannot be told is left as it is.
            Err(_) => u64::MAX,
        };
        let stuck = count.surplus.saturating_sub(rightly);
        if stuck > 0 && self.grow(pool, stuck).is_ok() {
            self.give_back_to(pool, u64::MAX)?;
        }
        Ok(())
    }

    /// Shrinks one pool by what is owed to it, and by `most` at most.
    fn give_back_to(&mut self, pool: PoolId, most: u64) -> Result<(), PoolError> {
        let before = nr_hugepages::count(self.root, pool)?.persistent();
        let pages = self.ledger.owed(pool, before).min(most);
        if pages > 0 {
            self.note(Record::Give { pool, before, pages });
            nr_hugepages::set(self.root, pool, before, before.saturating_sub(pages))?;
            let after = nr_hugepages::count(self.root, pool)?.persistent();
            let pages = before.saturating_sub(after).min(pages);
            self.note(Record::Gave { pool, pages });
        }
        Ok(())
    }

    fn owed(&self, pool: PoolId) -> Result<u64, PoolError> {
        Ok(self.ledger.owed(pool, nr_hugepages::count(self.root, pool)?.persistent()))
    }

    /// Enters what is about to be done, which must not be done if this fails.
    fn announce(&mut self, record: Record) -> Result<(), RunDirectoryError> {
        self.append(&record)?;
        self.ledger.apply(record);
        Ok(())
    }

    /// Enters what is so in any case. Where the journal has no room for it, the lines before it and the pool still tell.
    fn note(&mut self, record: Record) {
        let _ = self.append(&record);
        self.ledger.apply(record);
    }

    fn append(&mut self, record: &Record) -> Result<(), RunDirectoryError> {
        record.line().map_or(Ok(()), |line| self.journal.append(&line))
    }
}
