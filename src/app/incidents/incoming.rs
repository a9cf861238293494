//! What an Alertmanager tells is kept before it is told that it is: what it does not hear that of, it tells again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::blocking::blocking;
use crate::config::values::Secret;
use crate::history::{History, Noted};
use crate::incident::{self, WrongAlert};
use crate::web::{Taken, Webhook};
use crate::words;

/// What those share who take notices and who follow incidents. Its clones are one.
#[derive(Debug, Clone)]
pub struct Incoming {
    counts: Arc<Counts>,
    /// Something was noted.
    pub(super) news: Arc<Notify>,
    /// Nothing more is taken.
    pub(super) stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Counts {
    taken: AtomicU64,
    refused: AtomicU64,
}

/// How many notices came since the daemon was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoticeCounts {
    /// Posts that were kept.
    pub taken: u64,
    /// Posts that were not: they were wrong, came without the token, or could not be kept.
    pub refused: u64,
}

impl Incoming {
    /// Takes notices until `stop`.
    pub fn new(stop: CancellationToken) -> Self {
        Self { counts: Arc::default(), news: Arc::default(), stop }
    }

    /// What came so far.
    pub fn counts(&self) -> NoticeCounts {
        let Counts { taken, refused } = &*self.counts;
        NoticeCounts { taken: taken.load(Ordering::Relaxed), refused: refused.load(Ordering::Relaxed) }
    }

    /// Who takes what is told to who has this token.
    pub(in crate::app) fn webhook(&self, app: &App, token: Secret) -> Webhook {
        let (this, counts) = (self.clone(), Arc::clone(&self.counts));
        let (history, clock) = (Arc::clone(&app.runner.history), app.runner.clock);
        Webhook {
            token,
            take: Box::new(move |body| {
                let (this, history) = (this.clone(), Arc::clone(&history));
                Box::pin(async move { this.take(history, body, clock()).await })
            }),
            refused: Box::new(move || {
                counts.refused.fetch_add(1, Ordering::Relaxed);
            }),
        }
    }

    async fn take(&self, history: Arc<History>, body: Bytes, now: Timestamp) -> Taken {
        let taken = if self.stop.is_cancelled() {
            Taken::NotNow("the daemon is stopping: tell it again".to_owned())
        } else {
            blocking(move || keep(&history, &body, now)).await
        };
        let count = if matches!(taken, Taken::Kept(_)) { &self.counts.taken } else { &self.counts.refused };
        count.fetch_add(1, Ordering::Relaxed);
        match &taken {
            Taken::Kept(_) => self.news.notify_one(),
            Taken::Wrong(why) | Taken::NotNow(why) => {
                tracing::warn!("a notice of an Alertmanager was not taken: {why}");
            }
        }
        taken
    }
}

fn keep(history: &History, body: &[u8], now: Timestamp) -> Taken {
    let payload = match incident::parse(body) {
        Ok(payload) => payload,
        Err(error) => return Taken::Wrong(error.to_string()),
    };
    match history.note_notices(&payload.notices, now) {
        Ok(noted) => Taken::Kept(told(&noted, payload.truncated) + &left_out(&payload.wrong)),
        Err(error) => Taken::NotNow(format!("it cannot be kept now: {}", words::chain(&error))),
    }
}

/// Says of alerts that are not taken which and why.
fn left_out(wrong: &[WrongAlert]) -> String {
    let Some(first) = wrong.first() else { return String::new() };
    let alerts = words::count(wrong.len(), "alert");
    tracing::warn!(
        "{alerts} of a notice of an Alertmanager could not be taken, and nobody knows of these: {first}"
    );
    format!("; {alerts} not taken: {first}")
}

/// Says in the log what is new, and in one line what became of all.
fn told(noted: &Noted, truncated: u64) -> String {
    for number in &noted.opened {
        tracing::info!("incident {number} is opened: `watchkeeper incident show {number}`");
    }
    for number in &noted.closed {
        tracing::info!("incident {number} is closed");
    }
    for number in &noted.unheard {
        tracing::warn!("incident {number} is closed: its end was not heard, and its alert fires anew");
    }
    if truncated > 0 {
        tracing::warn!(
            "an Alertmanager left {truncated} alerts out of its notice (max_alerts): nobody knows of these"
        );
    }
    let (opened, closed) = (noted.opened.len(), noted.closed.len() + noted.unheard.len());
    format!(
        "kept: {opened} opened, {closed} closed, {} go on, {} told nothing new",
        noted.go_on, noted.nothing
    )
}
