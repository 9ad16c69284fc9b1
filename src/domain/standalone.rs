//! What a role says that runs alone: line by line, as things happen, for a person to follow.
//!
//! A worker writes each as a line of JSON to its standard output; the process that started it shows it. Frames are counted as
//! role sees them: `sent` is what it gave to its peer, `received` what it took.

use serde::{Deserialize, Serialize};

use super::check::Outcome;

/// One thing that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionEvent {
    /// Features were agreed on.
    Negotiated(Negotiated),
    /// The frontend's memory has this region.
    Region(Region),
    /// On which NUMA nodes the pages of a region are that this process maps.
    Placed(Placed),
    /// A vring runs.
    Started {
        /// 0 receives at the frontend, 1 transmits there.
        vring: u32,
    },
    /// A vring was stopped.
    Stopped {
        /// As for `Started`.
        vring: u32,
    },
    /// Frames and bytes so far.
    Traffic(Traffic),
    /// How long single frames took there and back.
    RoundTrips(RoundTrips),
    /// How it ended, in a sentence: the last line.
    Ended {
        /// `pass`: it worked. `fail`: the peer, or the memory, is wrong. `unknown`: inconclusive.
        outcome: Outcome,
        /// The sentence.
        text: String,
    },
}

/// What was agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Negotiated {
    /// Virtio features, by the names of the specification.
    pub features: Vec<String>,
    /// Protocol features, likewise.
    pub protocol_features: Vec<String>,
    /// How many queue pairs the backend has, if it said.
    pub queue_pairs: Option<u64>,
    /// How many regions the backend takes, if it said.
    pub memory_slots: Option<u64>,
}

/// A region of the frontend's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Which memory table it belongs to, counted from 1; an added region makes a new one.
    pub table: u64,
    /// Its number in there, counted from 0.
    pub index: usize,
    /// Its length, bytes.
    pub bytes: u64,
    /// The page size of its file, bytes.
    pub page_bytes: u64,
    /// Whether the file is on hugetlbfs; a memfd of huge pages is.
    pub is_hugetlbfs: bool,
    /// Where the guest has it.
    pub guest: u64,
    /// `st_ino` of the file: the same on both sides.
    pub inode: u64,
}

/// Pages of a region, by NUMA node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The region, counted from 0.
    pub index: usize,
    /// (NUMA node, pages); none that this process has touched, if empty.
    pub nodes: Vec<(u32, u64)>,
    /// Why that is not known, if it is not.
    pub unknown: Option<String>,
}

/// Frames and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Frames given to the peer.
    pub sent: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
    /// Frames taken from the peer.
    pub received: u64,
    /// Bytes of those.
    pub received_bytes: u64,
    /// Frames taken while a ring was disabled, and thrown away.
    pub discarded: u64,
    /// Of the frames that came, where they were looked at: what state they were in.
    pub looked: Option<Looked>,
    /// How long it took so far, from about the first frame to about the last, nanoseconds.
    pub nanos: u64,
}

/// How long frames took to come back, one at a time. In nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrips {
    /// How many were timed.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
}

/// The state of frames that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Looked {
    /// As hugeprobe made them, each for the first time.
    pub intact: u64,
    /// hugeprobe's, with other bytes.
    pub altered: u64,
    /// hugeprobe's, come before.
    pub doubled: u64,
    /// Frames that hugeprobe did not send.
    pub foreign: u64,
}

// === impl Traffic ===

impl Traffic {
    /// Frames both ways.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.sent.saturating_add(self.received)
    }
}

// === impl Looked ===

impl Looked {
    /// Whether a frame came back altered or more than once.
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
