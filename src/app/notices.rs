//! Tells people what happened: apart from all runs, so that no notifier fails or delays one.
//!
//! One process of a `state_dir` tells at a time, by a lock of the kernel: the daemon where one runs, else whoever has just
//! run a job.

mod deliver;
mod look;
mod own;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{App, Sight};
use crate::blocking::blocking;
use crate::config::notify::Notifier;
use crate::history::{HistoryError, NotifierTrouble};
use crate::prometheus::preflight::Finding;
use crate::report::notify::{Draft, Ground, Notice, Say, Sender, notice};
use crate::runner::{Held, Holder, Lock, LockError};
use crate::standing::Listings;
use crate::words;
use deliver::Deliveries;
use own::Own;

/// What is still to be told at the end may take so long, and what was run without a daemon: whoever runs it waits for that.
const LAST: Duration = Duration::from_secs(10);
/// How long who has run a job waits until another who does is through with telling.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is looked whether it is.
const AGAIN: Duration = Duration::from_millis(500);

/// The longest wait between two tries to deliver something.
const LONGEST: Duration = Duration::from_mins(10);

/// The wait after so many tries before the last one.
fn doubled(first: Duration, tries: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(tries.min(16))).min(LONGEST)
}

/// Who tells.
#[derive(Clone)]
pub struct Teller {
    /// The name of this host.
    pub host: Arc<str>,
    /// A notifier that nobody knew before tells nothing of what was before this.
    pub since: Timestamp,
    /// Nobody repeats what is told: it is no daemon.
    pub holds: bool,
}

/// What came of a test of a notifier.
#[derive(Debug, Clone, Serialize)]
pub struct Tested {
    /// Its name.
    pub notifier: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Whether the message was taken.
    pub delivered: bool,
    /// What was answered, or why it was not taken.
    pub said: String,
}

/// Tells while a daemon runs. Ends, some time after the last sight, when whoever shows them does.
pub async fn tell(mut sights: watch::Receiver<Option<Sight>>, teller: Teller) {
    let mut deliveries = Deliveries::default();
    let mut own = Own::default();
    let mut held: Option<Held> = None;
    let mut app: Option<Arc<App>> = None;
    let mut seen: Option<Sight> = None;
    let mut teller = teller;
    loop {
        let sight = sights.borrow_and_update().clone();
        if let Some(sight) = sight {
            held = held.or_else(|| lock(&sight.app, sight.at).ok());
            if held.is_some() {
                own.look(&sight, &teller);
                note(&sight, &teller).await;
                // A notifier that is not there yet is new after this.
                teller.since = sight.at;
            }
            app = Some(Arc::clone(&sight.app));
            seen = Some(sight);
        }
        let due = match &app {
            Some(app) if held.is_some() => deliveries.begin(app).await,
            _ => None,
        };
        // Another process that tells has the lock for a moment.
        let due = if held.is_none() && app.is_some() { Some(AGAIN) } else { due };
        tokio::select! {
            changed = sights.changed() => if changed.is_err() { break },
            () = deliveries.ended() => {}
            () = own.ended() => {}
            () = sleep(due) => {}
        }
    }
    if let Some(sight) = seen.filter(|_| held.is_some()) {
        // Nobody repeats an alert from now on: it would end by itself, as if the job were well.
        note(&sight, &Teller { holds: true, ..teller }).await;
    }
    if let Some(app) = app.filter(|_| held.is_some()) {
        last(&app, deliveries, LAST).await;
    }
}

async fn sleep(length: Option<Duration>) {
    match length {
        Some(length) => tokio::time::sleep(length).await,
        None => std::future::pending().await,
    }
}

/// Delivers what is due and waits for it, for so long at most. What is cut off is told by the next who tells.
async fn last(app: &Arc<App>, mut deliveries: Deliveries, limit: Duration) {
    let all = async {
        deliveries.begin(app).await;
        while deliveries.are_under_way() {
            deliveries.ended().await;
        }
    };
    if tokio::time::timeout(limit, all).await.is_err() {
        tracing::warn!("not all that was to be told could be; the next who tells goes on with it");
        drop(deliveries);
        cut_off(app, limit).await;
    }
}

/// Notes of what was cut off that it was tried: else nobody would see that a notifier hangs, and it would be tried for ever.
async fn cut_off(app: &Arc<App>, limit: Duration) {
    let (history, now) = (Arc::clone(&app.runner.history), (app.runner.clock)());
    let why = format!("no answer within {}; the next who tells tries it again", words::duration(limit));
    let noted = blocking(move || {
        let due = history.notes()?.posts.into_values().filter(|post| deliver::is_due(post, now));
        due.map(|post| post.id).try_for_each(|id| history.post_waits(id, now, &why, Some(now)))
    });
    if let Err(error) = noted.await {
        tracing::warn!(error = words::chain(&error), "what became of a message cannot be noted now");
    }
}

