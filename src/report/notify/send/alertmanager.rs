//! Alerts, each with its own end, so that one which nobody repeats is over when that time comes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Post, SendError, Sender, answer};
use crate::config::notify::{Alerts, Event};
use crate::history::MissedSlots;
use crate::http::{HttpClient, below};
use crate::report::notify::{Condition, Notice, Say, Subject};
use crate::words;

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

/// One alert: what is wrong, and until when that holds.
struct Alert<'a> {
    name: &'static str,
    severity: &'static str,
    times: (Timestamp, Timestamp),
    /// Summary and description.
    said: (&'a str, &'a str),
}

/// Those that end, and those that fire.
fn all(alerts: &Alerts, notice: &Notice, now: Timestamp) -> Vec<Value> {
    let text = notice.text();
    let whole = (notice.headline.as_str(), text.as_str());
    let until =
        |holds: Duration| now.checked_add(SignedDuration::try_from(holds).unwrap_or_default()).unwrap_or(now);
    let holds = if notice.holds { HOLDS } else { (alerts.resend * TIMES).max(LEAST) };
    let ends = notice.ends.iter().map(|told| Alert::of(&told.what, now, whole).json(alerts, notice));
    let tells_first = matches!(notice.say, Say::Bad(_) | Say::Still(_));
    let fires = notice.standing.iter().enumerate().map(|(index, what)| {
        let said = one_line(notice, what);
        let said = if index == 0 && tells_first { whole } else { (said.as_str(), said.as_str()) };
        Alert::of(what, until(holds), said).json(alerts, notice)
    });
    let lost = notice.missed.as_ref().map(|missed| missed_words(notice, missed)).unwrap_or_default();
    let missed = notice.missed.as_ref().map(|missed| Alert {
        name: "WatchkeeperJobMissedSlots",
        severity: Event::Missed.severity(),
        times: (missed.first, until(MISSED)),
        said: if notice.say == Say::Missed { whole } else { (&lost, &lost) },
    });
    // It is over before anybody is told of it.
    let tried = (notice.say == Say::Test).then(|| Alert {
        name: "WatchkeeperTest",
        severity: notice.severity(),
        times: (notice.since, until(Duration::from_mins(1))),
        said: whole,
    });
    let others = missed.into_iter().chain(tried).map(|alert| alert.json(alerts, notice));
    ends.chain(fires).chain(others).collect()
}

/// Where it is told beside something else.
fn missed_words(notice: &Notice, missed: &MissedSlots) -> String {
    let slots = words::count(missed.count, "slot");
    let (event, job, host) = (Event::Missed.words(), &notice.job, &notice.host);
    format!("{event} {job} on {host}: {slots} since {} did not run: {}", missed.first, missed.reason)
}

fn one_line(notice: &Notice, what: &Condition) -> String {
    let why = what.reason.as_deref().unwrap_or("see `watchkeeper status`");
    format!("{} {} on {}: {why}", what.event.words(), notice.job, notice.host)
}

impl<'a> Alert<'a> {
    fn of(what: &Condition, until: Timestamp, said: (&'a str, &'a str)) -> Self {
        Self { name: name(what), severity: what.event.severity(), times: (what.since, until), said }
    }

    fn json(&self, alerts: &Alerts, notice: &Notice) -> Value {
        let mut labels = serde_json::Map::new();
        for (label, value) in &alerts.labels {
            labels.insert(label.clone(), value.as_str().into());
        }
        let own = [
            ("alertname", self.name),
            // The second as the generated rules have it, whose first one is the job of the scrape.
            ("job", notice.job.as_str()),
            ("job_name", notice.job.as_str()),
            ("kind", &notice.kind),
            ("target", notice.target.as_deref().unwrap_or_default()),
            ("instance", &notice.host),
            ("severity", self.severity),
        ];
        for (label, value) in own.into_iter().filter(|(_, value)| !value.is_empty()) {
            labels.insert(label.to_owned(), value.into());
        }
        let (starts, ends) = self.times;
        json!({
            "labels": labels,
            "annotations": { "summary": self.said.0, "description": self.said.1 },
            // An alert that ends before it begins is refused.
            "startsAt": starts.min(ends).to_string(),
            "endsAt": ends.to_string(),
        })
    }
}

/// As the generated rules of a Prometheus call the same.
fn name(what: &Condition) -> &'static str {
    match (what.subject, what.event) {
        (Subject::Noting, _) => "WatchkeeperHistoryUnwritable",
        (Subject::Aside, _) => "WatchkeeperHistorySetAside",
        (Subject::Restore, _) => "WatchkeeperJobRestoreFailed",
        (Subject::Backups, _) => "WatchkeeperJobBadBackups",
        (Subject::Start, _) => "WatchkeeperJobOverdue",
        (Subject::Length, _) => "WatchkeeperJobRunsTooLong",
        (Subject::Run, Event::Warned) => "WatchkeeperJobWarned",
        (Subject::Run, _) => "WatchkeeperJobFailed",
    }
}
