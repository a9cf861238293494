//! What history keeps of a run.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::config::values::{JobName, Moment};
use crate::incident::Number;
use crate::jobs::{JobOutput, Outcome};
use crate::progress::Step;

/// Why a run was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Parts", try_from = "Parts")]
pub enum Cause {
    /// A person asked for it.
    Manual,
    /// Its schedule said so at this slot.
    Scheduled(Timestamp),
    /// This slot was missed and is made up for.
    CatchUp(Timestamp),
    /// The jobs that it runs after have ended, the last of them at this time, which is its slot.
    After(Timestamp),
    /// The response to an alert allows it: for this incident.
    Incident(Number),
    /// That is not known any more: the history was lost, and the run is known by its backup.
    Rebuilt,
}

/// A cause as programs read it.
#[derive(Serialize, Deserialize)]
struct Parts {
    cause: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incident: Option<Number>,
}

impl From<Cause> for Parts {
    fn from(cause: Cause) -> Self {
        Self { cause: cause.word().to_owned(), slot: cause.slot(), incident: cause.incident() }
    }
}

impl TryFrom<Parts> for Cause {
    type Error = String;

    fn try_from(parts: Parts) -> Result<Self, String> {
        let Parts { cause, slot, incident } = parts;
        Self::from_parts(&cause, slot, incident).ok_or_else(|| format!("no cause is {cause:?}"))
    }
}

impl Cause {
    /// One word, as it is stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Scheduled(_) => "scheduled",
            Self::CatchUp(_) => "catch-up",
            Self::After(_) => "after",
            Self::Incident(_) => "incident",
            Self::Rebuilt => "rebuilt",
        }
    }

    /// The slot it stands for.
    pub const fn slot(self) -> Option<Timestamp> {
        match self {
            Self::Manual | Self::Incident(_) | Self::Rebuilt => None,
            Self::Scheduled(slot) | Self::CatchUp(slot) | Self::After(slot) => Some(slot),
        }
    }

    /// The incident that it is a response to.
    pub const fn incident(self) -> Option<Number> {
        match self {
            Self::Incident(number) => Some(number),
            Self::Manual | Self::Scheduled(_) | Self::CatchUp(_) | Self::After(_) | Self::Rebuilt => None,
        }
    }

    /// The slot, where it is one of a schedule.
    pub const fn clocked_slot(self) -> Option<Timestamp> {
        match self {
            Self::Manual | Self::After(_) | Self::Incident(_) | Self::Rebuilt => None,
            Self::Scheduled(slot) | Self::CatchUp(slot) => Some(slot),
        }
    }

    /// The inverse of [`Cause::word`], [`Cause::slot`] and [`Cause::incident`].
    pub(super) fn from_parts(word: &str, slot: Option<Timestamp>, incident: Option<Number>) -> Option<Self> {
        match (word, slot, incident) {
            ("manual", None, None) => Some(Self::Manual),
            ("scheduled", Some(slot), None) => Some(Self::Scheduled(slot)),
            ("catch-up", Some(slot), None) => Some(Self::CatchUp(slot)),
            ("after", Some(slot), None) => Some(Self::After(slot)),
            ("incident", None, Some(number)) => Some(Self::Incident(number)),
            ("rebuilt", None, None) => Some(Self::Rebuilt),
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A run that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Its identity.
    pub run: Ulid,
    /// The job.
    pub job: JobName,
    /// What it does: `prometheus-snapshot`, or `prometheus-restore` for a restore of the job's backups.
    pub kind: String,
    /// Why it began.
    pub cause: Cause,
    /// When it began.
    pub started: Timestamp,
}

/// One attempt of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// Why it failed; nothing where it did not.
    pub error: Option<String>,
    /// When it began, where the daemon was ended and started again since the attempt before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Timestamp>,
}

/// A hook that was run around a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    /// Which.
    pub hook: Moment,
    /// What was run, in one short line.
    pub program: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// Why it failed; nothing where it did not.
    pub error: Option<String>,
    /// The end of what it said.
    pub printed: Vec<String>,
}

/// One line of the log of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// `ERROR`, `WARN`, `INFO`
    pub level: String,
    /// The message with its fields.
    pub text: String,
}

/// A run, from what it was asked to do to what came of it: what the runner returns, history keeps and the report
/// words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// Its identity.
    pub run: Ulid,
    /// The job.
    pub job: JobName,
    /// What it does.
    pub kind: String,
    /// Why it began, and for which slot.
    #[serde(flatten)]
    pub cause: Cause,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; nothing while it runs.
    pub finished: Option<Timestamp>,
    /// How it ended; nothing while it runs.
    pub outcome: Option<Outcome>,
    /// Why it was not done, with all its causes.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// A restore failed and the data that were there before are not back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data_not_back: bool,
    /// What it brought.
    pub output: Option<JobOutput>,
    /// Its steps, in the order in which they ended.
    pub steps: Vec<Step>,
    /// What needs a look.
    pub warnings: Vec<String>,
    /// Every attempt.
    pub attempts: Vec<Attempt>,
    /// Every hook that was run, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookRun>,
    /// The last lines of its log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
}

impl RunReport {
    /// The report of a run that has just begun.
    pub fn begun(new: &NewRun) -> Self {
        Self {
            run: new.run,
            job: new.job.clone(),
            kind: new.kind.clone(),
            cause: new.cause,
            started: new.started,
            finished: None,
            outcome: None,
            reason: None,
            hint: None,
            data_not_back: false,
            output: None,
            steps: Vec::new(),
            warnings: Vec::new(),
            attempts: Vec::new(),
            hooks: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Whether it restored backups of the job, and did not do its work.
    pub fn is_restore(&self) -> bool {
        self.kind.ends_with("-restore")
    }

    /// As it was when it began.
    pub fn new_run(&self) -> NewRun {
        let Self { run, job, kind, cause, started, .. } = self;
        NewRun { run: *run, job: job.clone(), kind: kind.clone(), cause: *cause, started: *started }
    }

    /// It waited for its next attempt, which is not made, and why.
    pub fn cut_between_attempts(&mut self, why: &str) {
        let error = self.attempts.last().and_then(|attempt| attempt.error.as_deref()).unwrap_or_default();
        self.reason = Some(format!("{error}; it is not tried again: {why}"));
        self.outcome = Some(Outcome::Interrupted);
    }

    /// How long it took, in milliseconds; nothing while it runs.
    pub fn millis(&self) -> Option<u64> {
        let span = self.finished?.duration_since(self.started);
        Some(u64::try_from(span.as_millis()).unwrap_or(0))
    }
}
