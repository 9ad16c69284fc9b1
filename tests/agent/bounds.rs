//! How many tries fit into a time: consequences of the agent's own waits, and of how far chance may bend them. No number
//! here comes from a run.

use std::time::Duration;

use hugeprobe::kubernetes::agent::pause::{Backoff, CUT, JITTER};
use hugeprobe::kubernetes::reconcile::{Patience, SPREAD};

/// The waits between tries that fail, each as short as chance may make it.
pub(crate) fn shortest(backoff: Backoff) -> impl Iterator<Item = Duration> {
    backoff.uncut().map(|wait| wait.mul_f64(1.0 - CUT))
}

/// The same of the reconciler's waits; `after` is what a try itself takes.
pub(crate) fn shortest_of(patience: Patience, after: Duration) -> impl Iterator<Item = Duration> {
    of(patience, after, 1000 - SPREAD)
}

/// The same, each as long as chance may make it.
pub(crate) fn longest_of(patience: Patience, after: Duration) -> impl Iterator<Item = Duration> {
    of(patience, after, 1000 + SPREAD)
}

fn of(patience: Patience, after: Duration, thousandths: u64) -> impl Iterator<Item = Duration> {
    (1..).map(move |failures| after + Duration::from_millis(patience.wait(failures) * thousandths / 1000))
}

/// A wait that is always about as long: at the shortest and at the longest.
pub(crate) fn jittered(about: Duration) -> [Duration; 2] {
    [about.mul_f64(1.0 - JITTER), about.mul_f64(1.0 + JITTER)]
}

/// How many tries are made before `time` is over, the first of them at once, if these are the waits between them.
pub(crate) fn tries(waits: impl IntoIterator<Item = Duration>, time: Duration) -> usize {
    let mut at = Duration::ZERO;
    let again = |wait: &Duration| {
        at += *wait;
        at <= time
    };
    1 + waits.into_iter().take_while(again).count()
}

#[test]
fn tries_are_counted_from_the_first_to_the_last_that_fits() {
    let seconds = Duration::from_secs;
    let backoff = Backoff::new(seconds(2), seconds(8));
    assert_eq!(shortest(backoff.clone()).take(4).collect::<Vec<_>>(), [1, 2, 4, 4].map(seconds));
    // At 0, 1, 3, 7 and 11 s.
    assert_eq!(
        [0, 1, 2, 3, 10, 11].map(|time| tries(shortest(backoff.clone()), seconds(time))),
        [1, 2, 2, 3, 4, 5]
    );
}
