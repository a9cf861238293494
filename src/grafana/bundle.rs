//! The archive of an export: one canonical JSON file for each object, in the order of
//! [`ObjectId`](crate::grafana::object::ObjectId), and `export.json` at the end, which says what all of it is.
//!
//! An archive without its `export.json`, or with another number of objects than that says, is none of ours or not whole.

mod error;
mod read;
mod write;

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::store::Backup;
use crate::words;

pub use error::BundleError;
pub use read::{Bundle, Entry};
pub use write::BundleWriter;

/// What says what the archive is.
const ABOUT: &str = "export.json";

/// No object comes near this many bytes: a reply of a Grafana is not taken if it is longer.
const LONGEST: u64 = crate::http::LARGEST_REPLY as u64 * 2;

/// What is wrong with the objects of a backup: `verify --deep`.
pub fn problem_of(backup: &Backup, spool: &Path, cancel: &CancellationToken) -> Option<String> {
    let open = |path: &Path| Bundle::open(path, spool, cancel).err().map(|error| words::chain(&error));
    backup.manifest.files.iter().find_map(|file| open(&backup.path_of(file)))
}

#[cfg(test)]
mod tests;
