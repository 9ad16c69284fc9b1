//! The boot command line, which people type and which may have any length.
#![no_main]

use hugeprobe::linux::boot::parse_cmdline;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let request = parse_cmdline(text);
    for (index, pool) in request.pools.iter().enumerate() {
        assert!(request.pools.iter().skip(index + 1).all(|other| other.size != pool.size), "a size twice: {request:?}");
    }
});
