//! The assignment of a worker process: one JSON argument, so that `ps` shows what it is about.

use serde::{Deserialize, Serialize};

use crate::allocation;
use crate::domain::plan::Role;
use crate::domain::size::PageSize;
use crate::exchange::{peer, role as exchange};

/// The hidden verb that a worker is started with.
pub const VERB: &str = "worker";

/// A worker's whole instruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The run's nonce: a part without it belongs to another run.
    pub run: String,
    /// The process that started this one; if it is gone already, so is the worker.
    pub parent: i32,
    /// Whether the worker waits for permission after each step that it announces: for a byte that comes on its
    /// standard output, a socket then. For `walk`.
    #[serde(default)]
    pub stepwise: bool,
    /// What to do.
    pub work: Work,
}

/// What a worker does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Takes pages, alone.
    Allocation(allocation::AllocationTask),
    /// Shares pages with another worker, at the other end of its standard input.
    Exchange(exchange::SessionTask),
    /// Shares pages with a peer under test.
    Peer(peer::PeerTask),
}

// === impl Work ===

impl Work {
    /// Who it makes the worker.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self {
            Self::Allocation(task) => task.role,
            Self::Exchange(task) => task.role,
            Self::Peer(_) => Role::Peer,
        }
    }

    /// The size that it is about; `None` for the machine.
    #[must_use]
    pub const fn size(&self) -> Option<PageSize> {
        match self {
            Self::Allocation(task) => task.size,
            Self::Exchange(task) => Some(task.size),
            Self::Peer(task) => Some(task.size),
        }
    }
}
