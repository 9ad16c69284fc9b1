//! `/run/hugeprobe`: the lock that a run holds while it changes the pools, and the journals of all runs.
//!
//! The lock is a flock(2) on the directory itself, so that no lock file is left behind. The first run that needs the
//! directory creates it, and a run that leaves it empty removes it while it holds the lock. If a run waited for the
//! lock and the directory has been removed meanwhile, it starts again.
//!
//! Journals are created, opened and removed only under the lock. Each run keeps its journal locked for as long as it
//! lives, so a journal that can be locked belongs to a dead run.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::journal_file::{JournalFile, SUFFIX};

/// The path of the directory, whether or not the directory exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDirectory(PathBuf);

/// The directory, locked. Dropping this removes the directory if it is empty, and releases the lock.
#[derive(Debug)]
pub struct Locked {
    path: PathBuf,
    directory: OwnedFd,
}

/// Why the directory or a file in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// A system call failed.
    #[error("cannot {verb} {path}: {source}")]
    Call {
        /// What was attempted.
        verb: &'static str,
        /// The path it was attempted on.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// Another user owns the directory or may access it, so its content cannot be trusted.
    #[error("{path} is not private to this user: its owner is uid {uid}, its mode {mode:04o}; remove it")]
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
    /// The directory at `path`. Its parent must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes the lock, and creates the directory if necessary. Waits for at most `patience`, or without limit if it is
    /// `None`.
    ///
    /// # Errors
    ///
    /// The directory cannot be created or opened, is a symbolic link or not private to this user, or another process
    /// has held the lock for longer than `patience`.
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

    /// Takes the lock if the directory exists; returns `None` if it does not, or if it has been removed or
    /// replaced meanwhile.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::lock`].
    pub fn lock_existing(&self, patience: Option<Duration>) -> Result<Option<Locked>, RunDirectoryError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::open(&self.0, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failed("open", errno)),
        };
        let own = rustix::fs::fstat(&directory).map_err(|errno| self.failed("examine", errno))?;
        let mode = own.st_mode & 0o7777;
        if own.st_uid != nix::unistd::geteuid().as_raw() || mode & 0o077 != 0 {
            return Err(RunDirectoryError::NotOurs { path: self.0.clone(), uid: own.st_uid, mode });
        }
        self.wait(&directory, patience)?;
        let there = match rustix::fs::statat(CWD, &self.0, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => there,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failed("examine", errno)),
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
    /// Returns the sorted names of the journals of all runs, live and dead.
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

    /// Creates the journal of `run` and locks it.
    ///
    /// # Errors
    ///
    /// The journal cannot be created, or one with that name exists.
    pub fn create(&self, run: &str) -> Result<JournalFile, RunDirectoryError> {
        let failed = |source: io::Error| call("create the journal of a run in", &self.path, source);
        let journal = JournalFile::create(&self.directory, run).map_err(failed)?;
        journal.lock().map_err(failed)?;
        Ok(journal)
    }

    /// Opens a journal for reading, whether its run is alive or dead.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn open(&self, name: &str) -> Result<JournalFile, RunDirectoryError> {
        JournalFile::open(&self.directory, name).map_err(|source| call("open", &self.path.join(name), source))
    }

    /// Opens and locks the journal of a dead run; `None` if the run is alive.
    ///
    /// # Errors
    ///
    /// It cannot be opened or locked.
    pub fn open_dead(&self, name: &str) -> Result<Option<JournalFile>, RunDirectoryError> {
        let journal = self.open(name)?;
        match journal.lock() {
            Ok(is_dead) => Ok(is_dead.then_some(journal)),
            Err(source) => Err(call("lock", &self.path.join(name), source)),
        }
    }

    /// Removes a journal that is no longer needed. A journal that does not exist is not an error.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub fn remove(&self, journal: &JournalFile) -> Result<(), RunDirectoryError> {
        match rustix::fs::unlinkat(&self.directory, journal.name(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(call("remove", &self.path.join(journal.name()), errno)),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // ENOTEMPTY: other runs have journals there. After any other error, a harmless empty directory remains.
        let _ = rustix::fs::rmdir(&self.path);
    }
}

fn call(verb: &'static str, path: &Path, source: impl Into<io::Error>) -> RunDirectoryError {
    RunDirectoryError::Call { verb, path: path.to_owned(), source: source.into() }
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
    fn one_run_at_a_time_has_the_lock() {
        let (_parent, directory) = place();
        let first = directory.lock(None).unwrap();
        assert!(matches!(directory.lock(AT_ONCE), Err(RunDirectoryError::Busy { .. })));
        let waiting = {
            let directory = directory.clone();
            std::thread::spawn(move || directory.lock(None).map(|_| ()))
        };
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        drop(first); // also removes the directory, which the other thread must notice
        waiting.join().unwrap().unwrap();
        assert!(!directory.path().exists());
    }

    #[test]
    fn runs_that_make_and_remove_it_exclude_each_other() {
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
    fn a_journal_is_locked_as_long_as_its_run_lives() {
        let (_parent, directory) = place();
        let locked = directory.lock(AT_ONCE).unwrap();
        let mut journal = locked.create("1-a").unwrap();
        assert!(locked.create("1-a").is_err());
        journal.append("line\n").unwrap();
        assert!(locked.open_dead("1-a.journal").unwrap().is_none());
        assert_eq!(locked.open("1-a.journal").unwrap().read().unwrap(), "line\n");
        journal.append("next\n").unwrap();
        drop(journal);
        let mut journal = locked.open_dead("1-a.journal").unwrap().unwrap();
        assert_eq!(journal.read().unwrap(), "line\nnext\n");
        assert_eq!(journal.run(), "1-a");
        locked.remove(&journal).unwrap();
        assert!(locked.open_dead("1-a.journal").is_err());
    }

    #[test]
    fn a_directory_that_is_not_private_is_refused_by_name() {
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
        assert!(locked.open("d.journal").is_err());
        assert!(locked.open("s.journal").is_err());
        assert!(locked.open("f.journal").unwrap().read().is_err());
        drop(locked);
        assert!(directory.path().join("other").exists());
    }
}