/// Notes what there is to tell, all of it or nothing.
async fn note(sight: &Sight, teller: &Teller) {
    let (sight, teller) = (sight.clone(), teller.clone());
    if let Err(error) = blocking(move || look::note(&sight, &teller)).await {
        tracing::warn!(error = words::chain(&error), "what there is to tell cannot be noted now");
    }
}

fn lock(app: &App, now: Timestamp) -> Result<Held, LockError> {
    let holder = Holder { pid: std::process::id(), since: now, job: None, run: None };
    app.runner.locks.take(&[Lock::Notify], &holder)
}

impl App {
    /// Tells what has happened, where no daemon runs to do it, and waits for it. Gives what could not be told.
    pub async fn tell_once(self: &Arc<Self>, teller: &Teller) -> Vec<NotifierTrouble> {
        let since = Instant::now();
        let held = loop {
            // It sees what other processes ran.
            if self.config().notify.is_empty() || self.runner.locks.is_held(&Lock::Daemon) {
                return Vec::new();
            }
            match lock(self, (self.runner.clock)()) {
                Ok(held) => break held,
                Err(LockError::Busy(_)) if since.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
                Err(error) => {
                    tracing::warn!(error = words::chain(&error), "nobody is told what happened now");
                    return Vec::new();
                }
            }
        };
        let (sight, _) = Sight::look(self, Listings::default()).await;
        note(&sight, teller).await;
        last(self, Deliveries::default(), LAST).await;
        drop(held);
        let history = Arc::clone(&self.runner.history);
        blocking(move || history.notifier_troubles()).await.unwrap_or_default()
    }

    /// Sends a message by each of these notifiers, and says what came back.
    pub async fn notify_test(&self, notifiers: Vec<Notifier>, host: &str) -> Vec<Tested> {
        let now = (self.runner.clock)();
        let mut all = Vec::new();
        for notifier in notifiers {
            let sender = self.sender(&notifier).await;
            let said = sender.send(&self.test_message(host, now), now).await;
            let (name, kind) = (notifier.name.to_string(), notifier.channel.kind());
            all.push(match said {
                Ok(said) => Tested { notifier: name, kind, delivered: true, said },
                Err(error) => Tested { notifier: name, kind, delivered: false, said: sender.words(&error) },
            });
        }
        all
    }

    fn test_message(&self, host: &str, now: Timestamp) -> Notice {
        let zone = &self.config().timezone;
        // Every name that is one will do.
        let job = self.config().jobs.first().map(|job| job.name.clone());
        let job = job.or_else(|| "test".parse().ok());
        let draft = Draft::test(job.unwrap_or_else(|| unreachable!("it is a name")), now);
        notice(draft, None, &[], Ground { host, zone, now, holds: true })
    }

    async fn sender(&self, notifier: &Notifier) -> Sender {
        let (shared, notifier) = (Arc::clone(&self.shared), notifier.clone());
        blocking(move || {
            let veil = shared.veil();
            Sender::new(&notifier, |secret| shared.resolve(secret), &veil)
        })
        .await
    }

    /// What is not as it should be with the notifiers. Nobody is told anything.
    pub async fn check_notifiers(&self) -> Vec<(String, Vec<Finding>)> {
        let look = async |notifier: &Notifier| {
            let sender = self.sender(notifier).await;
            let findings = match sender.probe().await {
                Ok(Some(said)) => vec![Finding::ok(said)],
                Ok(None) => {
                    let name = &notifier.name;
                    vec![Finding::ok(format!(
                        "its secrets are there; `watchkeeper notify-test {name}` sends a message"
                    ))]
                }
                Err(errors) => {
                    let hint = "nobody is told by it until that is mended";
                    let problem = |error| Finding::problem(sender.words(error), Some(hint.to_owned()));
                    errors.iter().map(problem).collect()
                }
            };
            (format!("notify.{}", notifier.name), findings)
        };
        join_all(self.config().notify.values().map(look)).await
    }
}

/// What cannot be noted.
type NoteError = HistoryError;

/// Whether nothing is said by it but that somebody listens.
fn is_repeated(say: Say) -> bool {
    matches!(say, Say::Still(_) | Say::Ping(_))
}
