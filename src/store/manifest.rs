//! The manifest: what a backup is, where it came from, and the files it consists of.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::config::values::JobName;

/// The format version this program writes.
pub const FORMAT: u32 = 1;

/// Names a backup within its job: `20261123T020000Z`, or `20261123T020000Z-2` where that second was taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BackupId(pub(super) String);

impl BackupId {
    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a backup is. Immutable once published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format version, [`FORMAT`].
    pub format: u32,
    /// The backup's ID.
    pub id: BackupId,
    /// The job that made it.
    pub job: JobName,
    /// The job's kind: `prometheus-snapshot`.
    pub kind: String,
    /// The run that made it.
    pub run: Ulid,
    /// When it was made.
    pub created: Timestamp,
    /// `watchkeeper 0.1.0`
    pub tool: String,
    /// How its files are laid out.
    pub layout: Layout,
    /// Where the data came from.
    pub source: Source,
    /// Every stored file that belongs to it.
    pub files: Vec<StoredFile>,
    /// Bytes of the data before compression.
    pub content_bytes: u64,
    /// Some of the data were damaged at the source. Such a backup is kept, but is not a good one.
    pub damaged: bool,
    /// What is inside, as its kind describes it.
    pub contents: serde_json::Value,
}

/// How the files of a backup are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One tar.gz that plain `tar -xzf` opens.
    Archive,
}

/// Where the data of a backup came from. Never holds a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The target's name in the configuration: `main`.
    pub target: String,
    /// Base URL, without user information.
    pub url: String,
    /// What it calls itself: `2.42.0`.
    pub product_version: Option<String>,
    /// The container's name.
    pub container: Option<String>,
    /// The container's image, as the container names it.
    pub image: Option<String>,
    /// The data folder, as the product sees it.
    pub data_path: Option<String>,
    /// The product's own retention, as its flags tell it.
    pub retention: Option<String>,
    /// Who owned the data folder, and its mode.
    pub owner: Option<Owner>,
}

/// Owner and mode of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User ID.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// A file of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Its path relative to the job's folder, with `/`.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Lowercase hexadecimal SHA-256.
    pub sha256: String,
}
