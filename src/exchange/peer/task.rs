//! The task of the worker that talks to a peer, and how long each part of it may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::role::Source;
use hugeprobe_domain::peer::Peer as UnderTest;
use hugeprobe_domain::size::PageSize;

/// The task of the worker, passed to it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerTask {
    /// The page size.
    pub size: PageSize,
    /// The number of pages to share, at least 1. With 2 or more, they are in two files.
    pub pages: u64,
    /// Where the pages come from.
    pub memory: Source,
    /// The seed of everything that is written and sent.
    pub seed: u64,
    /// The cgroup to be charged for the pages: the frontend's, if it has a separate one.
    pub cgroup: Option<String>,
    /// The peer. If the peer connects, the worker's standard input is the listening socket.
    pub peer: UnderTest,
}

/// How long a peer may take to listen. It is short because QEMU and virtio_user give up at once.
pub(super) const TO_LISTEN: Duration = Duration::from_secs(1);
/// How long a peer may take to connect. DPDK's vhost library tries once a second.
pub(super) const TO_CONNECT: Duration = Duration::from_secs(5);
/// How long one answer may take. A real peer locks all memory that it receives.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a peer may take to receive the frames, in addition to [`PER_FRAME`] for each. A vswitch may have other
/// queues to serve.
pub(super) const TO_TAKE: Duration = Duration::from_secs(3);
pub(super) const PER_FRAME: Duration = Duration::from_micros(50);
/// How long to wait for frames that come back, and for a sign that the peer processes the rings. A peer that polls
/// needs less.
pub(super) const LINGER: Duration = Duration::from_millis(100);
/// The length of a frame in bytes, without its checksum.
pub(super) const FRAME_BYTES: usize = 64;

// === impl PeerTask ===

impl PeerTask {
    /// Returns how long the whole task may take, without the allocation of the pages.
    #[must_use]
    pub fn time(&self) -> Duration {
        TO_CONNECT + self.time_of_session()
    }

    /// Returns how long the session may take from the connection to its end, however many answers are late.
    pub(super) fn time_of_session(&self) -> Duration {
        PATIENCE * 2 + self.time_of_frames() + LINGER * 2
    }

    pub(super) fn time_of_frames(&self) -> Duration {
        TO_TAKE
            .saturating_add(PER_FRAME.saturating_mul(u32::try_from(self.peer.transmit).unwrap_or(u32::MAX)))
    }
}
