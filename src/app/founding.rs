//! A history that is new is founded: it may stand in the place of one that was lost, and then the runs are written into it
//! that the manifests of the backups tell of.
//!
//! A run that made no backup left nothing that tells of it. No slot is among what is known again: nothing from before is made
//! up for.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::App;
use crate::blocking::blocking;
use crate::config::{Config, JobConfig};
use crate::history::{Cause, Founded, History, HistoryError, NewRun, RunReport};
use crate::identity::{Identity, IdentityError};
use crate::jobs::{JobOutput, Outcome};
use crate::store::{DatedManifest, Manifest, Store, StoreError};
use crate::words;

/// The file of a manifest that was written so much later than its run began was copied since.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(24);

/// What backups tell of runs.
#[derive(Debug, Default)]
struct Known {
    /// Of each job the oldest first.
    runs: Vec<RunReport>,
    /// So many backups are of another host or source.
    others: usize,
}

/// Founds a history where nobody has, with the runs that backups tell of. Gives how it was, where there were any; that it
/// cannot be done now is told, and the next who opens it tries again.
pub fn found(config: &Config, history: &History, now: Timestamp) -> Option<Founded> {
    match try_to_found(config, history, now) {
        Ok(founded) => founded.filter(|founded| founded.runs > 0),
        // It is founded when it is open.
        Err(FoundingError::History(HistoryError::NotOpen { .. })) => None,
        Err(error) => {
            let error = words::chain(&error);
            tracing::warn!(
                error,
                "whether the history stands in the place of one that was lost is not known"
            );
            None
        }
    }
}

/// What backups tell of runs, as a history that is forgotten with the process; nothing where they tell of none.
pub fn history_of_backups(config: &Config, now: Timestamp) -> Result<Option<History>, FoundingError> {
    let known = known(config)?;
    if known.runs.is_empty() {
        return Ok(None);
    }
    let history = History::forgetful(&config.state_dir)?;
    history.found(&known.runs, known.others, now)?;
    Ok(Some(history))
}

/// A history cannot be founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// It cannot be read or written.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The backups cannot be looked at.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn try_to_found(
    config: &Config,
    history: &History,
    now: Timestamp,
) -> Result<Option<Founded>, FoundingError> {
    if !history.is_to_be_founded()? {
        return Ok(None);
    }
    let known = known(config)?;
    Ok(history.found(&known.runs, known.others, now)?)
}

fn known(config: &Config) -> Result<Known, StoreError> {
    let mut known = Known::default();
    // Another store does not say what ran here.
    let is_away = || matches!(Identity::of(config, None).check(), Err(IdentityError::Away(_)));
    if !config.backup_dir.is_dir() || is_away() {
        return Ok(known);
    }
    let store = Store::open_to_read(&config.backup_dir)?;
    for job in &config.jobs {
        let Some(subject) = job.kind.subject() else { continue };
        for dated in store.job(&job.name).manifests()? {
            let manifest = &dated.manifest;
            if manifest.source.may_be_of_this_host() && manifest.subject().is_same(&subject) {
                known.runs.push(run_of(job, &dated));
            } else {
                known.others += 1;
            }
        }
    }
    Ok(known)
}

/// The run that made a backup, as far as its manifest tells.
fn run_of(job: &JobConfig, DatedManifest { manifest, written }: &DatedManifest) -> RunReport {
    let started = manifest.created;
    let new = NewRun {
        run: manifest.run,
        job: job.name.clone(),
        kind: job.kind.kind_name().to_owned(),
        cause: Cause::Rebuilt,
        started,
    };
    let is_likely = |end: &Timestamp| *end >= started && end.duration_since(started) <= LONGEST_RUN;
    let warnings = warnings(manifest);
    RunReport {
        finished: Some(written.filter(is_likely).unwrap_or(started)),
        outcome: Some(if warnings.is_empty() { Outcome::Done } else { Outcome::Warned }),
        output: Some(output(manifest)),
        warnings,
        ..RunReport::begun(&new)
    }
}

fn output(manifest: &Manifest) -> JobOutput {
    JobOutput {
        summary: "rebuilt from the manifest".to_owned(),
        backup: Some(manifest.id.clone()),
        bytes: Some(manifest.size()),
        unverified: vec![
            "what its manifest does not tell: the cause, the steps and other warnings of the run".to_owned(),
        ],
        ..JobOutput::default()
    }
}

/// What a run must have warned of that made such a backup.
fn warnings(manifest: &Manifest) -> Vec<String> {
    let damaged = manifest.damaged.then(|| "some of the data were damaged at the source".to_owned());
    let first = |all: &[String]| all.first().map(|first| (first.clone(), words::count(all.len(), "path")));
    let lacks = first(&manifest.lacks).map(|(first, count)| format!("the backup lacks {count}: {first}, …"));
    let missing = (!manifest.missing.is_empty())
        .then(|| format!("the source did not show any more: {}", manifest.missing.join(", ")));
    damaged.into_iter().chain(lacks).chain(missing).collect()
}

impl App {
    /// As [`found`]. Says whether a history that is new was founded.
    pub(super) async fn found_history(&self, now: Timestamp) -> bool {
        let (shared, history) = (Arc::clone(&self.shared), Arc::clone(&self.runner.history));
        let zone = self.config().timezone.clone();
        let founded = blocking(move || found(&shared.config, &history, now)).await;
        if let Some(founded) = &founded {
            tracing::error!("{}", founded.words(&zone));
        }
        founded.is_some()
    }
}
