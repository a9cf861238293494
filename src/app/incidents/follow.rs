//! Follows every incident until it is over. It is looked when something was noted, and when the next step of an escalation is
//! due: where no incident is open, nobody looks at anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::{Mutex, watch};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Incoming;
use super::escalate::escalate;
use super::respond::Responder;
use crate::app::App;
use crate::blocking::blocking;
use crate::config::response::Response as Wanted;
use crate::history::HistoryError;
use crate::incident::{Entry, EntryKind, Incident, Response};
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
            responses.begin(&app).await?;
            escalate(&app, &host).await
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

    /// Begins the responses that are due.
    async fn begin(&mut self, app: &Arc<App>) -> Result<(), HistoryError> {
        if !self.has_taken_up {
            take_up(app).await?;
            self.has_taken_up = true;
        }
        for incident in to_respond(app).await? {
            if self.tasks.len() >= AT_ONCE {
                return Ok(());
            }
            if incident.response == Response::Due {
                self.begin_one(app, incident).await?;
            }
        }
        Ok(())
    }

    async fn begin_one(&mut self, app: &Arc<App>, incident: Incident) -> Result<(), HistoryError> {
        let (history, now) = (Arc::clone(&app.runner.history), (app.runner.clock)());
        let number = incident.number;
        let entry = move |text| Entry::new(now, EntryKind::Response, text);
        match self.fate(app, &incident).await? {
            Fate::Waits => {}
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
        Ok(())
    }

    async fn fate(&self, app: &App, incident: &Incident) -> Result<Fate, HistoryError> {
        let wanted = app.config().response_for(&incident.alert, &incident.labels);
        let Some(wanted) = wanted.filter(|wanted| !wanted.steps.is_empty()) else {
            return Ok(Fate::Ends(Response::None, None));
        };
        if !incident.is_open() {
            let why = "it was not looked at: the alert had ended before that could begin";
            return Ok(Fate::Ends(Response::Missed, Some(why.to_owned())));
        }
        let key = key(&wanted);
        if self.running.values().any(|running| *running == key) {
            return Ok(Fate::Waits);
        }
        let (history, cooldown) = (Arc::clone(&app.runner.history), wanted.cooldown);
        let last = blocking(move || history.last_response(&key)).await?;
        let now = (app.runner.clock)();
        let cools = last.filter(|(_, at)| {
            let passed = now.duration_since(*at);
            !passed.is_negative()
                && passed < SignedDuration::try_from(cooldown).unwrap_or(SignedDuration::MAX)
        });
        Ok(match cools {
            None => Fate::Begins(Box::new(wanted)),
            Some((other, at)) => {
                let ago = words::duration(now.duration_since(at).unsigned_abs());
                let cooldown = words::duration(cooldown);
                let why = format!(
                    "it is not looked at: that was done for incident {other} {ago} ago, and its cooldown is {cooldown}"
                );
                Fate::Ends(Response::None, Some(why))
            }
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
