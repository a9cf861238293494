//! Reads every `[notify.NAME]`.

mod channel;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::notify::{Event, Notifier, Rhythm};
use super::read::{Item, Section, nearest};
use super::secret::Places;
use super::target::AlertmanagerTarget;
use super::values::{JobName, Name};

/// What a notifier is read against.
pub(super) struct Context<'a> {
    pub(super) places: Places<'a>,
    /// The names of all jobs, also of those that are wrong.
    pub(super) jobs: Vec<String>,
    pub(super) alertmanagers: &'a BTreeMap<Name, AlertmanagerTarget>,
    /// The names of all `[alertmanager.NAME]`, also of those that are wrong.
    pub(super) alertmanager_names: Vec<String>,
}

const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

pub(super) fn read(name: Name, mut section: Section<'_, '_>, context: &Context<'_>) -> Option<Notifier> {
    let kinds = [
        ("webhook", "webhook"),
        ("slack", "slack"),
        ("ntfy", "ntfy"),
        ("email", "email"),
        ("healthchecks", "healthchecks"),
        ("alertmanager", "alertmanager"),
    ];
    let kind = section.require("type", "\"email\"").and_then(|item| super::job::choice(&item, &kinds));
    let jobs = section.get("jobs").map(|item| jobs(&item, context));
    // Nothing more is known of one whose type is not.
    let kind = kind?;
    // Who has a memory of its own is told everything, and tells in its own time.
    let has_memory = matches!(kind, "healthchecks" | "alertmanager");
    let on = if kind == "healthchecks" { None } else { section.get("on").map(|item| events(&item)) };
    let rhythm = if has_memory { None } else { Some(rhythm(&mut section)) };
    let channel = channel::read(kind, &mut section, context);
    section.finish(&[]);
    // A list that is wrong is told, and not taken for one that is not there.
    let on = on.unwrap_or_else(|| Some(Event::ALL.into()))?;
    let jobs = match jobs {
        Some(jobs) => Some(jobs?),
        None => None,
    };
    let rhythm = rhythm.unwrap_or(Rhythm { remind: Some(DAY), cooldown: Duration::ZERO });
    Some(Notifier { name, on, jobs, rhythm, channel: channel? })
}

fn rhythm(section: &mut Section<'_, '_>) -> Rhythm {
    let remind = section.get("remind").and_then(|item| match item.text() {
        Some("never") => Some(None),
        Some(_) => item.some_duration().map(Some),
        None => None,
    });
    let cooldown = section.get("cooldown").and_then(|item| item.duration());
    Rhythm { remind: remind.unwrap_or(Some(DAY)), cooldown: cooldown.unwrap_or(HOUR) }
}

fn events(item: &Item<'_, '_>) -> Option<BTreeSet<Event>> {
    let known = Event::ALL.map(|event| (event.name(), event));
    let elements = item.elements("a list such as [\"failed\", \"recovered\"]")?;
    if elements.is_empty() {
        item.error(
            "\"on\" is empty: it would tell nothing",
            Some("remove it to be told everything".to_owned()),
        );
        return None;
    }
    all(elements.iter().map(|element| super::job::choice(element, &known)))
}

fn jobs(item: &Item<'_, '_>, context: &Context<'_>) -> Option<BTreeSet<JobName>> {
    let elements = item.elements("a list of jobs")?;
    if elements.is_empty() {
        item.error(
            "\"jobs\" is empty: it would tell nothing",
            Some("remove it to be told of all jobs".to_owned()),
        );
        return None;
    }
    all(elements.iter().map(|element| known_job(element, context)))
}

/// All of them, or nothing where one is wrong; each is read, so that all that is wrong is told.
fn all<T, C: FromIterator<T>>(read: impl Iterator<Item = Option<T>>) -> Option<C> {
    let read: Vec<Option<T>> = read.collect();
    read.into_iter().collect()
}

/// The name of a job that is in the file.
fn known_job(item: &Item<'_, '_>, context: &Context<'_>) -> Option<JobName> {
    let name = item.text()?;
    check_job(name, &context.jobs)
        .map_err(|hint| item.error(format!("there is no job {name:?}"), Some(hint)))
        .ok()
}

/// The job of that name, or which it may be.
fn check_job(name: &str, jobs: &[String]) -> Result<JobName, String> {
    if jobs.iter().any(|job| job == name) {
        return name.parse().map_err(|_| "its own name is wrong".to_owned());
    }
    Err(match nearest(name, jobs.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near:?}?"),
        None if jobs.is_empty() => "the file has no job".to_owned(),
        None => format!("the jobs are: {}", jobs.join(", ")),
    })
}
