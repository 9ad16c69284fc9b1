//! Hears the guardian: whole lines, with a deadline, and without missing its death.

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::message::Message;

/// The orchestrator's end of the guardian's stdout.
#[derive(Debug)]
pub(super) struct Listener {
    stdout: ChildStdout,
    heard: Vec<u8>,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// A line of its.
    Message(Message),
    /// It says no more: it has ended, or is about to.
    End,
    /// The deadline is over.
    Late,
    /// The caller was told to stop.
    Stopped,
}

/// The longest line that is waited for.
const LINE_LIMIT: usize = 1 << 20;

// === impl Listener ===

impl Listener {
    pub(super) const fn new(stdout: ChildStdout) -> Self {
        Self { stdout, heard: Vec::new() }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stdout.as_fd()
    }

    /// The next message. Lines that are none are passed over.
    pub(super) fn hear(&mut self, deadline: Instant, stop: Option<BorrowedFd<'_>>) -> Heard {
        loop {
            while let Some(line) = self.line() {
                if let Ok(message) = serde_json::from_slice(&line) {
                    return Heard::Message(message);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Heard::Late;
            }
            let (heard, stopped) = match self.wait(left, stop) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                Err(_) => return Heard::End,
            };
            if stopped {
                return Heard::Stopped;
            }
            if heard && !self.read() {
                return Heard::End;
            }
        }
    }

    /// Whether there is something to read, and whether to stop.
    fn wait(&self, left: Duration, stop: Option<BorrowedFd<'_>>) -> Result<(bool, bool), Errno> {
        let mut fds = vec![PollFd::new(self.stdout.as_fd(), PollFlags::POLLIN)];
        fds.extend(stop.map(|stop| PollFd::new(stop, PollFlags::POLLIN)));
        // Rounded up, so that the last part of a millisecond is not spent spinning.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        poll(&mut fds, timeout)?;
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
        Ok((ready.next().unwrap_or(false), ready.next().unwrap_or(false)))
    }

    /// Reads what there is; false at its end.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stdout.read(&mut buffer) {
            Ok(length) => {
                self.heard.extend(buffer.iter().take(length));
                length > 0 && self.heard.len() <= LINE_LIMIT
            }
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.heard.iter().position(|byte| *byte == b'\n')?;
        Some(self.heard.drain(..=end).collect())
    }
}
