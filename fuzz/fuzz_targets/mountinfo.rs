//! The mount table, whose paths are chosen by other users.
#![no_main]

use hugeprobe::linux::mounts::parse_huge_mounts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(mounts) = parse_huge_mounts(text) {
        assert!(mounts.len() <= text.lines().count());
    }
});
