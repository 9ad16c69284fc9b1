//! Event descriptors of a peer: kicks are read and calls are written without blocking.
//!
//! The peer shares the open file description. It can empty it before this process reads, fill it before this process
//! writes, and change O_NONBLOCK at any moment. Blocking must therefore not depend on the flags of the file.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use rustix::io::ReadWriteFlags;

/// The offset that makes preadv2(2) read at the current position.
const WHERE_IT_STANDS: u64 = u64::MAX;

/// An eventfd, or a pipe or socket used in place of one.
#[derive(Debug)]
pub struct Event(OwnedFd);

// === impl Event ===

impl Event {
    /// Takes a descriptor that was received. Regular files, directories and devices are refused: they are always ready
    /// and signal nothing.
    ///
    /// # Errors
    ///
    /// A message that says why the descriptor is refused.
    pub fn new(fd: OwnedFd) -> Result<Self, String> {
        let stat = fstat(&fd).map_err(|errno| format!("fstat: {}", errno.desc()))?;
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG | SFlag::S_IFDIR | SFlag::S_IFBLK | SFlag::S_IFCHR => {
                Err("the descriptor is a file, not an eventfd".to_owned())
            }
            _ => Ok(Self(fd)),
        }
    }

    /// Reads and discards what has been signalled.
    ///
    /// # Errors
    ///
    /// The descriptor cannot be read, or its other end is closed, so waiting for it is pointless.
    pub fn clear(&self) -> io::Result<()> {
        let mut count = [0; 8];
        let mut into = [io::IoSliceMut::new(&mut count)];
        match rustix::io::preadv2(&self.0, &mut into, WHERE_IT_STANDS, ReadWriteFlags::NOWAIT) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(()),
            // Pipes do not support RWF_NOWAIT before Linux 6.4. poll(2) has reported the pipe as readable, so this read
            // blocks only if the peer empties the pipe in between. The parent process then ends this worker.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                rustix::io::read(&self.0, &mut count).map(drop).map_err(Into::into)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Signals the event if that is possible without blocking. An event that is full has already been signalled.
    ///
    /// # Errors
    ///
    /// The descriptor cannot be written.
    pub fn signal(&self) -> io::Result<()> {
        // Writing to an eventfd does not support RWF_NOWAIT.
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
