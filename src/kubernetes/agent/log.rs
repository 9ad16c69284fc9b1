//! The agent's log: one line per fact on standard error, with the time.

use std::fmt::Arguments;
use std::io::{self, Write as _};

use jiff::Timestamp;

/// Writes a line to the log. Errors are ignored.
pub fn say(fact: Arguments<'_>) {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    // A single write, so that the line is not mixed with those of other writers to the same file descriptor.
    let line = format!("{now} {fact}\n");
    let _ = io::stderr().lock().write_all(line.as_bytes());
}
