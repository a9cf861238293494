//! What a snapshot holds, without reading it: names, sizes and times of its files, and its small files that change.
//!
//! A block's index and chunks never change under their name, size and time; which of them a store has already is
//! decided by that. The two small files do change, so they are read each time.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Told;
use super::error::{At as _, FolderOpError};
use super::files;
use crate::prometheus::block::Small;
use crate::regular;

/// Both small files together are at most so large; what is larger is not one of Prometheus's.
const LARGEST_SMALL: u64 = 16 << 20;

/// A block of a snapshot as it lies there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyedBlock {
    /// The block's folder.
    pub name: String,
    /// Its index and chunks, sorted by path.
    pub files: Vec<SurveyedFile>,
    /// Its `meta.json`.
    pub meta: SmallFile,
    /// Its `tombstones`.
    pub tombstones: SmallFile,
}

/// A file of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyedFile {
    /// Inside the block: `index`, `chunks/000001`.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, Unix nanoseconds.
    pub mtime: i64,
}

/// A small file as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmallFile {
    /// When it was last written, Unix seconds.
    pub mtime: u64,
    /// What was found.
    pub content: Content,
}

/// What was found of a small file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Nothing.
    Missing,
    /// Something that could not be read, and why.
    Unreadable(String),
    /// All of it.
    Bytes(Hex),
}

/// Bytes, in JSON as hexadecimal digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hex(pub Vec<u8>);

impl Default for SmallFile {
    fn default() -> Self {
        Self { mtime: 0, content: Content::Missing }
    }
}

impl SurveyedBlock {
    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        let small = [&self.meta, &self.tombstones].map(|file| file.bytes().map_or(0, <[u8]>::len));
        self.files.iter().map(|file| file.size).sum::<u64>() + small.iter().sum::<usize>() as u64
    }
}

impl SmallFile {
    /// Its bytes, where it could be read.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Bytes(hex) => Some(&hex.0),
            Content::Missing | Content::Unreadable(_) => None,
        }
    }

    /// As a check takes it.
    pub fn small(&self) -> Small<'_> {
        match &self.content {
            Content::Missing => Small::Missing,
            Content::Unreadable(problem) => Small::Unreadable(problem),
            Content::Bytes(hex) => Small::Bytes(&hex.0),
        }
    }
}

impl From<Hex> for String {
    fn from(hex: Hex) -> Self {
        use std::fmt::Write as _;
        hex.0.iter().fold(Self::with_capacity(hex.0.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl TryFrom<String> for Hex {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let pairs = text.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or("?"), 16);
        pairs.map(byte).collect::<Result<_, _>>().map(Self)
    }
}

/// Tells of every block of `snapshots/<name>`, in the order of their names.
pub(super) fn snapshot(
    root: &Path,
    name: &str,
    tell: &mut dyn FnMut(Told),
    cancel: &CancellationToken,
) -> Result<(), FolderOpError> {
    let snapshot = root.join("snapshots").join(files::plain(name)?);
    for block in files::names(&snapshot)? {
        if !files::is_block(&block) {
            continue;
        }
        if cancel.is_cancelled() {
            return Err(FolderOpError::refused("it was told to stop", ""));
        }
        tell(Told::Block(Box::new(survey(&snapshot.join(&block), block)?)));
    }
    Ok(())
}

fn survey(path: &Path, name: String) -> Result<SurveyedBlock, FolderOpError> {
    let (meta, tombstones) = (SmallFile::default(), SmallFile::default());
    let mut block = SurveyedBlock { name, files: Vec::new(), meta, tombstones };
    files::walk(path, &mut |file, metadata| {
        let inside = file.strip_prefix(path).unwrap_or(file).to_string_lossy();
        if !metadata.is_file() {
            return Ok(());
        }
        match &*inside {
            "meta.json" => block.meta = small(file, metadata)?,
            "tombstones" => block.tombstones = small(file, metadata)?,
            _ => block.files.push(SurveyedFile {
                path: inside.into_owned(),
                size: metadata.len(),
                mtime: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
            }),
        }
        Ok(())
    })?;
    Ok(block)
}

/// That one file cannot be read is a fact about the block, not an error of the survey; that it is gone is one.
fn small(path: &Path, metadata: &Metadata) -> Result<SmallFile, FolderOpError> {
    let mtime = u64::try_from(metadata.mtime()).unwrap_or_default();
    let content = if metadata.len() > LARGEST_SMALL {
        Content::Unreadable(format!("it has {} bytes", metadata.len()))
    } else {
        match regular::read(path, LARGEST_SMALL) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(e).at("read", path),
            Err(e) => Content::Unreadable(e.to_string()),
            Ok(bytes) => Content::Bytes(Hex(bytes)),
        }
    };
    Ok(SmallFile { mtime, content })
}
