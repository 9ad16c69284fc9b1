//! The directory in which the two containers meet: both see it, and it has a socket for each session.
//!
//! Either container may start late, be killed, or never start. Each container therefore holds a lock on a file in the
//! directory, which the kernel releases when the process ends. If the file of a container exists and is not locked,
//! that container has ended, and the other one does not wait for it.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::super::standalone::{SLICE, is_passing};
use super::super::supervisor::Supervisor;
use hugeprobe_domain::compact::Container;
use hugeprobe_domain::merge::Ending;
use hugeprobe_domain::sharing::Session;
use hugeprobe_exchange::socket::{Listener, SocketError, connect};

/// This container's presence in the directory. The other container sees it as alive until this is dropped.
#[derive(Debug)]
pub(super) struct Meeting {
    directory: PathBuf,
    container: Container,
    /// The lock that shows that this container is alive, or why it could not be taken. Without the lock, the other
    /// container cannot see when this one ends either, and waits until its deadline.
    alive: io::Result<Flock<File>>,
}

// === impl Meeting ===

impl Meeting {
    /// Announces that `container` is alive.
    pub(super) fn new(directory: &Path, container: Container) -> Self {
        Self { directory: directory.to_owned(), container, alive: live(directory, container) }
    }

    /// Returns the error that prevented the announcement, if any.
    pub(super) fn trouble(&self) -> Option<&io::Error> {
        self.alive.as_ref().err()
    }

    /// Returns the socket to the other container's worker of `session`. The backend listens, the frontend connects.
    ///
    /// # Errors
    ///
    /// The peer did not connect before the deadline, the other container has ended, the socket could not be created, or
    /// the run was interrupted.
    pub(super) fn meet(
        &self,
        session: Session,
        deadline: Instant,
        supervisor: &mut Supervisor<'_>,
    ) -> Result<OwnedFd, Ending> {
        let path = self.directory.join(format!("{session}.sock"));
        let not_started = |error: SocketError| Ending::NotStarted(error.to_string());
        let listener = match self.container {
            Container::Frontend => None,
            Container::Backend => Some(Listener::new(&path).map_err(not_started)?),
        };
        let began = Instant::now();
        loop {
            // Checked before the socket is tried: a peer that connects and ends in between is still accepted.
            let gone = self.peer_is_gone();
            let until = deadline.min(Instant::now() + SLICE);
            let answer = match &listener {
                Some(listener) => listener.accept(until),
                None => connect(&path, until),
            };
            let mut error = match answer {
                Ok(socket) => return Ok(socket),
                Err(error) => error,
            };
            if let Some(by) = supervisor.look() {
                return Err(Ending::BrokenOff(by.to_owned()));
            }
            if gone {
                return Err(Ending::NotStarted(format!("the {} container has ended", self.container.peer())));
            }
            if Instant::now() >= deadline || !is_passing(&error) {
                if let SocketError::Connect { waited, .. } | SocketError::Nobody { waited, .. } = &mut error {
                    *waited = began.elapsed();
                }
                return Err(not_started(error));
            }
        }
    }

    /// Returns whether the other container was started and has ended.
    fn peer_is_gone(&self) -> bool {
        let Ok(file) = File::open(alive(&self.directory, self.container.peer())) else { return false };
        Flock::lock(file, FlockArg::LockSharedNonblock).is_ok()
    }
}

/// Creates the lock file. It is locked before it is renamed to its final name, so that no process can find it unlocked
/// while this process lives.
fn live(directory: &Path, container: Container) -> io::Result<Flock<File>> {
    let made = directory.join(format!(".{container}.alive"));
    // A container that was killed before the rename below has left its file behind.
    match fs::remove_file(&made) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = File::options().write(true).create_new(true).open(&made)?;
    let locked =
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno): (_, Errno)| errno)?;
    fs::rename(&made, alive(directory, container))?;
    Ok(locked)
}

fn alive(directory: &Path, container: Container) -> PathBuf {
    directory.join(format!("{container}.alive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_gone_when_its_lock_is() {
        let directory = tempfile::tempdir().unwrap();
        let backend = Meeting::new(directory.path(), Container::Backend);
        assert!(!backend.peer_is_gone(), "it has not come yet");
        let frontend = Meeting::new(directory.path(), Container::Frontend);
        assert!(!backend.peer_is_gone() && !frontend.peer_is_gone());
        drop(frontend);
        assert!(backend.peer_is_gone());
        let again = Meeting::new(directory.path(), Container::Frontend);
        assert!(again.trouble().is_none() && !backend.peer_is_gone(), "it was started again");
    }

    #[test]
    fn a_directory_that_is_not_there_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let meeting = Meeting::new(&directory.path().join("none"), Container::Frontend);
        assert_eq!(meeting.trouble().map(io::Error::kind), Some(io::ErrorKind::NotFound));
    }
}
