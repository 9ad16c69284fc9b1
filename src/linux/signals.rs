//! The signal dispositions of this process.
#![allow(unsafe_code)]

use std::io;

use nix::sys::signal::{SigHandler, Signal, signal};

/// Resets SIGCHLD to its default disposition, for this process and its children.
///
/// If the parent ignores SIGCHLD, this process inherits that through execve(2). The kernel then reaps every child at
/// once, and waitpid(2) fails with ECHILD instead of returning how the child ended.
///
/// # Errors
///
/// The errors of sigaction(2).
pub fn default_sigchld() -> io::Result<()> {
    // SAFETY: SIG_DFL installs no handler, and the previous handler, which the call returns, is not used.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_waited_for_after_it() {
        default_sigchld().unwrap();
        let status = std::process::Command::new("false").status().unwrap();
        assert_eq!(status.code(), Some(1));
    }
}
