//! A vhost-user connection: whole messages with their descriptors, within deadlines.
//!
//! A stream socket delivers messages in pieces. The pieces of an incomplete message are kept, so that a role can serve
//! its rings in between. A peer that does not send the rest of a message is detected after [`PATIENCE`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::message::{HEADER_BYTES, Header, Message, MessageError, Payload, REGIONS_LIMIT, Request};
use hugeprobe_linux::errno::named;
use hugeprobe_linux::rights;

/// How long the rest of a message may take after its first byte.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// One end of a connection.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    partial: Partial,
    /// The deadline of the whole session, if it has one.
    deadline: Option<Instant>,
    /// The request whose answer took longest so far, and how long that took.
    slowest: Option<(Request, Duration)>,
}

/// A received message with its descriptors.
#[derive(Debug)]
pub struct Envelope {
    /// The message.
    pub message: Message,
    /// The message's descriptors, at most [`REGIONS_LIMIT`].
    pub fds: Vec<OwnedFd>,
}

/// An error that ends a session.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The peer closed the connection between two messages.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer closed the connection within a message.
    #[error("the peer closed the connection after {0} bytes of a message")]
    ClosedWithin(usize),
    /// The deadline passed without a message.
    #[error("the peer sent nothing for {0:.1?} while this side waited for {1}")]
    Silent(Duration, String),
    /// The peer stopped sending within a message.
    #[error("the peer stopped after {0} bytes of a message")]
    Stalled(usize),
    /// The peer sends a message in pieces, too slowly.
    #[error("the peer sent only {bytes} bytes of a message in {took:.1?}")]
    Slow {
        /// How many bytes of the message arrived.
        bytes: usize,
        /// The time since the first byte.
        took: Duration,
    },
    /// The session's deadline passed, although no single answer took too long.
    #[error(
        "the session's deadline passed while waiting for {what}; the slowest answer before that, to {request}, took \
         {took:.1?}"
    )]
    TimeUp {
        /// What this side waited for.
        what: String,
        /// The request whose answer took longest.
        request: Request,
        /// How long that answer took.
        took: Duration,
    },
    /// The peer does not read what this side sends.
    #[error("the peer read no byte of {0} before the deadline")]
    NotReading(Request),
    /// A message came with more descriptors than any message may have.
    #[error("{0} descriptors in one message, more than {REGIONS_LIMIT}")]
    TooManyFds(usize),
    /// The kernel could not give this process all descriptors of a message.
    #[error("descriptors of a message are missing: this process has reached its RLIMIT_NOFILE")]
    FdsMissing,
    /// The received bytes are not a valid message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The peer sent another message than the expected answer.
    #[error("expected {expected}, received {got}")]
    Unexpected {
        /// What this side waited for.
        expected: String,
        /// What arrived.
        got: String,
    },
    /// A system call on the socket failed.
    #[error("{call}: {}", named(.source))]
    Socket {
        /// The system call.
        call: &'static str,
        /// The error that it returned.
        source: io::Error,
    },
}

/// A message that has not arrived completely.
#[derive(Debug, Default)]
struct Partial {
    header: [u8; HEADER_BYTES],
    /// The header, once all of it has arrived.
    parsed: Option<Header>,
    /// How many bytes arrived: of the header, or of the payload once the header is complete.
    got: usize,
    payload: Vec<u8>,
    fds: Vec<OwnedFd>,
    began: Option<Instant>,
    /// When the most recent byte arrived.
    last: Option<Instant>,
}

// === impl Channel ===

