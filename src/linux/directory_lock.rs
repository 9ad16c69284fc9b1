//! Opens, locks and lists a directory, as DPDK does with a hugetlbfs when it starts.
//!
//! Source: `hugepage_info_init()` and `inspect_hugedir()` in `lib/eal/linux/eal_hugepage_info.c` of DPDK 22.11.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// How often the lock is tried if another process holds it, and the time between two tries.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// Why a directory cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// open(2) with O_RDONLY.
    #[error("open: {0}")]
    Open(io::Error),
    /// flock(2).
    #[error("flock: {0}")]
    Lock(io::Error),
    /// Another process has held the lock for half a second.
    #[error("another process holds the lock")]
    Held,
    /// getdents64(2).
    #[error("getdents64: {0}")]
    List(io::Error),
}

/// Opens the directory, locks it exclusively, lists it, and unlocks it at once. It may wait for half a second.
///
/// # Errors
///
/// See [`LockError`].
pub fn open_lock_and_list(path: &Path) -> Result<(), LockError> {
    let directory = File::open(path).map_err(LockError::Open)?;
    let mut tries = 0;
    while let Err(errno) = flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        tries += 1;
        match io::Error::from(errno) {
            error if error.kind() != io::ErrorKind::WouldBlock => return Err(LockError::Lock(error)),
            _ if tries == TRIES => return Err(LockError::Held),
            _ => sleep(PAUSE),
        }
    }
    // The lock ends with the descriptor.
    fs::read_dir(path).and_then(|mut entries| entries.next().transpose()).map(drop).map_err(LockError::List)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_error() {
        let directory = tempfile::tempdir().unwrap();
        open_lock_and_list(directory.path()).unwrap();
        assert!(matches!(open_lock_and_list(&directory.path().join("a")), Err(LockError::Open(_))));
        let holder = File::open(directory.path()).unwrap();
        flock(&holder, FlockOperation::LockExclusive).unwrap();
        assert!(matches!(open_lock_and_list(directory.path()), Err(LockError::Held)));
        drop(holder);
        open_lock_and_list(directory.path()).unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(open_lock_and_list(&file), Err(LockError::List(_))));
    }
}
