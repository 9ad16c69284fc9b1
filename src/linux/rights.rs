//! Sends and receives bytes and file descriptors over a Unix socket (SCM_RIGHTS).
//!
//! Each descriptor that the kernel installs in this process becomes an [`OwnedFd`] at once, so that no code path leaves
//! one open. This module uses rustix for that reason: nix returns raw numbers, and returns none at all if the control
//! data was truncated, although the kernel has installed the descriptors that fitted.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The kernel's limit for one message (`SCM_MAX_FD`). A buffer for this many descriptors is never too small.
const MOST_FDS: usize = 253;

/// The result of one read from a socket.
#[derive(Debug)]
pub struct Received {
    /// The number of bytes; 0 means end of stream.
    pub bytes: usize,
    /// The descriptors that came with the bytes, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// Whether descriptors are missing, because the kernel could not install more of them: RLIMIT_NOFILE was reached.
    pub cut: bool,
}

/// Reads the available bytes, without waiting.
///
/// # Errors
///
/// The errors of recvmsg(2): EAGAIN (`WouldBlock`) if there is nothing to read.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let read = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let fds = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    Ok(Received { bytes: read.bytes, fds, cut: read.flags.contains(ReturnFlags::CTRUNC) })
}

/// Sends as many bytes as the socket has room for, without waiting, and returns their number. The descriptors go with
/// the first byte.
///
/// # Errors
///
/// The errors of sendmsg(2): EAGAIN (`WouldBlock`) if there is no room, EPIPE (without SIGPIPE) if the other end is
/// closed. EINVAL if there are more descriptors than the kernel allows in one message.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn descriptors_arrive_with_the_bytes_and_belong_to_the_receiver() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut out, into) = io::pipe().unwrap();
        assert_eq!(send(left.as_fd(), b"abc", &[into.as_fd(), into.as_fd()]).unwrap(), 3);
        drop(into);
        let mut buffer = [0; 8];
        let received = receive(right.as_fd(), &mut buffer).unwrap();
        assert_eq!((received.bytes, received.fds.len(), received.cut), (3, 2, false));
        drop(received);
        // The pipe ends when the last writer is closed; if a descriptor were still open, this read would block.
        assert_eq!(out.read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn nothing_there_and_the_end_are_two_things() {
        let (left, right) = UnixStream::pair().unwrap();
        let mut buffer = [0; 8];
        let error = receive(right.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(left);
        assert_eq!(receive(right.as_fd(), &mut buffer).unwrap().bytes, 0);
        assert_eq!(send(right.as_fd(), b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn more_descriptors_than_a_message_may_have_are_all_seen() {
        let (left, right) = UnixStream::pair().unwrap();
        let fds = vec![left.as_fd(); MOST_FDS];
        assert_eq!(send(left.as_fd(), b"x", &fds).unwrap(), 1);
        let received = receive(right.as_fd(), &mut [0; 8]).unwrap();
        assert_eq!((received.fds.len(), received.cut), (MOST_FDS, false));
        let fds = vec![left.as_fd(); MOST_FDS + 1];
        assert_eq!(send(left.as_fd(), b"x", &fds).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
