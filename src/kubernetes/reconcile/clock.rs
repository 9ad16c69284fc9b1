//! Time as the reconciler counts it: what has passed, not what the clock shows. A clock that is set back or forth moves no deadline.

use jiff::{SignedDuration, Timestamp};

/// A point in the agent's life, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Moment(u64);

/// The agent's time, the clock's, and a number that nobody else has.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Moment,
    shown: Option<Timestamp>,
    /// Up to when time has been counted: the last whole millisecond.
    counted: Option<Timestamp>,
    random: u64,
}

/// How long a wait grows, from failure to failure.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The first wait, milliseconds.
    pub first: u64,
    /// The longest.
    pub most: u64,
}

/// The thousandths of a wait that are added or taken at most, so that agents do not act in step.
pub const SPREAD: u64 = 200;

/// What passes at most from one observation to the next: the pools are read more often than that, so more is a clock that was
/// set, or a machine that slept.
const MOST_AT_ONCE: SignedDuration = SignedDuration::from_mins(70);

// === impl ===

impl Moment {
    /// This many milliseconds later.
    pub(super) const fn after(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to this.
    pub(super) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Patience {
    /// The wait after so many failures in a row, at least one, before it is spread; milliseconds.
    #[must_use]
    pub fn wait(self, failures: u32) -> u64 {
        self.first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(self.most)
    }
}

impl Clock {
    /// The clock shows `now`.
    pub(super) fn advance(&mut self, now: Timestamp, random: u64) {
        let passed = self.counted.map_or(SignedDuration::ZERO, |counted| now.duration_since(counted));
        let whole = passed.clamp(SignedDuration::ZERO, MOST_AT_ONCE).as_millis();
        self.now = self.now.after(u64::try_from(whole).unwrap_or(0));
        // What is less than a millisecond is counted next time: many short steps are not to be no time at all.
        let rest = passed.subsec_nanos() % 1_000_000;
        self.counted = now.checked_sub(SignedDuration::from_nanos(i64::from(rest.max(0)))).ok();
        self.shown = Some(now);
        // A step of SplitMix64, so that two uses of one number are not alike.
        self.random = self.random.wrapping_add(random).wrapping_add(0x9e37_79b9_7f4a_7c15);
    }

    /// Now, as the reconciler counts.
    pub(super) const fn now(&self) -> Moment {
        self.now
    }

    /// Now, as the clock shows it.
    pub(super) fn shown(&self) -> Timestamp {
        self.shown.unwrap_or_default()
    }

    /// What the clock will show then, if nobody sets it.
    pub(super) fn at(&self, moment: Moment) -> Timestamp {
        let ahead = SignedDuration::from_millis(i64::try_from(moment.since(self.now)).unwrap_or(i64::MAX));
        self.shown().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// `milliseconds`, up to [`SPREAD`] more or less.
    pub(super) fn spread(&mut self, milliseconds: u64) -> u64 {
        let mut mixed = self.random;
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let thousandths = 1000 - SPREAD + mixed % (2 * SPREAD + 1);
        (milliseconds / 1000).saturating_mul(thousandths).max(milliseconds.min(1))
    }

    /// When to try again after so many failures in a row, at least one.
    pub(super) fn again(&mut self, patience: Patience, failures: u32) -> Moment {
        let wait = self.spread(patience.wait(failures));
        self.now.after(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
    fn waits_double_up_to_the_most() {
        let mut clock = Clock::default();
        let patience = Patience { first: 10_000, most: 60_000 };
        let waits: Vec<_> =
            (1..=40).map(|failures| clock.again(patience, failures).since(clock.now())).collect();
        assert!((8_000..=12_000).contains(&waits[0]));
        assert!((16_000..=24_000).contains(&waits[1]));
        assert!(waits[4..].iter().all(|wait| (48_000..=72_000).contains(wait)));
    }

    proptest! {
        #[test]
        fn the_spread_is_a_fifth(random: u64, wait in 1_000_u64..100_000_000) {
            let mut clock = Clock::default();
            clock.advance(at(0), random);
            let spread = clock.spread(wait);
            prop_assert!(spread >= wait / 10 * 7 && spread <= wait / 10 * 13 + 1000);
        }
    }
}
