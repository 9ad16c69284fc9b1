//! `--peer`: the vswitch, or whatever else speaks vhost-user, that is asked whether it takes these pages.

use serde::{Deserialize, Serialize};

use super::catalogue::{HP612, HP613, HP614, HP615};
use super::check::CheckId;

/// A peer under test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// The path where the two meet.
    pub socket: String,
    /// Whether the peer connects and hugeprobe listens (`dpdkvhostuserclient`, a virtio_user or QEMU with `server`).
    pub listen: bool,
    /// How many frames it is sent; none if 0.
    pub transmit: u64,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum PathKind {
    /// A socket.
    Socket,
    /// Something else, in words: `nothing`, `a regular file`.
    Other(String),
}

/// What a session with a peer reports. All of it, whatever happens.
pub const PEER: [CheckId; 4] = [HP612, HP613, HP614, HP615];
