//! The events that a role reports when it runs alone, for the user to follow as they happen.
//!
//! The worker writes each event as a line of JSON to its standard output, and the process that started it shows it.
//! Frames are counted from the side of the role: `sent` frames are those that it gave to its peer, `received` frames
//! those that it took.

use serde::{Deserialize, Serialize};

use super::check::Outcome;

/// One event of the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionEvent {
    /// Features were negotiated.
    Negotiated(Negotiated),
    /// The frontend's memory has this region.
    Region(Region),
    /// The NUMA nodes of the pages in a region that this process maps.
    Placed(Placed),
    /// A vring was started.
    Started {
        /// The vring: 0 receives at the frontend, 1 transmits there.
        vring: u32,
    },
    /// A vring was stopped.
    Stopped {
        /// The vring, as in `Started`.
        vring: u32,
    },
    /// The frames and bytes so far.
    Traffic(Traffic),
    /// The round-trip times of single frames.
    RoundTrips(RoundTrips),
    /// The session ended. This is the last line.
    Ended {
        /// `pass`: it worked. `fail`: the peer or the memory is at fault. `unknown`: inconclusive.
        outcome: Outcome,
        /// The result, in one sentence.
        text: String,
    },
}

/// The negotiated features.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Negotiated {
    /// The virtio features, by their names in the specification.
    pub features: Vec<String>,
    /// The protocol features, by their names in the specification.
    pub protocol_features: Vec<String>,
    /// The layout of the rings, `split` or `packed`, if the device is known to have queues.
    pub rings: Option<String>,
    /// The number of queue pairs that the backend has, if it reported one.
    pub queue_pairs: Option<u64>,
    /// The number of memory regions that the backend accepts, if it reported one.
    pub memory_slots: Option<u64>,
}

/// A region of the frontend's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// The memory table that it belongs to, counted from 1. An added region makes a new table.
    pub table: u64,
    /// Its index in the table, counted from 0.
    pub index: usize,
    /// Its length in bytes.
    pub bytes: u64,
    /// The page size of its file, in bytes.
    pub page_bytes: u64,
    /// Whether the file is on hugetlbfs; a memfd of huge pages is.
    pub is_hugetlbfs: bool,
    /// Its guest address.
    pub guest: u64,
    /// `st_ino` of the file, which is the same on both sides.
    pub inode: u64,
}

/// The pages of a region, by NUMA node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The index of the region, counted from 0.
    pub index: usize,
    /// Pairs of NUMA node and number of pages. Empty if this process has not touched any page of the region.
    pub nodes: Vec<(u32, u64)>,
    /// Why the nodes are not known, if they are not.
    pub unknown: Option<String>,
}

/// The frames and bytes that were transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Frames given to the peer.
    pub sent: u64,
    /// Bytes of the frames in `sent`.
    pub sent_bytes: u64,
    /// Frames taken from the peer.
    pub received: u64,
    /// Bytes of the frames in `received`.
    pub received_bytes: u64,
    /// Frames taken while a ring was disabled, and discarded.
    pub discarded: u64,
    /// The state of the received frames, if they were examined.
    pub looked: Option<Looked>,
    /// The time so far, from about the first frame to about the last, in nanoseconds.
    pub nanos: u64,
}

/// Round-trip times of frames that were sent one at a time, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrips {
    /// The number of frames that were timed.
    pub count: u64,
    /// The median: half of the frames took no longer.
    pub p50: u64,
    /// The 99th percentile: 99 of 100 frames took no longer.
    pub p99: u64,
}

/// The state of the received frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Looked {
    /// Frames from hugeprobe that arrived unaltered and for the first time.
    pub intact: u64,
    /// Frames from hugeprobe that arrived altered.
    pub altered: u64,
    /// Frames from hugeprobe that had already arrived before.
    pub doubled: u64,
    /// Frames that hugeprobe did not send.
    pub foreign: u64,
}

// === impl Traffic ===

impl Traffic {
    /// Returns the number of frames in both directions.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.sent.saturating_add(self.received)
    }
}

// === impl Looked ===

impl Looked {
    /// Returns whether a frame came back altered or more than once.
    #[must_use]
    pub const fn is_bad(&self) -> bool {
        self.altered > 0 || self.doubled > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_survives_its_own_text() {
        for said in [
            SessionEvent::Negotiated(Negotiated {
                features: vec!["VERSION_1".into()],
                ..Negotiated::default()
            }),
            SessionEvent::Placed(Placed { index: 1, nodes: vec![(0, 2)], unknown: None }),
            SessionEvent::Started { vring: 1 },
            SessionEvent::Traffic(Traffic {
                sent: u64::MAX,
                looked: Some(Looked::default()),
                ..Traffic::default()
            }),
            SessionEvent::Ended { outcome: Outcome::Fail, text: "a\nb".into() },
        ] {
            let line = serde_json::to_string(&said).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<SessionEvent>(&line).unwrap(), said);
        }
    }
}
