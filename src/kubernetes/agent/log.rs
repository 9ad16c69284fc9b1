//! The agent's log: a line per fact on standard error, with the time, and nothing twice.

use std::fmt::Arguments;
use std::io::{self, Write as _};

use jiff::Timestamp;

/// Writes a line. An error of the log is ignored.
pub fn say(fact: Arguments<'_>) {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    // One write, so that lines are not mixed with those of other users of the descriptor.
    let line = format!("{now} {fact}\n");
    let _ = io::stderr().lock().write_all(line.as_bytes());
}
