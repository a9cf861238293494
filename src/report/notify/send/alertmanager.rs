//! Alerts, each with its own end, so that one which nobody repeats is over when that time comes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Post, SendError, Sender, answer};
use crate::config::notify::{Alerts, Event};
use crate::http::{HttpClient, below};
use crate::report::notify::{Notice, Say, severity};

/// An alert that is repeated is over when it was not for so many times,
const TIMES: u32 = 4;
/// but not sooner than this: who repeats it looks each half minute.
const LEAST: Duration = Duration::from_mins(2);
/// One that nobody repeats.
const HOLDS: Duration = Duration::from_hours(24);
/// Slots that did not run are told for so long: they do not get well.
const MISSED: Duration = Duration::from_hours(1);
/// How long a look at the server may take.
const LOOK: Duration = Duration::from_secs(10);

pub(super) async fn send(
    sender: &Sender,
    alerts: &Alerts,
    notice: &Notice,
    now: Timestamp,
) -> Result<String, SendError> {
    let mut endpoint = alerts.endpoint.clone();
    endpoint.url = below(&endpoint.url, "api/v2/alerts");
    let reply = sender.post(&endpoint, Post::json(&Value::Array(all(alerts, notice, now)))).await?;
    Ok(answer(&reply))
}

pub(super) async fn probe(sender: &Sender, alerts: &Alerts) -> Result<String, SendError> {
    let client = HttpClient::new(&alerts.endpoint, sender.credentials(&alerts.endpoint.auth)?)?;
    let reply = client.get("-/ready", LOOK).await?;
    if reply.status == 200 {
        return Ok("the Alertmanager is ready".to_owned());
    }
    Err(SendError::refused(&alerts.endpoint.url, &reply, crate::http::excerpt(&reply.body)))
}

/// The alert that ends, and the one that fires.
fn all(alerts: &Alerts, notice: &Notice, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    if let Some(told) = &notice.ends {
        all.push(alert(alerts, notice, told.event, (told.since, now)));
    }
    let holds = match notice.say {
        Say::Bad(_) | Say::Still(_) if notice.holds => Some(HOLDS),
        Say::Bad(_) | Say::Still(_) => Some((alerts.resend * TIMES).max(LEAST)),
        Say::Missed => Some(MISSED),
        // It is over before anybody is told of it.
        Say::Test => Some(Duration::from_mins(1)),
        Say::Recovered | Say::Closed | Say::Ping(_) => None,
    };
    if let Some(holds) = holds {
        let end = now.checked_add(SignedDuration::try_from(holds).unwrap_or_default()).unwrap_or(now);
        all.push(alert(alerts, notice, notice.event(), (notice.since, end)));
    }
    all
}

fn alert(alerts: &Alerts, notice: &Notice, event: Event, (starts, ends): (Timestamp, Timestamp)) -> Value {
    let name = if notice.say == Say::Test { "WatchkeeperTest" } else { name(event) };
    let mut labels = serde_json::Map::new();
    for (label, value) in &alerts.labels {
        labels.insert(label.clone(), value.as_str().into());
    }
    let own = [
        ("alertname", name),
        ("job", notice.job.as_str()),
        ("kind", &notice.kind),
        ("target", notice.target.as_deref().unwrap_or_default()),
        ("instance", &notice.host),
        ("severity", severity(event)),
    ];
    for (label, value) in own.into_iter().filter(|(_, value)| !value.is_empty()) {
        labels.insert(label.to_owned(), value.into());
    }
    json!({
        "labels": labels,
        "annotations": { "summary": notice.headline, "description": notice.text() },
        // An alert that ends before it begins is refused.
        "startsAt": starts.min(ends).to_string(),
        "endsAt": ends.to_string(),
    })
}

fn name(event: Event) -> &'static str {
    match event {
        Event::Failed => "WatchkeeperJobFailed",
        Event::Warned => "WatchkeeperJobWarned",
        Event::TooLong => "WatchkeeperJobRunsTooLong",
        Event::Missed | Event::Overdue => "WatchkeeperJobDidNotStart",
        Event::Recovered => "WatchkeeperJob",
    }
}
