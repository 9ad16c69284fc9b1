//! Records what is read below a [`HostRoot`](super::root::HostRoot), so that the same can be read from a copy of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What was read, by absolute path. A file that does not exist is not recorded.
#[derive(Debug, Clone, Default)]
pub struct Recording(Arc<Mutex<BTreeMap<PathBuf, Recorded>>>);

/// What was read of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// The bytes of a file, as far as they were read.
    Text(Vec<u8>),
    /// The target of a symbolic link.
    Link(PathBuf),
    /// The names in a directory, in no order.
    Names(Vec<String>),
    /// The error of a file that exists.
    Unreadable(String),
}

// === impl Recording ===

impl Recording {
    /// Adds what was read of `path`. The last reading of a path counts.
    pub(super) fn add(&self, path: &Path, recorded: Recorded) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), recorded);
    }

    /// Returns what was read so far.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<PathBuf, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
