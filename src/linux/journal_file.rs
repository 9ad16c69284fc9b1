//! The journal of one run: a file that is locked for as long as its run lives. [`hugeprobe_domain::journal`] describes its
//! content.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// An open journal.
#[derive(Debug)]
pub struct JournalFile {
    name: String,
    file: File,
}

/// The suffix of journal names. Other files in the directory are not touched.
pub const SUFFIX: &str = ".journal";
/// The maximum number of bytes of a journal that are read. A run that grows a pool by 4 GiB at a time writes this much
/// for 100 TiB.
const LIMIT: u64 = 16 << 20;

// === impl JournalFile ===

impl JournalFile {
    pub(super) fn create(directory: impl AsFd, run: &str) -> io::Result<Self> {
        Self::open_with(directory, format!("{run}{SUFFIX}"), OFlags::CREATE | OFlags::EXCL)
    }

    pub(super) fn open(directory: impl AsFd, name: &str) -> io::Result<Self> {
        // O_NONBLOCK: if a FIFO has that name, do not wait for a writer.
        Self::open_with(directory, name.to_owned(), OFlags::NONBLOCK)
    }

    fn open_with(directory: impl AsFd, name: String, flags: OFlags) -> io::Result<Self> {
        let flags = flags | OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, &name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { name, file: file.into() })
    }

    /// Locks the file until it is closed. Returns false if another process has locked it, which means that its run is
    /// alive.
    pub(super) fn lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Appends `text`.
    ///
    /// # Errors
    ///
    /// Not all of the text was written, for example because the file system is full.
    pub fn append(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())
    }

    /// Returns the text, up to a limit of 16 MiB. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// The file cannot be read, for example because it is not a regular file.
    pub fn read(&mut self) -> io::Result<String> {
        let mut bytes = Vec::new();
        (&self.file).take(LIMIT).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the name of the run.
    #[must_use]
    pub fn run(&self) -> &str {
        self.name.strip_suffix(SUFFIX).unwrap_or(&self.name)
    }
}
