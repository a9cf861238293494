//! Reads every `[[response]]`.

mod step;

use std::collections::{BTreeMap, BTreeSet};

use super::job::{DatabaseRef, JobConfig, JobKind};
use super::read::{Item, Section, nearest};
use super::response::{Anchored, Cap, Ground, Matcher, Pattern, Response, Step, StepKind, shipped};
use super::sessions::Sessions;
use super::target::ApplicationTarget;
use super::values::{JobName, Name, TargetName};

/// What a response is read against.
pub(super) struct Context<'a> {
    pub(super) applications: &'a BTreeMap<Name, ApplicationTarget>,
    /// The names of all `[application.NAME]`, also of those that are wrong.
    pub(super) application_names: Vec<String>,
    pub(super) prometheus_names: Vec<String>,
    pub(super) job_names: Vec<String>,
    pub(super) jobs: &'a [JobConfig],
}

/// Reads all of them.
pub(super) fn read_all(root: &mut Section<'_, '_>, context: &Context<'_>) -> Vec<Response> {
    let Some(elements) = root.get("response").and_then(|item| item.elements("written as [[response]]"))
    else {
        return Vec::new();
    };
    let mut responses: Vec<Response> = Vec::new();
    for (index, mut item) in elements.into_iter().enumerate() {
        item.what = String::from("each [[response]]");
        let Some(section) = item.section(format!("response {}", index + 1)) else { continue };
        if let Some(response) = read(section, context) {
            check_reached(&item, &responses, &response);
            responses.push(response);
        }
    }
    responses
}

/// The first that fits is taken: one behind another that takes all of its alerts means nothing.
fn check_reached(item: &Item<'_, '_>, before: &[Response], response: &Response) {
    let takes_all = |other: &&Response| {
        let is_part = other.matchers.iter().all(|matcher| response.matchers.contains(matcher));
        other.alert == response.alert && is_part
    };
    if before.iter().any(|other| takes_all(&other)) {
        let alert = &response.alert;
        let hint = "the first that fits is taken: put it before that one, or give that one a \"match\"";
        item.error(
            format!("the response to {alert:?} is never reached: one before it takes all its alerts"),
            Some(hint.to_owned()),
        );
    }
}

fn read(mut section: Section<'_, '_>, context: &Context<'_>) -> Option<Response> {
    let alert_item = section.require("alert", "\"ServiceDown\"");
    let alert = alert_item.as_ref().and_then(Item::text).map(str::to_owned);
    if let Some(alert) = &alert {
        section.name = format!("response {alert:?}");
    }
    let matchers = section.get("match").map_or(Some(Vec::new()), |item| matchers(&item));
    let application = target(&mut section, "application", &context.application_names);
    let prometheus = target(&mut section, "prometheus", &context.prometheus_names);
    let allow = section.get("allow").map_or(Some(Vec::new()), |item| jobs(&item, &context.job_names));
    let cooldown = section.get("cooldown").and_then(|item| item.duration());
    let cap = section.get("cap").and_then(|item| cap(&item));
    let ground = ground(context, application.as_ref(), prometheus.as_ref());
    let steps = steps(&mut section, alert.as_deref(), &ground);
    section.finish(&[]);
    Some(Response {
        alert: alert?,
        matchers: matchers?,
        application,
        prometheus,
        steps: steps?,
        allow: allow?,
        cooldown: cooldown.unwrap_or(Response::COOLDOWN),
        cap: cap.unwrap_or_default(),
    })
}

/// What a response stands on. An application that is wrong has been reported, and is taken for one that has everything.
fn ground(
    context: &Context<'_>,
    application: Option<&TargetName>,
    prometheus: Option<&TargetName>,
) -> Ground {
    let Some(name) = application.filter(|name| !context.applications.contains_key(*name)) else {
        return ground_of(context.applications, context.jobs, application, prometheus);
    };
    Ground {
        container: Some(name.to_string()),
        has_database: true,
        ..ground_of(context.applications, context.jobs, application, prometheus)
    }
}

