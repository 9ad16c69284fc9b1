//! Random choices that can be made again: they follow from `HUGEPROBE_SEED`, which a test prints.

/// Numbers by SplitMix64.
#[derive(Debug)]
pub(crate) struct Random {
    pub(crate) seed: u64,
    state: u64,
}

impl Random {
    /// The sequence that `HUGEPROBE_SEED` begins, from its start for each test; a new one if it is not set.
    pub(crate) fn new() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        let drawn = || RandomState::new().hash_one(0);
        let seed = std::env::var("HUGEPROBE_SEED").map_or_else(|_| drawn(), |text| text.parse().unwrap());
        eprintln!("HUGEPROBE_SEED={seed}");
        Self::seeded(seed)
    }

    /// The sequence that `seed` begins.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// From 0 to `end`, which is not reached.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// An index into so many.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len.try_into().unwrap())).unwrap()
    }

    /// From 0 to 1, which is not reached.
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
