//! Looks while a daemon runs how everything stands, for those who tell it: when a run begins or ends, and each half of a
//! minute.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::App;
use crate::blocking::blocking;
use crate::standing::{Listings, Standing, StateStanding, View};
use crate::words;

/// How long nothing may change until it is looked again: slots become overdue by themselves.
const LOOK_AFTER: Duration = Duration::from_secs(30);

/// Between two looks: of many runs that end at once, one look is enough.
const LEAST: Duration = Duration::from_millis(500);

/// And so many times as long as a look took: those who run jobs use the same history.
const SHARE: u32 = 20;

/// A look is old after so long: it may take a while, and then there is a pause for many times as long.
pub(super) const FRESH: Duration = Duration::from_mins(5);

/// Where what was seen is shown. It is looked only while somebody has subscribed.
#[derive(Clone)]
pub struct Sights {
    shown: watch::Sender<Option<Sight>>,
    wanted: Arc<Notify>,
}

impl Default for Sights {
    fn default() -> Self {
        Self { shown: watch::Sender::new(None), wanted: Arc::default() }
    }
}

impl Sights {
    /// What is seen from now on, until the receiver is dropped.
    pub fn subscribe(&self) -> watch::Receiver<Option<Sight>> {
        let receiver = self.shown.subscribe();
        self.wanted.notify_one();
        receiver
    }

    fn is_wanted(&self) -> bool {
        self.shown.receiver_count() > 0
    }
}

/// What was seen in one look.
#[derive(Clone)]
pub struct Sight {
    /// The program with the configuration of that time.
    pub app: Arc<App>,
    /// When.
    pub at: Timestamp,
    /// How everything stands, or why that cannot be said.
    pub standing: Result<Arc<Standing>, String>,
    /// How it stands with the program's own folder.
    pub state: Arc<StateStanding>,
    /// So many runs are kept in memory until they can be written to the history.
    pub unwritten: usize,
}

impl Sight {
    /// Looks once.
    pub async fn look(app: &Arc<App>, listings: Listings) -> (Self, Listings) {
        let (seen, at) = (Arc::clone(app), (app.runner.clock)());
        let (standing, state, listings) = blocking(move || {
            let mut listings = listings;
            let view = view(&seen, at);
            (Standing::of(view, &mut listings), StateStanding::of(view), listings)
        })
        .await;
        let standing = standing.map(Arc::new).map_err(|error| words::chain(&error));
        let unwritten = app.runner.unwritten.count();
        (Self { app: Arc::clone(app), at, standing, state: Arc::new(state), unwritten }, listings)
    }

    /// Why what runs is not kept, where it is not.
    pub fn trouble(&self) -> Option<String> {
        let kept = match self.unwritten {
            0 => String::new(),
            count => format!("; of {} only this process knows", words::count(count, "run")),
        };
        self.state.not_writable.as_ref().map(|why| format!("what runs cannot be noted: {why}{kept}"))
    }
}

fn view(app: &App, now: Timestamp) -> View<'_> {
    View { config: app.config(), history: Some(&app.runner.history), store: Some(app.store()), now }
}

/// Looks while somebody wants to know, and shows what was seen; for the last time at `stop`. `apps`: the program as it is
/// configured now.
pub async fn observe(mut apps: watch::Receiver<Arc<App>>, sights: Sights, stop: CancellationToken) {
    let mut changes = apps.borrow().runner.live.changes();
    let mut listings = Listings::default();
    loop {
        if !sights.is_wanted() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sights.wanted.notified() => continue,
            }
        }
        let is_last = stop.is_cancelled();
        let since = Instant::now();
        let app = Arc::clone(&apps.borrow_and_update());
        changes.mark_unchanged();
        let (sight, kept) = Sight::look(&app, listings).await;
        listings = kept;
        sights.shown.send_replace(Some(sight));
        if is_last {
            return;
        }
        let least = LEAST.max(since.elapsed() * SHARE);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(least) => tokio::select! {
                () = stop.cancelled() => {}
                _ = changes.changed() => {}
                // Nobody reads the configuration anew while the last runs end.
                Ok(()) = apps.changed() => {}
                () = tokio::time::sleep(LOOK_AFTER) => {}
            },
        }
    }
}
