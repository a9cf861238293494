//! Reads every `[[escalation]]`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::escalation::{Escalation, When};
use super::notify::{Channel, Notifier};
use super::read::{Item, Section, nearest};
use super::values::Name;

/// Characters of what a step says; a message holds several.
const LONGEST: usize = 500;

pub(super) fn read_all(root: &mut Section<'_, '_>, notifiers: &BTreeMap<Name, Notifier>) -> Vec<Escalation> {
    let known = root.get("notify").and_then(|item| item.keys()).unwrap_or_default();
    let elements = root.get("escalation").and_then(|item| item.elements("written as [[escalation]]"));
    let mut steps: Vec<Escalation> = Vec::new();
    for (index, mut item) in elements.unwrap_or_default().into_iter().enumerate() {
        item.what = String::from("each [[escalation]]");
        let Some(section) = item.section(format!("escalation {}", index + 1)) else { continue };
        let Some(step) = read(section, &Notifiers { all: notifiers, names: &known }) else { continue };
        if steps.iter().any(|other| other.key() == step.key()) {
            let hint =
                "when, \"alert\", \"severity\" and \"to\" are those of an earlier one: remove one of the two";
            item.error("this [[escalation]] stands there twice", Some(hint.to_owned()));
        }
        steps.push(step);
    }
    steps
}

struct Notifiers<'a> {
    all: &'a BTreeMap<Name, Notifier>,
    /// Also of those that are wrong.
    names: &'a [String],
}

fn read(mut section: Section<'_, '_>, notifiers: &Notifiers<'_>) -> Option<Escalation> {
    let (alert, severity) = (optional(&mut section, "alert"), optional(&mut section, "severity"));
    let impact = optional(&mut section, "impact");
    let when = when(&mut section);
    let to = section.require("to", "[\"mail\"]").and_then(|item| to(&item, notifiers));
    let contact = section.require("contact", "\"On-call Engineer\"").and_then(|item| line(&item));
    let need = section.require("need", "\"somebody who looks at it\"").and_then(|item| line(&item));
    section.finish(&[]);
    let (alert, severity, impact) = (alert.ok()?, severity.ok()?, impact.ok()?);
    Some(Escalation { alert, severity, when: when?, to: to?, contact: contact?, need: need?, impact })
}

/// A line that need not be there; an error is one that is wrong, and was told.
fn optional(section: &mut Section<'_, '_>, key: &'static str) -> Result<Option<String>, ()> {
    section.get(key).map(|item| line(&item).ok_or(())).transpose()
}

fn when(section: &mut Section<'_, '_>) -> Option<When> {
    let after = section.get("after");
    let repeated = section.get("repeated");
    match (after, repeated) {
        (Some(item), None) => item.duration().map(When::After),
        (None, Some(item)) => times(&item),
        (after, _) => {
            let says = if after.is_some() { "both" } else { "neither" };
            let message = format!(
                "{} has {says} \"after\" {} \"repeated\"",
                section.name,
                if after.is_some() { "and" } else { "nor" }
            );
            let hint = "write after = \"15m\", or repeated = { times = 5, within = \"1h\" }".to_owned();
            section.error(message, Some(hint));
            None
        }
    }
}

fn times(item: &Item<'_, '_>) -> Option<When> {
    let mut section = item.section("\"repeated\"".to_owned())?;
    let times =
        section.require("times", "5").and_then(|item| item.number(1..1_001)).and_then(NonZeroU32::new);
    let within = section.require("within", "\"1h\"").and_then(|item| item.some_duration());
    section.finish(&[]);
    Some(When::Repeated { times: times?, within: within? })
}

fn to(item: &Item<'_, '_>, notifiers: &Notifiers<'_>) -> Option<Vec<Name>> {
    let elements = item.elements("a list of notifiers, such as [\"mail\"]")?;
    if elements.is_empty() {
        item.error("\"to\" is empty: nobody would be told", None);
        return None;
    }
    let read: Vec<Option<Name>> = elements.iter().map(|element| notifier(element, notifiers)).collect();
    let mut names: Vec<Name> = read.into_iter().collect::<Option<_>>()?;
    names.sort();
    names.dedup();
    Some(names)
}

/// A notifier that is in the file and tells people.
fn notifier(item: &Item<'_, '_>, notifiers: &Notifiers<'_>) -> Option<Name> {
    let name = item.text()?;
    if !notifiers.names.iter().any(|known| known == name) {
        let hint = match nearest(name, notifiers.names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near:?}?"),
            None if notifiers.names.is_empty() => "the file has no [notify.NAME]".to_owned(),
            None => format!("the notifiers are: {}", notifiers.names.join(", ")),
        };
        item.error(format!("there is no notifier {name:?}"), Some(hint));
        return None;
    }
    // One that is wrong has been told.
    let notifier = notifiers.all.iter().find(|(known, _)| known.as_str() == name)?.1;
    let why = match notifier.channel {
        Channel::Alertmanager(_) => "an Alertmanager has told of the alert itself",
        Channel::Healthchecks(_) => "healthchecks.io is told of jobs",
        _ => return Some(notifier.name.clone()),
    };
    item.error(format!("{name:?} cannot be told: {why}"), Some("name one that people read".to_owned()));
    None
}

/// A line of a message.
fn line(item: &Item<'_, '_>) -> Option<String> {
    let text = item.text()?.trim();
    if text.chars().any(char::is_control) || text.chars().count() > LONGEST {
        item.error(format!("{} must be one line of at most {LONGEST} characters", item.what), None);
        return None;
    }
    Some(text.to_owned())
}
