//! The files of a process in /proc: limits, status, and lists of CPUs and nodes.
#![no_main]

use hugeprobe::linux::{fields, limits, list, status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = limits::parse_limits(text);
    let _ = fields::value(text, "SwapTotal").and_then(fields::parse_kilobytes);
    let _ = status::parse("/proc/self/status", text);
    if let Some(numbers) = list::parse_list(text) {
        // The number is limited, because a short text must not expand to gigabytes.
        assert!(numbers.len() <= 1 << 20, "{} numbers", numbers.len());
    }
});
