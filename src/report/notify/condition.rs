//! What is wrong with a job now.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::notify::Event;
use crate::jobs::Outcome;
use crate::runner;
use crate::standing::{JobStanding, LastRun};
use crate::words;

/// What a run may take beyond the limits of its attempts.
const GRACE: Duration = Duration::from_mins(10);

/// What is wrong with a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What.
    pub event: Event,
    /// Since when.
    pub since: Timestamp,
    /// The run, where it is about one.
    pub run: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// What is seen of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// Nothing is wrong.
    Well,
    /// Something is.
    Bad(Condition),
    /// It runs: what will be said of it nobody knows yet.
    Unknown,
}

/// How long a run of a job may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// All its attempts, where each is limited.
    pub whole: Option<Duration>,
}

impl View {
    /// Of a job, as far as somebody wants to know it. The gravest is said.
    pub fn of(job: &JobStanding, limits: Limits, on: &BTreeSet<Event>, now: Timestamp) -> Self {
        let found = [too_long(job, limits, now), overdue(job), restore(job), bad_backups(job), last(job)];
        let found = found.into_iter().flatten().find(|condition| on.contains(&condition.event));
        match found {
            Some(condition) => Self::Bad(condition),
            None if is_under_way(job) => Self::Unknown,
            None => Self::Well,
        }
    }

    /// What is wrong.
    pub fn bad(&self) -> Option<&Condition> {
        match self {
            Self::Bad(condition) => Some(condition),
            Self::Well | Self::Unknown => None,
        }
    }
}

fn is_under_way(job: &JobStanding) -> bool {
    job.last.as_ref().is_some_and(|last| last.finished.is_none())
}

fn overdue(job: &JobStanding) -> Option<Condition> {
    let overdue = job.overdue.as_ref()?;
    let reason = job.waits_for.first().map(|what| format!("it waits for {what}"));
    Some(Condition { event: Event::Overdue, since: overdue.since, run: None, reason })
}

/// It runs for far longer than it usually does, or than all its attempts may take.
fn too_long(job: &JobStanding, limits: Limits, now: Timestamp) -> Option<Condition> {
    let last = job.last.as_ref().filter(|last| last.outcome == "running")?;
    let runs_for = now.duration_since(last.started);
    let may =
        limits.whole.map(|whole| SignedDuration::try_from(whole + GRACE).unwrap_or(SignedDuration::MAX));
    if job.too_long.is_none() && may.is_none_or(|may| runs_for <= may) {
        return None;
    }
    let usual = job.too_long.as_ref().map(|long| Duration::from_millis(long.usual_millis));
    let usual = usual.map(|usual| format!("; {} is usual", words::duration(usual))).unwrap_or_default();
    let reason = format!("it has run for {}{usual}", words::duration(runs_for.unsigned_abs()));
    let since = last.started;
    Some(Condition { event: Event::TooLong, since, run: Some(last.run.clone()), reason: Some(reason) })
}

fn restore(job: &JobStanding) -> Option<Condition> {
    let restore = job.failed_restore()?;
    let back = if restore.data_not_back { "; the old data are NOT back" } else { "" };
    let why = restore.reason.as_deref().unwrap_or(restore.outcome);
    let reason = Some(format!("the restore: {why}{back}"));
    Some(Condition { event: Event::Failed, since: ended(restore), run: Some(restore.run.clone()), reason })
}

fn bad_backups(job: &JobStanding) -> Option<Condition> {
    let (bad, broken) = (job.store.bad, job.store.broken);
    if bad + broken == 0 {
        return None;
    }
    let reason = format!(
        "{} cannot be used, see `watchkeeper backups {}`",
        words::count(bad + broken, "backup"),
        job.job
    );
    // Nobody noted when that was found.
    let since = job.past.last().map(|run| run.started).unwrap_or_default();
    Some(Condition { event: Event::Failed, since, run: None, reason: Some(reason) })
}

fn last(job: &JobStanding) -> Option<Condition> {
    let last = job.last.as_ref().filter(|last| last.finished.is_some())?;
    let event = event_of(last.outcome, last.reason.as_deref())?;
    let reason = last.reason.clone();
    Some(Condition { event, since: ended(last), run: Some(last.run.clone()), reason })
}

/// What an outcome is to those who are told.
pub(super) fn event_of(outcome: &str, reason: Option<&str>) -> Option<Event> {
    match Outcome::from_word(outcome)? {
        Outcome::Failed if reason.is_some_and(runner::is_of_limit) => Some(Event::TooLong),
        Outcome::Failed | Outcome::Interrupted => Some(Event::Failed),
        Outcome::Warned => Some(Event::Warned),
        Outcome::Done | Outcome::Skipped => None,
    }
}

fn ended(run: &LastRun) -> Timestamp {
    run.finished.unwrap_or(run.started)
}
