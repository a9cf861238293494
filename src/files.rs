//! Named files and folders: configuration, so that a fresh host can be rebuilt. How they are backed up and how they
//! come back.
//!
//! The archive of a backup holds the regular files and folders, as any `tar` unpacks them; owners, modes, times and
//! symbolic links are in the manifest, so that nothing has to be trusted that an archive says about them.

pub mod backup;
mod container;
mod error;
mod host;
mod links;
mod path;
pub mod places;
pub mod restore;
mod roots;
mod spool;
mod trees;

use serde::{Deserialize, Serialize};

pub use error::FilesError;
pub(crate) use host::not_followed;
pub use path::FilePath;

/// The kind of the backups made here.
pub const KIND: &str = "files-backup";

/// What a `files-backup` holds: the `contents` of its manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesContents {
    /// The container that the paths are in; this host where there is none.
    pub container: Option<String>,
    /// The files and folders that were asked for; of what was kept before a restore those that it lies in.
    pub roots: Vec<FilePath>,
    /// Everything that is in the backup, sorted by path; folders before what is in them.
    pub entries: Vec<FileEntry>,
    /// What should be in it and is not, or not as it was at one instant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Lack>,
    /// Folders of the program itself, which were met and left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<FilePath>,
    /// The restore before which this backup was made, so that it can be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_restore: Option<BeforeRestore>,
}

/// Something that a backup should hold and does not hold whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// What: with a folder, everything below it.
    pub path: FilePath,
    /// Why.
    pub reason: String,
    /// What of it is in the backup nevertheless.
    #[serde(default, skip_serializing_if = "Held::is_nothing")]
    pub held: Held,
}

/// What a backup holds of a path that it lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// Nothing, or nothing but the folder.
    #[default]
    Nothing,
    /// What is not known to be right: a file that was changed while it was read, or something else than was there
    /// before. It is better than nothing, and no better than anything.
    Doubtful,
    /// A part of what was there before. Each file of it is as good as any.
    Part,
}

impl Held {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
    const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Says of a backup what it has.
    pub const fn in_backup(self) -> &'static str {
        match self {
            Self::Nothing => "not in the backup",
            Self::Doubtful => "not as it should be in the backup",
            Self::Part => "only in part in the backup",
        }
    }

    /// Says of a restore what it does.
    pub const fn in_restore(self) -> &'static str {
        match self {
            Self::Nothing => "not restored, and left as it is",
            Self::Doubtful => "restored only where nothing was there",
            Self::Part => "restored only in part",
        }
    }
}

impl Lack {
    /// Nothing of it is in the backup.
    fn new(path: FilePath, reason: &str) -> Self {
        Self { path, reason: reason.to_owned(), held: Held::Nothing }
    }

    /// The user who ran this may not read it. (A manifest holds the words of the system.)
    fn is_denied(&self) -> bool {
        self.reason.contains("Permission denied")
    }
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// What a backup is for that was made before a restore: to take it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeRestore {
    /// The backup that was restored then: `JOB/ID`.
    pub of: String,
    /// What was not there, and what the restore was about to create: in the order in which it is removed.
    pub created: Vec<FileEntry>,
    /// It was taken back itself: this is what that replaced, to look at, and nothing to take back.
    #[serde(default)]
    pub by_undo: bool,
}

/// One file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Absolute path. In the archive it stands without the first `/`, as text.
    pub path: FilePath,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
    /// Owner's user ID.
    pub uid: u32,
    /// Owner's group ID.
    pub gid: u32,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Modification time, Unix seconds.
    pub mtime: i64,
}

/// What something is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum What {
    /// A regular file.
    File {
        /// Its size in bytes.
        size: u64,
        /// SHA-256 of its content.
        sha256: String,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// Where it leads, as it is written.
        target: FilePath,
    },
}

impl FileEntry {
    /// Its path in an archive.
    pub fn archive_path(&self) -> String {
        self.path.text().trim_start_matches('/').to_owned()
    }
}

impl FilesContents {
    /// What is in the backup at `path` is not known to be right.
    pub fn is_doubtful(&self, path: &FilePath) -> bool {
        self.lacks.iter().any(|lack| lack.held == Held::Doubtful && path.is_within(&lack.path))
    }

    /// The backup whose restore this one was made before: `JOB/ID`. Empty where it was made before none.
    pub fn restored(&self) -> &str {
        self.before_restore.as_ref().map_or("", |before| &before.of)
    }

    /// What lies at `path` is in the backup, whole.
    pub fn has(&self, path: &FilePath) -> bool {
        let lacking = self.lacks.iter().any(|lack| path.is_within(&lack.path));
        !lacking && self.entries.iter().any(|entry| entry.path == *path)
    }

    /// Something of what was named was read. A folder that could not be looked into, or a link to what cannot be read,
    /// comes with nothing.
    fn holds_anything(&self) -> bool {
        let unread: Vec<&FilePath> =
            self.lacks.iter().filter(|lack| lack.held.is_nothing()).map(|lack| &lack.path).collect();
        let is_folder = |entry: &&FileEntry| matches!(entry.what, What::Folder);
        let is_whole = |entry: &FileEntry| match entry.what {
            What::File { .. } => true,
            What::Folder => !unread.iter().any(|path| path.is_within(&entry.path)),
            // One that was named itself stands for what it leads to.
            What::Link { .. } => {
                unread.is_empty()
                    || self.entries.iter().filter(is_folder).any(|above| entry.path.is_within(&above.path))
            }
        };
        self.entries.iter().any(is_whole)
    }

    /// How many regular files there are, and their bytes.
    pub fn files(&self) -> (usize, u64) {
        let sizes = self.entries.iter().filter_map(|entry| match entry.what {
            What::File { size, .. } => Some(size),
            What::Folder | What::Link { .. } => None,
        });
        sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
    }
}
