//! The reconciler's time: the time that has passed, independent of the wall clock. Setting the clock does not move a
//! deadline.

use jiff::{SignedDuration, Timestamp};

use super::refusal::Refusal;
use crate::backoff::{Backoff, jittered, next_random};

/// A point in time, in milliseconds since the agent started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Moment(u64);

/// The agent's own time, the wall clock's time, and a random number that differs between agents.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Moment,
    shown: Option<Timestamp>,
    /// The wall clock's time up to which passed time has been counted, in whole milliseconds.
    counted: Option<Timestamp>,
    random: u64,
}

/// The longest time between two decisions, in milliseconds.
pub(super) const LONGEST_SLEEP_MS: u64 = 3_600_000;

/// The most time that is counted between two observations. The pools are read more often than this, so a longer
/// interval means that the clock was set or the machine was suspended.
const MOST_AT_ONCE: SignedDuration = SignedDuration::from_mins(70);

// === impl ===

impl Moment {
    /// Returns the moment this many milliseconds later.
    pub(super) const fn after(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Returns the milliseconds from `earlier` to this moment; 0 if `earlier` is later.
    pub(super) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Clock {
    /// Counts the time since the last call. `now` is the wall clock's time.
    pub(super) fn advance(&mut self, now: Timestamp, random: u64) {
        let passed = self.counted.map_or(SignedDuration::ZERO, |counted| now.duration_since(counted));
        let whole = passed.clamp(SignedDuration::ZERO, MOST_AT_ONCE).as_millis();
        self.now = self.now.after(u64::try_from(whole).unwrap_or(0));
        // The remainder below a millisecond is counted in the next call. Otherwise many short steps would count as no
        // time.
        let rest = passed.subsec_nanos() % 1_000_000;
        self.counted = now.checked_sub(SignedDuration::from_nanos(i64::from(rest.max(0)))).ok();
        self.shown = Some(now);
        self.random = self.random.wrapping_add(random);
    }

    /// Returns the current moment of the reconciler's time.
    pub(super) const fn now(&self) -> Moment {
        self.now
    }

    /// Returns the wall clock's time of the last step.
    pub(super) fn shown(&self) -> Timestamp {
        self.shown.unwrap_or_default()
    }

    /// Returns the wall clock's time at a future moment, if the clock is not set until then.
    pub(super) fn at(&self, moment: Moment) -> Timestamp {
        let ahead = SignedDuration::from_millis(i64::try_from(moment.since(self.now)).unwrap_or(i64::MAX));
        self.shown().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// Returns `milliseconds` with jitter.
    pub(super) fn jittered(&mut self, milliseconds: u64) -> u64 {
        jittered(milliseconds, next_random(&mut self.random))
    }

    /// Returns when to retry after `failures` failures in a row. `failures` is at least 1.
    pub(super) fn again(&mut self, backoff: Backoff, failures: u32) -> Moment {
        let wait = self.jittered(backoff.wait(failures));
        self.now.after(wait)
    }

    /// As [`Self::again`], but not earlier than the API server allows after a refusal.
    pub(super) fn after_refusal(&mut self, backoff: Backoff, failures: u32, refusal: &Refusal) -> Moment {
        let asked = refusal.retry_after_ms().min(LONGEST_SLEEP_MS);
        self.again(backoff, failures).max(self.now.after(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_clock_that_is_set_moves_no_deadline() {
        let mut clock = Clock::default();
        clock.advance(at(1000), 1);
        let deadline = clock.now().after(30_000);
        clock.advance(at(10), 1);
        assert_eq!(clock.at(deadline), at(40));
        clock.advance(at(20), 1);
        assert_eq!(deadline.since(clock.now()), 20_000);
        clock.advance(at(1 << 32), 1);
        assert_eq!(clock.now().since(deadline), 70 * 60_000 - 20_000);
    }

    #[test]
    fn many_short_steps_are_time_all_the_same() {
        let mut clock = Clock::default();
        for micros in (0..=1_000_000).step_by(300) {
            clock.advance(at(1000).checked_add(SignedDuration::from_micros(micros)).unwrap(), 1);
        }
        assert!(clock.now().since(Moment::default()) >= 999);
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it() {
        let mut clock = Clock::default();
        let backoff = Backoff { first: 1_000, most: 60_000 };
        let wait = |clock: &mut Clock, after_seconds| {
            let refusal = Refusal::Throttled { after_seconds };
            clock.after_refusal(backoff, 1, &refusal).since(clock.now())
        };
        assert!((800..=1_200).contains(&wait(&mut clock, None)));
        assert_eq!(wait(&mut clock, Some(30)), 30_000);
        assert_eq!(wait(&mut clock, Some(u64::MAX)), LONGEST_SLEEP_MS);
    }
}
