//! Retry delays with jitter, so that thousands of agents that lost the same API server do not reconnect at the same
//! time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A delay that doubles with each consecutive failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay, in milliseconds.
    pub first: u64,
    /// The maximum delay, in milliseconds.
    pub most: u64,
}

/// A random number generator for all delays of one agent.
///
/// Clones share the sequence. The same seed gives the same sequence, which tests rely on.
#[derive(Debug, Clone)]
pub struct Random(Arc<AtomicU64>);

/// The maximum jitter in either direction, in thousandths of the delay.
pub const JITTER: u64 = 200;

/// The increment of SplitMix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

// === impl Backoff ===

impl Backoff {
    /// Returns the delay after this number of consecutive failures, in milliseconds, before jitter. Zero failures count
    /// as one.
    #[must_use]
    pub fn wait(self, failures: u32) -> u64 {
        self.first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(self.most)
    }
}

// === impl Random ===

impl Random {
    /// Creates a generator whose seed differs from process to process: the standard library seeds its hashers from the
    /// kernel.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(RandomState::new().hash_one(0))
    }

    /// Creates a generator with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// Returns the next number.
    #[must_use]
    pub fn next(&self) -> u64 {
        mix(self.0.fetch_add(STEP, Ordering::Relaxed))
    }

    /// Returns `about`, changed by at most [`JITTER`] thousandths in either direction.
    #[must_use]
    pub fn jittered(&self, about: Duration) -> Duration {
        let milliseconds = u64::try_from(about.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(jittered(milliseconds, self.next()))
    }

    /// Returns the delay after this number of consecutive failures.
    ///
    /// The delay is added to the time that the server `asked` for. Otherwise all clients that received the same
    /// `Retry-After` would return at the same time.
    #[must_use]
    pub fn wait(&self, backoff: Backoff, failures: u32, asked: Option<Duration>) -> Duration {
        self.jittered(Duration::from_millis(backoff.wait(failures))) + asked.unwrap_or_default()
    }
}

/// Returns `milliseconds`, changed by at most [`JITTER`] thousandths in either direction, as `random` determines.
#[must_use]
pub fn jittered(milliseconds: u64, random: u64) -> u64 {
    let thousandths = 1000 - JITTER + random % (2 * JITTER + 1);
    // Seconds and the rest are multiplied separately, so that the product saturates only for delays near the maximum of
    // u64.
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    seconds.saturating_mul(thousandths).saturating_add(rest * thousandths / 1000)
}

/// Returns the next number of the SplitMix64 sequence and advances `state`.
pub fn next_random(state: &mut u64) -> u64 {
    let number = mix(*state);
    *state = state.wrapping_add(STEP);
    number
}

const fn mix(state: u64) -> u64 {
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_double_up_to_the_most() {
        let backoff = Backoff { first: 10_000, most: 60_000 };
        let waits: Vec<_> = (0..=6).map(|failures| backoff.wait(failures)).collect();
        assert_eq!(waits, [10_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000]);
        assert_eq!(Backoff { first: 2, most: u64::MAX }.wait(u32::MAX), 2 << 20);
    }

    #[test]
    fn waits_differ_and_heed_the_server() {
        let random = Random::new(1);
        let backoff = Backoff { first: 1_000, most: 30_000 };
        let waits: Vec<_> =
            (1..50).map(|failures| random.wait(backoff, failures, None).as_millis()).collect();
        assert!((800..=1_200).contains(&waits[0]));
        assert!(waits[10..].iter().all(|wait| (24_000..=36_000).contains(wait)));
        assert!(waits[10..].windows(2).any(|two| two[0] != two[1]));
        let asked = Duration::from_secs(30);
        assert!(random.wait(backoff, 1, Some(asked)) > asked);
    }

    #[test]
    fn clones_share_a_sequence_and_processes_do_not() {
        let (one, other) = (Random::new(7), Random::new(7));
        let numbers = [one.next(), one.clone().next(), one.next()];
        assert_eq!(numbers, [other.next(), other.next(), other.next()]);
        assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2]);
        assert_ne!(Random::of_process().next(), Random::of_process().next());
    }

    #[test]
    fn jitter_goes_either_way() {
        let random = Random::new(1);
        let about = Duration::from_secs(100);
        let waits: Vec<_> = (0..200).map(|_| random.jittered(about)).collect();
        assert!(waits.iter().any(|wait| *wait < about) && waits.iter().any(|wait| *wait > about));
    }

    proptest! {
        #[test]
        fn jitter_is_a_fifth(random: u64, wait in 0_u64..100_000_000) {
            let wait_for = jittered(wait, random);
            prop_assert!(wait_for >= wait / 10 * 7 && wait_for <= wait / 10 * 13 + 1000);
            prop_assert!(jittered(u64::MAX, random) > u64::MAX / 2);
        }
    }
}
