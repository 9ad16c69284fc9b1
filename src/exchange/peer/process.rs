//! The process at the other end of the socket, and the findings about a session with it.

use std::os::fd::OwnedFd;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::Serialize;
use serde_json::json;

use super::findings::{Findings, Stop};
use super::task::PeerTask;
use crate::channel::ChannelError;
use crate::frontend::{FrontendError, Outcome as Done};
use hugeprobe_domain::catalogue::{HP614, HP615};
use hugeprobe_domain::check::{CheckId, Outcome};

/// The process at the other end, as the kernel identifies it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct PeerProcess {
    /// The PID in this PID namespace, or 0 if the process is in another one.
    pid: i32,
    uid: Option<u32>,
    /// `/proc/PID/comm`.
    command: Option<String>,
}

// === impl PeerProcess ===

impl PeerProcess {
    pub(super) fn at(socket: &OwnedFd) -> Self {
        let credentials = getsockopt(socket, PeerCredentials).ok();
        let pid = credentials.map_or(0, |credentials| credentials.pid());
        let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
        let command = command.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        Self { pid, uid: credentials.map(|credentials| credentials.uid()), command }
    }

    pub(super) fn name(&self) -> &str {
        self.command.as_deref().unwrap_or("the peer")
    }

    /// Returns the finding for a session that ended with an error.
    pub(super) fn ended(&self, id: CheckId, error: &FrontendError) -> Stop {
        let name = self.name();
        let (outcome, summary) = match error {
            FrontendError::Refused { request, .. } => (Outcome::Fail, format!("{name} refuses {request}")),
            FrontendError::HungUp(request) => (Outcome::Fail, format!("{name} hangs up on {request}")),
            FrontendError::Channel(
                ChannelError::Silent(..) | ChannelError::Stalled(_) | ChannelError::NotReading(_),
            ) => (Outcome::Fail, format!("{name} does not answer")),
            FrontendError::Channel(ChannelError::Slow { .. } | ChannelError::TimeUp { .. }) => {
                (Outcome::Fail, format!("{name} answers too slowly"))
            }
            FrontendError::NoQueuePair => (Outcome::Fail, format!("{name} has no queue")),
            FrontendError::TooFewSlots { .. } => {
                (Outcome::Fail, format!("{name} accepts too few memory regions"))
            }
            FrontendError::Channel(ChannelError::Closed | ChannelError::ClosedWithin(_)) => {
                (Outcome::Fail, format!("{name} hangs up"))
            }
            FrontendError::Channel(ChannelError::FdsMissing | ChannelError::Socket { .. })
            | FrontendError::TooLittleMemory { .. }
            | FrontendError::Event(_) => (Outcome::Unknown, "the session cannot continue".to_owned()),
            FrontendError::BadAnswer { .. }
            | FrontendError::Lacks(_)
            | FrontendError::Ring { .. }
            | FrontendError::Channel(_) => (Outcome::Fail, format!("{name} breaks the protocol")),
        };
        Stop::found(id, outcome, summary, "the session continues", error.to_string()).with("peer", self)
    }

    pub(super) fn judge_frames(
        &self,
        task: &PeerTask,
        done: &Done,
        findings: &mut Findings<'_>,
    ) -> Result<(), Stop> {
        let (frames, tally) = (task.peer.transmit, done.tally);
        let evidence = json!({ "frames": frames, "taken": done.sent, "came": tally, "nanos": done.nanos });
        let stop = |outcome, summary: String, expected: &str, seen: String| {
            Stop::found(HP615, outcome, summary, expected, seen).with("traffic", &evidence)
        };
        let found = if done.sent < frames {
            let seen = format!("{} of {frames} in time", done.sent);
            stop(
                Outcome::Fail,
                format!("{} does not accept frames", self.name()),
                "every frame is accepted",
                seen,
            )
        } else if tally.altered > 0 {
            let seen = format!("{} altered, or sent by another hugeprobe", tally.altered);
            stop(Outcome::Warn, "frames came back altered".to_owned(), "frames come back unchanged", seen)
        } else {
            let back = match tally.intact {
                0 => String::new(),
                intact => format!(", {intact} came back"),
            };
            findings.pass(HP615, format!("{frames} frames accepted{back}"), evidence)?;
            return Ok(());
        };
        match found {
            // The checks that follow can still be run.
            Stop::Found(id, bad) => Ok(findings.bad(id, *bad)?),
            gone @ Stop::Gone(_) => Err(gone),
        }
    }

    /// Checks the position at which the transmit queue stopped. Only this side fills that queue, so the position is
    /// known.
    pub(super) fn judge_bases(&self, [_, transmit]: [u32; 2], taken: u64) -> Result<(), Stop> {
        let expected = taken % (1 << 16);
        if u64::from(transmit) == expected {
            return Ok(());
        }
        let summary = format!("{} reports the wrong position for a stopped queue", self.name());
        let expected = format!("GET_VRING_BASE of the transmit queue: {expected}");
        Err(Stop::found(HP614, Outcome::Fail, summary, expected, transmit.to_string()).with("peer", self))
    }
}
