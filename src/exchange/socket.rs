//! Connects the two roles over a UNIX socket. Either role may listen, and the other connects.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect as connect_to, socket};

use super::channel::wait;
use hugeprobe_linux::errno::named;

/// A listening socket. Dropping it removes its path.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// The device and inode of the path. Only the socket that was created here is removed.
    made: (u64, u64),
}

/// An error that prevents a connection.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// No process listened before the deadline.
    #[error("cannot connect to {} within {waited:.1?}: {}", path.display(), named(.source))]
    Connect {
        /// The path of the socket.
        path: PathBuf,
        /// How long this side tried.
        waited: Duration,
        /// The last error.
        source: io::Error,
    },
    /// No peer connected before the deadline.
    #[error("no peer connected to {} within {waited:.1?}", path.display())]
    Nobody {
        /// The path of the socket.
        path: PathBuf,
        /// How long this side waited.
        waited: Duration,
    },
    /// Another process listens on the path.
    #[error("another process listens on {}", .0.display())]
    InUse(PathBuf),
    /// The path exists and is not a socket. It is left alone.
    #[error("{} exists and is not a socket", .0.display())]
    NoSocket(PathBuf),
    /// A system call failed.
    #[error("{call} {}: {}", path.display(), named(.source))]
    Refused {
        /// The system call.
        call: &'static str,
        /// The path of the socket.
        path: PathBuf,
        /// The error that it returned.
        source: io::Error,
    },
}

/// The pause between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(10);

/// Connects to a socket. Retries until the deadline while no process listens there.
///
/// # Errors
///
/// No process listened, or the path cannot be used.
pub fn connect(path: &Path, deadline: Instant) -> Result<OwnedFd, SocketError> {
    let began = Instant::now();
    loop {
        match try_connect(path) {
            Ok(socket) => return Ok(socket),
            // A file of another kind answers as a socket does on which no process listens, and never becomes one.
            Err(Errno::ECONNREFUSED) if is_no_socket(path) => {
                return Err(SocketError::NoSocket(path.to_owned()));
            }
            // EAGAIN: it listens, and its queue is full.
            Err(Errno::ENOENT | Errno::ECONNREFUSED | Errno::EAGAIN | Errno::EINTR)
                if Instant::now() < deadline =>
            {
                std::thread::sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now())));
            }
            Err(errno) => {
                let (path, waited) = (path.to_owned(), began.elapsed());
                return Err(SocketError::Connect { path, waited, source: errno.into() });
            }
        }
    }
}

/// Whether something that is no socket is at `path`.
fn is_no_socket(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| !data.file_type().is_socket())
}

fn try_connect(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect_to(std::os::fd::AsRawFd::as_raw_fd(&socket), &UnixAddr::new(path)?)?;
    Ok(socket)
}

// === impl Listener ===

impl Listener {
    /// Listens on a path. Replaces the socket of a killed process, but not one on which a process listens.
    ///
    /// # Errors
    ///
    /// The path is in use, or it cannot be used.
    pub fn new(path: &Path) -> Result<Self, SocketError> {
        let refused = |call| move |source| SocketError::Refused { call, path: path.to_owned(), source };
        let socket = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path)?;
                UnixListener::bind(path)
            }
            bound => bound,
        }
        .map_err(refused("bind"))?;
        socket.set_nonblocking(true).map_err(refused("fcntl"))?;
        let stat = path.symlink_metadata().map_err(refused("stat"))?;
        Ok(Self { socket, path: path.to_owned(), made: (stat.dev(), stat.ino()) })
    }

    /// Waits for the first peer to connect.
    ///
    /// # Errors
    ///
    /// No peer connected before the deadline, or a system call failed.
    pub fn accept(&self, deadline: Instant) -> Result<OwnedFd, SocketError> {
        accept(&self.socket, &self.path, deadline)
    }

    /// Duplicates the socket for another process to accept on. This listener still removes the path.
    ///
    /// # Errors
    ///
    /// dup(2) failed.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }
}

/// Waits for the first peer to connect to a non-blocking listening socket that was created at `path`.
///
/// # Errors
///
/// No peer connected before the deadline, or a system call failed.
pub fn accept(socket: &UnixListener, path: &Path, deadline: Instant) -> Result<OwnedFd, SocketError> {
    let began = Instant::now();
    let refused = |call, source| SocketError::Refused { call, path: path.to_owned(), source };
    loop {
        match socket.accept() {
            Ok((stream, _)) => return Ok(stream.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The peer closed the connection before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(refused("accept", error)),
        }
        let ready = wait(&[(socket.as_fd(), PollFlags::POLLIN)], deadline)
            .map_err(|error| refused("poll", io::Error::other(error)))?;
        if !ready {
            return Err(SocketError::Nobody { path: path.to_owned(), waited: began.elapsed() });
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.path.symlink_metadata().is_ok_and(|stat| (stat.dev(), stat.ino()) == self.made) {
            // The error cannot be reported; the next listener replaces the socket.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket on which no process listens.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let refused = |call| move |source| SocketError::Refused { call, path: path.to_owned(), source };
    if !path.symlink_metadata().map_err(refused("stat"))?.file_type().is_socket() {
        return Err(SocketError::NoSocket(path.to_owned()));
    }
    match try_connect(path) {
        Err(Errno::ECONNREFUSED) => std::fs::remove_file(path).map_err(refused("unlink")),
        Err(Errno::ENOENT) => Ok(()),
        Ok(_) | Err(Errno::EAGAIN) => Err(SocketError::InUse(path.to_owned())),
        Err(errno) => Err(refused("connect")(errno.into())),
    }
}

/// Creates a connected pair of sockets, one end for each role.
///
/// # Errors
///
/// socketpair(2) failed.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (left, right) = UnixStream::pair()?;
    Ok((left.into(), right.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[test]
    fn either_side_may_come_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let there = path.clone();
        let client =
            std::thread::spawn(move || connect(&there, Instant::now() + Duration::from_secs(60)).map(drop));
        std::thread::sleep(Duration::from_millis(30));
        let listener = Listener::new(&path).unwrap();
        listener.accept(Instant::now() + Duration::from_secs(60)).unwrap();
        client.join().unwrap().unwrap();
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_is_named_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "").unwrap();
        let error = connect(&path, Instant::now() + Duration::from_secs(60)).unwrap_err();
        assert!(error.to_string().contains("exists and is not a socket"), "{error}");
    }

    #[test]
    fn nobody_there_is_told_at_the_deadline() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let error = connect(&path, soon()).unwrap_err().to_string();
        assert!(error.contains("/socket within") && error.contains("ENOENT"), "{error}");
        let error = Listener::new(&path).unwrap().accept(soon()).unwrap_err();
        assert!(matches!(error, SocketError::Nobody { .. }), "{error}");
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        // std does not remove the path, so the socket is left behind as after kill -9.
        drop(UnixListener::bind(&path).unwrap());
        assert!(matches!(connect(&path, soon()), Err(SocketError::Connect { .. })));
        let live = Listener::new(&path).unwrap();
        assert!(matches!(Listener::new(&path), Err(SocketError::InUse(_))));
        assert!(path.exists());
        drop(live);
        std::fs::write(&path, "a letter").unwrap();
        assert!(matches!(Listener::new(&path), Err(SocketError::NoSocket(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a letter");
    }

    #[test]
    fn what_somebody_else_has_put_there_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = Listener::new(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
        drop(other);
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_by_name() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(200)));
        assert!(Listener::new(&path).unwrap_err().to_string().contains("bind /tmp/xxx"));
        assert!(connect(&path, soon()).is_err());
    }
}
