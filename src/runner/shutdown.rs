//! The end of the program: first nothing new is begun, then what runs is told to stop.
//!
//! Two signals that follow each other: `stop` (begin nothing more) and `cancel` (stop what is under way). Between them
//! running work may finish by itself, up to a limit. That all of it has ended is a third thing, and the caller's to await.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two tokens.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Begin nothing more.
    pub stop: CancellationToken,
    /// Stop what is under way.
    pub cancel: CancellationToken,
}

impl Shutdown {
    /// Listens to SIGTERM and SIGINT: the first one stops, and cancels after `drain`; the second cancels at once.
    pub fn on_signals(drain: Duration) -> io::Result<Self> {
        let shutdown = Self::default();
        let mut signals =
            Signals { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? };
        let tokens = shutdown.clone();
        tokio::spawn(async move {
            signals.next().await;
            tokens.begin(drain, signals.next()).await;
        });
        Ok(shutdown)
    }

    /// Stops now, and cancels after `drain` or when `hurry` completes.
    pub async fn begin(&self, drain: Duration, hurry: impl Future<Output = ()>) {
        self.stop.cancel();
        tokio::select! {
            () = tokio::time::sleep(drain) => {}
            () = hurry => {}
        }
        self.cancel.cancel();
    }
}

struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn running_work_is_cancelled_when_the_drain_limit_is_over() {
        let shutdown = Shutdown::default();
        let since = tokio::time::Instant::now();
        shutdown.begin(Duration::from_mins(1), std::future::pending()).await;
        assert!(shutdown.cancel.is_cancelled());
        assert_eq!(since.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_cancels_at_once() {
        let shutdown = Shutdown::default();
        let since = tokio::time::Instant::now();
        shutdown.begin(Duration::from_mins(1), std::future::ready(())).await;
        assert!(shutdown.stop.is_cancelled() && shutdown.cancel.is_cancelled());
        assert_eq!(since.elapsed().as_secs(), 0);
    }
}
