//! What a restore would do, object by object, with reasons. Nothing is written.

mod born;
mod choice;
mod in_the_way;
mod needs;
mod order;
mod planner;
mod reach;
mod secrets;
mod stays;
mod take_away;
#[cfg(test)]
mod tests;
mod trace;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::portable::Target;
use super::secrets::Fields;
use crate::grafana::contents::Secret;
use crate::grafana::object::{Object, ObjectId, ObjectType};

pub use choice::Choice;

pub(super) use born::is_born;
pub(super) use planner::{Facts, Planner};
pub(super) use trace::{Traces, left, overwritten, traces};

/// What a restore would do, in the order in which it is done.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RestorePlan {
    /// The backup: `JOB/ID`.
    pub source: String,
    /// When it was made, where that is known.
    pub created: Option<Timestamp>,
    /// The version of the Grafana it was made of, where that was told.
    pub from_version: Option<String>,
    /// The Grafana that is restored to, as messages show its URL.
    pub to: String,
    /// Its version, where it tells it.
    pub to_version: Option<String>,
    /// Every object that is meant.
    pub items: Vec<Item>,
    /// What somebody should know before.
    pub warnings: Vec<String>,
    /// What stands in the way of all of it: nothing is written then.
    pub refusals: Vec<String>,
    /// Of what a restore had written: what people have changed since, and is replaced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edited: Vec<ObjectId>,
    /// Secrets that somebody has to enter, or to have in a file.
    pub secrets: Vec<Secret>,
    /// What is entered from the file, by object.
    #[serde(skip)]
    pub(super) entered: BTreeMap<ObjectId, Fields>,
    /// What is meant is in more than one organisation.
    #[serde(skip)]
    pub(super) in_several: bool,
    /// What is known of where it is restored to.
    #[serde(skip)]
    pub(super) target: Target,
}

/// An object, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is called.
    #[serde(flatten)]
    pub id: ObjectId,
    /// What people call it.
    pub title: String,
    /// What is done.
    pub action: Action,
    /// Why, or what differs.
    pub note: Option<String>,
}

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is not there.
    Create,
    /// It is there, and is another one.
    Update,
    /// It is there as the backup has it.
    Same,
    /// It is not restored here, for a reason that is no fault.
    Skip,
    /// Something stands in its way that a person has to decide about.
    Blocked,
    /// A restore had created it; it goes.
    Remove,
}

impl Action {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Same => "same",
            Self::Skip => "skip",
            Self::Blocked => "blocked",
            Self::Remove => "remove",
        }
    }

    /// It is one that writes.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Remove)
    }
}

impl RestorePlan {
    /// The objects of which something is written.
    pub fn writes(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.action.writes())
    }

    /// There is nothing to write, and nothing in the way.
    pub fn is_done(&self) -> bool {
        self.writes().next().is_none() && self.blocked().next().is_none()
    }

    /// The objects that somebody has to decide about.
    pub fn blocked(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.action == Action::Blocked)
    }

    /// It goes.
    pub(super) fn removes(&self, id: &ObjectId) -> bool {
        self.writes().any(|item| item.action == Action::Remove && item.id == *id)
    }

    /// How many of each type become what.
    pub fn counts(&self) -> BTreeMap<ObjectType, BTreeMap<Action, usize>> {
        let mut counts: BTreeMap<ObjectType, BTreeMap<Action, usize>> = BTreeMap::new();
        for item in &self.items {
            *counts.entry(item.id.kind).or_default().entry(item.action).or_default() += 1;
        }
        counts
    }

    /// What an object is called in a message: with its organisation, where there are several.
    pub fn name(&self, id: &ObjectId) -> String {
        match &id.organisation {
            Some(organisation) if self.in_several => format!("{id} in {organisation}"),
            _ => id.to_string(),
        }
    }

    /// Two plans would write the same objects.
    pub(super) fn writes_what(&self, other: &Self) -> bool {
        let all = |plan: &Self| -> Vec<(ObjectId, Action)> {
            plan.writes().map(|item| (item.id.clone(), item.action)).collect()
        };
        all(self) == all(other)
    }
}

/// What restores have made that are to be taken back.
#[derive(Debug, Clone, Default)]
pub(super) struct Made {
    /// What they created or changed.
    pub(super) ids: BTreeSet<ObjectId>,
    /// What they wrote, of that of which an organisation has only one.
    pub(super) alone: Vec<Object>,
    /// A hash of each object that they wrote.
    pub(super) written: Traces,
    /// Secrets that they entered over others.
    pub(super) secrets: Vec<(ObjectId, Secret)>,
    /// What they had planned and not written. What is in [`Self::ids`] as well, a later one has written.
    pub(super) untouched: BTreeSet<ObjectId>,
}
