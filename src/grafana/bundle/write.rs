//! Writes an export, one object after the other.

use super::{ABOUT, BundleError};
use crate::grafana::contents::{FORMAT, GrafanaContents};
use crate::grafana::object::{Object, ObjectId, canonical};
use crate::store::{ArchiveWriter, StoredFile};

/// Files are for whoever may read the backup folder.
const MODE: u32 = 0o640;

/// An export that is being written.
pub struct BundleWriter {
    writer: ArchiveWriter,
    contents: GrafanaContents,
    last: Option<ObjectId>,
    bytes: u64,
}

impl BundleWriter {
    /// Begins in an archive that is empty.
    pub fn new(writer: ArchiveWriter) -> Self {
        let contents = GrafanaContents { format: FORMAT, ..GrafanaContents::default() };
        Self { writer, contents, last: None, bytes: 0 }
    }

    /// Adds an object behind all that are before it in the order of [`ObjectId`]; returns its size in bytes.
    pub fn add(&mut self, object: &Object) -> Result<u64, BundleError> {
        let (id, entry) = (object.id(), object.id().path());
        if self.last.as_ref().is_some_and(|last| *last >= id) {
            return Err(BundleError::Order { entry });
        }
        let bytes = object.to_bytes();
        let bytes = bytes.map_err(|source| BundleError::Json { entry: entry.clone(), source })?;
        self.put(&entry, &bytes)?;
        self.contents.count(id.organisation.as_deref(), id.kind);
        self.last = Some(id);
        Ok(bytes.len() as u64)
    }

    /// Ends the archive. `about` says the rest of what it is: its counts and format are those of what was added.
    /// Returns what the manifest is to say, the file, and how many bytes were written before compression.
    pub fn finish(
        mut self,
        about: GrafanaContents,
    ) -> Result<(GrafanaContents, StoredFile, u64), BundleError> {
        let contents = GrafanaContents { format: FORMAT, counts: self.contents.counts.clone(), ..about };
        let json = |source| BundleError::Json { entry: ABOUT.to_owned(), source };
        let bytes = canonical(&serde_json::to_value(contents.portable()).map_err(json)?).map_err(json)?;
        self.put(ABOUT, &bytes)?;
        let written = |source| BundleError::Write { entry: ABOUT.to_owned(), source };
        let file = self.writer.finish().map_err(written)?;
        Ok((contents, file, self.bytes))
    }

    fn put(&mut self, entry: &str, mut bytes: &[u8]) -> Result<(), BundleError> {
        let size = bytes.len() as u64;
        let written = self.writer.file(entry, MODE, 0, size, &mut bytes);
        written.map_err(|source| BundleError::Write { entry: entry.to_owned(), source })?;
        self.bytes += size;
        Ok(())
    }
}
