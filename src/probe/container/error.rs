//! Errors of a container itself.

use std::io;
use std::path::PathBuf;

/// Why a container could not leave a message.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The signalfd could not be set up.
    #[error("cannot set up signal handling (signalfd): {0}")]
    Signals(io::Error),
    /// The message could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Report {
        /// The file to write.
        path: PathBuf,
        /// The error of the kernel.
        source: io::Error,
    },
}

/// Ignores an error in writing the log: the message contains the result.
pub(super) fn ignore<T>(_: io::Result<T>) {}
