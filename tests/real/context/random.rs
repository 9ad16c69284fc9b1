//! Random choices that can be repeated: they depend only on `HUGEPROBE_SEED`, which a test prints.

/// A SplitMix64 generator.
#[derive(Debug)]
pub(crate) struct Random {
    pub(crate) seed: u64,
    state: u64,
}

impl Random {
    /// Starts the sequence of `HUGEPROBE_SEED`, or of a random seed if it is not set. Each test starts the sequence
    /// anew.
    pub(crate) fn new() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        let drawn = || RandomState::new().hash_one(0);
        let seed = std::env::var("HUGEPROBE_SEED").map_or_else(|_| drawn(), |text| text.parse().unwrap());
        eprintln!("HUGEPROBE_SEED={seed}");
        Self::seeded(seed)
    }

    /// Starts the sequence of `seed`.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// Returns a number from 0 to `end`, exclusive.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Returns an index into a slice of length `len`.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len.try_into().unwrap())).unwrap()
    }

    /// Returns a number from 0 to 1, exclusive.
    pub(crate) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
