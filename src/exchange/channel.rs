//! One vhost-user connection: whole messages with their descriptors, within deadlines.
//!
//! A stream socket gives messages in pieces. What has come of one is kept, so that a role can look after its rings in
//! between, and a peer that does not send the rest of a message is found out after [`PATIENCE`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::message::{HEADER_BYTES, Header, Message, MessageError, Payload, REGIONS_LIMIT, Request};
use crate::linux::errno::named;
use crate::linux::rights;

/// How long the rest of a message may take, once its first byte is here.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// One end of a connection.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    partial: Partial,
    /// When the whole conversation has to be over.
    deadline: Option<Instant>,
    /// Which answer took longest, and how long.
    slowest: Option<(Request, Duration)>,
}

/// A message and what came with it.
#[derive(Debug)]
pub struct Envelope {
    /// The message.
    pub message: Message,
    /// Its descriptors, at most [`REGIONS_LIMIT`].
    pub fds: Vec<OwnedFd>,
}

/// A conversation that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The peer hung up between two messages.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer hung up within a message.
    #[error("the peer closed the connection after {0} bytes of a message")]
    ClosedWithin(usize),
    /// The deadline passed without a message.
    #[error("the peer sent nothing for {0:.1?} while this side waited for {1}")]
    Silent(Duration, String),
    /// The peer stopped within a message.
    #[error("the peer stopped after {0} bytes of a message")]
    Stalled(usize),
    /// The peer sends a message in so small pieces that it takes too long.
    #[error("the peer sent only {bytes} bytes of a message in {took:.1?}")]
    Slow {
        /// How much of the message came.
        bytes: usize,
        /// Since its first byte.
        took: Duration,
    },
    /// The conversation has reached its deadline; no answer alone took too long.
    #[error(
        "the session's deadline passed while waiting for {what}; the slowest answer before that, to {request}, took \
         {took:.1?}"
    )]
    TimeUp {
        /// What was waited for.
        what: String,
        /// Which answer had taken longest.
        request: Request,
        /// How long.
        took: Duration,
    },
    /// The peer does not read what is sent to it.
    #[error("the peer read no byte of {0} before the deadline")]
    NotReading(Request),
    /// More descriptors than any message has.
    #[error("{0} descriptors in one message, more than {REGIONS_LIMIT}")]
    TooManyFds(usize),
    /// The kernel could not give this process all the descriptors that were sent.
    #[error("descriptors of a message are missing: this process has reached its RLIMIT_NOFILE")]
    FdsMissing,
    /// The bytes that arrived are not a message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// An answer to something else, or something else than an answer.
    #[error("expected {expected}, received {got}")]
    Unexpected {
        /// What this end waited for.
        expected: String,
        /// What came.
        got: String,
    },
    /// The socket failed.
    #[error("{call}: {}", named(.source))]
    Socket {
        /// The system call.
        call: &'static str,
        /// The answer.
        source: io::Error,
    },
}

/// A message of which not everything has come.
#[derive(Debug, Default)]
struct Partial {
    header: [u8; HEADER_BYTES],
    /// Set when the header is whole.
    parsed: Option<Header>,
    /// Of the header, or of the payload when the header is whole.
    got: usize,
    payload: Vec<u8>,
    fds: Vec<OwnedFd>,
    began: Option<Instant>,
    /// When its last byte so far came.
    last: Option<Instant>,
}

// === impl Channel ===

impl Channel {
    /// A conversation over a connected stream socket.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, partial: Partial::default(), deadline: None, slowest: None }
    }

    /// Bounds the whole conversation: nothing is waited for after `deadline`.
    pub const fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Sends a message with its descriptors.
    ///
    /// # Errors
    ///
    /// The peer hung up, or takes nothing until the deadline.
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

    /// The next message, if all of it is here.
    ///
    /// # Errors
    ///
    /// See [`ChannelError`]; the conversation cannot be gone on with after any of them.
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

    /// The next message, `what` being waited for until the deadline.
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
            // A message that has begun has its own, shorter, deadline.
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

    /// `deadline`, or that of the conversation if it is sooner.
    fn until(&self, deadline: Instant) -> Instant {
        self.deadline.map_or(deadline, |own| own.min(deadline))
    }

    /// When the rest of a message that has begun is due.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.partial.began.map(|began| began + PATIENCE)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// See [`ChannelError`]; anything but the answer to this request, without descriptors, is an error.
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
    /// Where the next bytes go: never beyond this message, so that descriptors stay with the message they came with.
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

    /// The message, if nothing of it is missing.
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

    /// What is wrong with a message of which only a part has come in its time.
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

/// Waits until one of the descriptors is ready, or has failed; false if the deadline passes first.
///
/// # Errors
///
/// poll(2).
pub fn wait(fds: &[(BorrowedFd<'_>, PollFlags)], deadline: Instant) -> Result<bool, ChannelError> {
    let mut polled: Vec<_> = fds.iter().map(|(fd, flags)| PollFd::new(*fd, *flags)).collect();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up: otherwise the last millisecond would be spent spinning.
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
