//! Tells the steps of the escalation that are due, each once: that it is to be told, and its messages, are noted together. Who
//! delivers messages does the rest, and notes what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::app::App;
use crate::blocking::blocking;
use crate::config::escalation::Escalation;
use crate::config::values::{JobName, Name};
use crate::history::{About, History, HistoryError, WatchedIncident};
use crate::incident::escalation::{Watched, longest};
use crate::incident::{Entry, EntryKind, Incident, Number};
use crate::report::notify::{Escalated, Ground, escalation};

/// Of the incidents of an alert a step is told so often within [`WHILE`]; what is due beyond that is told together when that
/// is over. Nobody reads hundreds of messages, and whoever gets them looks at none.
const AT_ONCE: usize = 3;
/// As long as an Alertmanager waits by default until it tells more of a group.
const WHILE: SignedDuration = SignedDuration::from_mins(5);
/// Nobody sleeps longer than this until a step is due: a machine that slept has another time.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// Tells the steps that are due, and says in how long the next one may be; nothing where none will be by itself.
pub(super) async fn escalate(app: &Arc<App>, host: &Arc<str>) -> Result<Option<Duration>, HistoryError> {
    if app.config().escalation.is_empty() {
        return Ok(None);
    }
    let (of_work, host, now) = (Arc::clone(app), Arc::clone(host), (app.runner.clock)());
    let (told, next) = blocking(move || tell_due(&of_work, &host, now)).await?;
    if told {
        // Who delivers messages looks after that.
        app.runner.live.changed();
    }
    let wait = next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
    Ok(wait.map(|wait| wait.min(LONGEST_SLEEP)))
}

/// Says whether any step was told, and when the next one will be.
fn tell_due(app: &App, host: &str, now: Timestamp) -> Result<(bool, Option<Timestamp>), HistoryError> {
    let (history, rules) = (&app.runner.history, &app.config().escalation);
    let back = SignedDuration::try_from(longest(rules)).unwrap_or_default();
    let since = now.checked_sub(back).unwrap_or(Timestamp::MIN);
    let (mut told, mut next) = (false, None::<Timestamp>);
    let mut due: BTreeMap<(usize, String), Vec<Due>> = BTreeMap::new();
    for watched in history.watched_incidents(since)? {
        let WatchedIncident { incident, told: steps, openings, last } = watched;
        let seen = Watched { incident: &incident, told: &steps, openings: &openings, last: &last };
        next = next.into_iter().chain(seen.next(rules, now)).min();
        for step in seen.due(rules, now) {
            let index = rules.iter().position(|rule| std::ptr::eq(rule, step)).unwrap_or_default();
            let nth = steps.len() + index + 1;
            due.entry((index, incident.alert.clone())).or_default().push((incident.clone(), nth));
        }
    }
    for ((index, alert), incidents) in due {
        let step = &rules[index];
        match held_until(history, &alert, step, now)? {
            Some(until) => next = next.into_iter().chain([until]).min(),
            None => told |= tell(app, (step, &incidents), (host, now))?,
        }
    }
    Ok((told, next))
}

/// An incident, and a number that no earlier step of it has.
type Due = (Incident, usize);

/// Where a step was told of an alert so often that what is due is to be told together, and when.
fn held_until(
    history: &History,
    alert: &str,
    step: &Escalation,
    now: Timestamp,
) -> Result<Option<Timestamp>, HistoryError> {
    let told = history.escalated_at(alert, &step.key(), now - WHILE)?;
    // A clock that has gone back holds nothing up.
    let oldest = told.into_iter().filter(|at| *at <= now).nth(AT_ONCE - 1);
    Ok(oldest.map(|at| at + WHILE))
}

/// By what a message is known until it is delivered: no later one of the same incident takes its place. No job is called so.
fn about(incident: &Incident, nth: usize) -> JobName {
    let name = format!("incident-{}-{nth}", incident.number);
    name.parse().unwrap_or_else(|_| unreachable!("it is a name"))
}

/// Tells a step of all incidents of an alert of which it is due, in one message.
fn tell(
    app: &App,
    (step, incidents): (&Escalation, &[Due]),
    (host, now): (&str, Timestamp),
) -> Result<bool, HistoryError> {
    let Some(((incident, nth), others)) = incidents.split_first() else { return Ok(false) };
    let history = &app.runner.history;
    let timeline = history.incident(incident.number)?.map(|(_, timeline)| timeline).unwrap_or_default();
    let about = about(incident, *nth);
    let others: Vec<Number> = others.iter().map(|(other, _)| other.number).collect();
    let ground = Ground { host, zone: &app.config().timezone, now, holds: false };
    let subject = Escalated { incident, timeline: &timeline, others: &others };
    let notice = escalation(step, subject, about.clone(), ground).under(&app.shared.veil());
    let Ok(message) = serde_json::to_string(&notice) else { return Ok(false) };
    let posts: Vec<(About, String)> =
        step.to.iter().map(|notifier| ((notifier.clone(), about.clone()), message.clone())).collect();
    let to: Vec<&str> = step.to.iter().map(Name::as_str).collect();
    let text = format!("{} is to be told, by {}: {}", step.contact, to.join(" and "), notice.headline);
    let with = format!(
        "{} is to be told of it together with incident {}, whose timeline says what became of that",
        step.contact, incident.number
    );
    let entry = |text: &str| Entry::new(now, EntryKind::Escalated, text);
    let told: Vec<(Number, Entry)> = std::iter::once((incident.number, entry(&text)))
        .chain(others.iter().map(|other| (*other, entry(&with))))
        .collect();
    let new = history.escalate(&step.key(), &told, &posts)?;
    if new {
        tracing::warn!(incident = %incident.number, "{}", notice.headline);
    }
    Ok(new)
}
