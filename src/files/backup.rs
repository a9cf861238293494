//! The backup of named files: each is read until it rests, and what cannot be read does not stop the rest.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use globset::GlobSet;
use tokio_util::sync::CancellationToken;

use super::links::Links;
use super::spool::{IN_MEMORY, Spooled};
use super::trees::{Tops, Trees};
use super::{
    BeforeRestore, FileEntry, FilePath, FilesContents, FilesError, Held, KIND, Lack, What, container, host,
    roots,
};
use crate::blocking::blocking;
use crate::config::values::Compression;
use crate::docker::Docker;
use crate::jobs::RunContext;
use crate::progress::StepGuard;
use crate::store::archive::ArchiveWriter;
use crate::store::{Backup, Beside, Draft, JobStore, Pending, Source};
use crate::{rights, words};

/// What to back up.
#[derive(Debug, Clone)]
pub struct FilesSource {
    /// Absolute paths of files and folders.
    pub paths: Vec<PathBuf>,
    /// What not to take, matched against absolute paths.
    pub exclude: GlobSet,
    /// The container that the paths are in; this host where there is none.
    pub container: Option<String>,
    /// Folders of the program itself, which are left out wherever they are met: a backup that holds those before it grows
    /// with each run.
    pub own: Vec<PathBuf>,
}

/// What a backup is made for that keeps what was there before a restore.
pub struct Before {
    /// The restore.
    pub restore: BeforeRestore,
    /// What the paths lie in.
    pub(super) tops: Tops,
}

/// Takes what comes into the archive and the contents.
pub(super) struct Collector<'a> {
    writer: ArchiveWriter,
    contents: FilesContents,
    seen: BTreeSet<FilePath>,
    /// Their names in the archive.
    names: BTreeSet<String>,
    links: Links,
    exclude: &'a GlobSet,
    /// Device and inode: by a link or a mount they have other paths.
    own: Vec<(u64, u64)>,
    pub(super) spool: &'a Path,
    step: &'a StepGuard,
    pub(super) cancel: &'a CancellationToken,
}

impl Collector<'_> {
    pub(super) fn is_excluded(&self, path: &Path) -> bool {
        self.exclude.is_match(path)
    }

    /// It is a folder of the program itself, which is noted.
    pub(super) fn leaves_out(&mut self, path: &Path, inode: (u64, u64)) -> bool {
        let is_own = self.own.contains(&inode);
        if is_own && !self.contents.left_out.iter().any(|known| known.as_path() == path) {
            self.contents.left_out.push(path.into());
        }
        is_own
    }

    /// Folders of the program itself, by device and inode.
    pub(super) fn own(&self) -> &[(u64, u64)] {
        &self.own
    }

    /// Notes that something is not in the backup.
    pub(super) fn lacks(&mut self, path: &FilePath, reason: &str) {
        self.note(path, reason, Held::Nothing);
    }

    /// Notes that something is not in the backup as it was at one instant.
    pub(super) fn doubts(&mut self, path: &FilePath, reason: &str) {
        self.note(path, reason, Held::Doubtful);
    }

    fn note(&mut self, path: &FilePath, reason: &str, held: Held) {
        // Of a path that two roots hold it is said once.
        if !self.contents.lacks.iter().any(|lack| lack.path == *path) {
            self.contents.lacks.push(Lack { path: path.clone(), reason: reason.to_owned(), held });
        }
    }

    /// Where a link that was taken leads.
    pub(super) fn target_of(&self, link: &Path) -> Option<PathBuf> {
        self.links.target_of(link).map(Path::to_owned)
    }

    /// The same path, past the links above it that were taken.
    pub(super) fn beyond_links(&self, path: &Path) -> PathBuf {
        self.links.beyond(path)
    }

    /// Adds an entry; a regular file with its content.
    pub(super) fn add(&mut self, entry: FileEntry, content: Option<Spooled>) -> Result<(), FilesError> {
        if self.cancel.is_cancelled() {
            return Err(FilesError::Cancelled);
        }
        // Two roots may hold the same: `/etc` and `/etc/prometheus`.
        if !self.seen.insert(entry.path.clone()) {
            return Ok(());
        }
        if !self.names.insert(entry.archive_path()) {
            self.lacks(&entry.path, "its name is not UTF-8, and written as text it is that of another file");
            return Ok(());
        }
        match (&entry.what, content) {
            (What::File { size, .. }, Some(mut content)) => {
                let mtime = u64::try_from(entry.mtime).unwrap_or_default();
                let mode = entry.mode & 0o777;
                self.writer.file(&entry.archive_path(), mode, mtime, *size, &mut content)?;
                self.step.add(*size);
            }
            (What::Folder, _) if !entry.archive_path().is_empty() => {
                self.writer.folder(&entry.archive_path(), entry.mode & 0o777)?;
            }
            _ => {}
        }
        self.links.add(&entry);
        self.contents.entries.push(entry);
        Ok(())
    }
}

