//! /proc/self/cgroup, cgroup.controllers and limit files.
#![no_main]

use hugeprobe::linux::cgroup::{parse_controllers, parse_limit, parse_memberships};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = parse_memberships(text);
    let _ = parse_controllers(text);
    let _ = parse_limit(text, 2 << 20);
});
