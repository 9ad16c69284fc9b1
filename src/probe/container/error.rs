//! What goes wrong with a container itself.

use std::io;
use std::path::PathBuf;

/// What keeps a container from saying anything.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Signals could not be taken over.
    #[error("cannot set up signal handling (signalfd): {0}")]
    Signals(io::Error),
    /// The message could not be left.
    #[error("cannot write {}: {source}", path.display())]
    Report {
        /// Where.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
}

/// An error of the log is ignored: the message has the result.
pub(super) fn ignore<T>(_: io::Result<T>) {}
