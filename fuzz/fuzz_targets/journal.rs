//! The journal of --reserve, as a run that was killed may have left it: no pool gives back more than it has.
#![no_main]

use hugeprobe::domain::journal::Ledger;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let ledger = Ledger::read(text);
    for pool in ledger.pools() {
        assert_eq!(ledger.owed(pool, 0), 0, "an empty pool owes nothing");
        assert!(ledger.owed(pool, 1 << 20) <= 1 << 20);
    }
});
