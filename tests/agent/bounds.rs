//! How many tries fit into a time: consequences of the agent's own waits, and of how far chance may bend them. No number
//! here comes from a run.

use std::time::Duration;

use hugeprobe::kubernetes::backoff::{Backoff, JITTER};

/// The waits between tries that fail, each as short as jitter may make it; `after` is what a try itself takes.
pub(crate) fn shortest(backoff: Backoff, after: Duration) -> impl Iterator<Item = Duration> {
    of(backoff, after, 1000 - JITTER)
}

/// The same, each as long as jitter may make it.
pub(crate) fn longest(backoff: Backoff, after: Duration) -> impl Iterator<Item = Duration> {
    of(backoff, after, 1000 + JITTER)
}

fn of(backoff: Backoff, after: Duration, thousandths: u64) -> impl Iterator<Item = Duration> {
    (1..).map(move |failures| after + Duration::from_millis(backoff.wait(failures) * thousandths / 1000))
}

/// A wait that is always about as long: at the shortest and at the longest.
pub(crate) fn jittered(about: Duration) -> [Duration; 2] {
    [1000 - JITTER, 1000 + JITTER].map(|thousandths| about * u32::try_from(thousandths).unwrap() / 1000)
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
    let backoff = Backoff { first: 2_500, most: 10_000 };
    let waits = || shortest(backoff, Duration::ZERO);
    assert_eq!(waits().take(4).collect::<Vec<_>>(), [2, 4, 8, 8].map(seconds));
    // At 0, 2, 6, 14 and 22 s.
    assert_eq!([0, 2, 5, 6, 21, 22].map(|time| tries(waits(), seconds(time))), [1, 2, 2, 3, 4, 5]);
}
