//! Changes pools and keeps the journal of it: announce, write, look, confirm. To be used under the lock.

use super::message::{GivenBack, Restored};
use crate::domain::journal::{Ledger, Record, Standing};
use crate::domain::reserve::{PoolGain, PoolId};
use crate::linux::nr_hugepages::{self, PoolError};
use crate::linux::root::HostRoot;
use crate::linux::run_directory::{JournalFile, Locked, RunDirectoryError};

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
        if let Err(error) = keeper.note(Record::Run { boot_id }) {
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
        self.note(Record::Grow { pool, before: before.persistent(), asked })?;
        let wanted = before.persistent().saturating_add(asked);
        let refusal = nr_hugepages::set(self.root, pool, wanted).err();
        let after = nr_hugepages::count(self.root, pool)?;
        let got = before.gained(after, asked);
        // Without this line the pool itself still tells how far the kernel got.
        let _ = self.note(Record::Grew { pool, got });
        let from_surplus = before.surplus.saturating_sub(after.surplus).min(got);
        Ok((PoolGain { pool, got, from_surplus }, refusal))
    }

    /// Gives back all that is owed.
    pub(super) fn give_back(&mut self) -> Restored {
        let mut restored = Restored::default();
        let pools: Vec<_> = self.ledger.pools().collect();
        for pool in pools {
            match self.give_back_to(pool) {
                Ok(0) | Err(PoolError::Gone(_)) => {}
                Ok(pages) => restored.given.push(GivenBack { pool, pages }),
                Err(error) => restored.problems.push(format!("{pool}: {error}")),
            }
        }
        restored
    }

    /// Removes the journal.
    pub(super) fn remove(self, locked: &Locked) -> Result<(), RunDirectoryError> {
        locked.remove(&self.journal)
    }

    /// Shrinks one pool by what is owed to it; the pages that went.
    ///
    /// That the kernel took the number is enough: it lowers the persistent count at once, and lets pages that are in use
    /// or reserved stay as surplus until their user is gone. A count that is higher a moment later is somebody else's doing.
    fn give_back_to(&mut self, pool: PoolId) -> Result<u64, PoolError> {
        let before = nr_hugepages::count(self.root, pool)?.persistent();
        let pages = self.ledger.owed(pool, before);
        if pages > 0 {
            // Not written for want of room: the pages matter more. The ledger has it either way.
            let _ = self.note(Record::Give { pool, before, pages });
            nr_hugepages::set(self.root, pool, before.saturating_sub(pages))?;
            let _ = self.note(Record::Gave { pool, pages });
        }
        Ok(pages)
    }

    fn note(&mut self, record: Record) -> Result<(), RunDirectoryError> {
        let written = record.line().map_or(Ok(()), |line| self.journal.append(&line));
        self.ledger.apply(record);
        written
    }
}
