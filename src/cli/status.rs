//! `status`: how every job stands.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::session::Session;
use super::standing::{LeftWaiting, NO_DAEMON, Standing, WAITING};
use crate::config::JobConfig;
use crate::config::values::JobName;
use crate::history::{Pause, RunReport, Watched};
use crate::jobs::Outcome;
use crate::runner::{Lock, Locks};
use crate::store::{BackupId, Store};
use crate::{schedule, upkeep, words};

/// A job may be so much later than its slot before it is overdue.
const GRACE: Duration = Duration::from_mins(5);

#[derive(Serialize)]
struct JobStatus {
    job: JobName,
    enabled: bool,
    last: Option<Last>,
    /// The newest restore of its backups, or what was done with one after it.
    restore: Option<Last>,
    next: Option<Timestamp>,
    /// It does not run on its schedule for a while.
    pause: Option<Pause>,
    /// What its slots wait for that are due and have not begun, the oldest first.
    waits_for: Vec<String>,
    overdue: bool,
    backups: usize,
    broken: usize,
    /// Backups with a stored file that was found bad.
    bad: usize,
    newest_good: Option<BackupId>,
    /// Why retention is held.
    held: Option<String>,
}

#[derive(Serialize)]
struct Last {
    /// `waiting` where it is under way, but nobody makes its next attempt: no daemon runs.
    outcome: &'static str,
    started: Timestamp,
    reason: Option<String>,
    /// A restore failed, and the data that were there before are not back.
    data_not_back: bool,
}

impl Last {
    fn of(report: &RunReport) -> Self {
        Self {
            outcome: report.outcome.map_or("running", Outcome::word),
            started: report.started,
            reason: report.reason.clone(),
            data_not_back: report.data_not_back,
        }
    }

    fn failed(&self) -> bool {
        matches!(self.outcome, "failed" | "interrupted")
    }
}

impl JobStatus {
    /// The newest restore, where it failed: whatever was backed up since, what was to come back did not.
    fn failed_restore(&self) -> Option<&Last> {
        self.restore.as_ref().filter(|restore| restore.failed())
    }

    fn is_bad(&self) -> bool {
        let failed = self.last.as_ref().is_some_and(Last::failed) || self.failed_restore().is_some();
        failed || self.overdue || self.broken > 0 || self.bad > 0
    }
}

pub(super) fn run(session: &Session) -> Result<ExitCode, CliError> {
    let history = session.history()?;
    let (last, restores) = match &history {
        Some(history) => (history.last_per_job()?, history.last_restore_per_job()?),
        None => (BTreeMap::new(), BTreeMap::new()),
    };
    let store = if session.config.backup_dir.exists() { Some(session.store()?) } else { None };
    let daemon = Standing::of(session, history.as_ref(), &session.config.jobs)?;
    let left = LeftWaiting::of(history.as_ref(), &daemon)?;
    let mut jobs = Vec::new();
    for job in &session.config.jobs {
        let restore = restores.get(&job.name).map(Last::of);
        let pause = history.as_ref().map(|history| history.pause_of(&job.name)).transpose()?.flatten();
        let waits_for = match &history {
            Some(history) if daemon.is_running() => history.waits(&job.name)?,
            _ => Vec::new(),
        };
        let waits_for = waits_for.into_iter().map(|wait| wait.what).collect();
        let left = left.of_run(last.get(&job.name));
        let watched = history.as_ref().map(|history| history.watched(&job.name)).transpose()?;
        let mut stands = status(session, job, last.get(&job.name), store.as_ref())?;
        if let (Some(_), Some(last)) = (left, &mut stands.last) {
            last.outcome = WAITING;
        }
        let since = last.get(&job.name).map(|last| last.started).max(born(job, &watched.unwrap_or_default()));
        // One that waits for its next attempt, and for a daemon to make it, is not running.
        let is_held = || Locks::new(&session.config.state_dir).is_held(&Lock::Job(job.name.clone()));
        let is_running = last.get(&job.name).is_some_and(|last| last.outcome.is_none()) && is_held();
        let is_left = left.is_some_and(|waiting| is_late(waiting.due, GRACE, session.now));
        let overdue = is_left || (pause.is_none() && !is_running && is_overdue(job, since, session.now));
        jobs.push(JobStatus { restore, pause, waits_for, overdue, ..stands });
    }
    session.out.result(&json!({ "jobs": jobs, "daemon": daemon }), || {
        let header = ["job", "last", "began", "next", "backups", "newest good", ""];
        let words = daemon.words(session).map(|words| format!("\nCAUTION: {words}.\n"));
        table(&header, jobs.iter().map(|job| row(session, job))) + &words.unwrap_or_default()
    });
    Ok(if jobs.iter().any(JobStatus::is_bad) { ExitCode::Failed } else { ExitCode::Ok })
}

