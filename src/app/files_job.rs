//! The job `files-backup`, and the restore of its backups.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::right_store::refusal;
use super::upkept::with_upkeep;
use super::{App, Shared};
use crate::config::values::{BEFORE_RESTORE, JobName};
use crate::config::{Config, FilesConfig, JobConfig};
use crate::files::backup::{FilesSource, back_up};
use crate::files::places::Places;
use crate::files::restore::{FilesBackup, FilesPlan, Shelf, Undone, apply, undo};
use crate::files::{FilesContents, FilesError};
use crate::history::{Cause, RunReport};
use crate::identity::IdentityError;
use crate::jobs::{JobOutput, RunContext};
use crate::progress::Sink;
use crate::runner::{Failure, Lock, Task};
use crate::store::Store;
use crate::words;

/// The kind of a restore's run.
const RESTORE_KIND: &str = "files-restore";
/// Of a restore that fails in the middle so many of the files that it has written are named.
const MOST_TOLD: usize = 100;

pub(super) async fn run(
    shared: &Shared,
    job: &JobConfig,
    config: &FilesConfig,
    context: RunContext,
) -> Result<JobOutput, Failure> {
    let store = shared.store.job(&job.name);
    let docker = match &config.container {
        Some(_) => Some(
            shared.docker().await.map_err(|error| Failure::of(&error, error.hint(), error.is_transient()))?,
        ),
        None => None,
    };
    let source = FilesSource {
        paths: config.paths.iter().map(Into::into).collect(),
        exclude: globs(&config.exclude),
        container: config.container.clone(),
        own: own_folders(&shared.config, config),
    };
    let made = async {
        let made = back_up(&source, docker, &store, config.compression, None, &context).await;
        made.map_err(|error| of(&error))
    };
    let ((backup, contents), upkept) = with_upkeep((shared, job), &context, made).await?;
    let (files, bytes) = contents.files();
    let others = contents.entries.len() - files;
    let mut verified = vec!["every byte that was stored was read back and matches its SHA-256".to_owned()];
    verified.extend(upkept.verified);
    let left_out = contents.left_out.iter();
    let left_out = left_out.map(|path| format!("{path} is a folder of the program itself, and was left out"));
    Ok(JobOutput {
        summary: format!(
            "{}, {}, {}",
            words::count(files, "file"),
            words::counted(others, "folder or link", "folders and links"),
            words::size(bytes)
        ),
        backup: Some(backup.id().clone()),
        bytes: Some(backup.size()),
        facts: left_out.chain(upkept.facts).collect(),
        verified,
        ..JobOutput::default()
    })
}

/// What of the program itself is not backed up with what it lies in: the backups never, its state unless that is named.
fn own_folders(config: &Config, job: &FilesConfig) -> Vec<PathBuf> {
    let is_named = job.paths.iter().any(|path| Path::new(path).starts_with(&config.state_dir));
    let state = (!is_named).then(|| config.state_dir.clone());
    state.into_iter().chain([config.backup_dir.clone()]).collect()
}

