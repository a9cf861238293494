//! What is due and has not begun: told to whoever asks while the daemon runs, and to the next one when it has ended.

use std::time::Duration;

use tokio::time::Instant;

use super::{Daemon, Queue};
use crate::config::values::JobName;
use crate::history::{Cause, Wait};
use crate::words;

/// What has not begun so long after it came waits.
const SOON: Duration = Duration::from_secs(1);

/// What was told of what waits.
#[derive(Debug, Default)]
pub(super) struct Told {
    waits: Option<Vec<Wait>>,
    /// When it is to be looked what waits.
    look: Option<Instant>,
    /// The daemon ends: what was told then stays.
    is_final: bool,
}

impl Daemon {
    /// Something came: it may wait.
    pub(super) fn look_soon(&mut self) {
        self.told.look.get_or_insert_with(|| Instant::now() + SOON);
    }

    /// Completes when it is to be looked what waits.
    pub(super) fn is_to_look(&self) -> impl Future<Output = ()> + use<> {
        let look = self.told.look;
        async move {
            match look {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Notes what waits, where that has changed.
    pub(super) async fn tell_waits(&mut self) {
        self.told.look = None;
        if self.told.is_final {
            return;
        }
        let zone = &self.app.config().timezone;
        let of_queue = |(name, queue): (&JobName, &Queue)| queue.waits(name, zone);
        let waits: Vec<Wait> = self.queues.iter().flat_map(of_queue).collect();
        if self.told.waits.as_ref() != Some(&waits) {
            self.told.waits = self.books.note_waits(waits.clone()).await.then_some(waits);
        }
    }

    /// Notes what waits when the daemon is told to end: then it waits no longer.
    pub(super) async fn tell_last_waits(&mut self) {
        self.tell_waits().await;
        self.told.is_final = true;
    }

    /// Whether that was noted.
    pub(super) fn has_told_last(&self) -> bool {
        self.told.is_final
    }

    /// Says that a daemon lives. Until all slots of the time before it are settled, that time is not over.
    pub(super) fn beat(&self) {
        if self.books.is_done() {
            self.heartbeat.beat((self.app.runner().clock)());
        }
    }
}

impl Queue {
    /// The slots that have not begun, and what for.
    fn waits(&self, job: &JobName, zone: &jiff::tz::TimeZone) -> Vec<Wait> {
        let wait = |cause: Cause, what: &str| {
            Some(Wait { job: job.clone(), slot: cause.slot()?, what: what.to_owned() })
        };
        // A run that goes on has its slot, and says itself what it waits for.
        let running = self.running.iter().filter(|running| running.resumed.is_none());
        let first = running.filter_map(|running| wait(running.cause, &running.beginning.waits_for()?));
        let before = match &self.running {
            Some(running) => match running.cause.slot() {
                Some(slot) => format!("the run for the slot {} to end", words::time(slot, zone)),
                None => "the run before to end".to_owned(),
            },
            None => "the end of the pause".to_owned(),
        };
        let behind = self.waiting.iter().filter_map(|cause| wait(*cause, &before));
        first.chain(behind).collect()
    }
}