/// What a response on these targets stands on.
pub(super) fn ground_of(
    applications: &BTreeMap<Name, ApplicationTarget>,
    jobs: &[JobConfig],
    application: Option<&TargetName>,
    prometheus: Option<&TargetName>,
) -> Ground {
    let target = application.and_then(|name| applications.get(name));
    Ground {
        application: application.cloned(),
        container: target.and_then(|target| target.container.clone()),
        has_database: target.is_some_and(|target| target.database.is_some()),
        prometheus: prometheus.cloned(),
        sessions: closed_sessions(jobs, application).cloned().unwrap_or_default(),
    }
}

/// What the job says that closes the sessions of an application.
fn closed_sessions<'a>(jobs: &'a [JobConfig], application: Option<&TargetName>) -> Option<&'a Sessions> {
    jobs.iter().find_map(|job| match &job.kind {
        JobKind::CloseStaleSessions(config) => {
            let is_its = matches!(&config.backup.database, DatabaseRef::Application(name) if Some(name) == application);
            is_its.then_some(&config.sessions)
        }
        _ => None,
    })
}

/// The target of a kind that is named; where none is, the only one there is.
fn target(section: &mut Section<'_, '_>, kind: &'static str, names: &[String]) -> Option<TargetName> {
    let Some(item) = section.get(kind) else {
        let [only] = names else { return None };
        return only.parse().ok();
    };
    let text = item.text()?;
    if names.iter().any(|name| name == text) {
        return text.parse().ok();
    }
    let hint = match nearest(text, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if names.is_empty() => format!("add a [{kind}.{text}] with its url"),
        None => format!("there is {}", names.join(", ")),
    };
    item.error(format!("there is no [{kind}.{text}]"), Some(hint));
    None
}

/// `{ severity = "critical", job = { regex = "app-.*" }, env = { not = "test" }, team = { not_regex = "a|b" } }`
fn matchers(item: &Item<'_, '_>) -> Option<Vec<Matcher>> {
    let section = item.section("\"match\"".to_owned())?;
    let read = |(name, _, item): (&str, _, Item<'_, '_>)| {
        let value = if item.is_table() { pattern(&item)? } else { Pattern::Exact(plain(&item)?) };
        Some(Matcher { name: name.to_owned(), value })
    };
    section.entries().map(read).collect::<Vec<_>>().into_iter().collect()
}

