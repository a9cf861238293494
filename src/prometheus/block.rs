//! The on-disk format of a TSDB block, and what is checked of it.

pub mod meta;
pub mod report;

pub use meta::BlockMeta;
pub use report::{BlockReport, Damage, Probe};
