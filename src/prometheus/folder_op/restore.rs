//! The operations of a restore, each of which can be repeated.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::Path;

use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::error::{At as _, FolderOpError};
use super::exchange::{self, Exchange, Side};
use super::journal::{Journal, Work};
use super::{Phase, RestoreNote, RestoreState, files, guard, inspect, past, work_folder};
use crate::prometheus::block::{BlockReport, EMPTY_TOMBSTONES, check_dir};
use crate::regular;

/// What Prometheus needs beside its blocks, empty.
const EMPTY_HEAD: [&str; 2] = ["wal", "chunks_head"];

/// A work folder that is being made.
const PREPARING: &str = ".watchkeeper-preparing-";

/// A work folder that is being removed.
const DISCARDED: &str = ".watchkeeper-discarded-";

pub(super) fn prepare(root: &Path, note: &RestoreNote) -> Result<RestoreState, FolderOpError> {
    let _lock = guard::lock(root)?;
    if let Some(name) = note.blocks.iter().find(|name| !files::is_block(name)) {
        return Err(FolderOpError::refused(format!("{name:?} is not the name of a block"), ""));
    }
    guard::data_folder(root)?;
    guard::movable(root)?;
    guard::no_other(root, note.restore)?;
    sweep(root)?;
    if files::look(&root.join(work_folder(note.restore)))?.is_some() {
        let work = Work::open(root, note.restore)?;
        return match work.journal.phase {
            Phase::Staging if work.journal.note == *note => work.state(),
            _ => Err(FolderOpError::refused("a restore of this name was begun before", "")),
        };
    }
    begin(root, note)
}

/// The work folder is made under another name, and appears whole.
fn begin(root: &Path, note: &RestoreNote) -> Result<RestoreState, FolderOpError> {
    let making = root.join(format!("{PREPARING}{}", note.restore));
    for path in [making.clone(), making.join("old"), making.join("new")] {
        fs::create_dir(&path).at("create", &path)?;
    }
    for name in EMPTY_HEAD {
        let path = making.join("new").join(name);
        fs::create_dir(&path).at("create", &path)?;
    }
    let link = making.join("current");
    symlink("old", &link).at("create", &link)?;
    let exchanges = exchange::is_supported(&making)?;
    let journal =
        Journal { note: note.clone(), phase: Phase::Staging, checked: false, exchanges, down: false };
    let work = Work { folder: making.clone(), journal };
    work.save()?;
    give(root, &making)?;
    let folder = root.join(work_folder(note.restore));
    fs::rename(&making, &folder).at("create", &folder)?;
    files::sync(root)?;
    Work { folder, ..work }.state()
}

/// What a killed `Prepare` or `Discard` left half made or half removed.
fn sweep(root: &Path) -> Result<(), FolderOpError> {
    for name in files::names(root)? {
        let id = name.strip_prefix(PREPARING).or_else(|| name.strip_prefix(DISCARDED));
        if id.is_some_and(|id| Ulid::from_string(id).is_ok()) {
            files::remove(&root.join(name))?;
        }
    }
    Ok(())
}

pub(super) fn check_staged(
    root: &Path,
    restore: Ulid,
    on_bytes: &mut dyn FnMut(u64),
    cancel: &CancellationToken,
) -> Result<Vec<BlockReport>, FolderOpError> {
    let _lock = guard::lock(root)?;
    let mut work = Work::open(root, restore)?;
    if work.journal.phase != Phase::Staging {
        return Err(FolderOpError::refused("the new data are no longer being staged", ""));
    }
    let new = work.new_side();
    for name in files::names(&new)? {
        if !work.journal.note.blocks.contains(&name) && !EMPTY_HEAD.contains(&name.as_str()) {
            return Err(FolderOpError::refused(
                format!("{} does not belong there", new.join(name).display()),
                "",
            ));
        }
    }
    guard::plain_files(&new)?;
    give(root, &new)?;
    let mut reports = Vec::new();
    for name in &work.journal.note.blocks {
        let block = new.join(name);
        let tombstones = block.join("tombstones");
        if files::look(&block)?.is_some() && files::look(&tombstones)?.is_none() {
            let mut file = File::create_new(&tombstones).at("create", &tombstones)?;
            std::io::Write::write_all(&mut file, &EMPTY_TOMBSTONES).at("write", &tombstones)?;
        }
        reports.push(check_dir(&block, &work.folder, cancel, on_bytes)?);
    }
    give(root, &new)?;
    work.journal.checked = true;
    work.save()?;
    Ok(reports)
}

