//! What is unusual for a job.

/// How far a run may be from those before it until it is `warned`. All are per cent of the median of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anomalies {
    /// It took longer than that; 0: however long it takes.
    pub longer: u32,
    /// It took less than that; 0: however short it is.
    pub shorter: u32,
    /// Its backup has less in it than that. At least 1: one that is empty is never usual.
    pub smaller: u32,
}

impl Anomalies {
    /// Nothing that a run takes is unusual.
    pub const NONE: Self = Self { longer: 0, shorter: 0, ..Self::STANDARD };

    /// Where the configuration says nothing.
    pub const STANDARD: Self = Self { longer: 400, shorter: 10, smaller: 50 };
}
