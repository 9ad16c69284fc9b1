//! The peer of `--peer`: a vswitch, or another vhost-user program, that is tested with these pages.

use serde::{Deserialize, Serialize};

use super::catalogue::{HP612, HP613, HP614, HP615};
use super::check::CheckId;

/// A peer under test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// The path of the UNIX socket.
    pub socket: String,
    /// Whether hugeprobe listens and the peer connects. An OVS port of type `dpdkvhostuserclient` connects, because its
    /// counterpart (virtio_user, or QEMU with `server`) listens.
    pub listen: bool,
    /// How many frames hugeprobe sends to the peer; 0 for none.
    pub transmit: u64,
}

/// The checks that a session with a peer reports. It always reports all of them.
pub const PEER: [CheckId; 4] = [HP612, HP613, HP614, HP615];