fn status(
    session: &Session,
    job: &JobConfig,
    last: Option<&RunReport>,
    store: Option<&Store>,
) -> Result<JobStatus, CliError> {
    let listing = match store {
        Some(store) => store.job(&job.name).list()?,
        None => crate::store::Listing::default(),
    };
    let schedule = job.schedule.as_ref().filter(|_| job.enabled);
    Ok(JobStatus {
        job: job.name.clone(),
        enabled: job.enabled,
        last: last.map(Last::of),
        restore: None,
        pause: None,
        waits_for: Vec::new(),
        next: schedule.and_then(|schedule| schedule.next_after(session.now)),
        overdue: false,
        backups: listing.backups.len(),
        broken: listing.broken.len(),
        bad: listing.backups.iter().filter(|backup| backup.problems().next().is_some()).count(),
        newest_good: listing.newest_good().map(|backup| backup.id().clone()),
        held: upkeep::hold(&listing).map(|hold| format!("the newest backup {hold}")),
    })
}

/// Since when the daemon watches the schedule that the job has now.
fn born(job: &JobConfig, watched: &[Watched]) -> Option<Timestamp> {
    let schedule = job.schedule.as_ref()?.to_string();
    let current = watched.iter().find(|watched| watched.ended.is_none() && watched.schedule == schedule);
    current.map(|watched| watched.born)
}

/// Whether a slot after `since` is past, with its jitter and some minutes. A job that no daemon ever saw may have been
/// configured a minute ago: there is no slot that it is known to have missed.
fn is_overdue(job: &JobConfig, since: Option<Timestamp>, now: Timestamp) -> bool {
    let slot = since.and_then(|since| job.schedule.as_ref().filter(|_| job.enabled)?.next_after(since));
    slot.is_some_and(|slot| is_late(slot, GRACE + schedule::jitter(&job.name, slot, job.slots.jitter), now))
}

/// Whether what was due is later than it may be.
fn is_late(due: Timestamp, may: Duration, now: Timestamp) -> bool {
    now.duration_since(due) > SignedDuration::try_from(may).unwrap_or(SignedDuration::MAX)
}

fn row(session: &Session, job: &JobStatus) -> Vec<String> {
    let last = job.last.as_ref();
    let ago = |last: &Last| words::duration(session.now.duration_since(last.started).unsigned_abs());
    let mut notes = Vec::new();
    notes.extend(last.and_then(|last| last.reason.clone()));
    if last.is_some_and(|last| last.outcome == WAITING) {
        notes.push(NO_DAEMON.to_owned());
    }
    if let Some(restore) = job.failed_restore() {
        let (outcome, ago) = (restore.outcome, ago(restore));
        let back = if restore.data_not_back { "; the old data are NOT back" } else { "" };
        let why = restore.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let was = if outcome == "interrupted" { "was interrupted" } else { outcome };
        notes.push(format!("the last restore {was} {ago} ago{why}{back}"));
    }
    if !job.enabled {
        notes.push("disabled".to_owned());
    }
    if let Some(pause) = &job.pause {
        let why = pause.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        notes.push(format!("PAUSED since {}{why}", session.time(pause.since)));
    }
    if let Some(what) = job.waits_for.first() {
        notes.push(format!("a slot waits for {what}"));
    }
    if job.overdue {
        notes.push("overdue".to_owned());
    }
    if job.broken > 0 {
        notes.push(format!("{} broken, see `backups`", job.broken));
    }
    if job.bad > 0 {
        notes.push(format!("{} BAD, see `verify {}`", job.bad, job.job));
    }
    if let Some(held) = &job.held {
        notes.push(format!("retention is held: {held}"));
    }
    let outcome = last.map_or("never ran", |last| last.outcome);
    let restore = if job.failed_restore().is_some() { ", restore failed" } else { "" };
    vec![
        job.job.to_string(),
        format!("{outcome}{restore}"),
        last.map(|last| format!("{} ago", ago(last))).unwrap_or_default(),
        job.next.map(|next| session.time(next)).unwrap_or_default(),
        job.backups.to_string(),
        job.newest_good.as_ref().map(ToString::to_string).unwrap_or_default(),
        notes.join("; "),
    ]
}
