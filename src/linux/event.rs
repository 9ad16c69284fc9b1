//! Event descriptors of a peer's: kicks are read and calls written without ever waiting.
//!
//! The peer shares the open file, so it can empty it under a reader, fill it before a writer, and change O_NONBLOCK at
//! any moment: whether this end waits must not depend on the file's own flags.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use rustix::io::ReadWriteFlags;

/// The read offset that means "the current position": preadv2(2).
const WHERE_IT_STANDS: u64 = u64::MAX;

/// An eventfd, or what can stand in for one: a pipe, a socket.
#[derive(Debug)]
pub struct Event(OwnedFd);

// === impl Event ===

impl Event {
    /// Takes a descriptor that was received; refuses files, which are always ready and tell of nothing.
    ///
    /// # Errors
    ///
    /// What it is.
    pub fn new(fd: OwnedFd) -> Result<Self, String> {
        let stat = fstat(&fd).map_err(|errno| format!("fstat: {}", errno.desc()))?;
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG | SFlag::S_IFDIR | SFlag::S_IFBLK | SFlag::S_IFCHR => {
                Err("the descriptor is a file, not an eventfd".to_owned())
            }
            _ => Ok(Self(fd)),
        }
    }

    /// Empties it.
    ///
    /// # Errors
    ///
    /// It cannot be read, or its other end is closed: there is no sense in waiting for it.
    pub fn clear(&self) -> io::Result<()> {
        let mut count = [0; 8];
        let mut into = [io::IoSliceMut::new(&mut count)];
        match rustix::io::preadv2(&self.0, &mut into, WHERE_IT_STANDS, ReadWriteFlags::NOWAIT) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(()),
            // Pipes before 6.4. Poll has said that it is readable; a peer that empties its own pipe in between waits
            // for us, and our parent ends that.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                rustix::io::read(&self.0, &mut count).map(drop).map_err(Into::into)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Signals it, if that can be done at once: one that is full has been signalled.
    ///
    /// # Errors
    ///
    /// It cannot be written to.
    pub fn signal(&self) -> io::Result<()> {
        // An eventfd takes no RWF_NOWAIT when written.
        let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut ready, PollTimeout::ZERO)? == 0 {
            return Ok(());
        }
        match rustix::io::write(&self.0, &1_u64.to_ne_bytes()) {
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use nix::sys::eventfd::{EfdFlags, EventFd};

    use super::*;

    fn event() -> Event {
        Event::new(EventFd::from_flags(EfdFlags::empty()).unwrap().into()).unwrap()
    }

    fn is_readable(event: &Event) -> bool {
        poll(&mut [PollFd::new(event.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn a_signal_is_seen_once() {
        let event = event();
        event.signal().unwrap();
        event.signal().unwrap();
        assert!(is_readable(&event));
        event.clear().unwrap();
        assert!(!is_readable(&event));
    }

    #[test]
    fn neither_an_empty_nor_a_full_one_is_waited_for() {
        let event = event();
        event.clear().unwrap();
        rustix::io::write(&event.0, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        event.signal().unwrap();
        assert!(is_readable(&event));
    }

    #[test]
    fn what_is_no_event_is_refused_and_a_closed_one_is_noticed() {
        assert!(Event::new(File::open("/dev/zero").unwrap().into()).unwrap_err().contains("a file"));
        assert!(Event::new(tempfile::tempfile().unwrap().into()).is_err());
        let (reader, writer) = io::pipe().unwrap();
        let event = Event::new(reader.into()).unwrap();
        drop(writer);
        assert!(event.clear().is_err());
    }
}
