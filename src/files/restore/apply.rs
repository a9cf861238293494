//! Carries a plan out, and takes it back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use globset::GlobSet;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::{Change, FilesBackup, FilesPlan, How};
use crate::blocking::blocking;
use crate::config::values::Compression;
use crate::files::backup::{FilesSource, back_up};
use crate::files::{BeforeRestore, FileEntry, FilePath, FilesContents, FilesError, What};
use crate::jobs::RunContext;
use crate::store::atomic::{TEMP_PREFIX, sync_folder};
use crate::store::{Backup, BackupId, JobStore, StoreError};
use crate::words;

/// What was there before a restore is kept for two weeks, and that of so many restores for longer.
const KEPT: usize = 5;
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(14 * 24);
/// How long readers of what is kept are waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

/// What a restore has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// How many files, folders and links were written.
    pub written: usize,
    /// The backup of what was there before, by which the restore can be taken back.
    pub before: BackupId,
}

/// Restores as planned. What is there is backed up into `kept` first.
pub async fn apply(
    source: FilesBackup,
    plan: FilesPlan,
    kept: &JobStore,
    context: &RunContext,
) -> Result<Applied, FilesError> {
    let (backup, step) =
        (source.backup.clone(), context.progress.step("verify the backup", Some(source.backup.size())));
    let cancel = context.cancel.clone();
    blocking(move || {
        for file in &backup.manifest.files {
            if let Some(problem) = backup.check_file(file, &step, &cancel)? {
                return Err(StoreError::Broken { path: backup.path_of(file), problem }.into());
            }
        }
        step.finish("its hash is the one in its manifest");
        Ok::<_, FilesError>(())
    })
    .await?;
    for lack in &plan.lacks {
        context.progress.warn(format!("{}: {lack}", lack.held.in_restore()));
    }
    let before = keep_what_is_there(&source, &plan, false, kept, context).await?;
    let step = context.progress.step("write what differs", None);
    let cancel = context.cancel.clone();
    let written = blocking(move || {
        let written = write_all(&source, &plan.changes, &cancel)?;
        step.finish(words::count(written, "change"));
        Ok::<_, FilesError>(written)
    })
    .await?;
    Ok(Applied { written, before })
}

/// Takes the newest restore back: what was there before is written again from `kept`, and what the restore created
/// goes, unless somebody has changed it since. What it replaces is kept first: somebody may have edited it.
pub async fn undo(kept: &JobStore, context: &RunContext) -> Result<Applied, FilesError> {
    let nothing = || FilesError::NothingToUndo { job: context.job.to_string() };
    // The newest, whatever could not be kept by it: an older one is of another restore.
    let of_restore = |backup: &Backup| {
        let contents = backup.contents::<FilesContents>().ok();
        contents.and_then(|contents| contents.before_restore).is_some_and(|before| !before.by_undo)
    };
    let newest = kept.list()?.backups.into_iter().rfind(of_restore);
    let source = FilesBackup::of(newest.ok_or_else(nothing)?)?;
    let undone = source.backup.id().clone();
    let cancel = context.cancel.clone();
    let (source, plan) = blocking(move || source.plan(&cancel).map(|plan| (source, plan))).await?;
    if let Some(refusal) = plan.refusals.first() {
        return Err(FilesError::InTheWay { what: refusal.clone() });
    }
    let before = keep_what_is_there(&source, &plan, true, kept, context).await?;
    let step = context.progress.step("write what was there before", None);
    let cancel = context.cancel.clone();
    let written = blocking(move || {
        let mut written = write_all(&source, &plan.changes, &cancel)?;
        written += remove_created(&source.contents, &cancel)?;
        step.finish(words::count(written, "change"));
        Ok::<_, FilesError>(written)
    })
    .await?;
    // It is as it was: there is nothing left to take back.
    kept.remove(&kept.lock_exclusive(LOCK_LIMIT)?, std::slice::from_ref(&undone))?;
    Ok(Applied { written, before })
}

