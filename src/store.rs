//! Backups on disk. A backup exists exactly when its manifest does.

pub mod manifest;

pub use manifest::{BackupId, Layout, Manifest, Owner, Source, StoredFile};
