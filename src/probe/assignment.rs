//! The assignment of a worker process: one JSON argument, so that `ps` shows what the worker does.

use serde::{Deserialize, Serialize};

use hugeprobe_domain::plan::Role;
use hugeprobe_domain::size::PageSize;
use hugeprobe_exchange::{peer, role as exchange};

/// The hidden verb that a worker is started with.
pub const VERB: &str = "worker";

/// All instructions for a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The nonce of the run. A part with a different nonce belongs to another run.
    pub run: String,
    /// The pid of the process that started the worker. The worker exits if that process has already ended.
    pub parent: i32,
    /// Whether the worker waits for permission after each step that it announces. The permission is a byte that the
    /// worker reads from its standard output, which is then a socket. Only `walk` uses this.
    #[serde(default)]
    pub stepwise: bool,
    /// The task of the worker.
    pub work: Work,
}

/// The task of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Takes pages, without another worker.
    Allocation(hugeprobe_allocation::AllocationTask),
    /// Shares pages with another worker, over the socket that is its standard input.
    Exchange(exchange::SessionTask),
    /// Shares pages with a peer under test.
    Peer(peer::PeerTask),
}

// === impl Work ===

impl Work {
    /// Returns the role of the worker.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self {
            Self::Allocation(task) => task.role,
            Self::Exchange(task) => task.role,
            Self::Peer(_) => Role::Peer,
        }
    }

    /// Returns the page size of the task, or `None` if the task concerns the whole machine.
    #[must_use]
    pub const fn size(&self) -> Option<PageSize> {
        match self {
            Self::Allocation(task) => task.size,
            Self::Exchange(task) => Some(task.size),
            Self::Peer(task) => Some(task.size),
        }
    }
}
