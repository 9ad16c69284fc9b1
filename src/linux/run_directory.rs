//! `/run/hugeprobe`: the lock that keeps runs from changing the pools at the same time, and their journals.
//!
//! The lock is a flock(2) on the directory itself, so that no lock file is left behind. The directory is made by the
//! first who needs it and removed, under the lock, by whoever leaves it empty; one who waited for the lock of a
//! directory that is gone by then sees that and starts again. Journals are made, taken over and removed under the
//! lock alone. Each is itself locked by its writer for as long as that process lives, so a journal whose lock can be
//! had belongs to a dead run.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::journal_file::{JournalFile, SUFFIX};

/// Where the directory is, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDirectory(PathBuf);

/// The directory, with the lock held. Dropping it removes the directory if it is empty, and gives the lock up.
#[derive(Debug)]
pub struct Locked {
    path: PathBuf,
    directory: OwnedFd,
}

/// What is wrong with the directory, or with a file in it.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// A system call failed.
    #[error("cannot {verb} {path}: {source}")]
    Call {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// It is somebody else's, or open to others: what is written there could not be trusted.
    #[error("{path} is not a directory of this user's alone: uid {uid}, mode {mode:04o}; remove it")]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process held the lock for too long.
    #[error("another run has held the lock on {path} for {waited:?}")]
    Busy {
        /// The directory.
        path: PathBuf,
        /// How long this process waited.
        waited: Duration,
    },
}

// === impl RunDirectory ===

impl Default for RunDirectory {
    fn default() -> Self {
        Self(PathBuf::from("/run/hugeprobe"))
    }
}

impl RunDirectory {
    /// At `path`; its parent must be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes the lock, making the directory if need be; waits for it as long as `patience`, or for ever.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or opened, is a symbolic link or not this user's alone, or the lock is not to be had in time.
    pub fn lock(&self, patience: Option<Duration>) -> Result<Locked, RunDirectoryError> {
        loop {
            match rustix::fs::mkdir(&self.0, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.failed("make", errno)),
            }
            if let Some(locked) = self.lock_existing(patience)? {
                return Ok(locked);
            }
        }
    }

    /// Takes the lock if the directory is there, else says `None`.
    ///
    /// # Errors
    ///
    /// As [`Self::lock`].
    pub fn lock_existing(&self, patience: Option<Duration>) -> Result<Option<Locked>, RunDirectoryError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::open(&self.0, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failed("open", errno)),
        };
        let own = rustix::fs::fstat(&directory).map_err(|errno| self.failed("look at", errno))?;
        let mode = own.st_mode & 0o7777;
        if own.st_uid != nix::unistd::geteuid().as_raw() || mode & 0o077 != 0 {
            return Err(RunDirectoryError::NotOurs { path: self.0.clone(), uid: own.st_uid, mode });
        }
        self.wait(&directory, patience)?;
        let there = match rustix::fs::statat(CWD, &self.0, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => there,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failed("look at", errno)),
        };
        if (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino) {
            Ok(Some(Locked { path: self.0.clone(), directory }))
        } else {
            Ok(None)
        }
    }

    fn wait(&self, directory: &OwnedFd, patience: Option<Duration>) -> Result<(), RunDirectoryError> {
        const STEP: Duration = Duration::from_millis(2);
        let started = Instant::now();
        loop {
            let operation = match patience {
                Some(_) => FlockOperation::NonBlockingLockExclusive,
                None => FlockOperation::LockExclusive,
            };
            match (rustix::fs::flock(directory, operation), patience) {
                (Ok(()), _) => return Ok(()),
                (Err(Errno::INTR), _) => {}
                (Err(Errno::WOULDBLOCK), Some(patience)) => {
                    let waited = started.elapsed();
                    if waited >= patience {
                        return Err(RunDirectoryError::Busy { path: self.0.clone(), waited });
                    }
                    std::thread::sleep(STEP);
                }
                (Err(errno), _) => return Err(self.failed("lock", errno)),
            }
        }
    }

    fn failed(&self, verb: &'static str, errno: Errno) -> RunDirectoryError {
        call(verb, &self.0, errno)
    }
}

// === impl Locked ===

