//! Which messages there are to be, from what is seen and what was told: pure.
//!
//! - One message when something changes, one line when all is well again, a reminder while something stays bad. What can be
//!   wrong with a job are several things, each told by itself: a restore that failed hides no run that fails after it.
//! - At most one message for each job and notifier within the cool-down. What comes meanwhile is not lost: it is told when
//!   the cool-down is over, in one message that counts what it stands for.
//! - A job that is paused or disabled is quiet; one that is no longer configured is closed.
//! - A notifier that is new, or whose notes were lost, tells nothing of what was before: no storm.
//! - An Alertmanager and healthchecks.io remember by themselves: they are told each change at once.

mod alert;
mod entry;
mod message;
mod ping;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Notice;
use super::condition::{Condition, View};
use crate::config::notify::{Channel, Event, Notifier};
use crate::config::values::JobName;
use crate::history::MissedSlots;
use crate::standing::JobStanding;
use crate::words;
use entry::Change;
pub use entry::{Entry, Known, Told};

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Say {
    /// Something is wrong.
    Bad(Event),
    /// It is still.
    Still(Event),
    /// Slots did not run.
    Missed,
    /// It is well again.
    Recovered,
    /// It was bad, and is not configured any more.
    Closed,
    /// A run began or ended.
    Ping(Ping),
    /// An incident lasts.
    Escalated(Event),
    /// Nothing: it is tried whether messages arrive.
    Test,
}

/// What healthchecks.io is told of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ping {
    /// It began.
    Start,
    /// It was done, with warnings or without.
    Success,
    /// It failed or was interrupted.
    Fail,
    /// It was done, but another job of the same check is not well: that stays down.
    OthersFail,
}

impl Say {
    /// What happened.
    pub fn event(self) -> Event {
        match self {
            Self::Bad(event) | Self::Still(event) | Self::Escalated(event) => event,
            Self::Missed => Event::Missed,
            Self::Ping(Ping::Fail | Ping::OthersFail) => Event::Failed,
            Self::Recovered | Self::Closed | Self::Test | Self::Ping(Ping::Start | Ping::Success) => {
                Event::Recovered
            }
        }
    }

    /// One word, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Test => "test",
            Self::Escalated(_) => "escalated",
            Self::Ping(Ping::Start) => "start",
            Self::Ping(Ping::Success) => "success",
            Self::Ping(Ping::Fail | Ping::OthersFail)
            | Self::Bad(_)
            | Self::Still(_)
            | Self::Missed
            | Self::Recovered => self.event().name(),
        }
    }
}

/// A message before it is worded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it says.
    pub say: Say,
    /// Of which job.
    pub job: JobName,
    /// Its kind.
    pub kind: String,
    /// Its target.
    pub target: Option<String>,
    /// Since when it is so; of what is well again, since when it was not.
    pub since: Timestamp,
    /// The run that tells more.
    pub run: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// How many runs have failed.
    pub failures: usize,
    /// How many changes had no message of their own.
    pub held: u32,
    /// How many of the runs that failed had no message, where it is said that the newest did not.
    pub meanwhile: u32,
    /// Slots that did not run.
    pub missed: Option<MissedSlots>,
    /// All that is wrong now, what is said first.
    pub standing: Vec<Condition>,
    /// What is not wrong any more.
    pub ends: Vec<Told>,
    /// What is well again was done with warnings.
    pub warns: bool,
}

/// What is seen of a job.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// How it stands.
    pub job: &'a JobStanding,
    /// What is wrong with it.
    pub view: &'a View,
    /// Another job that shares its check is bad.
    pub others_are_bad: bool,
    /// Nobody looks again for long: what is to hold until then is told now.
    pub is_last: bool,
    /// When.
    pub now: Timestamp,
}

impl Look<'_> {
    /// Since when nobody is to be told of the job: it is paused, or has been disabled for good.
    fn quiet_since(&self) -> Option<Timestamp> {
        if self.job.enabled { self.job.pause.as_ref().map(|pause| pause.since) } else { Some(Timestamp::MIN) }
    }
}

impl Draft {
    fn new(say: Say, job: JobName, now: Timestamp) -> Self {
        Self {
            say,
            job,
            kind: "test".to_owned(),
            target: None,
            since: now,
            run: None,
            reason: None,
            failures: 0,
            held: 0,
            meanwhile: 0,
            missed: None,
            standing: Vec::new(),
            ends: Vec::new(),
            warns: false,
        }
    }

