//! Signals of this process.
#![allow(unsafe_code)]

use std::io;

use nix::sys::signal::{SigHandler, Signal, signal};

/// Sets SIGCHLD to its default, for this process and those that it starts.
///
/// A caller that ignores SIGCHLD hands that on through execve(2); the kernel then reaps every child at once, and waitpid(2)
/// answers ECHILD in place of how the child ended.
///
/// # Errors
///
/// sigaction(2).
pub fn default_sigchld() -> io::Result<()> {
    // SAFETY: no handler is installed that could run, and none that was is asked for.
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