async fn keep_what_is_there(
    source: &FilesBackup,
    plan: &FilesPlan,
    by_undo: bool,
    kept: &JobStore,
    context: &RunContext,
) -> Result<BackupId, FilesError> {
    let there = plan.changes.iter().filter(|change| change.how != How::Missing);
    let paths = there.map(|change| source.real(&change.entry)).collect();
    let what = FilesSource { paths, exclude: GlobSet::empty(), container: None };
    let created = plan.changes.iter().rev().filter(|change| change.how == How::Missing);
    // Kept by where they lie here: a container may be another one by then.
    let here = |change: &Change| FileEntry {
        path: FilePath::from(&source.real(&change.entry)),
        ..change.entry.clone()
    };
    let created = created.map(here).collect();
    let before = Some(BeforeRestore { of: plan.source.clone(), created, by_undo });
    let (backup, _) = back_up(&what, None, kept, Compression::default(), before, context).await?;
    // Not by their number alone: a restore that fails in the middle has written some of it, and of those files only
    // the first of its tries holds what was there.
    let backups = kept.list()?.backups;
    let older = backups.iter().rev().skip(KEPT);
    let older = older.filter(|backup| context.now.duration_since(backup.manifest.created) > KEPT_FOR);
    let older: Vec<BackupId> = older.map(|backup| backup.id().clone()).collect();
    kept.remove(&kept.lock_exclusive(LOCK_LIMIT)?, &older)?;
    Ok(backup.id().clone())
}

/// Writes every change; regular files are compared with their hash before they get their name.
fn write_all(
    source: &FilesBackup,
    changes: &[Change],
    cancel: &CancellationToken,
) -> Result<usize, FilesError> {
    let mut files: BTreeMap<String, &FileEntry> = BTreeMap::new();
    let mut folders = BTreeSet::new();
    for Change { entry, how, .. } in changes {
        match (&entry.what, how) {
            (What::Folder, How::Missing) => make_folder(&source.real(entry), entry)?,
            (What::Link { target }, How::Missing | How::Content) => {
                make_link(&source.real(entry), entry, target.as_path())?;
            }
            (What::File { .. }, How::Missing | How::Content) => {
                files.insert(entry.archive_path(), entry);
            }
            (_, How::Attributes | How::Content) => own(&source.real(entry), entry)?,
        }
        folders.extend(source.real(entry).parent().map(Path::to_path_buf));
    }
    let mut failed = None;
    let mut left: BTreeSet<&str> = files.keys().map(String::as_str).collect();
    source.each_file(cancel, &mut |path, content| {
        let Some(entry) = files.get(path) else { return Ok(()) };
        left.remove(path);
        if failed.is_none() {
            failed = write_file(&source.real(entry), entry, content).err();
        }
        Ok(())
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(path) = left.first() {
        return Err(FilesError::Differs { path: FilePath::from(*path) });
    }
    for folder in folders {
        sync_folder(&folder).map_err(place("sync", &folder))?;
    }
    Ok(changes.len())
}

/// Unpacks a backup below an empty folder.
pub(super) fn unpack(
    source: &FilesBackup,
    into: &Path,
    cancel: &CancellationToken,
) -> Result<usize, FilesError> {
    fs::create_dir_all(into).map_err(place("create the folder", into))?;
    if into.read_dir().map_err(place("list", into))?.next().is_some() {
        let source = io::ErrorKind::DirectoryNotEmpty.into();
        return Err(FilesError::Place { doing: "unpack into", path: into.to_owned(), source });
    }
    let below =
        |entry: &FileEntry| into.join(entry.path.as_path().strip_prefix("/").unwrap_or(entry.path.as_path()));
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in &source.contents.entries {
        let path = below(entry);
        let folder = if entry.what == What::Folder { path.as_path() } else { path.parent().unwrap_or(into) };
        fs::create_dir_all(folder).map_err(place("create the folder", folder))?;
        files.insert(entry.archive_path(), path);
    }
    source.each_file(cancel, &mut |inside, content| match files.get(inside) {
        Some(path) => io::copy(content, &mut File::create_new(path)?).map(drop),
        None => Ok(()),
    })?;
    // Last: nothing is written through a link that leads out of the folder.
    for entry in &source.contents.entries {
        if let What::Link { target } = &entry.what {
            symlink(target.as_path(), below(entry)).map_err(place("create the link", &below(entry)))?;
        }
    }
    Ok(source.contents.entries.len())
}

fn write_file(path: &Path, entry: &FileEntry, content: &mut dyn io::Read) -> Result<(), FilesError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(place("create the folder", folder))?;
    let mut temp =
        tempfile::NamedTempFile::with_prefix_in(TEMP_PREFIX, folder).map_err(place("write into", folder))?;
    let mut hashed = crate::store::digest::Hashing::new(content);
    io::copy(&mut hashed, &mut temp).map_err(place("write", path))?;
    let (_, size, sha256) = hashed.finish();
    if (What::File { size, sha256 }) != entry.what {
        return Err(FilesError::Differs { path: entry.path.clone() });
    }
    temp.flush().map_err(place("write", path))?;
    own(temp.path(), entry)?;
    let mtime = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(entry.mtime).unwrap_or_default());
    temp.as_file().set_modified(mtime).map_err(place("set the time of", path))?;
    temp.as_file().sync_all().map_err(place("sync", path))?;
    temp.persist(path).map(drop).map_err(|error| place("put in place", path)(error.error))
}

