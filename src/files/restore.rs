//! The restore of named files: compare first, write only what differs, and keep what was there as a backup of its own,
//! so that the restore can be taken back.
//!
//! Nothing is written before everything of the backup was verified. Each file gets its name by one rename, so that a
//! reader, and a crash at any point, finds all of the old or all of the new. What is there and not in the backup is
//! left alone.

mod apply;
mod beside;
mod denied;
mod diff;
mod kept;
mod room;
mod undo;
mod unpack;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use self::denied::Denied;
use self::room::{Ground, Needs};
use super::places::Places;
use super::trees::{Tops, Trees, is_missing};
use super::{FileEntry, FilePath, FilesContents, FilesError, KIND, Lack, What};
use crate::regular::{self, Found, NotFollowed};
use crate::store::archive::{ArchiveError, EntryKind, Watched, open_archive};
use crate::store::digest::Hashing;
use crate::store::{Backup, StoreError};

pub use apply::{Applied, apply};
pub use kept::Shelf;
pub use undo::{Undone, undo};

/// A text longer than this is compared, but not shown.
const LONGEST_SHOWN: u64 = 256 << 10;

/// What a restore would do, with reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FilesPlan {
    /// The backup: `JOB/ID`.
    pub source: String,
    /// What differs, in the order in which it is written: folders before what is in them.
    pub changes: Vec<Change>,
    /// How many files, folders and links are as the backup has them.
    pub same: usize,
    /// What the backup does not hold whole. What is there of it is left as it is.
    pub lacks: Vec<Lack>,
    /// What stands in the way, one line each: nothing is written then.
    pub refusals: Vec<String>,
}

/// Something that differs from the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// As the backup has it.
    pub entry: FileEntry,
    /// How what is there differs.
    pub how: How,
    /// From what is there to what the backup has, line by line, where both are text.
    pub diff: Option<String>,
}

/// How something differs from the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Nothing is there.
    Missing,
    /// Its content, or where it leads.
    Content,
    /// Its owner or mode only.
    Attributes,
}

impl How {
    /// What is done about it.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Missing => "create",
            Self::Content => "change",
            Self::Attributes => "owner or mode of",
        }
    }
}

/// What of a backup the plan was made from.
pub struct FilesBackup {
    /// The backup.
    pub backup: Backup,
    /// What it holds.
    pub contents: FilesContents,
    /// Where its paths lie.
    pub places: Places,
}

impl FilesBackup {
    fn real(&self, entry: &FileEntry) -> PathBuf {
        // What has no place was refused by the plan.
        self.places.real(entry.path.as_path()).unwrap_or_else(|| entry.path.clone().into())
    }

    /// The outermost paths on this host that it has something of.
    fn tops(&self) -> Tops {
        let entries = self.contents.entries.iter().map(|entry| &entry.path);
        let of_backup = self.contents.roots.iter().chain(entries);
        let of_backup = of_backup.filter_map(|path| self.places.top(path.as_path()));
        let created = self.contents.before_restore.iter().flat_map(|before| &before.created);
        Tops::of(of_backup.chain(created.map(|entry| entry.path.as_path().to_owned())))
    }

    /// Takes a backup that is one of files.
    pub fn of(backup: Backup) -> Result<Self, FilesError> {
        if backup.manifest.kind != KIND {
            let title = format!("{}/{}", backup.manifest.job, backup.id());
            return Err(FilesError::OtherKind { title, kind: backup.manifest.kind.clone() });
        }
        let contents = backup.contents()?;
        Ok(Self { backup, contents, places: Places::Host })
    }

    /// What it is called.
    pub fn title(&self) -> String {
        format!("{}/{}", self.backup.manifest.job, self.backup.id())
    }

    /// Unpacks it into an empty folder, as if that were the root: with the modes and times that the backup has, and, as
    /// root, with its owners.
    pub fn unpack(&self, into: &Path, cancel: &CancellationToken) -> Result<usize, FilesError> {
        unpack::unpack(self, into, cancel)
    }

    /// Compares it with what is on this host. Writes nothing.
    pub fn plan(&self, cancel: &CancellationToken) -> Result<FilesPlan, FilesError> {
        let mut plan = FilesPlan {
            source: self.title(),
            changes: Vec::new(),
            same: 0,
            lacks: self.contents.lacks.clone(),
            refusals: Vec::new(),
        };
        let mut trees = Trees::of(self.tops());
        let (mut denied, mut needs, mut links) = (Denied::default(), Needs::default(), BTreeSet::new());
        for entry in &self.contents.entries {
            if cancel.is_cancelled() {
                return Err(FilesError::Cancelled);
            }
            let Some(real) = self.places.real(entry.path.as_path()) else {
                plan.refusals.push(format!(
                    "{} lies in the container's own layer: unpack the backup with --into, and use `docker cp -a`",
                    entry.path
                ));
                continue;
            };
            match compare(entry, &real, &mut trees, cancel)? {
                Compared::Same => plan.same += 1,
                Compared::Differs(How::Content | How::Attributes, _)
                | Compared::InTheWay(_)
                | Compared::BehindLink(_)
                    if self.leaves(entry) => {}
                Compared::Differs(how, there) => {
                    let near = trees.nearest(&real);
                    let (folder, path) = near.map_err(write::place("look at", &real))?;
                    let ground = Ground { folder, path, there };
                    denied.look_at(entry, &ground, how);
                    needs.add(entry, &ground, how);
                    plan.changes.push(Change { entry: entry.clone(), how, diff: None });
                }
                Compared::InTheWay(what) => {
                    plan.refusals.push(format!("{} is {what}: move it away, then try again", entry.path));
                }
                // Of all that lies behind it this is told once.
                Compared::BehindLink(link) => {
                    if links.insert(link.path.clone()) {
                        plan.refusals.push(format!("{link}: {}", NotFollowed::HINT));
                    }
                }
            }
        }
        plan.refusals.extend(denied.refusal());
        plan.refusals.extend(needs.refusals());
        self.add_diffs(&mut plan, &mut trees, cancel)?;
        Ok(plan)
    }

