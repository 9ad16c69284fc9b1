//! A role that runs alone, with the other role in another container or with a real peer.
//!
//! A role knows of its peer only what the peer sends. It reports events as they happen, see [`SessionEvent`]. The last
//! event says how the session ended.

mod backend;
mod frontend;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::frame::{Content, Tally};
use super::message::{feature, protocol};
use super::role::Source;
use super::table::FileFacts;
use hugeprobe_domain::check::Outcome;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;
use hugeprobe_domain::standalone::{Looked, Placed, Region, SessionEvent};
use hugeprobe_linux::numa_maps;

/// The task of one worker, passed to it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum StandaloneTask {
    /// Run the frontend.
    Frontend(FrontendTask),
    /// Run the backend.
    Backend(BackendTask),
}

/// The task of the frontend, which owns the memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontendTask {
    /// The page size.
    pub size: PageSize,
    /// The number of pages to share, at least 1. With 2 or more, they are in two files.
    pub pages: u64,
    /// Where the pages come from.
    pub memory: Source,
    /// The number of frames to send or to wait for.
    pub frames: u64,
    /// The length of a frame in bytes.
    pub frame_bytes: usize,
    /// What the frames hold, and whether those that arrive are verified.
    #[serde(default)]
    pub content: Content,
    /// What the backend does with frames.
    pub peer: BackendMode,
    /// Whether to use packed rings. The default is split rings.
    #[serde(default)]
    pub packed: bool,
    /// The most frames in flight at once.
    pub window: u16,
    /// How to wait for the backend.
    pub wait: Wait,
    /// How long the session may take in milliseconds, or `None` for no limit.
    pub millis: Option<u64>,
}

/// The task of the backend, which receives the memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendTask {
    /// What to do with frames.
    pub mode: BackendMode,
    /// The required page size, or `None` for huge pages of any size.
    pub size: Option<PageSize>,
    /// The number of frames after which the session ends, or `None` to serve until the frontend closes the connection.
    pub frames: Option<u64>,
    /// The length in bytes of the frames that the backend generates.
    pub frame_bytes: usize,
    /// What the frames hold, and whether those that arrive are verified.
    #[serde(default)]
    pub content: Content,
    /// How to wait for the frontend.
    pub wait: Wait,
    /// How long the session may take in milliseconds, or `None` for no limit.
    pub millis: Option<u64>,
}

/// What a backend does with frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendMode {
    /// Sends each frame back.
    Echo,
    /// Receives frames and sends none.
    Sink,
    /// Generates and sends frames.
    Source,
    /// Generates and sends frames, and expects the frontend to send each one back.
    Bounce,
}

/// How a role waits for its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Polls for a moment, then sleeps until it is notified.
    #[default]
    Both,
    /// Polls all the time.
    Poll,
    /// Sleeps until it is notified, without polling first.
    Sleep,
}

/// The function to which a role reports its events.
pub type Say<'a> = &'a mut dyn FnMut(&SessionEvent) -> io::Result<()>;

/// Longer than any session. It is needed because [`Instant`] has no value for "never".
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What is added to the result where frames are not read.
const NOT_READ: &str = "; their bytes were not compared (--plain)";

/// The seed of all frames of a standalone role. It is a constant, because vhost-user has no message to agree on a
/// seed.
const SEED: u64 = 0x6875_6765_7072_6f62;

/// Runs `task` over `socket`. The last event reported is [`SessionEvent::Ended`].
///
/// # Errors
///
/// The reader of the output is gone. All resources have been released.
pub fn run(task: &StandaloneTask, socket: OwnedFd, say: Say<'_>) -> io::Result<()> {
    let channel = Channel::new(socket);
    let end = match task {
        StandaloneTask::Frontend(task) => frontend::run(task, channel, say),
        StandaloneTask::Backend(task) => backend::run(task, channel, say),
    };
    let (outcome, text) = match end {
        Ok(text) => (Outcome::Pass, text),
        Err(Stop::Because(outcome, text)) => (outcome, text),
        Err(Stop::Gone(error)) => return Err(error),
    };
    say(&SessionEvent::Ended { outcome, text })
}

/// The reason why a role did not succeed.
enum Stop {
    /// The outcome, which is `fail` or `unknown`, and a sentence about it.
    Because(Outcome, String),
    /// The reader of the output is gone.
    Gone(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

// === helpers ===

#[allow(clippy::needless_pass_by_value)] // errors come by value, to be reported and dropped
fn fail(text: impl ToString) -> Stop {
    Stop::Because(Outcome::Fail, text.to_string())
}

#[allow(clippy::needless_pass_by_value)] // errors come by value, to be reported and dropped
fn unknown(text: impl ToString) -> Stop {
    Stop::Because(Outcome::Unknown, text.to_string())
}

/// Returns the deadline. Without a time limit it is far in the future.
fn deadline(millis: Option<u64>) -> Instant {
    let now = Instant::now();
    let left = millis.map_or(FOR_EVER, |millis| Duration::from_millis(millis).min(FOR_EVER));
    now.checked_add(left).unwrap_or(now)
}

fn looked(tally: Tally) -> Looked {
    let Tally { intact, altered, doubled, foreign, unread: _, bytes: _ } = tally;
    Looked { intact, altered, doubled, foreign }
}

fn region(table: u64, index: usize, bytes: u64, guest: u64, facts: &FileFacts) -> Region {
    let FileFacts { inode, page_bytes, is_hugetlbfs, .. } = *facts;
    Region { table, index, bytes, page_bytes, is_hugetlbfs, guest, inode }
}

/// Returns the NUMA nodes of the pages in the mapping at `address`.
fn placed(index: usize, address: u64) -> Placed {
    match numa_maps::nodes_of_mapping_at(address) {
        Reading::Known(nodes) => Placed { index, nodes, unknown: None },
        other => Placed { index, nodes: Vec::new(), unknown: other.why_unknown().map(ToOwned::to_owned) },
    }
}

/// Returns the names of the features of [`feature`] that are set. Bits without a name here become one number.
pub(super) fn features(bits: u64) -> Vec<String> {
    named(
        bits,
        &[
            (feature::VERSION_1, "VERSION_1"),
            (feature::MRG_RXBUF, "MRG_RXBUF"),
            (feature::MQ, "MQ"),
            (feature::INDIRECT_DESC, "INDIRECT_DESC"),
            (feature::RING_PACKED, "RING_PACKED"),
            (feature::IN_ORDER, "IN_ORDER"),
            (feature::PROTOCOL_FEATURES, "PROTOCOL_FEATURES"),
        ],
    )
}

/// Returns the names of the features of [`protocol`] that are set, in the same form as [`features`].
pub(super) fn protocol_features(bits: u64) -> Vec<String> {
    named(
        bits,
        &[
            (protocol::MQ, "MQ"),
            (protocol::REPLY_ACK, "REPLY_ACK"),
            (protocol::CONFIG, "CONFIG"),
            (protocol::RESET_DEVICE, "RESET_DEVICE"),
            (protocol::CONFIGURE_MEM_SLOTS, "CONFIGURE_MEM_SLOTS"),
            (protocol::STATUS, "STATUS"),
        ],
    )
}

fn named(bits: u64, names: &[(u64, &str)]) -> Vec<String> {
    let mut left = bits;
    let mut set = Vec::new();
    for (bit, name) in names {
        if bits & bit != 0 {
            set.push((*name).to_owned());
            left &= !bit;
        }
    }
    set.extend((left != 0).then(|| format!("{left:#x}")));
    set
}

#[cfg(test)]
mod tests;
