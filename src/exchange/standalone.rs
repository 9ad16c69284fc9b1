//! A role that runs alone: against the other role in another container, or against a real peer.
//!
//! Nothing is known of the peer but what it says. What happens is said as it happens, see [`SessionEvent`]; the last line says
//! how it ended.

mod backend;
mod frontend;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::frame::Tally;
use super::message::{feature, protocol};
use super::role::Source;
use super::table::FileFacts;
use crate::domain::check::Outcome;
use crate::domain::reading::Reading;
use crate::domain::size::PageSize;
use crate::domain::standalone::{Looked, Placed, Region, SessionEvent};
use crate::linux::numa_maps;

/// What one worker is to do. Travels to it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum StandaloneTask {
    /// To own the memory.
    Frontend(FrontendTask),
    /// As the backend.
    Backend(BackendTask),
}

/// The side that owns the memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontendTask {
    /// The page size.
    pub size: PageSize,
    /// How many pages are shared: one at least. From two on, two files.
    pub pages: u64,
    /// Where they come from.
    pub memory: Source,
    /// Frames to send, or to wait for.
    pub frames: u64,
    /// The length of a frame, bytes.
    pub frame_bytes: usize,
    /// What the backend does with frames.
    pub peer: BackendMode,
    /// How many frames may be under way at once.
    pub window: u16,
    /// How it waits for the backend.
    pub wait: Wait,
    /// How long everything may take, milliseconds; `None`: for ever.
    pub millis: Option<u64>,
}

/// The side that is handed the memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendTask {
    /// What is done with frames.
    pub mode: BackendMode,
    /// The page size to insist on; any huge page if `None`.
    pub size: Option<PageSize>,
    /// When it has done enough; `None`: when the frontend hangs up.
    pub frames: Option<u64>,
    /// The length of a frame that is made here, bytes.
    pub frame_bytes: usize,
    /// How it waits for the frontend.
    pub wait: Wait,
    /// How long everything may take, milliseconds; `None`: for ever.
    pub millis: Option<u64>,
}

/// What a backend does with frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendMode {
    /// Sends each back.
    Echo,
    /// Takes them.
    Sink,
    /// Makes them.
    Source,
    /// Makes them, and has each sent back by the frontend.
    Bounce,
}

/// How a role waits for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Looks for a moment, then sleeps until it is notified.
    #[default]
    Both,
    /// Looks over and over.
    Poll,
    /// Sleeps until it is notified.
    Sleep,
}

/// To whom a role speaks.
pub type Say<'a> = &'a mut dyn FnMut(&SessionEvent) -> io::Result<()>;

/// Longer than any session; an [`Instant`] has no value for "never".
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Of the frames of a role that runs alone: either side knows the other's, as there is nobody to tell it.
const SEED: u64 = 0x6875_6765_7072_6f62;

/// Does the work of `task` over `socket`. [`SessionEvent::Ended`] is the last that is said.
///
/// # Errors
///
/// The reader of the output is gone. Nothing is held any more.
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

/// Why a role did not come to a good end.
enum Stop {
    /// `fail` or `unknown`, and a sentence.
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

/// When the time is up; far away if it never is.
fn deadline(millis: Option<u64>) -> Instant {
    let now = Instant::now();
    let left = millis.map_or(FOR_EVER, |millis| Duration::from_millis(millis).min(FOR_EVER));
    now.checked_add(left).unwrap_or(now)
}

fn looked(tally: Tally) -> Looked {
    let Tally { intact, altered, doubled, foreign, bytes: _ } = tally;
    Looked { intact, altered, doubled, foreign }
}

fn region(table: u64, index: usize, bytes: u64, guest: u64, facts: &FileFacts) -> Region {
    let FileFacts { inode, page_bytes, is_hugetlbfs, .. } = *facts;
    Region { table, index, bytes, page_bytes, is_hugetlbfs, guest, inode }
}

/// Where the pages of the mapping at `address` are.
fn placed(index: usize, address: u64) -> Placed {
    match numa_maps::nodes_of_mapping_at(address) {
        Reading::Known(nodes) => Placed { index, nodes, unknown: None },
        other => Placed { index, nodes: Vec::new(), unknown: other.why_unknown().map(ToOwned::to_owned) },
    }
}

/// The features of [`feature`] that are set; what has no name here, as a number.
pub(super) fn features(bits: u64) -> Vec<String> {
    named(
        bits,
        &[
            (feature::VERSION_1, "VERSION_1"),
            (feature::MRG_RXBUF, "MRG_RXBUF"),
            (feature::MQ, "MQ"),
            (feature::PROTOCOL_FEATURES, "PROTOCOL_FEATURES"),
        ],
    )
}

/// The features of [`protocol`] that are set, likewise.
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
