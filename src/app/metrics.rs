//! Shows the metrics while a daemon runs: over HTTP (`listener`) and in a file (`textfile`), whichever is configured at the
//! time. Without a daemon [`write_textfile`] leaves them in the file.

mod health;
mod listener;
mod textfile;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::incidents::Incoming;
use super::{App, Sight, Sights};
use crate::blocking::blocking;
use crate::report::metrics::{DaemonSigns, Family, Periods, Shown, families};
use crate::schedule::driver::Beat;

pub use textfile::{TextfileError, lacks_of_textfile, write_textfile};

use textfile::Textfile;

/// What was seen last, for those who ask.
#[derive(Clone, Default)]
struct Page {
    families: Arc<Vec<Family>>,
    /// When it was seen, by a clock that nobody sets.
    seen: Option<Instant>,
    /// Why what runs is not kept.
    trouble: Option<String>,
}

/// What the metrics are made from, and when they end.
pub struct MetricsWires {
    /// The program as it is configured now.
    pub apps: watch::Receiver<Arc<App>>,
    /// What is seen.
    pub sights: Sights,
    /// Signs of life of who plans.
    pub beats: watch::Receiver<Beat>,
    /// What others tell.
    pub incoming: Incoming,
    /// When the daemon was started.
    pub started: Timestamp,
    /// Nothing more will be seen.
    pub stop: CancellationToken,
}

/// Shows the metrics until `stop`, where they are wanted; the file says then that the daemon does not run any more.
pub async fn show(wires: MetricsWires) {
    let (page, pages) = watch::channel(Page::default());
    let incoming = wires.incoming.clone();
    let site = listener::Source { pages, beats: wires.beats.clone(), incoming };
    let listens = tokio::spawn(listener::keep(wires.apps.clone(), site, wires.stop.clone()));
    let mut teller = Teller {
        page,
        periods: None,
        textfile: Textfile::default(),
        beats: wires.beats,
        incoming: wires.incoming,
        started: wires.started,
    };
    let (mut apps, stop) = (wires.apps, wires.stop);
    while !stop.is_cancelled() {
        if apps.borrow_and_update().config().metrics.is_wanted() {
            teller.tell(&mut apps, wires.sights.subscribe(), &stop).await;
        } else {
            teller.textfile.keep_to(None).await;
            tokio::select! {
                () = stop.cancelled() => {}
                changed = apps.changed() => if changed.is_err() { stop.cancelled().await },
            }
        }
    }
    drop(listens.await);
}

struct Teller {
    page: watch::Sender<Page>,
    /// With the configuration that they are of.
    periods: Option<(Arc<App>, Arc<Periods>)>,
    textfile: Textfile,
    beats: watch::Receiver<Beat>,
    incoming: Incoming,
    started: Timestamp,
}

impl Teller {
    /// Tells each sight, while it is wanted; at `stop` the last one.
    async fn tell(
        &mut self,
        apps: &mut watch::Receiver<Arc<App>>,
        mut sights: watch::Receiver<Option<Sight>>,
        stop: &CancellationToken,
    ) {
        // There may be one that somebody else wanted.
        let mut is_new = true;
        loop {
            let is_last = stop.is_cancelled();
            if is_new || is_last {
                let sight = sights.borrow_and_update().clone();
                if let Some(sight) = sight {
                    self.show(&sight, !is_last).await;
                }
            }
            if is_last {
                return;
            }
            is_new = false;
            tokio::select! {
                () = stop.cancelled() => {}
                Ok(()) = sights.changed() => is_new = true,
                Ok(()) = apps.changed() => {
                    if !apps.borrow_and_update().config().metrics.is_wanted() {
                        return;
                    }
                }
            }
        }
    }

    async fn show(&mut self, sight: &Sight, is_running: bool) {
        let periods = self.periods(sight).await;
        let shown = Shown {
            config: sight.app.config(),
            periods: &periods,
            standing: sight.standing.as_deref().ok(),
            state: &sight.state,
            at: sight.at,
            is_running,
            daemon: Some(DaemonSigns {
                started: self.started,
                clock_jumps: self.beats.borrow().jumps,
                notices_taken: self.incoming.counts().taken,
                notices_refused: self.incoming.counts().refused,
                unwritten: sight.unwritten,
            }),
        };
        let families = Arc::new(families(shown));
        let (seen, trouble) = (Some(Instant::now()), sight.trouble());
        self.page.send_replace(Page { families: Arc::clone(&families), seen, trouble });
        let path: Option<PathBuf> = sight.app.config().metrics.textfile.clone();
        self.textfile.keep_to(path).await;
        self.textfile.write(families).await;
    }

    /// They are worked out once for a configuration.
    async fn periods(&mut self, sight: &Sight) -> Arc<Periods> {
        if let Some((app, periods)) = &self.periods
            && Arc::ptr_eq(app, &sight.app)
        {
            return Arc::clone(periods);
        }
        let (app, at) = (Arc::clone(&sight.app), sight.at);
        let periods = Arc::new(blocking(move || Periods::of(app.config(), at)).await);
        self.periods = Some((Arc::clone(&sight.app), Arc::clone(&periods)));
        periods
    }
}
