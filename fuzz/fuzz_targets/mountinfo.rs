//! The mount table, whose paths are chosen by other users.
#![no_main]

use hugeprobe::linux::mountinfo::parse_mountinfo;
use hugeprobe::linux::mounts::huge_mounts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(table) = parse_mountinfo(text) {
        let mounts = huge_mounts(&table);
        assert!(mounts.len() <= text.lines().count());
    }
});
