//! The manifest: what a backup is, where it came from, and the files it consists of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::error::{At as _, StoreError};
pub use super::id::BackupId;
use super::sealed;
use crate::config::values::{JobName, Subject};
use crate::regular;

/// The format version this program writes.
pub const FORMAT: u32 = 1;

/// More bytes than any backup has: an exbibyte. What many backups of fewer bytes come to is still a number.
const MOST_BYTES: u64 = 1 << 60;

/// The last field of a manifest.
const SEAL: &str = "manifest_sha256";

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
    /// What it should hold and does not, or not as it was at one instant: paths, each with everything below it. What it
    /// does hold is whole, so it may be a good one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
    /// How many there are of each sort of what it holds, where its kind counts them: `dashboards`. Far fewer than before
    /// are suspicious, however many bytes there are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// What the source had when earlier backups were made and does not show any more, by name, where the kind tells it:
    /// `organisation "Second"`. The older ones are not deleted until somebody has accepted that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// What is inside a backup, as its kind describes it: the last field of a manifest before its seal. It can be long, so
/// it is read only by who asks for it, and written as it is.
pub type Contents = Box<serde_json::value::RawValue>;

/// No manifest has more bytes: one of a million files has about half of that.
pub(super) const LARGEST: u64 = regular::LARGE;

/// All of a manifest.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    manifest: &'a Manifest,
    contents: &'a Contents,
}

impl Manifest {
    /// Reads and checks a manifest, in a store or anywhere else: its files lie beside it.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let bytes = regular::read(path, LARGEST).at("read", path)?;
        Self::parse(&bytes, path)
    }

    /// Checks the bytes of the manifest at `path`.
    fn parse(bytes: &[u8], path: &Path) -> Result<Self, StoreError> {
        // First of all: a newer format may seal its manifests in another way.
        if let Some(format) = format_of(bytes).filter(|format| *format > u64::from(FORMAT)) {
            return Err(StoreError::NewerFormat { path: path.to_owned(), format });
        }
        let bad = |problem: String| StoreError::Manifest { path: path.to_owned(), problem };
        sealed::check(bytes, SEAL).map_err(|e| bad(e.to_string()))?;
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        manifest.problem().map_or(Ok(()), |problem| Err(bad(problem)))?;
        Ok(manifest)
    }

    /// The bytes of the manifest's file.
    pub(super) fn sealed(&self, contents: &Contents) -> serde_json::Result<Vec<u8>> {
        sealed::seal(&Whole { manifest: self, contents }, SEAL)
    }

    /// Reads what the manifest at `path` says about what is inside.
    pub(super) fn read_contents<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
        #[derive(Deserialize)]
        struct Only<T> {
            contents: T,
        }
        let bytes = regular::read(path, LARGEST).at("read", path)?;
        let bad = |problem: String| StoreError::Manifest { path: path.to_owned(), problem };
        sealed::check(&bytes, SEAL).map_err(|e| bad(e.to_string()))?;
        let only: Only<T> = serde_json::from_slice(&bytes)
            .map_err(|e| bad(format!("it does not describe what is expected of its kind: {e}")))?;
        Ok(only.contents)
    }

    /// What it is a backup of.
    pub fn subject(&self) -> Subject {
        self.source.subject(&self.kind)
    }

    /// What it was made from, as a person is told: its subject, where that was, and on which host.
    pub fn made_from(&self) -> String {
        self.source.told(&self.kind)
    }

    /// It lacks what lies at a path: that, or a folder above it.
    pub fn lacks_at(&self, path: &str) -> bool {
        is_lacking(&self.lacks, path)
    }

    /// The sum of the sizes of its files.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// What it says that no manifest may say. File names are used as paths, so they must stay inside the folder.
    fn problem(&self) -> Option<String> {
        let mut names = BTreeSet::new();
        for file in &self.files {
            let inside =
                |part| matches!(part, Component::Normal(name) if !name.as_encoded_bytes().starts_with(b"."));
            let clean = Path::new(&file.name).components().all(inside) && !file.name.ends_with('/');
            if file.name.is_empty() || !clean || file.name.contains("//") || file.name.contains("/./") {
                return Some(format!("{:?} is not the name of a file beside it", file.name));
            }
            if !names.insert(&file.name) {
                return Some(format!("it names {:?} twice", file.name));
            }
            let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if file.sha256.len() != 64 || !file.sha256.bytes().all(digit) {
                return Some(format!("{:?} has no SHA-256", file.name));
            }
        }
        let sizes = self.files.iter().map(|file| file.size).chain([self.content_bytes]);
        if sizes.fold(0, u64::saturating_add) > MOST_BYTES {
            return Some("it tells of more bytes than any disk holds".to_owned());
        }
        self.files.is_empty().then(|| "it names no file".to_owned())
    }
}

