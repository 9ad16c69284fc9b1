//! Follows an operator's request for another probe: the annotation [`names::RECHECK`] of the Node.
//!
//! Each value causes at most one probe of each size, and [`PER_HOUR`] values are followed in an hour, so that no client
//! that may write the annotation can keep a node busy with probes. [`names::RECHECKED`] shows which value was answered.

pub(super) mod requests;

use jiff::{SignedDuration, Timestamp};

use super::size_state::{BlockedKind, SizeState};
use super::state::Reconciler;
use crate::names;
use hugeprobe_domain::text::line;
use requests::PER_HOUR;

/// How far the clocks of an operator and of a node may differ.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

/// The most characters of a value in the log.
const VALUE_CHARS: usize = 64;

impl Reconciler {
    /// Starts what the Node's annotation asks for, and notes the request as answered once every size has been probed.
    pub(super) fn follow_recheck(&mut self) {
        let value = self.node().and_then(|node| node.recheck.clone());
        let is_new = |value: &String| self.probing.recheck.seen.as_ref() != Some(value);
        self.probing.recheck.due = None;
        if let Some(value) = value.filter(is_new) {
            self.request_recheck(value);
        }
        if self.probing.recheck.is_open && self.is_rechecked() {
            let recheck = &mut self.probing.recheck;
            recheck.is_open = false;
            recheck.answered.clone_from(&recheck.seen);
        }
    }

    fn request_recheck(&mut self, value: String) {
        let (now, shown) = (self.clock.now(), line(&value, VALUE_CHARS));
        let at = match time(&value, self.clock.shown()) {
            Ok(at) => at,
            Err(why) => {
                let recheck = &mut self.probing.recheck;
                recheck.log = Some(format!("the annotation {}={shown} is ignored: {why}", names::RECHECK));
                (recheck.seen, recheck.is_open) = (Some(value), false);
                return;
            }
        };
        let is_old = self.is_probed_since(at);
        let recheck = &mut self.probing.recheck;
        let due = recheck.follows_at(now);
        if due > now && !is_old {
            let text = format!(
                "a new probe was requested at {shown}; it waits: {PER_HOUR} were requested in an hour"
            );
            (recheck.log, recheck.due) = (Some(text), Some(due));
            return;
        }
        (recheck.seen, recheck.is_open) = (Some(value), true);
        if is_old {
            return;
        }
        recheck.log = Some(format!("a new probe was requested at {shown}"));
        recheck.followed.push_back(now);
        let running = self.probing.running.as_ref().map(|running| running.asked.size);
        for (size, state) in &mut self.sizes {
            state.recheck(running == Some(*size), now);
        }
    }

    /// Returns whether the last probe of every size ended clearly after this time, by any clock.
    fn is_probed_since(&self, at: Timestamp) -> bool {
        let now = self.clock.now();
        let Ok(surely) = at.checked_add(SKEW) else { return false };
        let mut tried = self.sizes.values().filter(|state| state.may_be_tried).peekable();
        tried.peek().is_some()
            && tried.all(|state| state.valid_result(now).is_some_and(|result| result.at > surely))
    }

    /// Returns whether every size has been probed as requested, or cannot be. A probe that waits for its turn is still
    /// to come.
    fn is_rechecked(&self) -> bool {
        let waits = |state: &SizeState| {
            state.blocked.as_ref().is_some_and(|blocked| blocked.kind == BlockedKind::Waiting)
        };
        self.sizes.values().all(|state| !state.may_be_tried || (state.is_settled() && !waits(state)))
    }
}

/// Returns the time of a request, or why it is ignored.
fn time(value: &str, now: Timestamp) -> Result<Timestamp, &'static str> {
    let at: Timestamp = value.parse().map_err(|_| "it is not a time in the form of RFC 3339")?;
    if at.duration_since(now) > SKEW {
        return Err("it is in the future");
    }
    Ok(at)
}
