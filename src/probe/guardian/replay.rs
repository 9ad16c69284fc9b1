//! Gives back the pages of killed runs by their journals. Each run that changes pools does this first, under the same
//! lock.

use std::time::Duration;

use super::reservation::Reservation;
use hugeprobe_domain::journal::Record;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::reserve::Replayed;
use hugeprobe_linux::host;
use hugeprobe_linux::journal_file::SUFFIX;
use hugeprobe_linux::root::HostRoot;
use hugeprobe_linux::run_directory::{Locked, RunDirectory, RunDirectoryError};

/// Gives back the pages of killed runs. Waits at most `patience` for the lock. If no run has left a journal, this costs
/// one failed open(2).
///
/// # Errors
///
/// The directory cannot be read or is not private to this user, or another process holds the lock; that process replays
/// the journals as well.
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

/// Does the same as [`replay_dead`] for one run whose processes are known to be dead. Returns `None` if the run has no
/// journal any more, because it or another run has given all its pages back.
pub(super) fn replay_run(
    root: &HostRoot,
    directory: &RunDirectory,
    run: &str,
    patience: Duration,
) -> Result<Option<Replayed>, RunDirectoryError> {
    let Some(locked) = directory.lock_existing(Some(patience))? else { return Ok(None) };
    let name = locked.journals()?.into_iter().find(|name| name.strip_suffix(SUFFIX) == Some(run));
    Ok(name.and_then(|name| replay_one(root, &locked, &name)))
}

/// Does the same as [`replay_dead`], with the lock already held.
pub(super) fn replay(root: &HostRoot, locked: &Locked) -> Result<Vec<Replayed>, RunDirectoryError> {
    let names = locked.journals()?;
    Ok(names.iter().filter_map(|name| replay_one(root, locked, name)).collect())
}

/// Returns the records of all runs except `run` that added pages in the boot `boot_id`. Files that cannot be read are
/// not journals of hugeprobe and are left out.
pub(super) fn others(locked: &Locked, run: &str, boot_id: &str) -> Vec<Record> {
    let read = |name: String| {
        let mut journal = locked.open(&name).ok().filter(|journal| journal.run() != run)?;
        Record::parse(&journal.read().ok()?).filter(|record| record.boot_id == boot_id)
    };
    locked.journals().unwrap_or_default().into_iter().filter_map(read).collect()
}

/// Replays one journal. Returns `None` if the run is alive or added nothing to the pools in this boot.
fn replay_one(root: &HostRoot, locked: &Locked, name: &str) -> Option<Replayed> {
    let failed =
        |why: String| Some(Replayed { run: name.to_owned(), given: Vec::new(), problems: vec![why] });
    let mut journal = match locked.open_dead(name) {
        Ok(journal) => journal?,
        Err(error) => return failed(error.to_string()),
    };
    let text = match journal.read() {
        Ok(text) => text,
        Err(error) => return failed(format!("cannot read {name}: {error}")),
    };
    let now = match host::boot_id(root) {
        Reading::Known(now) => now,
        other => {
            return failed(format!("cannot read the boot id: {}", other.why_unknown().unwrap_or_default()));
        }
    };
    let Some(record) = Record::parse(&text).filter(|record| record.boot_id == now) else {
        let removed = locked.remove(&journal);
        return removed.err().and_then(|error| failed(error.to_string()));
    };
    let run = journal.run().to_owned();
    let others = others(locked, &run, &now);
    let restored = Reservation::of_dead(root, journal, record).end(&others, locked);
    Some(Replayed { run, given: restored.given, problems: restored.problems })
}
