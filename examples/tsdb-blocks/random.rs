//! Random numbers that are the same on every machine and for every number of threads.

/// `SplitMix64`.
pub(crate) struct Random(u64);

impl Random {
    /// The sequence that belongs to these numbers.
    pub(crate) fn new(of: &[u64]) -> Self {
        let mut random = Self(0x9e37_79b9);
        for number in of {
            random.0 ^= *number;
            random.0 = random.next();
        }
        random
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From 0 to less than 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
