//! The journal of a `--reserve` run: what it added to the pools, so that another run can take it back.
//!
//! A journal is a file of lines. Each line is the whole [`Record`], and the last line that can be read counts. The run
//! writes one before it grows a pool, with the pages that it is about to ask for, and one after, with what it got. It
//! writes one before it shrinks the pools. A run that is killed while it writes leaves at most its last line torn, and has
//! not done yet what that line announces.

use serde::{Deserialize, Serialize};

use super::reserve::PoolId;

/// What one run added to the pools.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// The boot that the pools belong to: `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The pools, in the order in which the run grew them.
    pub pools: Vec<PoolRecord>,
}

/// What one run added to one pool, in persistent pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRecord {
    /// Which pool.
    pub pool: PoolId,
    /// What the pool had before the run, without the pages that other runs had added.
    pub before: u64,
    /// What the run got at most. It is exact once the kernel has answered.
    pub got: u64,
}

// === impl Record ===

impl Record {
    /// The record that a journal's text holds; `None` if no line is one, because the run died before it grew a pool.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.lines().rev().find_map(|line| serde_json::from_str(line).ok())
    }

    /// The line to append to the journal. It begins with a line break, which ends a line that is torn.
    ///
    /// # Errors
    ///
    /// None that is known: the serialiser accepts every value of the type.
    pub fn line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|line| format!("\n{line}\n"))
    }

    /// The entry of `pool`.
    #[must_use]
    pub fn get(&self, pool: PoolId) -> Option<PoolRecord> {
        self.pools.iter().copied().find(|entry| entry.pool == pool)
    }

    /// Sets the entry of a pool, and adds it if there is none.
    pub fn set(&mut self, entry: PoolRecord) {
        match self.pools.iter_mut().find(|other| other.pool == entry.pool) {
            Some(other) => *other = entry,
            None => self.pools.push(entry),
        }
    }
}

/// The pages that `runs` added to `pool`.
#[must_use]
pub fn added(runs: &[Record], pool: PoolId) -> u64 {
    runs.iter().filter_map(|run| run.get(pool)).fold(0, |sum, entry| sum.saturating_add(entry.got))
}

// === impl PoolRecord ===

impl PoolRecord {
    /// What a pool that has `persistent` pages is to be shrunk to when the run ends: by what the run got at most, and not
    /// below what the pool had before the run and the `added` pages of other runs.
    #[must_use]
    pub fn target(self, persistent: u64, added: u64) -> u64 {
        let floor = self.before.saturating_add(added);
        persistent.saturating_sub(self.got).max(floor).min(persistent)
    }
}

#[cfg(test)]
mod tests;
