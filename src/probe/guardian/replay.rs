//! Gives back what dead runs left. Whoever takes the lock to change a pool does this first, so that between a run's
//! death and its replay no other run has changed what its journal tells of.

use std::time::Duration;

use super::keeper::Keeper;
use super::message::{Replayed, Restored};
use crate::domain::journal::Standing;
use crate::domain::reading::Reading;
use crate::linux::journal_file::JournalFile;
use crate::linux::nr_hugepages;
use crate::linux::root::HostRoot;
use crate::linux::run_directory::{Locked, RunDirectory, RunDirectoryError};

/// Gives back what dead runs left, waiting `patience` for the lock: for the start of every run that may. One failed
/// open(2) when there is nothing.
///
/// # Errors
///
/// The directory cannot be read or is not this user's alone, or the lock is not to be had; whoever has it is replaying too.
pub fn replay_dead(
    root: &HostRoot,
    directory: &RunDirectory,
    patience: Duration,
) -> Result<Vec<Replayed>, RunDirectoryError> {
    match directory.lock_existing(Some(patience))? {
        Some(locked) => replay(root, &locked),
        None => Ok(Vec::new()),
    }
}

/// As [`replay_dead`], by one who has the lock.
pub(super) fn replay(root: &HostRoot, locked: &Locked) -> Result<Vec<Replayed>, RunDirectoryError> {
    let mut replayed = Vec::new();
    for name in locked.journals()? {
        match locked.take_over(&name) {
            Ok(None) => {}
            Ok(Some(journal)) => replayed.push(replay_one(root, locked, journal)),
            Err(error) => replayed.push(failed(&name, error.to_string())),
        }
    }
    Ok(replayed)
}

fn replay_one(root: &HostRoot, locked: &Locked, journal: JournalFile) -> Replayed {
    let run = journal.run().to_owned();
    let mut keeper = match Keeper::adopt(root, journal) {
        Ok(keeper) => keeper,
        Err(error) => return failed(&run, error.to_string()),
    };
    let now = match nr_hugepages::boot_id(root) {
        Reading::Known(now) => now,
        other => {
            return failed(&run, format!("which boot this is: {}", other.why_unknown().unwrap_or_default()));
        }
    };
    let (mut restored, void) = match keeper.standing(&now) {
        Standing::ThisBoot => (keeper.give_back(), None),
        Standing::OtherBoot => (Restored::default(), Some("its journal is of another boot")),
        Standing::Unknown => (Restored::default(), Some("its journal does not say of which boot it is")),
    };
    if restored.is_complete()
        && let Err(error) = keeper.remove(locked)
    {
        restored.problems.push(error.to_string());
    }
    Replayed { run, restored, void: void.map(str::to_owned) }
}

fn failed(run: &str, why: String) -> Replayed {
    let restored = Restored { given: Vec::new(), problems: vec![why] };
    Replayed { run: run.to_owned(), restored, void: None }
}
