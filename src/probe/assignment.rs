//! What a worker process is told: one JSON argument, so that `ps` shows what it is about.

use serde::{Deserialize, Serialize};

use crate::allocation::Task;

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
    pub task: Task,
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
