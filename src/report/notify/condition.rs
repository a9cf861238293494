//! What is wrong with a job now: each trouble by itself, for one that lasts must not hide another one that is new.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::notify::Event;
use crate::config::values::Veil;
use crate::jobs::Outcome;
use crate::report;
use crate::standing::{JobStanding, LastRun, PastRun};
use crate::words;

/// What a run may take beyond the limits of its attempts.
const GRACE: Duration = Duration::from_mins(10);

/// What of a job something is wrong with, or of the program itself. The order is that in which equal troubles are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The newest restore.
    Restore,
    /// The newest run that has ended.
    Run,
    /// The backups that are stored.
    Backups,
    /// What is due.
    Start,
    /// The run that is under way.
    Length,
    /// That runs are noted: of the daemon.
    Noting,
    /// The history, which was damaged: of the daemon.
    Aside,
}

impl Subject {
    /// Those of a job.
    pub const OF_A_JOB: [Self; 5] = [Self::Restore, Self::Run, Self::Backups, Self::Start, Self::Length];
}

/// What is wrong with a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// With what of it.
    pub subject: Subject,
    /// What.
    pub event: Event,
    /// Since when.
    pub since: Timestamp,
    /// The run, where it is about one.
    pub run: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl Condition {
    /// The smaller, the sooner it is told.
    pub(super) fn gravity(&self) -> (u8, Subject) {
        let class = match self.event {
            Event::Failed => 0,
            Event::Overdue => 1,
            Event::TooLong => 2,
            Event::Warned | Event::Missed | Event::Recovered => 3,
        };
        (class, self.subject)
    }

    /// The same, without secrets.
    #[must_use]
    pub(super) fn under(self, veil: &Veil) -> Self {
        Self { reason: self.reason.map(|reason| veil.over(&reason)), ..self }
    }

    /// It is of the newest run.
    pub(super) fn is_of_run(&self) -> bool {
        self.subject == Subject::Run
    }

    /// It is of a run that failed.
    pub(super) fn is_failed_run(&self) -> bool {
        self.is_of_run() && self.event == Event::Failed
    }

    /// The same warning, whatever the numbers in it, or the same event where it is none: not each of them is told.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        if self.event != other.event {
            return false;
        }
        let (Event::Warned, Some(one), Some(two)) = (self.event, &self.reason, &other.reason) else {
            return true;
        };
        telling(one).eq(telling(two))
    }
}

/// The words of a text without its numbers and their units.
fn telling(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphabetic());
    words.filter(|word| word.chars().count() > 3)
}

/// What is seen of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// What is wrong with it, the gravest first; of each subject one at most.
    pub troubles: Vec<Condition>,
    /// How the newest run ended is known.
    pub run_is_known: bool,
}

/// How long a run of a job may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// All its attempts, where each is limited.
    pub whole: Option<Duration>,
}

impl View {
    /// Of a job.
    pub fn of(job: &JobStanding, limits: Limits, now: Timestamp) -> Self {
        let found = [restore(job), run(job), bad_backups(job, now), overdue(job), too_long(job, limits, now)];
        let mut troubles: Vec<Condition> = found.into_iter().flatten().collect();
        troubles.sort_by_key(Condition::gravity);
        let run_is_known = job.last.is_none() || ended(job).is_some() || newest_past(job).is_some();
        Self { troubles, run_is_known }
    }

    /// Something is wrong, and more than a warning, that is not among these.
    pub(super) fn is_worse_than(&self, on: &BTreeSet<Event>) -> bool {
        self.troubles.iter().any(|trouble| trouble.event != Event::Warned && !on.contains(&trouble.event))
    }

    /// What is wrong with this of it.
    pub(super) fn about(&self, subject: Subject) -> Option<&Condition> {
        self.troubles.iter().find(|trouble| trouble.subject == subject)
    }
}