/// What lies beside the archive while files are backed up: the largest of them, as far as the newest backup tells.
pub fn beside(store: &JobStore) -> Beside {
    let newest = store.newest().ok().flatten().and_then(|newest| newest.contents::<FilesContents>().ok());
    let sizes = newest.iter().flat_map(|contents| &contents.entries).map(|entry| match entry.what {
        What::File { size, .. } => size,
        What::Folder | What::Link { .. } => 0,
    });
    let largest = sizes.max().unwrap_or_default();
    if largest > IN_MEMORY as u64 { Beside::Bytes(largest) } else { Beside::Nothing }
}

/// Backs files up and publishes the backup. `before` is said of one that is made so that a restore can be taken back, of
/// just these paths.
pub async fn back_up(
    source: &FilesSource,
    docker: Option<&Docker>,
    store: &JobStore,
    compression: Compression,
    before: Option<Before>,
    context: &RunContext,
) -> Result<(Backup, FilesContents), FilesError> {
    let step = context.progress.step("read the files", None);
    let mut pending = store.begin(context.run, context.now)?;
    // One before a restore is as large as what that changes.
    if before.is_none() {
        pending = pending.within_room(beside(store))?;
    }
    let writer = pending.archive(compression)?;
    let reader = match (&source.container, docker) {
        (Some(name), Some(docker)) => Some(container::open(docker, name).await?),
        _ => None,
    };
    let (owned, cancel, earlier) = (source.clone(), context.cancel.clone(), store.clone());
    let work = move || -> Result<(Pending, FilesContents), FilesError> {
        // What a restore does not change is not taken back with it.
        let (before, tops) = before.map(|Before { restore, tops }| (restore, tops)).unzip();
        let roots = tops.as_ref().map_or_else(|| owned.paths.clone(), |tops| tops.paths().cloned().collect());
        let mut kept = tops.map(Trees::of);
        let mut collector = Collector {
            writer,
            contents: FilesContents {
                container: owned.container.clone(),
                roots: roots.iter().map(FilePath::from).collect(),
                before_restore: before,
                ..FilesContents::default()
            },
            seen: BTreeSet::new(),
            names: BTreeSet::new(),
            links: Links::default(),
            exclude: &owned.exclude,
            own: owned
                .own
                .iter()
                .filter_map(|own| own.metadata().ok())
                .map(|own| (own.dev(), own.ino()))
                .collect(),
            spool: pending.dir(),
            step: &step,
            cancel: &cancel,
        };
        // Those above first: a path below a link that is taken is one below where that leads.
        let mut roots = owned.paths.clone();
        roots.sort();
        for path in &roots {
            match (&reader, &mut kept) {
                (Some(reader), _) => container::take_root(reader, path, &mut collector)?,
                (None, Some(trees)) => host::take_kept(trees, path, &mut collector)?,
                (None, None) => host::take_root(path, &mut collector)?,
            }
        }
        let Collector { writer, mut contents, .. } = collector;
        if contents.before_restore.is_none() && !contents.holds_anything() {
            return Err(FilesError::Nothing { lacks: contents.lacks });
        }
        writer.finish()?;
        contents.entries.sort_by(|a, b| a.path.cmp(&b.path));
        if contents.before_restore.is_none() {
            roots::compare(&mut contents, &earlier);
        }
        let (files, bytes) = contents.files();
        step.finish(format!("{}, {}", words::count(files, "file"), words::size(bytes)));
        Ok((pending, contents))
    };
    let (pending, contents) = blocking(work).await?;
    for lack in &contents.lacks {
        context.progress.warn(format!("{}: {lack}", lack.held.in_backup()));
    }
    if contents.lacks.iter().any(Lack::is_denied) {
        context.progress.warn(format!("what may not be read: {}", rights::files_hint("the files")));
    }
    let backup = publish(pending, &contents, source, context).await?;
    Ok((backup, contents))
}

async fn publish(
    pending: Pending,
    contents: &FilesContents,
    source: &FilesSource,
    context: &RunContext,
) -> Result<Backup, FilesError> {
    let described =
        serde_json::value::to_raw_value(contents).map_err(|source| FilesError::Describe { source })?;
    let paths = source.paths.iter().map(|path| path.display().to_string()).collect();
    let source = Source { container: source.container.clone(), paths, ..Source::default() };
    let draft = Draft {
        content_bytes: contents.files().1,
        // What is in it is whole.
        lacks: contents.lacks.iter().map(|lack| lack.path.to_string()).collect(),
        ..Draft::new(KIND, context.now, source, described)
    };
    Ok(context.publish(pending, draft).await?)
}
