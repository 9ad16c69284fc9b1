//! One run's journal in the run directory: a file of lines, locked for as long as the run lives. What the lines say is
//! for [`crate::domain::journal`].

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::run_directory::{Locked, RunDirectoryError, call};

/// A journal, open.
#[derive(Debug)]
pub struct JournalFile {
    name: String,
    path: PathBuf,
    file: File,
}

/// How a journal's name ends; other files in the directory are left alone.
pub(super) const SUFFIX: &str = ".journal";
/// The longest that is read of a journal: thousands of records.
const LIMIT: u64 = 1 << 20;

// === impl JournalFile ===

impl JournalFile {
    pub(super) fn open(
        directory: &Locked,
        name: String,
        flags: OFlags,
        verb: &'static str,
    ) -> Result<Self, RunDirectoryError> {
        let path = directory.path().join(&name);
        let flags = flags | OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(directory.directory(), &name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Self { name, path, file: file.into() }),
            Err(errno) => Err(call(verb, &path, errno)),
        }
    }

    /// False if another process has it locked. The lock goes with the descriptor.
    pub(super) fn lock(&self) -> Result<bool, RunDirectoryError> {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(call("lock", &self.path, errno)),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Adds `line` at the end: all of it, or nothing.
    ///
    /// # Errors
    ///
    /// The write failed or was cut short.
    pub fn append(&mut self, line: &str) -> Result<(), RunDirectoryError> {
        let written = self.file.metadata().and_then(|before| match self.file.write(line.as_bytes()) {
            Ok(length) if length < line.len() => {
                self.file.set_len(before.len())?;
                Err(io::ErrorKind::WriteZero.into())
            }
            written => written,
        });
        match written {
            Ok(_) => Ok(()),
            Err(source) => Err(RunDirectoryError::Call { verb: "write to", path: self.path.clone(), source }),
        }
    }

    /// The text, as far as it is readable, with the end of a torn last line made good so that more can be added.
    ///
    /// # Errors
    ///
    /// It cannot be read at all.
    pub fn recover(&mut self) -> Result<String, RunDirectoryError> {
        let mut bytes = Vec::new();
        (&self.file).take(LIMIT).read_to_end(&mut bytes).map_err(|source| RunDirectoryError::Call {
            verb: "read",
            path: self.path.clone(),
            source,
        })?;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            // Without room for it the next line is lost with the torn one, which is no worse than not written.
            let _ = self.append("\n");
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The run that it belongs to.
    #[must_use]
    pub fn run(&self) -> &str {
        self.name.strip_suffix(SUFFIX).unwrap_or(&self.name)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
