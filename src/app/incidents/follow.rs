//! Follows every incident until it is over. It is looked when something was noted, and when the next step of an escalation is
//! due: where no incident is open, nobody looks at anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, watch};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Incoming;
use super::escalate::{LONGEST_SLEEP, escalate};
use super::respond::Responder;
use crate::app::App;
use crate::blocking::blocking;
use crate::config::response::Response as Wanted;
use crate::history::{History, HistoryError};
use crate::incident::{Entry, EntryKind, Incident, Number, Response};
use crate::words;

/// What could not be read or written is tried again after this.
const AGAIN: Duration = Duration::from_secs(15);
/// So many responses run at once, each to another alert.
const AT_ONCE: usize = 4;

/// Who follows incidents.
pub struct Follower {
    /// The program as it is configured now.
    pub apps: watch::Receiver<Arc<App>>,
    /// Says when something was noted, and when to stop.
    pub incoming: Incoming,
    /// The name of this host.
    pub host: Arc<str>,
}

/// Follows incidents until whoever takes notices stops, and then waits for what was begun.
pub async fn follow(follower: Follower) {
    let Follower { mut apps, incoming, host } = follower;
    let mut responses = Responses::new(incoming.stop.clone());
    while !incoming.stop.is_cancelled() {
        let app = Arc::clone(&apps.borrow_and_update());
        let looked = async {
            let (cools, next) = (responses.begin(&app).await?, escalate(&app, &host).await?);
            Ok::<_, HistoryError>(cools.into_iter().chain(next).min())
        };
        let wait = looked.await.unwrap_or_else(|error| {
            tracing::warn!(error = words::chain(&error), "the incidents cannot be followed now");
            Some(AGAIN)
        });
        tokio::select! {
            () = incoming.stop.cancelled() => {}
            () = incoming.news.notified() => {}
            changed = apps.changed() => if changed.is_err() { incoming.stop.cancelled().await },
            () = responses.ended() => {}
            () = sleep(wait) => {}
        }
    }
    while !responses.tasks.is_empty() {
        responses.ended().await;
    }
}

async fn sleep(length: Option<Duration>) {
    match length {
        Some(length) => tokio::time::sleep(length).await,
        None => std::future::pending().await,
    }
}

/// The responses that run.
struct Responses {
    tasks: JoinSet<()>,
    /// To what.
    running: BTreeMap<Id, String>,
    stop: CancellationToken,
    acts: Arc<Mutex<()>>,
    /// What an earlier daemon had begun is settled.
    has_taken_up: bool,
}

/// What becomes of an incident that is to be responded to.
enum Fate {
    /// Not now: the same is looked at already.
    Waits,
    /// Not for so long: the same was looked at just before, which may still help.
    Cools(Duration, String),
    /// Nothing, and why.
    Ends(Response, Option<String>),
    /// This is begun.
    Begins(Box<Wanted>),
}

impl Responses {
    fn new(stop: CancellationToken) -> Self {
        let (tasks, running, acts) = (JoinSet::new(), BTreeMap::new(), Arc::default());
        Self { tasks, running, stop, acts, has_taken_up: false }
    }

    /// Begins the responses that are due, and says in how long one may be that cools.
    async fn begin(&mut self, app: &Arc<App>) -> Result<Option<Duration>, HistoryError> {
        if !self.has_taken_up {
            take_up(app).await?;
            self.has_taken_up = true;
        }
        let mut next = None;
        for incident in to_respond(app).await? {
            if self.tasks.len() >= AT_ONCE {
                break;
            }
            if incident.response == Response::Due {
                next = next.into_iter().chain(self.begin_one(app, incident).await?).min();
            }
        }
        Ok(next.map(|wait: Duration| wait.min(LONGEST_SLEEP)))
    }

    /// Begins it, or says in how long it may be.
    async fn begin_one(
        &mut self,
        app: &Arc<App>,
        incident: Incident,
    ) -> Result<Option<Duration>, HistoryError> {
        let (history, now) = (Arc::clone(&app.runner.history), (app.runner.clock)());
        let number = incident.number;
        let entry = move |text| Entry::new(now, EntryKind::Response, text);
        match self.fate(app, &incident).await? {
            Fate::Waits => {}
            Fate::Cools(wait, why) => {
                blocking(move || note_once(&history, number, &entry(why))).await?;
                return Ok(Some(wait));
            }
            Fate::Ends(response, why) => {
                let entries: Vec<Entry> = why.map(entry).into_iter().collect();
                blocking(move || history.note_response(number, response, None, &entries)).await?;
            }
            Fate::Begins(wanted) => {
                let key = key(&wanted);
                let noted = key.clone();
                blocking(move || history.note_response(number, Response::Runs, Some((&noted, now)), &[]))
                    .await?;
                let (app, stop, acts) = (Arc::clone(app), self.stop.clone(), Arc::clone(&self.acts));
                let task = self.tasks.spawn(Responder { app, stop, acts }.respond(incident, *wanted));
                self.running.insert(task.id(), key);
            }
        }
        Ok(None)
    }