/// Gives everything below to the owner of the data, with modes that Prometheus can work with, and brings it
/// to the disk. Without the right owner Prometheus cannot link the files, and the next backup fails.
fn give(root: &Path, below: &Path) -> Result<(), FolderOpError> {
    let (uid, gid) = inspect::owner(root)?;
    let mut folders = Vec::new();
    files::walk(below, &mut |path, metadata| {
        if metadata.uid() != uid || metadata.gid() != gid {
            lchown(path, Some(uid), Some(gid)).at("change the owner of", path)?;
        }
        if metadata.is_symlink() {
            return Ok(());
        }
        let mode = if metadata.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, Permissions::from_mode(mode)).at("change the mode of", path)?;
        if metadata.is_dir() {
            folders.push(path.to_path_buf());
            return Ok(());
        }
        regular::open(path).and_then(|file| file.sync_all()).at("sync", path)
    })?;
    folders.iter().try_for_each(|folder| files::sync(folder))
}

pub(super) fn note_down(root: &Path, restore: Ulid, down: bool) -> Result<RestoreState, FolderOpError> {
    let _lock = guard::lock(root)?;
    let mut work = Work::open(root, restore)?;
    work.journal.down = down;
    work.save()?;
    work.state()
}

pub(super) fn swap(root: &Path, restore: Ulid) -> Result<RestoreState, FolderOpError> {
    let _lock = guard::lock(root)?;
    let mut work = Work::open(root, restore)?;
    match work.journal.phase {
        Phase::Swapped | Phase::Proven => return work.state(),
        Phase::Undone => {
            return Err(FolderOpError::refused("this restore was taken back", "begin a new one"));
        }
        Phase::Staging if !work.journal.checked => {
            return Err(FolderOpError::refused(
                "the new data were not all staged and checked",
                "take it back with `restore JOB --undo`, and begin anew",
            ));
        }
        Phase::Staging | Phase::Swapping | Phase::Undoing => {}
    }
    may_exchange(root, restore)?;
    work.enter(Phase::Swapping)?;
    Exchange::new(root, &work.folder, work.journal.exchanges).drive(Side::New)?;
    work.enter(Phase::Swapped)?;
    work.state()
}

pub(super) fn accept(root: &Path, restore: Ulid) -> Result<RestoreState, FolderOpError> {
    let _lock = guard::lock(root)?;
    let mut work = Work::open(root, restore)?;
    match work.journal.phase {
        Phase::Proven => {}
        Phase::Swapped => {
            // It has served what was proven.
            work.journal.down = false;
            work.enter(Phase::Proven)?;
        }
        _ => return Err(FolderOpError::refused("the new data are not live", "")),
    }
    work.state()
}

pub(super) fn undo(root: &Path, restore: Ulid) -> Result<RestoreState, FolderOpError> {
    let _lock = guard::lock(root)?;
    let mut work = Work::open(root, restore)?;
    match work.journal.phase {
        Phase::Undone => return work.state(),
        // Nothing was touched; what was staged are copies.
        Phase::Staging => {
            work.enter(Phase::Undone)?;
            for name in files::names(&work.new_side())? {
                files::remove(&work.new_side().join(name))?;
            }
            return work.state();
        }
        Phase::Swapping | Phase::Swapped | Phase::Proven | Phase::Undoing => {}
    }
    may_exchange(root, restore)?;
    work.enter(Phase::Undoing)?;
    Exchange::new(root, &work.folder, work.journal.exchanges).drive(Side::Old)?;
    work.enter(Phase::Undone)?;
    work.state()
}

pub(super) fn discard(root: &Path, restore: Ulid) -> Result<(), FolderOpError> {
    let _lock = guard::lock(root)?;
    let trash = root.join(format!("{DISCARDED}{restore}"));
    files::remove(&trash)?;
    if files::look(&root.join(work_folder(restore)))?.is_none() {
        return Ok(());
    }
    let work = Work::open(root, restore)?;
    if work.journal.phase.is_unfinished() && work.journal.phase != Phase::Staging {
        return Err(FolderOpError::refused(
            "this restore is not finished, so that nothing that was set aside can be removed",
            "finish it with `restore JOB --resume`, or take it back with `restore JOB --undo`",
        ));
    }
    past::note(root, &work.state()?)?;
    // The journal goes with the last file otherwise, and what is half removed would look like a restore.
    fs::rename(&work.folder, &trash).at("remove", &work.folder)?;
    files::sync(root)?;
    files::remove(&trash)
}

/// All that speaks against an exchange is said before the first change.
fn may_exchange(root: &Path, restore: Ulid) -> Result<(), FolderOpError> {
    guard::not_in_use(root)?;
    guard::no_other(root, restore)?;
    guard::movable(root)
}
