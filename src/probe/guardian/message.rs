//! What the orchestrator tells the guardian, once, as its argument; and what the guardian says, a JSON line each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::request::PageCount;
use crate::domain::reserve::{Granted, PoolId};

/// What the guardian is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Assignment {
    /// Where the tree of kernel files begins.
    pub(super) root: PathBuf,
    /// Where the lock and the journals are.
    pub(super) run_directory: PathBuf,
    /// The second half of the run's name, after the guardian's pid.
    pub(super) nonce: String,
    /// What to reserve.
    pub(super) counts: Vec<PageCount>,
}

/// One line of the guardian's. It says `Granted` and, at the end, `Restored`; or `Failed` alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Message {
    /// The pools have grown by this.
    Granted {
        /// One per count, in order.
        granted: Vec<Granted>,
        /// What it gave back first, on behalf of the dead.
        replayed: Vec<Replayed>,
    },
    /// It could not grow the pools, and has given back what it had.
    Failed {
        /// Why.
        why: String,
        /// What it gave back.
        restored: Restored,
    },
    /// It has given back.
    Restored(Restored),
}

/// Pages given back to one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenBack {
    /// Which pool.
    #[serde(flatten)]
    pub pool: PoolId,
    /// Persistent pages that went.
    pub pages: u64,
}

/// What came of giving back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Restored {
    /// Per pool that gave pages back, by size and node.
    pub given: Vec<GivenBack>,
    /// What is still owed and why, a sentence each. Its journal stays, so the next run tries again. Empty: all is as it was.
    pub problems: Vec<String>,
}

/// What came of a dead run's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// The dead run's name: the pid of its guardian and its nonce.
    pub run: String,
    /// What was given back on its behalf.
    #[serde(flatten)]
    pub restored: Restored,
    /// Why nothing was, though its journal is gone now: it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
}

// === impl Restored ===

impl Restored {
    /// Nothing is owed any more.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.problems.is_empty()
    }

    /// Pages that went, of all pools.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.given.iter().fold(0, |sum, given| sum.saturating_add(given.pages))
    }
}