    /// Ends, too, what one in whose place it comes would have ended, and tells of the slots that it told of.
    #[must_use]
    pub fn ending(mut self, before: Notice) -> Self {
        self.missed = self.missed.or(before.missed);
        for old in before.ends {
            let is_same = |what: &Condition| (what.subject, what.event) == (old.what.subject, old.what.event);
            if !self.standing.iter().chain(self.ends.iter().map(|told| &told.what)).any(is_same) {
                self.ends.push(old);
            }
        }
        self
    }

    /// Says nothing.
    pub fn test(job: JobName, now: Timestamp) -> Self {
        Self::new(Say::Test, job, now)
    }
}

/// What a notifier has to say of a job, and what is noted of it then. `known` matters where it has told nothing of it yet.
pub fn plan(
    entry: Option<&Entry>,
    notifier: &Notifier,
    known: Known,
    look: Look<'_>,
) -> (Entry, Option<Draft>) {
    let mut entry = entry.cloned().unwrap_or_else(|| Entry::new(known, look));
    look.job.kind.clone_into(&mut entry.kind);
    entry.target.clone_from(&look.job.target);
    let draft = match &notifier.channel {
        Channel::Healthchecks(checks) => ping::ping(&mut entry, checks, look),
        Channel::Alertmanager(alerts) => alert::alert(&mut entry, notifier, alerts.resend, look),
        Channel::Webhook(_) | Channel::Slack(_) | Channel::Ntfy(_) | Channel::Email(_) => {
            message::message(&mut entry, notifier, look)
        }
    };
    (entry, draft)
}

/// What there is to say of a job that is not configured any more, or not for this notifier.
pub fn plan_removed(entry: &Entry, notifier: &Notifier, job: &JobName, now: Timestamp) -> Option<Draft> {
    let is_wanted = match notifier.channel {
        Channel::Alertmanager(_) => true,
        Channel::Healthchecks(_) => false,
        _ => notifier.on.contains(&Event::Recovered),
    };
    let run = entry.told.first().filter(|_| is_wanted)?.what.run.clone();
    Some(Draft { run, ends: entry.told.clone(), ..entry.draft(job, Say::Closed, now) })
}

/// The draft of what is said, and the note that it was.
fn draft(entry: &mut Entry, say: Say, change: Change, look: Look<'_>) -> Draft {
    let job = look.job;
    let about = match say {
        Say::Bad(_) => change.begins.first().or(change.holds.first()),
        Say::Still(_) => change.holds.first(),
        _ => None,
    };
    let first = about.cloned();
    let draft = entry.draft(&job.job, say, look.now);
    // They are of a trouble that was told.
    let runs_failed =
        change.holds.iter().chain(change.ends.iter().map(|told| &told.what)).any(Condition::is_failed_run);
    let passed = (entry.failed, entry.warned);
    // The change that is told is not one that was held back.
    let told = u32::from(matches!(say, Say::Bad(_) | Say::Recovered));
    let missed = entry.missed.clone();
    entry.sent(&change.holds, look.now);
    let mut standing = change.holds;
    standing.sort_by_key(|what| (Some(what) != first.as_ref(), what.gravity()));
    let is_over = matches!(say, Say::Bad(_)) && first.is_none();
    let since = first.as_ref().map(|what| what.since);
    Draft {
        since: since.or(change.ends.first().map(|told| told.what.since)).unwrap_or(draft.since),
        run: first.as_ref().and_then(|what| what.run.clone()),
        reason: if is_over {
            Some(passed_words(passed.0, passed.1))
        } else {
            first.and_then(|what| what.reason)
        },
        failures: if matches!(say, Say::Bad(_) | Say::Still(_)) { job.failures } else { draft.failures },
        held: draft.held.saturating_sub(told),
        meanwhile: if runs_failed || is_over { 0 } else { draft.meanwhile },
        missed,
        standing,
        ends: change.ends,
        warns: change.warns,
        ..draft
    }
}

/// Of runs of which nobody was told before the next one was done.
fn passed_words(failed: u32, warned: u32) -> String {
    let failed = (failed > 0).then(|| format!("{} failed", words::count(failed as usize, "run")));
    let warned = (warned > 0).then(|| format!("{} had warnings", words::count(warned as usize, "run")));
    let all: Vec<String> = failed.into_iter().chain(warned).collect();
    format!("{}, and the newest was done", all.join(", "))
}

#[cfg(test)]
mod tests;
