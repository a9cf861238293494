//! The backup of named files: each is read until it rests, and what cannot be read does not stop the rest.

use std::collections::BTreeSet;
use std::path::Path;

use globset::GlobSet;
use tokio_util::sync::CancellationToken;

use super::host::{self, Place};
use super::spool::Spooled;
use super::{BeforeRestore, FileEntry, FilesContents, FilesError, KIND, What, container};
use crate::config::values::Compression;
use crate::docker::Docker;
use crate::jobs::RunContext;
use crate::progress::{Progress, StepGuard};
use crate::store::archive::ArchiveWriter;
use crate::store::{Backup, Draft, JobStore, Layout, Pending, Source};
use crate::words;

/// What to back up.
#[derive(Debug, Clone)]
pub struct FilesSource {
    /// Absolute paths of files and folders.
    pub paths: Vec<String>,
    /// What not to take, matched against absolute paths.
    pub exclude: GlobSet,
    /// The container that the paths are in; this host where there is none.
    pub container: Option<String>,
}

/// Takes what comes into the archive and the contents.
pub(super) struct Collector<'a> {
    writer: ArchiveWriter,
    contents: FilesContents,
    seen: BTreeSet<String>,
    exclude: &'a GlobSet,
    pub(super) spool: &'a Path,
    step: &'a StepGuard,
    pub(super) cancel: &'a CancellationToken,
}

impl Collector<'_> {
    pub(super) fn is_excluded(&self, path: &str) -> bool {
        self.exclude.is_match(path)
    }

    /// Notes that something is not in the backup as it is.
    pub(super) fn problem(&mut self, path: &str, problem: &str) {
        self.contents.problems.push(format!("{path}: {problem}"));
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
        match (&entry.what, content) {
            (What::File { size, .. }, Some(mut content)) => {
                let mtime = u64::try_from(entry.mtime).unwrap_or_default();
                let mode = entry.mode & 0o777;
                self.writer.file(entry.archive_path(), mode, mtime, *size, &mut content)?;
                self.step.add(*size);
            }
            (What::Folder, _) if !entry.archive_path().is_empty() => {
                self.writer.folder(entry.archive_path(), entry.mode & 0o777)?;
            }
            _ => {}
        }
        self.contents.entries.push(entry);
        Ok(())
    }
}

/// Backs files up and publishes the backup. `before` is said of one that is made so that a restore can be taken back.
pub async fn back_up(
    source: &FilesSource,
    docker: Option<&Docker>,
    store: &JobStore,
    compression: Compression,
    before: Option<BeforeRestore>,
    context: &RunContext,
) -> Result<(Backup, FilesContents), FilesError> {
    let step = context.progress.step("read the files", None);
    let pending = store.begin(context.run, context.now)?;
    let writer = pending.archive(compression)?;
    let reader = match (&source.container, docker) {
        (Some(name), Some(docker)) => Some(container::open(docker, name).await?),
        _ => None,
    };
    let (owned, cancel) = (source.clone(), context.cancel.clone());
    let work = move || -> Result<(Pending, FilesContents), FilesError> {
        let mut collector = Collector {
            writer,
            contents: FilesContents {
                container: owned.container.clone(),
                roots: owned.paths.clone(),
                before_restore: before,
                ..FilesContents::default()
            },
            seen: BTreeSet::new(),
            exclude: &owned.exclude,
            spool: pending.dir(),
            step: &step,
            cancel: &cancel,
        };
        for path in &owned.paths {
            match &reader {
                Some(reader) => container::take(reader, path, &mut collector)?,
                // What a restore does not change is not taken back with it.
                None if collector.contents.before_restore.is_some() => {
                    host::take_alone(&Place { path: path.clone(), real: path.into() }, &mut collector)?;
                }
                None => host::take(&Place { path: path.clone(), real: path.into() }, &mut collector)?,
            }
        }
        let Collector { writer, mut contents, .. } = collector;
        if contents.entries.is_empty() && contents.before_restore.is_none() {
            return Err(FilesError::Nothing { problems: contents.problems.join("; ") });
        }
        writer.finish()?;
        contents.entries.sort_by(|a, b| a.path.cmp(&b.path));
        let (files, bytes) = contents.files();
        step.finish(format!("{}, {}", words::count(files, "file"), words::size(bytes)));
        Ok((pending, contents))
    };
    let (pending, contents) = blocking(work).await?;
    for problem in &contents.problems {
        context.progress.warn(format!("not in the backup as it is: {problem}"));
    }
    warn_of_links(&contents, &context.progress);
    let backup = publish(pending, &contents, source, context).await?;
    Ok((backup, contents))
}

/// Whoever names a path wants what is there, and a link alone is not that.
fn warn_of_links(contents: &FilesContents, progress: &Progress) {
    let roots = contents.roots.iter().map(|root| root.trim_end_matches('/'));
    for root in roots.filter(|_| contents.before_restore.is_none()) {
        let entry = contents.entries.iter().find(|entry| entry.path == root);
        if let Some(What::Link { target }) = entry.map(|entry| &entry.what) {
            progress.warn(format!(
                "{root} is a link to {target}: only the link is in the backup; name what it leads to in paths, too"
            ));
        }
    }
}

async fn publish(
    pending: Pending,
    contents: &FilesContents,
    source: &FilesSource,
    context: &RunContext,
) -> Result<Backup, FilesError> {
    let step = context.progress.step("read the archive back and publish it", pending.size());
    let draft = Draft {
        kind: KIND.to_owned(),
        created: context.now,
        tool: concat!("watchkeeper ", env!("CARGO_PKG_VERSION")).to_owned(),
        source: Source { container: source.container.clone(), ..Source::default() },
        content_bytes: contents.files().1,
        damaged: !contents.problems.is_empty(),
        contents: serde_json::value::to_raw_value(contents)
            .map_err(|source| FilesError::Describe { source })?,
        layout: Layout::Archive,
        shared: Vec::new(),
    };
    let cancel = context.cancel.clone();
    blocking(move || {
        let backup = pending.publish(draft, &step, &cancel)?;
        step.finish(backup.id().to_string());
        Ok(backup)
    })
    .await
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
