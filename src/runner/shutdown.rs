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
    /// Of a daemon. Listens to SIGTERM and SIGINT: the first one stops, and cancels after `drain`; the second cancels at
    /// once. SIGHUP is left to the caller.
    pub fn of_daemon(drain: Duration) -> io::Result<Self> {
        Ok(Self::on(Signals::without_hangup()?, drain))
    }

    /// Of a command. Listens to SIGTERM, SIGINT and SIGHUP, which a terminal sends that is closed: each of them cancels at
    /// once. Under `nohup` SIGHUP goes on being ignored.
    pub fn of_command() -> io::Result<Self> {
        // To listen to a signal would end that it is ignored.
        let hup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self::on(Signals { hup, ..Signals::without_hangup()? }, Duration::ZERO))
    }

    fn on(mut signals: Signals, drain: Duration) -> Self {
        let shutdown = Self::default();
        let tokens = shutdown.clone();
        tokio::spawn(async move {
            signals.next().await;
            tokens.begin(drain, signals.next()).await;
        });
        shutdown
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
    hup: Option<Signal>,
}

impl Signals {
    fn without_hangup() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())?, hup: None })
    }

    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hup {
                Some(hup) => drop(hup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
            () = hangup => {}
        }
    }
}

/// Whoever started this process has it ignore SIGHUP.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 is signal 1.
    ignored.is_some_and(|mask| mask & 1 == 1)
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
