//! Incidents: what becomes of an alert that an Alertmanager tells of, as pure values.
//!
//! ```text
//! payload -> Notice; what is known of the alert's newest incident + Notice, now -> Change
//! Incident + [[escalation]], now -> the steps that are due
//! ```
//!
//! One incident at the most is open for an alert, which is known by its fingerprint. Notices may come twice, and late: an
//! Alertmanager repeats what it is not sure of, and two of them tell the same, each in its own time. They may also never come:
//! an end that nobody heard of must not take the next time that the alert fires for the same.

mod change;
pub mod escalation;
mod payload;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use change::{Change, End, Known, change};
pub use payload::{Payload, PayloadError, WrongAlert, parse};

/// Labels or annotations, by their names.
pub type Labels = BTreeMap<String, String>;

/// What an incident is called by: 1 is the first of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(NonZeroU64);

impl Number {
    /// The number, where it is one of an incident.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// As a number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("{text:?} is not the number of an incident: 1, 2, …"))
    }
}

/// What an Alertmanager says of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// By what the alert is known; made of its labels.
    pub fingerprint: String,
    /// Its name.
    pub alert: String,
    /// How grave it is, where it says so.
    pub severity: Option<String>,
    /// Its labels. Bounded, as are its annotations.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// When it began to fire.
    pub starts: Timestamp,
    /// When it ended; nothing while it fires.
    pub ended: Option<Timestamp>,
}

/// How it is known that an incident is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The Alertmanager said that the alert has ended.
    Told,
    /// Nobody said so, and the alert began to fire anew.
    Unheard,
    /// A person said so.
    ByHand,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Told, Self::Unheard, Self::ByHand];

    /// One word, as it is stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Unheard => "unheard",
            Self::ByHand => "by-hand",
        }
    }

    /// The inverse of [`Ending::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.word() == word)
    }
}

/// How far the response to an incident has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// Nobody has looked yet whether there is one.
    Due,
    /// Its steps are run.
    Runs,
    /// Its job is run.
    Acts,
    /// It is done.
    Done,
    /// There is none, or it was not wanted again so soon.
    None,
    /// It was not begun while the alert fired.
    Missed,
}

impl Response {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Due, Self::Runs, Self::Acts, Self::Done, Self::None, Self::Missed];

    /// One word, as it is stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Runs => "runs",
            Self::Acts => "acts",
            Self::Done => "done",
            Self::None => "none",
            Self::Missed => "missed",
        }
    }

    /// The inverse of [`Response::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|response| response.word() == word)
    }
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Incident {
    /// What it is called by.
    pub number: Number,
    /// By what its alert is known.
    pub fingerprint: String,
    /// The alert's name.
    pub alert: String,
    /// How grave the alert is, where it says so.
    pub severity: Option<String>,
    /// The labels of the alert when it was opened.
    pub labels: Labels,
    /// Its annotations then.
    pub annotations: Labels,
    /// When the alert began to fire, as the Alertmanager says.
    pub began: Timestamp,
    /// When this was noted.
    pub opened: Timestamp,
    /// When the alert was last told of.
    pub last_notice: Timestamp,
    /// How often it was.
    pub notices: u64,
    /// When the alert ended, as the Alertmanager or a person says; where nobody does, when it was last told of.
    pub ended: Option<Timestamp>,
    /// When that was noted.
    pub closed: Option<Timestamp>,
    /// How it is known that it is over.
    pub ending: Option<Ending>,
    /// How far the response has come.
    pub response: Response,
}

impl Incident {
    /// Its alert fires.
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// It is open, and nobody has told of its alert for so long: its end may have gone unheard.
    pub fn is_silent(&self, now: Timestamp, limit: Duration) -> bool {
        let limit = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
        self.is_open() && now.duration_since(self.last_notice) >= limit
    }

    /// Since when its alert fires: an Alertmanager with another clock makes that no later than it was noted.
    pub fn since(&self) -> Timestamp {
        self.began.min(self.opened)
    }

    /// For how long its alert fires, or did.
    pub fn length(&self, now: Timestamp) -> Duration {
        let end = self.ended.or(self.closed).unwrap_or(now);
        Duration::try_from(end.duration_since(self.since())).unwrap_or_default()
    }

    /// What the alert says of itself, in one line.
    pub fn summary(&self) -> Option<&str> {
        let text = |name| {
            self.annotations.get(name).map(|text: &String| text.trim()).filter(|text| !text.is_empty())
        };
        text("summary").or_else(|| text("description")).or_else(|| text("message"))
    }
}

/// What a line of a timeline is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// The incident was opened.
    Opened,
    /// A step of the diagnosis was run.
    Step,
    /// What became of the response.
    Response,
    /// A job was run, or was not.
    Action,
    /// Somebody is to be told.
    Escalated,
    /// A notifier has told it.
    Delivered,
    /// A notifier has not, yet or for ever.
    Undelivered,
    /// A person noted something.
    Note,
    /// The incident was closed.
    Closed,
}

impl EntryKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Opened,
        Self::Step,
        Self::Response,
        Self::Action,
        Self::Escalated,
        Self::Delivered,
        Self::Undelivered,
        Self::Note,
        Self::Closed,
    ];

    /// One word, as it is stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Step => "step",
            Self::Response => "response",
            Self::Action => "action",
            Self::Escalated => "escalated",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Note => "note",
            Self::Closed => "closed",
        }
    }

    /// The inverse of [`EntryKind::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// A line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub kind: EntryKind,
    /// What happened, in one line.
    pub text: String,
    /// What belongs to it, in lines of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The run, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

impl Entry {
    /// A line without more.
    pub fn new(at: Timestamp, kind: EntryKind, text: impl Into<String>) -> Self {
        Self { at, kind, text: text.into(), detail: None, run: None }
    }
}

#[cfg(test)]
mod tests;