fn overdue(job: &JobStanding) -> Option<Condition> {
    let overdue = job.overdue.as_ref()?;
    let reason = job.waits_for.first().map(|what| format!("it waits for {what}"));
    let (subject, event) = (Subject::Start, Event::Overdue);
    Some(Condition { subject, event, since: overdue.since, run: None, reason })
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
    let reason = Some(format!("it has run for {}{usual}", words::duration(runs_for.unsigned_abs())));
    let (subject, event, run) = (Subject::Length, Event::TooLong, Some(last.run.clone()));
    Some(Condition { subject, event, since: last.started, run, reason })
}

fn restore(job: &JobStanding) -> Option<Condition> {
    let restore = job.failed_restore()?;
    let back = if restore.data_not_back { "; the old data are NOT back" } else { "" };
    let why = restore.reason.as_deref().unwrap_or(restore.outcome);
    let reason = Some(format!("the restore: {why}{back}"));
    let (subject, event, run) = (Subject::Restore, Event::Failed, Some(restore.run.clone()));
    Some(Condition { subject, event, since: restore.finished.unwrap_or(restore.started), run, reason })
}

/// Nobody noted when that was found: it is found now, where it is news.
fn bad_backups(job: &JobStanding, now: Timestamp) -> Option<Condition> {
    let count = job.store.bad + job.store.broken;
    if count == 0 {
        return None;
    }
    let backups = words::count(count, "backup");
    let reason = Some(format!("{backups} cannot be used, see `watchkeeper backups {}`", job.job));
    let (subject, event) = (Subject::Backups, Event::Failed);
    Some(Condition { subject, event, since: now, run: None, reason })
}

/// Of the newest run that has ended: one that is under way neither repeats nor ends what is wrong.
fn run(job: &JobStanding) -> Option<Condition> {
    let subject = Subject::Run;
    if let Some((last, since)) = ended(job) {
        let reason = report::reason(last.reason.as_deref(), &last.warnings);
        let event = event_of(last.outcome)?;
        return Some(Condition { subject, event, since, run: Some(last.run.clone()), reason });
    }
    let past = newest_past(job)?;
    let event = event_of(past.outcome)?;
    Some(Condition { subject, event, since: end_of(past), run: Some(past.run.clone()), reason: None })
}

fn ended(job: &JobStanding) -> Option<(&LastRun, Timestamp)> {
    let last = job.last.as_ref()?;
    Some((last, last.finished?))
}

fn newest_past(job: &JobStanding) -> Option<&PastRun> {
    job.past.iter().rfind(|run| run.has_ended())
}

fn end_of(run: &PastRun) -> Timestamp {
    let length = SignedDuration::from_millis(run.millis.unwrap_or_default().try_into().unwrap_or(i64::MAX));
    run.started.checked_add(length).unwrap_or(run.started)
}

/// What an outcome is to those who are told. One that was cut off at its timeout has failed, as everywhere.
pub(super) fn event_of(outcome: &str) -> Option<Event> {
    match Outcome::from_word(outcome)? {
        Outcome::Failed | Outcome::Interrupted => Some(Event::Failed),
        Outcome::Warned => Some(Event::Warned),
        Outcome::Done | Outcome::Skipped => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(reason: &str) -> Condition {
        Condition {
            subject: Subject::Run,
            event: Event::Warned,
            since: Timestamp::UNIX_EPOCH,
            run: None,
            reason: Some(reason.to_owned()),
        }
    }

    #[test]
    fn a_warning_with_other_numbers_is_the_same_and_one_with_other_words_is_not() {
        let long = warned("it took 31 s, 840 % of the usual 3.7 s");
        assert!(long.is_like(&warned("it took 2 m 05 s, 1220 % of the usual 4.1 s")));
        assert!(!long.is_like(&warned("the backup holds 12 KiB, 15 % of the usual size")));
        let unknown = Condition { reason: None, ..warned("") };
        assert!(unknown.is_like(&long) && long.is_like(&unknown));
        assert!(!Condition { event: Event::Failed, ..warned("x") }.is_like(&warned("x")));
    }
}