    /// What is there is not replaced by what is doubtful. (What a restore has replaced was kept just
    /// before, and comes back as it was kept.)
    fn leaves(&self, entry: &FileEntry) -> bool {
        self.contents.before_restore.is_none() && self.contents.is_doubtful(&entry.path)
    }

    fn add_diffs(
        &self,
        plan: &mut FilesPlan,
        trees: &mut Trees,
        cancel: &CancellationToken,
    ) -> Result<(), FilesError> {
        let shown = |change: &&mut Change| match change.entry.what {
            What::File { size, .. } => change.how == How::Content && size <= LONGEST_SHOWN,
            What::Folder | What::Link { .. } => false,
        };
        let mut changes: BTreeMap<String, &mut Change> = plan
            .changes
            .iter_mut()
            .filter(shown)
            .map(|change| (change.entry.archive_path(), change))
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.each_file(cancel, &mut |path, content| {
            if let Some(change) = changes.get_mut(path) {
                let mut new = Vec::new();
                content.read_to_end(&mut new)?;
                let real = self.real(&change.entry);
                let old = trees.place(&real).and_then(|(folder, name)| folder.read(name));
                let old = old.and_then(|file| regular::whole(&file, LONGEST_SHOWN)).ok();
                change.diff = old.and_then(|old| diff::unified(&old, &change.entry.path.text(), &new));
            }
            Ok(())
        })
    }

    /// Hands every regular file of the archive to `take`, by its path in there.
    fn each_file(&self, cancel: &CancellationToken, take: &mut TakeFile<'_>) -> Result<(), FilesError> {
        for file in &self.backup.manifest.files {
            let path = self.backup.path_of(file);
            let read = open_archive(&path, cancel, &mut |entry, content| {
                if entry.kind == EntryKind::Folder {
                    return Ok(());
                }
                take(&entry.path, content).map_err(|error| ArchiveError::visit(&entry.path, error))
            });
            read.map_err(|source| match source {
                ArchiveError::Cancelled => FilesError::Cancelled,
                source => StoreError::Archive { path, source }.into(),
            })?;
        }
        Ok(())
    }
}

/// Takes one file of the archive.
type TakeFile<'a> = dyn FnMut(&str, &mut dyn io::Read) -> io::Result<()> + 'a;

enum Compared {
    Same,
    /// With what is there, if something is.
    Differs(How, Option<Found>),
    InTheWay(&'static str),
    /// A folder on the way is a symbolic link.
    BehindLink(NotFollowed),
}

/// How what is there differs from an entry. Times do not count.
fn compare(
    entry: &FileEntry,
    path: &Path,
    trees: &mut Trees,
    cancel: &CancellationToken,
) -> Result<Compared, FilesError> {
    let failed = write::place("look at", path);
    let there = match trees.look(path) {
        Err(error) if is_missing(&error) => return Ok(Compared::Differs(How::Missing, None)),
        Err(error) => {
            let link = NotFollowed::of(&error).cloned();
            return link.map(Compared::BehindLink).ok_or_else(|| failed(error));
        }
        Ok(there) => there,
    };
    let kind = there.kind;
    let same = match &entry.what {
        What::Folder if kind.is_dir() => true,
        What::Folder if kind.is_symlink() => {
            return Ok(Compared::BehindLink(NotFollowed { path: path.to_owned(), owner: there.uid }));
        }
        What::Folder => return Ok(Compared::InTheWay("no folder, and one has to be there")),
        What::Link { target } if kind.is_symlink() => {
            let leads = trees.node(path).and_then(|node| node.target());
            FilePath::from(&leads.map_err(failed)?) == *target
        }
        What::File { size, sha256 } if kind.is_file() => {
            there.size == *size && {
                let file = trees.place(path).and_then(|(folder, name)| folder.read(name));
                file.and_then(|file| hash(file, cancel)).map_err(failed)? == *sha256
            }
        }
        _ if kind.is_dir() => return Ok(Compared::InTheWay("a folder, and a file or link has to be there")),
        // Nothing can be kept of it.
        _ if !kind.is_file() && !kind.is_symlink() => {
            return Ok(Compared::InTheWay("a pipe, socket or device, and a file or link has to be there"));
        }
        _ => false,
    };
    if !same {
        return Ok(Compared::Differs(How::Content, Some(there)));
    }
    let is_link = matches!(entry.what, What::Link { .. });
    let owned = (there.uid, there.gid) == (entry.uid, entry.gid);
    let as_is = owned && (is_link || there.mode == entry.mode);
    Ok(if as_is { Compared::Same } else { Compared::Differs(How::Attributes, Some(there)) })
}

fn hash(file: File, cancel: &CancellationToken) -> io::Result<String> {
    let mut hashed = Hashing::new(Watched::new(file, cancel, &|_| {}));
    io::copy(&mut hashed, &mut io::sink())?;
    Ok(hashed.finish().2)
}

#[cfg(test)]
mod tests;