/// The configuration has checked that each is a pattern.
fn globs(patterns: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in patterns.iter().filter_map(|pattern| Glob::new(pattern).ok()) {
        set.add(glob);
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}

/// What to do with files.
pub enum FilesAction {
    /// Restore this as planned.
    Apply(Box<(FilesBackup, FilesPlan)>),
    /// Take the newest restore back.
    Undo,
}

impl App {
    /// Where the paths of a backup lie on this host: those of a container in its mounts.
    pub async fn places_of(&self, contents: &FilesContents) -> Result<Places, FilesError> {
        let Some(name) = &contents.container else { return Ok(Places::Host) };
        let container = self.shared.docker().await?.container(name).await?;
        Ok(Places::of(container.info()))
    }

    /// Where what was there before restores is kept: with the backups, or in `state_dir` where nothing can be written
    /// there. Which restore was the newest is not known while the backups are away.
    fn shelf(&self, job: &JobName, action: &FilesAction) -> Result<Shelf, IdentityError> {
        let name = before_restore(job);
        let away = self.check_store_is_right().err();
        let with_backups = self.shared.store.job(&name);
        let folder = self.shared.config.state_dir.join("before-restore");
        let writable = away.is_none() && self.shared.store.is_writable();
        let in_state = || (folder.exists() || !writable).then(|| Store::open(&folder).ok()).flatten();
        match (away, action) {
            (Some(away), FilesAction::Undo) => Err(away),
            (away, _) => match (in_state().map(|store| store.job(&name)), away) {
                (Some(in_state), Some(_)) => Ok(Shelf { store: in_state, other: None }),
                (None, Some(away)) => Err(away),
                (Some(in_state), None) if !writable => {
                    Ok(Shelf { store: in_state, other: Some(with_backups) })
                }
                (in_state, None) => Ok(Shelf { store: with_backups, other: in_state }),
            },
        }
    }

    /// Does it, as a run of `job`, and returns its record.
    pub async fn run_files(&self, job: &JobName, action: FilesAction, sink: Arc<dyn Sink>) -> RunReport {
        let locks = vec![Lock::Job(job.clone())];
        let task = Task::once(job, RESTORE_KIND, locks);
        let kept = self.shelf(job, &action).map_err(|error| refusal(&error));
        // There is one attempt: it takes the action.
        let action = Mutex::new(Some(action));
        let work = move |context: RunContext| {
            let action = action.lock().unwrap_or_else(PoisonError::into_inner).take();
            let kept = kept.clone();
            async move { perform(action, &kept?, &context).await.map_err(|error| of_restore(&error)) }
        };
        self.runner.run(&task, Cause::Manual, sink, work).await
    }
}

/// The folder of what was there before restores. Not the job's own: what is there is a part of a backup, and neither
/// the newest one of the job nor a reason to let an older one go.
pub(super) fn before_restore(job: &JobName) -> JobName {
    let short: String = job.as_str().chars().take(63 - BEFORE_RESTORE.len()).collect();
    format!("{short}{BEFORE_RESTORE}").parse().unwrap_or_else(|_| job.clone())
}

async fn perform(
    action: Option<FilesAction>,
    shelf: &Shelf,
    context: &RunContext,
) -> Result<JobOutput, FilesError> {
    let output = match action {
        Some(FilesAction::Apply(planned)) => {
            let (source, plan) = *planned;
            let (title, from) = (source.title(), source.backup.manifest.made_from());
            let applied = apply(source, plan, shelf, context).await?;
            JobOutput {
                summary: format!("{} restored from {title}", words::entries(applied.written)),
                facts: vec![
                    format!("made from {from}"),
                    format!("what was there before is the backup {}/{}", shelf.store.job(), applied.before),
                ],
                ..JobOutput::default()
            }
        }
        Some(FilesAction::Undo) | None => undone(&undo(shelf, context).await?, shelf),
    };
    let verified =
        "each file was compared with the SHA-256 of its manifest before it got its name".to_owned();
    Ok(JobOutput { verified: vec![verified], ..output })
}

fn undone(undone: &Undone, shelf: &Shelf) -> JobOutput {
    let Undone { of, changed, left, replaced } = undone;
    let summary = match (changed, left.len()) {
        (0, 0) => format!("nothing to undo: all is as it was before the restore of {of}"),
        (0, _) => format!("nothing to undo: what the restore of {of} wrote was changed since"),
        (1, _) => format!("{} as it was before the restore of {of}", words::entries(1)),
        _ => format!("{} as they were before the restore of {of}", words::entries(*changed)),
    };
    let left =
        left.iter().map(|path| format!("left as it is, because it was changed since the restore: {path}"));
    let replaced =
        replaced.iter().map(|id| format!("what they replaced is the backup {}/{id}", shelf.store.job()));
    JobOutput { summary, facts: left.chain(replaced).collect(), ..JobOutput::default() }
}

fn of_restore(error: &FilesError) -> Failure {
    Failure { is_refusal: error.is_refusal(), ..of(error) }
}

fn of(error: &FilesError) -> Failure {
    let failure = Failure::of(error, error.hint(), error.is_transient());
    let FilesError::Halfway { done, .. } = error else { return failure };
    let mut facts: Vec<String> = done.iter().take(MOST_TOLD).map(|path| format!("written: {path}")).collect();
    if let Some(more @ 1..) = done.len().checked_sub(MOST_TOLD) {
        facts.push(format!("written: {more} more"));
    }
    Failure { output: Some(Box::new(JobOutput { facts, ..JobOutput::default() })), ..failure }
}
