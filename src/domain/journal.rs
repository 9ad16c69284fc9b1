//! The journal of a `--reserve` run: the pages that it added to the pools, so that another run can give them back.
//!
//! A journal is a text file. Each line is a whole [`Record`], and the last line that can be parsed counts. The run
//! appends a line before it grows a pool, with the number of pages that it is about to request, and a line afterwards,
//! with the number that it got. It also appends a line before it shrinks the pools. If a run is killed while it writes,
//! at most the last line is incomplete, and the run has not yet made the change that this line announces.

use serde::{Deserialize, Serialize};

use super::pool_id::PoolId;

/// The pages that one run added to the pools.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// The boot in which the run added them: `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The pools, in the order in which the run grew them.
    pub pools: Vec<PoolRecord>,
}

/// The number of persistent pages that one run added to one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRecord {
    /// The pool.
    pub pool: PoolId,
    /// The pages that the pool had before the run, without those that other runs had added.
    pub before: u64,
    /// The maximum number of pages that the run got. It is exact once the kernel has answered.
    pub got: u64,
}

// === impl Record ===

impl Record {
    /// Returns the record in the text of a journal; `None` if no line is a record, because the run died before it grew
    /// a pool.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.lines().rev().find_map(|line| serde_json::from_str(line).ok())
    }

    /// Returns the line to append to the journal. It begins with a line break, which ends an incomplete line.
    ///
    /// # Errors
    ///
    /// None are known: the serialiser accepts every value of the type.
    pub fn line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|line| format!("\n{line}\n"))
    }

    /// Returns the entry of `pool`.
    #[must_use]
    pub fn get(&self, pool: PoolId) -> Option<PoolRecord> {
        self.pools.iter().copied().find(|entry| entry.pool == pool)
    }

    /// Sets the entry of a pool, or adds it if the record has none.
    pub fn set(&mut self, entry: PoolRecord) {
        match self.pools.iter_mut().find(|other| other.pool == entry.pool) {
            Some(other) => *other = entry,
            None => self.pools.push(entry),
        }
    }
}

/// Returns the number of pages that `runs` added to `pool`.
#[must_use]
pub fn added(runs: &[Record], pool: PoolId) -> u64 {
    runs.iter().filter_map(|run| run.get(pool)).fold(0, |sum, entry| sum.saturating_add(entry.got))
}

// === impl PoolRecord ===

impl PoolRecord {
    /// Returns the number of persistent pages to which a pool that has `persistent` pages is shrunk when the run ends.
    ///
    /// The pool is shrunk by at most `got` pages, and not below what it had before the run plus the `added` pages of
    /// other runs.
    #[must_use]
    pub fn target(self, persistent: u64, added: u64) -> u64 {
        let floor = self.before.saturating_add(added);
        persistent.saturating_sub(self.got).max(floor).min(persistent)
    }
}

#[cfg(test)]
mod tests;
