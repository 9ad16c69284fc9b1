//! How long to wait: with jitter, so that thousands of agents that lost the same API server do not come back as one.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Waits that double from `first` to `most`, each cut by up to a half at random.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

/// A number that nobody can guess: the standard library seeds its hashers from the kernel.
#[must_use]
pub fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// `about`, give or take a fifth.
#[must_use]
pub fn jittered(about: Duration) -> Duration {
    about.mul_f64(0.8 + 0.4 * fraction())
}

/// A number from 0 to 1.
fn fraction() -> f64 {
    f64::from(u32::try_from(random() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

// === impl Backoff ===

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// How long to wait after another failure; never less than the server asked for.
    pub fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.next.mul_f64(0.5 + 0.5 * fraction());
        self.next = (self.next * 2).min(self.most);
        match asked {
            // On top of what was asked, or everybody who was asked the same comes back at once.
            Some(asked) => asked + wait,
            None => wait,
        }
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
        let mut backoff = Backoff::new(first, most);
        let waits: Vec<_> = (0..50).map(|_| backoff.wait(None)).collect();
        assert!(waits[0] >= first / 2 && waits[0] <= first);
        assert!(waits[10..].iter().all(|wait| *wait >= most / 2 && *wait <= most));
        assert!(waits[10..].windows(2).any(|two| two[0] != two[1]));
        assert!(backoff.wait(Some(most)) > most);
        backoff.reset();
        assert!(backoff.wait(None) <= first);
    }

    #[test]
    fn jitter_is_a_fifth_either_way() {
        let about = Duration::from_secs(100);
        let waits: Vec<_> = (0..200).map(|_| jittered(about)).collect();
        assert!(waits.iter().all(|wait| (80..=120).contains(&wait.as_secs())));
        assert!(waits.iter().any(|wait| *wait < about) && waits.iter().any(|wait| *wait > about));
    }
}
