//! The journal of --reserve, as a killed run may have left it: no pool may grow, or shrink below its floor.
#![no_main]

use hugeprobe::domain::journal::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for entry in Record::parse(text).into_iter().flat_map(|record| record.pools) {
        for persistent in [0, 1 << 20] {
            let target = entry.target(persistent, 7);
            assert!(target <= persistent);
            assert!(target >= entry.before.saturating_add(7).min(persistent));
        }
    }
});
