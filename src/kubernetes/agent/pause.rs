//! How long to wait: with jitter, so that thousands of agents that lost the same API server do not come back as one.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Random numbers for all waits of one agent. Clones share the sequence; one seed gives one sequence, for tests.
#[derive(Debug, Clone)]
pub struct Chance(Arc<AtomicU64>);

/// Waits that double from `first` to `most`, each cut by up to a half at random.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

/// The part of a wait that [`Chance::jittered`] adds or takes at most.
pub const JITTER: f64 = 0.2;
/// The part of a wait that [`Backoff::wait`] cuts at most.
pub const CUT: f64 = 0.5;

// === impl Chance ===

impl Chance {
    /// A sequence of its own for each process: the standard library seeds its hashers from the kernel.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(RandomState::new().hash_one(0))
    }

    /// The sequence that `seed` begins.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// The next number: SplitMix64.
    #[must_use]
    pub fn next(&self) -> u64 {
        let mut mixed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// `about`, up to [`JITTER`] of it more or less.
    #[must_use]
    pub fn jittered(&self, about: Duration) -> Duration {
        about.mul_f64(1.0 - JITTER + 2.0 * JITTER * self.fraction())
    }

    /// A number from 0 to 1.
    fn fraction(&self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }
}

// === impl Backoff ===

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// How long to wait after another failure; never less than the server asked for.
    pub fn wait(&mut self, chance: &Chance, asked: Option<Duration>) -> Duration {
        let wait = self.next.mul_f64(1.0 - CUT * chance.fraction());
        self.next = (self.next * 2).min(self.most);
        match asked {
            // On top of what was asked, or everybody who was asked the same comes back at once.
            Some(asked) => asked + wait,
            None => wait,
        }
    }

    /// The waits that follow, before chance cuts them.
    pub fn uncut(self) -> impl Iterator<Item = Duration> {
        std::iter::successors(Some(self.next), move |wait| Some((*wait * 2).min(self.most)))
    }

    /// It works again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_differ_and_heed_the_server() {
        let (first, most) = (Duration::from_secs(1), Duration::from_secs(30));
        let chance = Chance::new(1);
        let mut backoff = Backoff::new(first, most);
        let waits: Vec<_> = (0..50).map(|_| backoff.wait(&chance, None)).collect();
        assert!(waits[0] >= first / 2 && waits[0] <= first);
        assert!(waits[10..].iter().all(|wait| *wait >= most / 2 && *wait <= most));
        assert!(waits[10..].windows(2).any(|two| two[0] != two[1]));
        assert!(backoff.wait(&chance, Some(most)) > most);
        backoff.reset();
        assert!(backoff.wait(&chance, None) <= first);
    }

    #[test]
    fn jitter_is_a_fifth_either_way() {
        let about = Duration::from_secs(100);
        let chance = Chance::new(1);
        let waits: Vec<_> = (0..200).map(|_| chance.jittered(about)).collect();
        assert!(waits.iter().all(|wait| (80..=120).contains(&wait.as_secs())));
        assert!(waits.iter().any(|wait| *wait < about) && waits.iter().any(|wait| *wait > about));
    }

    #[test]
    fn clones_share_a_sequence_and_processes_do_not() {
        let (one, other) = (Chance::new(7), Chance::new(7));
        let numbers = [one.next(), one.clone().next(), one.next()];
        assert_eq!(numbers, [other.next(), other.next(), other.next()]);
        assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2]);
        assert_ne!(Chance::of_process().next(), Chance::of_process().next());
    }
}
