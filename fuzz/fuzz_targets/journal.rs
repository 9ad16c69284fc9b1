//! The journal of --reserve, as a run that was killed may have left it: nobody is given back more than was asked.
#![no_main]

use hugeprobe::domain::journal::Journal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let journal = Journal::read(text);
    for pool in journal.pools() {
        let _ = journal.owed(pool, 0);
        assert!(journal.owed(pool, 1 << 20) <= 1 << 20);
    }
});