impl Channel {
    /// Creates a channel over a connected stream socket.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, partial: Partial::default(), deadline: None, slowest: None }
    }

    /// Sets a deadline for the whole session. No later call waits beyond it.
    pub const fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Sends a message with its descriptors.
    ///
    /// # Errors
    ///
    /// The peer closed the connection or did not read the message before the deadline, or a system call failed.
    pub fn send(
        &self,
        message: &Message,
        fds: &[BorrowedFd<'_>],
        deadline: Instant,
    ) -> Result<(), ChannelError> {
        let deadline = self.until(deadline);
        let bytes = message.to_bytes();
        let (mut rest, mut fds) = (bytes.as_slice(), fds);
        while !rest.is_empty() {
            match rights::send(self.socket.as_fd(), rest, fds) {
                Ok(sent) => {
                    rest = rest.get(sent..).unwrap_or_default();
                    fds = &[];
                }
                Err(error) if is_passing(&error) => {
                    if !wait(&[(self.socket.as_fd(), PollFlags::POLLOUT)], deadline)? {
                        return Err(ChannelError::NotReading(message.request));
                    }
                }
                Err(error) if has_hung_up(&error) => return Err(ChannelError::Closed),
                Err(error) => return Err(ChannelError::Socket { call: "sendmsg", source: error }),
            }
        }
        Ok(())
    }

    /// Returns the next message if it has arrived completely. Does not wait.
    ///
    /// # Errors
    ///
    /// See [`ChannelError`]. The session cannot continue after any of them.
    pub fn try_receive(&mut self) -> Result<Option<Envelope>, ChannelError> {
        loop {
            if let Some(envelope) = self.partial.complete()? {
                return Ok(Some(envelope));
            }
            let received = match rights::receive(self.socket.as_fd(), self.partial.room()) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_passing(&error) => return self.partial.keep_waiting().map(|()| None),
                Err(error) if has_hung_up(&error) => return Err(self.partial.closed()),
                Err(error) => return Err(ChannelError::Socket { call: "recvmsg", source: error }),
            };
            self.partial.took(received)?;
        }
    }

    /// Waits for the next message until the deadline. `what` names the expected message in an error.
    ///
    /// # Errors
    ///
    /// See [`ChannelError`].
    pub fn receive(&mut self, what: &str, deadline: Instant) -> Result<Envelope, ChannelError> {
        let (began, until) = (Instant::now(), self.until(deadline));
        loop {
            if let Some(envelope) = self.try_receive()? {
                return Ok(envelope);
            }
            // An incomplete message has its own deadline, which may be sooner.
            let wake = self.due().map_or(until, |due| until.min(due));
            let ready = wait(&[(self.socket.as_fd(), PollFlags::POLLIN)], wake)?;
            if !ready && Instant::now() >= until {
                return Err(match (self.partial.unfinished(), self.slowest) {
                    (Some(error), _) => error,
                    (None, Some((request, took))) if until < deadline => {
                        ChannelError::TimeUp { what: what.to_owned(), request, took }
                    }
                    _ => ChannelError::Silent(began.elapsed(), what.to_owned()),
                });
            }
        }
    }

    /// Returns `deadline`, or the session's deadline if that is sooner.
    fn until(&self, deadline: Instant) -> Instant {
        self.deadline.map_or(deadline, |own| own.min(deadline))
    }

    /// Returns when the rest of an incomplete message is due.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.partial.began.map(|began| began + PATIENCE)
    }

    /// Sends a request, waits for its answer and returns the answer's payload.
    ///
    /// # Errors
    ///
    /// See [`ChannelError`]. Any message other than the answer to this request is an error, and so is an answer with
    /// descriptors.
    pub fn ask(
        &mut self,
        message: &Message,
        fds: &[BorrowedFd<'_>],
        deadline: Instant,
    ) -> Result<Payload, ChannelError> {
        let began = Instant::now();
        self.send(message, fds, deadline)?;
        let expected = format!("the answer to {}", message.request);
        let answer = self.receive(&expected, deadline)?;
        let took = began.elapsed();
        if self.slowest.is_none_or(|(_, slowest)| took > slowest) {
            self.slowest = Some((message.request, took));
        }
        let got = match &answer.message {
            Message { request, is_reply: true, .. } if *request == message.request => {
                match answer.fds.len() {
                    0 => return Ok(answer.message.payload),
                    count => format!("that, with {count} descriptors"),
                }
            }
            Message { request, is_reply: true, .. } => format!("the answer to {request}"),
            Message { request, .. } => format!("the request {request}"),
        };
        Err(ChannelError::Unexpected { expected, got })
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

// === impl Partial ===

impl Partial {
    /// Returns the buffer for the next bytes. It never reaches beyond the current message, so that descriptors stay
    /// with the message they came with.
    fn room(&mut self) -> &mut [u8] {
        let buffer = if self.parsed.is_some() { &mut self.payload[..] } else { &mut self.header[..] };
        buffer.get_mut(self.got..).unwrap_or_default()
    }

    fn took(&mut self, received: rights::Received) -> Result<(), ChannelError> {
        let rights::Received { bytes, mut fds, cut } = received;
        self.fds.append(&mut fds);
        if cut {
            return Err(ChannelError::FdsMissing);
        }
        if self.fds.len() > REGIONS_LIMIT {
            return Err(ChannelError::TooManyFds(self.fds.len()));
        }
        if bytes == 0 {
            return Err(self.closed());
        }
        let now = Instant::now();
        self.began.get_or_insert(now);
        self.last = Some(now);
        self.got += bytes;
        Ok(())
    }

    /// Returns the message, if it is complete.
    fn complete(&mut self) -> Result<Option<Envelope>, ChannelError> {
        let header = match &self.parsed {
            Some(header) => *header,
            None if self.got < HEADER_BYTES => return Ok(None),
            None => {
                let header = Header::parse(&self.header)?;
                self.payload = vec![0; header.size];
                self.got = 0;
                *self.parsed.insert(header)
            }
        };
        if self.got < header.size {
            return Ok(None);
        }
        let whole = std::mem::take(self);
        let message = Message::parse(&header, &whole.payload)?;
        Ok(Some(Envelope { message, fds: whole.fds }))
    }

    fn keep_waiting(&self) -> Result<(), ChannelError> {
        match self.began {
            Some(began) if began.elapsed() >= PATIENCE => self.unfinished().map_or(Ok(()), Err),
            _ => Ok(()),
        }
    }

    /// Returns the error for a message of which only a part arrived in time.
    fn unfinished(&self) -> Option<ChannelError> {
        let (began, last, bytes) = (self.began?, self.last?, self.bytes());
        Some(match last.elapsed() >= PATIENCE / 2 {
            true => ChannelError::Stalled(bytes),
            false => ChannelError::Slow { bytes, took: began.elapsed() },
        })
    }

    fn closed(&self) -> ChannelError {
        match self.bytes() {
            0 => ChannelError::Closed,
            bytes => ChannelError::ClosedWithin(bytes),
        }
    }

    fn bytes(&self) -> usize {
        self.got + if self.parsed.is_some() { HEADER_BYTES } else { 0 }
    }
}

// === waiting ===

/// Waits until one of the descriptors is ready or has failed. Returns false if the deadline passes first.
///
/// # Errors
///
/// poll(2) failed.
pub fn wait(fds: &[(BorrowedFd<'_>, PollFlags)], deadline: Instant) -> Result<bool, ChannelError> {
    let mut polled: Vec<_> = fds.iter().map(|(fd, flags)| PollFd::new(*fd, *flags)).collect();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Round up, or the loop would spin during the last millisecond.
        let millis = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        match poll(&mut polled, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(ChannelError::Socket { call: "poll", source: errno.into() }),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn has_hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests;
