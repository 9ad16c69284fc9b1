//! A part, which another process has written.
#![no_main]

use hugeprobe::domain::part::{Part, announced};
use hugeprobe::domain::plan::Role;
use hugeprobe::domain::size::PageSize;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = announced(bytes);
    let size = PageSize::from_bytes(2 << 20);
    if let Ok(part) = Part::parse(bytes, "a-run", Role::Memfd, size) {
        for (index, finding) in part.findings.iter().enumerate() {
            assert_eq!(finding.size, size);
            assert!(part.findings.iter().skip(index + 1).all(|other| other.id != finding.id), "{} twice", finding.id);
        }
    }
});
