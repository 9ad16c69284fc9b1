//! The state of the requests for another probe.

use std::collections::VecDeque;

use super::super::clock::Moment;
use super::super::node::NodeView;
use crate::names;

/// How many requests are followed in an hour. A later one waits.
pub(in super::super) const PER_HOUR: usize = 12;

const HOUR_MS: u64 = 3_600_000;

/// The state of the requests.
#[derive(Debug, Default)]
pub(in super::super) struct Recheck {
    /// The last value that was followed or ignored.
    pub(super) seen: Option<String>,
    /// Whether `seen` was followed and its probes have not ended.
    pub(super) is_open: bool,
    /// The value of [`names::RECHECKED`].
    pub(in super::super) answered: Option<String>,
    /// When requests were followed, without those of more than an hour ago.
    pub(super) followed: VecDeque<Moment>,
    /// When the request that waits may be followed.
    pub(in super::super) due: Option<Moment>,
    /// The last line for the log.
    pub(in super::super) log: Option<String>,
}

// === impl Recheck ===

impl Recheck {
    /// Takes over which request the previous agent answered.
    pub(in super::super) fn take_over(&mut self, node: &NodeView) {
        let answered =
            node.annotations.get(names::RECHECKED).filter(|_| node.owned.contains(names::RECHECKED));
        self.seen = answered.cloned();
        self.answered = answered.cloned();
    }

    /// Returns when another request may be followed; a moment that is not later than `now` if it may be followed now.
    pub(super) fn follows_at(&mut self, now: Moment) -> Moment {
        while self.followed.front().is_some_and(|at| now.since(*at) >= HOUR_MS) {
            self.followed.pop_front();
        }
        let first = self.followed.front().filter(|_| self.followed.len() >= PER_HOUR);
        first.map_or(now, |at| at.after(HOUR_MS))
    }
}
