//! What the worker that talks to a peer is to do, and how long each part of it may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::peer::Peer as UnderTest;
use crate::domain::size::PageSize;
use crate::exchange::role::Source;

/// What the worker is to do. Travels to it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerTask {
    /// The page size.
    pub size: PageSize,
    /// How many pages are shared: at least one. From two on, two files.
    pub pages: u64,
    /// Where they come from.
    pub memory: Source,
    /// Seed of all that is written and sent.
    pub seed: u64,
    /// The cgroup that pays for them: the frontend's, if it has a separate one.
    pub cgroup: Option<String>,
    /// The peer. Where it connects, the standard input of the worker is the socket that listens.
    pub peer: UnderTest,
}

/// How long a peer may take to listen: almost no time, as QEMU and virtio_user give up at once.
pub(super) const TO_LISTEN: Duration = Duration::from_secs(1);
/// How long a peer may take to connect: DPDK's vhost library tries once a second.
pub(super) const TO_CONNECT: Duration = Duration::from_secs(5);
/// How long one answer may take: a real one locks all that it is handed.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long frames may take to be taken, beside [`PER_FRAME`]: a vswitch may have other queues to look after.
pub(super) const TO_TAKE: Duration = Duration::from_secs(3);
pub(super) const PER_FRAME: Duration = Duration::from_micros(50);
/// How long is waited for what comes back, and for a sign that the rings are looked at: a peer that polls takes less.
pub(super) const LINGER: Duration = Duration::from_millis(100);
/// The length of a frame, bytes, without its checksum.
pub(super) const FRAME_BYTES: usize = 64;

// === impl PeerTask ===

impl PeerTask {
    /// How long all of it may take, beside taking the pages.
    #[must_use]
    pub fn time(&self) -> Duration {
        TO_CONNECT + self.time_of_session()
    }

    /// How long the session may take, from the connection to its end, however many answers come late.
    pub(super) fn time_of_session(&self) -> Duration {
        PATIENCE * 2 + self.time_of_frames() + LINGER * 2
    }

    pub(super) fn time_of_frames(&self) -> Duration {
        TO_TAKE
            .saturating_add(PER_FRAME.saturating_mul(u32::try_from(self.peer.transmit).unwrap_or(u32::MAX)))
    }
}
