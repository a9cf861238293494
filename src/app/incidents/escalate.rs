//! Tells the steps of the escalation that are due, each once: that it is told, and its messages, are noted together, and who
//! delivers messages does the rest.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::app::App;
use crate::blocking::blocking;
use crate::config::escalation::Escalation;
use crate::config::values::{JobName, Name};
use crate::history::{About, History, HistoryError, WatchedIncident};
use crate::incident::escalation::{Watched, longest};
use crate::incident::{Entry, EntryKind, Incident};
use crate::report::notify::{Ground, escalation};

/// Nobody sleeps longer than this until a step is due: a machine that slept has another time.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

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

/// Says whether any step was due, and when the next one will be.
fn tell_due(app: &App, host: &str, now: Timestamp) -> Result<(bool, Option<Timestamp>), HistoryError> {
    let (history, rules) = (&app.runner.history, &app.config().escalation);
    let back = SignedDuration::try_from(longest(rules)).unwrap_or_default();
    let since = now.checked_sub(back).unwrap_or(Timestamp::MIN);
    let (mut told, mut next) = (false, None::<Timestamp>);
    for watched in history.watched_incidents(since)? {
        let WatchedIncident { incident, told: steps, openings, last } = &watched;
        let seen = Watched { incident, told: steps, openings, last };
        for (index, step) in seen.due(rules, now).into_iter().enumerate() {
            let about = about(incident, steps.len() + index + 1);
            told |= tell(app, history, (step, incident, about), (host, now))?;
        }
        next = next.into_iter().chain(seen.next(rules, now)).min();
    }
    Ok((told, next))
}

/// By what a message is known until it is delivered: no later one of the same incident takes its place. No job is called so.
fn about(incident: &Incident, nth: usize) -> JobName {
    let name = format!("incident-{}-{nth}", incident.number);
    name.parse().unwrap_or_else(|_| unreachable!("it is a name"))
}

fn tell(
    app: &App,
    history: &History,
    (step, incident, about): (&Escalation, &Incident, JobName),
    (host, now): (&str, Timestamp),
) -> Result<bool, HistoryError> {
    let timeline = history.incident(incident.number)?.map(|(_, timeline)| timeline).unwrap_or_default();
    let ground = Ground { host, zone: &app.config().timezone, now, holds: false };
    let notice = escalation(step, (incident, &timeline), about.clone(), ground).under(&app.shared.veil());
    let Ok(message) = serde_json::to_string(&notice) else { return Ok(false) };
    let posts: Vec<(About, String)> =
        step.to.iter().map(|notifier| ((notifier.clone(), about.clone()), message.clone())).collect();
    let to: Vec<&str> = step.to.iter().map(Name::as_str).collect();
    let text = format!("{} is told, by {}: {}", step.contact, to.join(" and "), notice.headline);
    let new = history.escalate(
        incident.number,
        &step.key(),
        &posts,
        &Entry::new(now, EntryKind::Escalated, text),
    )?;
    if new {
        tracing::warn!(incident = %incident.number, "{}", notice.headline);
    }
    Ok(new)
}