/// A text, or what a field of JSON may be beside one.
fn plain(item: &Item<'_, '_>) -> Option<String> {
    match item.json()? {
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// What is more than a text: one of three.
fn pattern(item: &Item<'_, '_>) -> Option<Pattern> {
    let mut section = item.section(item.what.clone())?;
    let found = [section.get("regex"), section.get("not"), section.get("not_regex")];
    let value = match found.each_ref().map(Option::as_ref) {
        [Some(item), None, None] => anchored(item).map(Pattern::Regex),
        [None, Some(item), None] => plain(item).map(Pattern::NotExact),
        [None, None, Some(item)] => anchored(item).map(Pattern::NotRegex),
        several => {
            let says =
                if several.iter().any(Option::is_some) { "says more than one" } else { "says nothing" };
            let hint = "write one of { regex = \"critical|warning\" }, { not = \"test\" } or { not_regex = \"test|stage\" }";
            section.error(format!("{} {says}", item.what), Some(hint.to_owned()));
            None
        }
    };
    section.finish(&[]);
    value
}

fn anchored(item: &Item<'_, '_>) -> Option<Anchored> {
    let text = item.any_text()?;
    let wrong = |error| {
        let hint = "it is anchored at both ends, as in Prometheus".to_owned();
        item.error(format!("{text:?} is no regular expression: {error}"), Some(hint));
    };
    Anchored::new(text).map_err(wrong).ok()
}

fn jobs(item: &Item<'_, '_>, names: &[String]) -> Option<Vec<JobName>> {
    let elements = item.elements("a list of jobs")?;
    let read = |item: &Item<'_, '_>| {
        let text = item.text()?;
        if names.iter().any(|name| name == text) {
            return text.parse().ok();
        }
        let hint = match nearest(text, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near:?}?"),
            None if names.is_empty() => "the file has no job".to_owned(),
            None => format!("the jobs are: {}", names.join(", ")),
        };
        item.error(format!("there is no job {text:?}"), Some(hint));
        None
    };
    elements.iter().map(read).collect::<Vec<_>>().into_iter().collect()
}

fn cap(item: &Item<'_, '_>) -> Option<Cap> {
    let mut section = item.section("\"cap\"".to_owned())?;
    let runs = section.get("runs").map_or(Some(Cap::default().runs), |item| item.number(1..1001));
    let within = section.get("within").map_or(Some(Cap::default().within), |item| item.some_duration());
    section.finish(&[]);
    Some(Cap { runs: runs?, within: within? })
}

/// The steps of the list, or of the runbook, and then those that are written out.
fn steps(section: &mut Section<'_, '_>, alert: Option<&str>, ground: &Ground) -> Option<Vec<Step>> {
    let listed = section.get("steps").map(|item| listed(&item, ground));
    let is_listed = listed.is_some();
    let own = section.get("step").map_or(Some(Vec::new()), |item| written(&item, ground));
    let own_are_empty = own.as_ref().is_some_and(Vec::is_empty);
    let shipped = alert.and_then(|alert| shipped::response(alert, ground)).map(|response| response.steps);
    let first = match (listed, shipped) {
        (Some(listed), _) => listed,
        (None, Some(shipped)) => Some(shipped),
        (None, None) => Some(Vec::new()),
    };
    let mut steps = first?;
    if steps.is_empty() && own_are_empty {
        let hint = match (is_listed, alert) {
            (false, Some(_)) => format!(
                "steps are shipped for {}; for another alert write steps = [\"container\", \"probe\", \"logs\"], or [[response.step]]",
                shipped::NAMES.join(", ")
            ),
            _ => "write steps = [\"container\", \"probe\", \"logs\"], or [[response.step]]".to_owned(),
        };
        // Where the alert itself is missing that has been told.
        if alert.is_some() {
            section.error(format!("{} has nothing to look at", section.name), Some(hint));
        }
        return None;
    }
    steps.extend(own?);
    are_unique(section, &steps).then_some(steps)
}

/// A step is found by its name in what is kept of an incident.
fn are_unique(section: &Section<'_, '_>, steps: &[Step]) -> bool {
    let mut names = BTreeSet::new();
    let Some(twice) = steps.iter().map(|step| step.name.as_str()).find(|name| !names.insert(*name)) else {
        return true;
    };
    let hint =
        "give each [[response.step]] its own \"name\", or leave out those of the runbook with steps = []";
    section.error(format!("{} has two steps {twice:?}", section.name), Some(hint.to_owned()));
    false
}

/// Kinds by their name, with nothing to be said about them.
fn listed(item: &Item<'_, '_>, ground: &Ground) -> Option<Vec<Step>> {
    let elements = item.elements("a list such as [\"container\", \"probe\", \"logs\"]")?;
    let read = |item: &Item<'_, '_>| {
        let kind = step::plain(item, ground)?;
        let step = Step::of(kind);
        can_be_made(item, &step, ground).then_some(step)
    };
    elements.iter().map(read).collect::<Vec<_>>().into_iter().collect()
}

/// Every `[[response.step]]`.
fn written(item: &Item<'_, '_>, ground: &Ground) -> Option<Vec<Step>> {
    let elements = item.elements("written as [[response.step]]")?;
    let read = |(index, item): (usize, &Item<'_, '_>)| {
        let step = step::read(item.section(format!("step {}", index + 1))?, ground)?;
        can_be_made(item, &step, ground).then_some(step)
    };
    elements.iter().enumerate().map(read).collect::<Vec<_>>().into_iter().collect()
}

fn can_be_made(item: &Item<'_, '_>, step: &Step, ground: &Ground) -> bool {
    let Some(lacks) = step.lacks(ground) else { return true };
    let hint = match (&ground.application, &step.kind) {
        (_, StepKind::Query { .. } | StepKind::Quantile(_)) => {
            "name one with prometheus = \"NAME\" in the response".to_owned()
        }
        (Some(name), StepKind::Sessions(_)) => format!("add \"database\" to [application.{name}]"),
        (Some(name), _) => format!("add \"container\" to [application.{name}], or to a [[response.step]]"),
        (None, _) => "name one with application = \"NAME\" in the response".to_owned(),
    };
    item.error(format!("a step {:?} needs {lacks}", step.kind.kind_name()), Some(hint));
    false
}
