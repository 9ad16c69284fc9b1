//! Waiting with a deadline: for something to hold, or to keep holding.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Looks five times a second until `look` finds something, and panics with `what` and the last reason it did not.
pub(crate) fn until<T, E: Debug>(what: &str, seconds: u64, mut look: impl FnMut() -> Result<T, E>) -> T {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(found) => {
                println!("    {what}: after {:.1} s", begin.elapsed().as_secs_f64());
                return found;
            }
            Err(reason) if begin.elapsed() > Duration::from_secs(seconds) => {
                panic!("{what}: not within {seconds} s: {reason:#?}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// Looks five times a second for so long, and panics as soon as it does not hold.
pub(crate) fn throughout<E: Debug>(what: &str, seconds: u64, mut look: impl FnMut() -> Result<(), E>) {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        if let Err(reason) = look() {
            panic!("{what}: no longer after {:.1} s: {reason:#?}", begin.elapsed().as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("    {what}: for {seconds} s");
}
