//! Whoever is responsible learns of everything that matters, and of nothing else.
//!
//! ```text
//! Standing + what was told (notes) + rules, now -> plan -> drafts -> worded -> posts, with the new notes, in one transaction
//! posts -> send, apart from all runs -> delivered: the post is gone; not delivered: it waits, a while longer each time
//! ```
//!
//! A message is on the disk before it is sent, and is forgotten only when it was taken: a crash between the two tells it
//! twice, and never not at all. One that is newer takes the place of one that was not delivered, and says so.
//!
//! No secret is in a message: the veil is over all of it before it is stored.

mod condition;
mod escalation;
mod plan;
mod rhythm;
mod send;
mod wording;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::notify::{Event, Field};
use crate::config::values::{JobName, Veil};
use crate::history::MissedSlots;

pub use condition::{Condition, Limits, Subject, View};
pub use escalation::{Escalated, escalation};
pub use plan::{Draft, Entry, Known, Look, Ping, Say, Told, plan, plan_removed};
pub use rhythm::is_over;
pub use send::{SendError, Sender};
pub use wording::{Ground, notice};

/// A message, as it is stored until it is delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What is said.
    pub say: Say,
    /// The job.
    pub job: JobName,
    /// Its kind.
    pub kind: String,
    /// Its target, where it has one.
    pub target: Option<String>,
    /// This host.
    pub host: String,
    /// The run, where it is about one.
    pub run: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Since when it is so.
    pub since: Timestamp,
    /// When this was said.
    pub at: Timestamp,
    /// How many changes came since the last message and had none of their own.
    pub held: u32,
    /// How many runs have failed since the last one that was done.
    pub failures: usize,
    /// The first line.
    pub headline: String,
    /// The other lines; none where the first says it all.
    pub body: String,
    /// The first lines of those in whose place this one is told, as nobody knows that they arrived.
    pub undelivered: Vec<String>,
    /// All that is wrong now, what is said first.
    pub standing: Vec<Condition>,
    /// What is not wrong any more.
    pub ends: Vec<Told>,
    /// Slots that did not run.
    pub missed: Option<MissedSlots>,
    /// Nobody repeats an alert: it holds until somebody ends it, for a day at most.
    pub holds: bool,
}

impl Notice {
    /// All of it.
    pub fn text(&self) -> String {
        if self.body.is_empty() { self.headline.clone() } else { format!("{}\n{}", self.headline, self.body) }
    }

    /// What happened.
    pub fn event(&self) -> Event {
        self.say.event()
    }

    /// `critical`, `warning` or `info`
    pub fn severity(&self) -> &'static str {
        self.event().severity()
    }

    /// What stands for a field of a template.
    pub fn field(&self, field: Field) -> String {
        match field {
            Field::Event => self.say.name().to_owned(),
            Field::Headline => self.headline.clone(),
            Field::Text => self.text(),
            Field::Job => self.job.to_string(),
            Field::Kind => self.kind.clone(),
            Field::Target => self.target.clone().unwrap_or_default(),
            Field::Host => self.host.clone(),
            Field::Run => self.run.clone().unwrap_or_default(),
            Field::Reason => self.reason.clone().unwrap_or_default(),
            Field::Since => self.since.to_string(),
            Field::At => self.at.to_string(),
            Field::Severity => self.severity().to_owned(),
            Field::Held => self.held.to_string(),
            Field::Failures => self.failures.to_string(),
        }
    }

    /// All fields, as a program reads them.
    pub fn json(&self) -> serde_json::Value {
        let value = |field: Field| match field {
            Field::Held => self.held.into(),
            Field::Failures => self.failures.into(),
            Field::Target if self.target.is_none() => serde_json::Value::Null,
            Field::Run if self.run.is_none() => serde_json::Value::Null,
            Field::Reason if self.reason.is_none() => serde_json::Value::Null,
            field => self.field(field).into(),
        };
        let fields = Field::ALL.into_iter().map(|field| (field.name().to_owned(), value(field)));
        serde_json::Value::Object(fields.collect())
    }

    /// The same, without secrets.
    #[must_use]
    pub fn under(self, veil: &Veil) -> Self {
        Self {
            reason: self.reason.map(|reason| veil.over(&reason)),
            undelivered: self.undelivered.iter().map(|line| veil.over(line)).collect(),
            headline: veil.over(&self.headline),
            body: veil.over(&self.body),
            standing: self.standing.into_iter().map(|what| what.under(veil)).collect(),
            ends: self.ends.into_iter().map(|told| Told { what: told.what.under(veil), ..told }).collect(),
            ..self
        }
    }
}