/// The format that some bytes claim to have, whatever else is right or wrong with them.
fn format_of(bytes: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Claim {
        format: u64,
    }
    serde_json::from_slice(bytes).ok().map(|claim: Claim| claim.format)
}

/// A path is among some that are lacking, or lies below one of them.
pub fn is_lacking(lacks: &[String], path: &str) -> bool {
    lacks.iter().any(|lacking| {
        path.strip_prefix(lacking.as_str()).is_some_and(|below| below.is_empty() || below.starts_with('/'))
    })
}

/// How the files of a backup are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One archive, which plain `tar -xzf` opens where it is gzip.
    Archive,
    /// An archive of what may change, and one for each block, which other backups share.
    Blocks,
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
    /// The named files and folders of a backup of files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The host that made the backup, as it calls itself. Nothing in backups of old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl Source {
    /// What a backup of this kind from here is a backup of.
    pub fn subject(&self, kind: &str) -> Subject {
        if !self.target.is_empty() {
            return Subject::target(kind, &self.target);
        }
        let paths =
            if self.paths.is_empty() { self.data_path.iter().cloned().collect() } else { self.paths.clone() };
        Subject::paths(kind, self.container.as_deref(), paths)
    }

    /// It was made on this host, or long ago on a host that it does not tell.
    pub fn may_be_of_this_host(&self) -> bool {
        self.host.as_ref().is_none_or(|host| *host == this_host())
    }

    /// The same for a person, with its URL and its host.
    pub fn told(&self, kind: &str) -> String {
        let url = if self.url.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.url.trim_end_matches('/'))
        };
        let host = self.host.as_ref().map(|host| format!(" on host {host}")).unwrap_or_default();
        format!("{}{url}{host}", self.subject(kind))
    }
}

/// This host, as it calls itself.
pub(super) fn this_host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
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

impl StoredFile {
    /// Other backups of its job have it, too, and a run stores it anew where it is bad and its source still has it.
    pub fn is_shared(&self) -> bool {
        super::shared::is_shared(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    fn parse(bytes: &[u8]) -> Result<Manifest, StoreError> {
        Manifest::parse(bytes, Path::new("x.json"))
    }

    #[test]
    fn what_was_sealed_is_read_again_and_its_last_field_is_its_hash() {
        let manifest = testing::manifest("20261123T020000Z");
        let bytes = testing::sealed(&manifest);
        assert_eq!(parse(&bytes).unwrap(), manifest);
        let text = String::from_utf8(bytes).unwrap();
        let last = text.lines().rev().nth(1).unwrap();
        assert!(last.starts_with("  \"manifest_sha256\": \""), "{last}");
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let bytes = testing::sealed(&testing::manifest("20261123T020000Z"));
        for i in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[i / 8] ^= 1 << (i % 8);
            assert!(parse(&bad).is_err(), "bit {i}");
        }
    }

    #[test]
    fn a_newer_format_is_named_as_such_even_if_it_is_sealed_differently() {
        let error = parse(b"{\"format\": 2, \"seal\": {}}").unwrap_err();
        assert!(error.to_string().contains("made by a newer watchkeeper (format 2"), "{error}");
        assert!(matches!(parse(b"{\"format\": 1}"), Err(StoreError::Manifest { .. })));
    }

    #[test]
    fn more_bytes_than_there_are_anywhere_are_refused() {
        let mut manifest = testing::manifest("20261123T020000Z");
        manifest.content_bytes = u64::MAX;
        assert!(parse(&testing::sealed(&manifest)).unwrap_err().to_string().contains("than any disk holds"));
        manifest.content_bytes = 1;
        manifest.files.push(StoredFile { name: "x".into(), size: u64::MAX, ..manifest.files[0].clone() });
        assert!(parse(&testing::sealed(&manifest)).is_err());
    }

    #[test]
    fn file_names_that_leave_the_folder_are_refused() {
        for name in ["../x", "/etc/passwd", "", "a/../b", ".", "a/", ".lock", "a/.b", "a//b", "a/./b", "./a"]
        {
            let mut manifest = testing::manifest("20261123T020000Z");
            name.clone_into(&mut manifest.files[0].name);
            assert!(parse(&testing::sealed(&manifest)).is_err(), "{name:?}");
        }
    }
}
