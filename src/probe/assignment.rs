//! What a worker process is told: one JSON argument, so that `ps` shows what it is about.

use serde::{Deserialize, Serialize};

use crate::allocation;
use crate::domain::plan::Role;
use crate::domain::sharing::Session;
use crate::domain::size::PageSize;
use crate::exchange::steps::{self, Side};
use crate::exchange::{peer, role as exchange};

/// The hidden verb that a worker is started with.
pub const VERB: &str = "worker";

/// A worker's whole instruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The run's nonce: a part that does not carry it belongs to somebody else.
    pub run: String,
    /// The process that started this one; if it is gone already, so is the worker.
    pub parent: i32,
    /// How the worker speaks.
    #[serde(default)]
    pub manner: Manner,
    /// What to do.
    pub work: Work,
}

/// What a worker does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Takes pages, alone.
    Allocation(allocation::Task),
    /// Shares pages with another worker, at the other end of its standard input.
    Exchange(exchange::Task),
    /// The same, one thing at a time, as the other end of its standard input says.
    Steps(steps::Task),
    /// Shares pages with a peer under test.
    Peer(peer::Task),
}

/// How a worker speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manner {
    /// Steps and findings: a part.
    #[default]
    Part,
    /// Also how the counters moved in each step.
    Walk,
    /// The same, and wait for a line on standard input after each.
    Pause,
}

// === impl Work ===

impl Work {
    /// Who it makes the worker.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self {
            Self::Allocation(task) => task.role,
            Self::Exchange(task) => task.role,
            Self::Steps(task) => match task.side {
                Side::Frontend => Role::Frontend(Session::FrontendFirst),
                Side::Backend => Role::Backend(Session::FrontendFirst),
            },
            Self::Peer(_) => Role::Peer,
        }
    }

    /// The size that it is about; `None` for the machine.
    #[must_use]
    pub const fn size(&self) -> Option<PageSize> {
        match self {
            Self::Allocation(task) => task.size,
            Self::Exchange(task) => Some(task.size),
            Self::Steps(task) => Some(task.size),
            Self::Peer(task) => Some(task.size),
        }
    }
}