fn make_folder(path: &Path, entry: &FileEntry) -> Result<(), FilesError> {
    fs::create_dir_all(path).map_err(place("create the folder", path))?;
    own(path, entry)
}

fn make_link(path: &Path, entry: &FileEntry, target: &Path) -> Result<(), FilesError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(place("create the folder", folder))?;
    // Made beside and renamed: there is always a link, the old or the new.
    let mut name = std::ffi::OsString::from(TEMP_PREFIX);
    name.push(path.file_name().unwrap_or_default());
    let beside = folder.join(name);
    let _ = fs::remove_file(&beside);
    symlink(target, &beside).map_err(place("create the link", path))?;
    lchown(&beside, Some(entry.uid), Some(entry.gid)).map_err(place("give to its owner", path))?;
    fs::rename(&beside, path).map_err(place("put in place", path))
}

/// Owner and mode as the backup has them. Only root can give files away: for others the owner is their own already, or
/// this fails.
fn own(path: &Path, entry: &FileEntry) -> Result<(), FilesError> {
    lchown(path, Some(entry.uid), Some(entry.gid)).map_err(place("give to its owner", path))?;
    if matches!(entry.what, What::Link { .. }) {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(entry.mode)).map_err(place("set the mode of", path))
}

/// Removes what the restore created. What was changed since stays, and so does a folder that is not empty.
fn remove_created(before: &FilesContents, cancel: &CancellationToken) -> Result<usize, FilesError> {
    let created = before.before_restore.iter().flat_map(|before| &before.created);
    let mut removed = 0;
    for entry in created {
        removed += usize::from(remove_if_same(entry, cancel)?);
    }
    Ok(removed)
}

fn remove_if_same(entry: &FileEntry, cancel: &CancellationToken) -> Result<bool, FilesError> {
    let path = entry.path.as_path();
    let same = match &entry.what {
        What::Folder => return Ok(fs::remove_dir(path).is_ok()),
        What::Link { target } => fs::read_link(path).is_ok_and(|there| FilePath::from(&there) == *target),
        // Looked at before it is opened: a FIFO would be waited for, and a link be followed.
        What::File { sha256, .. } => {
            fs::symlink_metadata(path).is_ok_and(|there| there.is_file())
                && File::open(path)
                    .and_then(|file| super::hash(file, cancel))
                    .is_ok_and(|hash| hash == *sha256)
        }
    };
    if same {
        fs::remove_file(path).map_err(place("remove", path))?;
    }
    Ok(same)
}

fn place(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> FilesError + use<> {
    let path = path.to_owned();
    move |source| FilesError::Place { doing, path: path.clone(), source }
}