impl Locked {
    pub(super) fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all journals, of the living and the dead, sorted.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn journals(&self) -> Result<Vec<String>, RunDirectoryError> {
        let failed = |errno| call("list", &self.path, errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if let Ok(name) = entry.file_name().to_str()
                && name.ends_with(SUFFIX)
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// A new journal for the run `run`, locked.
    ///
    /// # Errors
    ///
    /// It cannot be made, or a run of that name has one.
    pub fn create(&self, run: &str) -> Result<JournalFile, RunDirectoryError> {
        let name = format!("{run}{SUFFIX}");
        let journal = JournalFile::open(self, name, OFlags::CREATE | OFlags::EXCL, "make")?;
        if journal.lock()? { Ok(journal) } else { Err(call("lock", journal.path(), Errno::WOULDBLOCK)) }
    }

    /// The journal `name`, locked, if its run is dead; `None` if that lives, or if the journal is gone.
    ///
    /// # Errors
    ///
    /// It cannot be opened: no regular file, for one.
    pub fn take_over(&self, name: &str) -> Result<Option<JournalFile>, RunDirectoryError> {
        // O_NONBLOCK: a fifo of that name is not waited for.
        match JournalFile::open(self, name.to_owned(), OFlags::NONBLOCK, "open") {
            Ok(journal) => Ok(if journal.lock()? { Some(journal) } else { None }),
            Err(RunDirectoryError::Call { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes a journal that has done its work. One that is gone already is no error.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub fn remove(&self, journal: &JournalFile) -> Result<(), RunDirectoryError> {
        match rustix::fs::unlinkat(&self.directory, journal.name(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(call("remove", journal.path(), errno)),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Not empty: others have journals there. Any other failure leaves an empty directory, which harms nobody.
        let _ = rustix::fs::rmdir(&self.path);
    }
}

pub(super) fn call(verb: &'static str, path: &Path, errno: Errno) -> RunDirectoryError {
    RunDirectoryError::Call { verb, path: path.to_owned(), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

    fn place() -> (tempfile::TempDir, RunDirectory) {
        let parent = tempfile::tempdir().unwrap();
        let directory = RunDirectory::new(parent.path().join("hugeprobe"));
        (parent, directory)
    }

    #[test]
    fn nothing_is_left_behind() {
        let (_parent, directory) = place();
        assert!(directory.lock_existing(AT_ONCE).unwrap().is_none());
        let locked = directory.lock(AT_ONCE).unwrap();
        let mode = std::fs::metadata(directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
        let journal = locked.create("1-a").unwrap();
        drop(locked);
        let locked = directory.lock_existing(AT_ONCE).unwrap().unwrap();
        locked.remove(&journal).unwrap();
        locked.remove(&journal).unwrap();
        drop(locked);
        assert!(!directory.path().exists());
    }

    #[test]
    fn one_at_a_time_and_patience_ends() {
        let (_parent, directory) = place();
        let first = directory.lock(None).unwrap();
        assert!(matches!(directory.lock(AT_ONCE), Err(RunDirectoryError::Busy { .. })));
        let waiting = {
            let directory = directory.clone();
            std::thread::spawn(move || directory.lock(None).map(|_| ()))
        };
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        drop(first); // and removes the directory, which the other must notice
        waiting.join().unwrap().unwrap();
        assert!(!directory.path().exists());
    }

    #[test]
    fn many_who_make_and_remove_it_never_meet() {
        let (_parent, directory) = place();
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (directory, inside) = (&directory, &inside);
                scope.spawn(move || {
                    for round in 0..200 {
                        let locked = directory.lock(None).unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        let journal = locked.create(&format!("{thread}-{round}")).unwrap();
                        assert_eq!(locked.journals().unwrap().len(), 1);
                        locked.remove(&journal).unwrap();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(!directory.path().exists());
    }

    #[test]
    fn only_the_journals_of_the_dead_can_be_had() {
        let (_parent, directory) = place();
        let locked = directory.lock(AT_ONCE).unwrap();
        let mut journal = locked.create("1-a").unwrap();
        assert!(locked.create("1-a").is_err());
        journal.append("line\n").unwrap();
        assert!(locked.take_over("1-a.journal").unwrap().is_none());
        drop(journal);
        let mut journal = locked.take_over("1-a.journal").unwrap().unwrap();
        assert_eq!(journal.recover().unwrap(), "line\n");
        assert_eq!(journal.run(), "1-a");
        locked.remove(&journal).unwrap();
        assert!(locked.take_over("1-a.journal").unwrap().is_none());
    }

    #[test]
    fn a_torn_line_does_not_swallow_the_next() {
        let (_parent, directory) = place();
        let locked = directory.lock(AT_ONCE).unwrap();
        locked.create("1-a").unwrap().append("whole\nto").unwrap();
        let mut journal = locked.take_over("1-a.journal").unwrap().unwrap();
        assert_eq!(journal.recover().unwrap(), "whole\nto");
        journal.append("next\n").unwrap();
        assert_eq!(std::fs::read_to_string(journal.path()).unwrap(), "whole\nto\nnext\n");
    }

    #[test]
    fn what_is_not_ours_is_refused_by_name() {
        let (parent, directory) = place();
        let refused = |part: &str| {
            let error = directory.lock(AT_ONCE).unwrap_err().to_string();
            assert!(error.contains("/hugeprobe") && error.contains(part), "{error}");
        };
        symlink(parent.path(), directory.path()).unwrap();
        refused("cannot open");
        std::fs::remove_file(directory.path()).unwrap();
        symlink("/nowhere", directory.path()).unwrap();
        refused("cannot open");
        std::fs::remove_file(directory.path()).unwrap();
        std::fs::write(directory.path(), "").unwrap();
        refused("cannot open");
        std::fs::remove_file(directory.path()).unwrap();
        std::fs::create_dir(directory.path()).unwrap();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o770)).unwrap();
        refused("mode 0770");
        std::fs::remove_dir(directory.path()).unwrap();
        std::fs::remove_dir(parent.path()).unwrap();
        refused("cannot make");
    }

    #[test]
    fn only_regular_journals_are_read_and_other_files_left_alone() {
        let (_parent, directory) = place();
        let locked = directory.lock(AT_ONCE).unwrap();
        std::fs::write(directory.path().join("other"), "").unwrap();
        std::fs::create_dir(directory.path().join("d.journal")).unwrap();
        symlink("/etc/hostname", directory.path().join("s.journal")).unwrap();
        nix::unistd::mkfifo(&directory.path().join("f.journal"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(locked.journals().unwrap(), ["d.journal", "f.journal", "s.journal"]);
        assert!(locked.take_over("d.journal").is_err());
        assert!(locked.take_over("s.journal").is_err());
        assert!(locked.take_over("f.journal").unwrap().unwrap().recover().is_err());
        drop(locked);
        assert!(directory.path().join("other").exists());
    }
}