    async fn fate(&self, app: &App, incident: &Incident) -> Result<Fate, HistoryError> {
        let wanted = app.config().response_for(&incident.alert, &incident.labels);
        let Some(wanted) = wanted.filter(|wanted| !wanted.steps.is_empty()) else {
            return Ok(Fate::Ends(Response::None, None));
        };
        if !incident.is_open() {
            let why = "it was not looked at: it was closed before that could begin";
            return Ok(Fate::Ends(Response::Missed, Some(why.to_owned())));
        }
        let key = key(&wanted);
        if self.running.values().any(|running| *running == key) {
            return Ok(Fate::Waits);
        }
        let (history, number) = (Arc::clone(&app.runner.history), incident.number);
        let last = blocking(move || history.last_response(&key, number)).await?;
        Ok(match last {
            None => Fate::Begins(Box::new(wanted)),
            Some(last) => after(last, incident, wanted, (app.runner.clock)()),
        })
    }

    /// One of them is through; never, where none runs.
    async fn ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => drop(self.running.remove(&id)),
            Some(Err(error)) => {
                tracing::error!(error = words::chain(&error), "a response broke off");
                self.running.remove(&error.id());
            }
            None => std::future::pending().await,
        }
    }
}

/// What becomes of an incident whose response was last begun for another one, then.
fn after((other, at): (Number, Timestamp), incident: &Incident, wanted: Wanted, now: Timestamp) -> Fate {
    let passed = now.duration_since(at);
    let left =
        SignedDuration::try_from(wanted.cooldown).unwrap_or(SignedDuration::MAX).saturating_sub(passed);
    if passed.is_negative() || !left.is_positive() {
        return Fate::Begins(Box::new(wanted));
    }
    if at >= incident.opened {
        // The steps know nothing of an alert: they would find the same.
        let why = format!(
            "it is not looked at by itself: that was done for incident {other} while this one was open"
        );
        return Fate::Ends(Response::None, Some(why));
    }
    let (ago, cooldown) = (words::duration(passed.unsigned_abs()), words::duration(wanted.cooldown));
    let why = format!(
        "it is not looked at yet: that was done for incident {other} {ago} ago, and its cooldown is {cooldown}; it is when that \
         is over, if the alert still fires"
    );
    Fate::Cools(left.unsigned_abs(), why)
}

/// Says why a response waits, where nothing was said of it yet.
fn note_once(history: &History, number: Number, entry: &Entry) -> Result<(), HistoryError> {
    let timeline = history.incident(number)?.map(|(_, timeline)| timeline).unwrap_or_default();
    if timeline.iter().any(|line| line.kind == EntryKind::Response) {
        return Ok(());
    }
    history.add_to_incident(number, entry).map(drop)
}

/// What is one response, and not another.
fn key(wanted: &Wanted) -> String {
    let matchers: Vec<String> = wanted.matchers.iter().map(ToString::to_string).collect();
    format!("{} {}", wanted.alert, matchers.join(" ")).trim_end().to_owned()
}

async fn to_respond(app: &App) -> Result<Vec<Incident>, HistoryError> {
    let history = Arc::clone(&app.runner.history);
    blocking(move || history.incidents_to_respond()).await
}

/// Looks again at what an earlier daemon had begun to look at. What it had begun to do is not done again.
async fn take_up(app: &App) -> Result<(), HistoryError> {
    for incident in to_respond(app).await? {
        let (response, text) = match incident.response {
            Response::Runs => (Response::Due, "the daemon ended while it was looked at: that is done again"),
            Response::Acts => (
                Response::Done,
                "the daemon ended while jobs were run for it: `watchkeeper history` says what came of them, and none is run again",
            ),
            Response::Due | Response::Done | Response::None | Response::Missed => continue,
        };
        let entry = Entry::new((app.runner.clock)(), EntryKind::Response, text);
        let history = Arc::clone(&app.runner.history);
        blocking(move || history.note_response(incident.number, response, None, &[entry])).await?;
    }
    Ok(())
}
