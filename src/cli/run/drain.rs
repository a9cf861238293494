//! The end of the daemon: what still runs may end by itself for a while, and systemd is told at once what is waited for.
//!
//! The watchdog is fed from here then, for the planner has ended. The same task waits for the runs and feeds: where that
//! task is stuck nobody feeds, and after the time that a drain may take it is fed no more.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::systemd::{self, notify};
use crate::cli::session::GRACE;
use crate::runner::Locks;
use crate::words;

/// How long running jobs may go on by themselves after the first signal. systemd waits 90 s by default.
pub(super) const DRAIN: Duration = Duration::from_mins(1);
/// What may come after the time to drain and the time to tidy up: the last records are written.
const MARGIN: Duration = Duration::from_secs(30);
/// How often it is looked what still runs.
const LOOK: Duration = Duration::from_secs(1);
/// How many jobs are named.
const NAMED: usize = 5;

/// Waits for the end of `serving`, and from the word to stop on tells systemd what it waits for. `tells`: who told systemd
/// until then, and tells nothing more.
pub(super) async fn watch(
    serving: impl Future<Output = ()>,
    tells: [JoinHandle<()>; 2],
    stop: &CancellationToken,
    locks: &Locks,
) {
    tokio::pin!(serving);
    let has_ended = tokio::select! {
        () = &mut serving => true,
        () = stop.cancelled() => false,
    };
    for task in tells {
        task.abort();
        // Else a word of its might come after the last of ours.
        drop(task.await);
    }
    notify("STOPPING=1");
    if !has_ended {
        feed_until(serving, locks).await;
    }
}

async fn feed_until(serving: impl Future<Output = ()>, locks: &Locks) {
    tokio::pin!(serving);
    let end = Instant::now() + DRAIN + GRACE + MARGIN;
    let period = systemd::half_of_watchdog().map_or(LOOK, |half| half.min(LOOK));
    let mut clock = tokio::time::interval(period);
    let mut told = String::new();
    loop {
        tokio::select! {
            biased;
            () = &mut serving => return,
            _ = clock.tick() => {}
        }
        let status = status(locks);
        if status != told {
            notify(&format!("STATUS={status}"));
            told = status;
        }
        if Instant::now() < end {
            notify("WATCHDOG=1");
        }
    }
}

fn status(locks: &Locks) -> String {
    let jobs: Vec<String> = locks.jobs_of(std::process::id()).iter().map(ToString::to_string).collect();
    if jobs.is_empty() {
        return "stopping".to_owned();
    }
    format!("waiting for {} to end: {}", words::count(jobs.len(), "run"), words::some(&jobs, NAMED))
}
