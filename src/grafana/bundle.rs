//! The archive of an export: one canonical JSON file for each object, in the order of [`ObjectId`], and `export.json`
//! at the end, which says what all of it is.
//!
//! An archive without its `export.json`, or with another number of objects than that says, is none of ours or not whole.

mod error;
mod read;
mod write;

pub use error::BundleError;
pub use read::{Bundle, Entry};
pub use write::BundleWriter;

/// What says what the archive is.
const ABOUT: &str = "export.json";

/// No object comes near this many bytes: a reply of a Grafana is not taken if it is longer.
const LONGEST: u64 = crate::http::LARGEST_REPLY as u64 * 2;

#[cfg(test)]
mod tests;
