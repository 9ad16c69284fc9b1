//! The mappings of this process and of others: smaps, maps and numa_maps.
#![no_main]

use hugeprobe::linux::holders::{smaps as areas, sysv};
use hugeprobe::linux::{numa_maps, smaps};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = smaps::parse(text, 0x7f00_0000_0000);
    let _ = numa_maps::parse(text, 0x7f00_0000_0000);
    let _ = areas::parse_smaps(text).count();
    let _ = areas::parse_maps(text).count();
    let _ = sysv::parse_shm(text);
});
