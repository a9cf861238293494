//! The time between two attempts of a run. A run of the daemon is in the history as one that waits meanwhile, so that
//! it goes on with its remaining attempts where the daemon is ended, or killed, and started again.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Failure, Runner, Task, whole_millis};
use crate::blocking::blocking;
use crate::history::{Cause, RunReport, WaitingRun};
use crate::progress::Progress;
use crate::words;

/// The longest wait between two attempts, however often the wait was doubled.
const LONGEST_BACKOFF: Duration = Duration::from_hours(1);

/// Where a run comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// It is a new one.
    New(Cause),
    /// It was begun by an earlier process, and waited for its next attempt when that was ended.
    GoesOn(Box<WaitingRun>),
    /// As that, but its next attempt is not made, and why: what belongs to its end is still to be done.
    GivenUp(Box<WaitingRun>, String),
}

impl From<Cause> for Origin {
    fn from(cause: Cause) -> Self {
        Self::New(cause)
    }
}

/// How the wait for an attempt ended.
pub(super) enum Waited {
    /// The attempt is due.
    Over,
    /// The daemon ends, and the run goes on when it is started again.
    Suspended,
    /// The run was told to stop.
    Stopped,
}

/// The wait before the attempt that follows this many.
pub fn backoff(first: Duration, failed: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1))).min(LONGEST_BACKOFF)
}

impl Runner {
    /// Waits for the next attempt. `report`: the run so far, but for what `progress` has.
    pub(super) async fn between(
        &self,
        task: &Task,
        progress: &Progress,
        report: &mut RunReport,
        failure: &Failure,
    ) -> Waited {
        let failed = u32::try_from(report.attempts.len()).unwrap_or(u32::MAX);
        let wait = backoff(task.retries.backoff, failed);
        let again = words::duration(wait);
        tracing::warn!(attempt = failed, ?wait, "{}; it is tried again", failure.reason);
        progress.wait(&format!("{}; trying again in {again}", failure.reason));
        let Some(patience) = &task.patience else {
            tokio::select! {
                () = tokio::time::sleep(wait) => return Waited::Over,
                () = self.stop.cancelled() => return Waited::Stopped,
            }
        };
        let due = (self.clock)().saturating_add(SignedDuration::try_from(wait).unwrap_or_default());
        let due = whole_millis(due.unwrap_or(Timestamp::MAX));
        let (next, all) = (failed.saturating_add(1), task.retries.max.saturating_add(1));
        let at = words::time(due, &self.zone);
        report.reason = Some(format!("{}; attempt {next} of {all} is due at {at}", failure.reason));
        report.hint.clone_from(&failure.hint);
        let is_noted = self.note_wait(report, progress, (due, false)).await;
        let waited = tokio::select! {
            biased;
            // The attempt would have to be over within the time that is left for ending; the next start has all the time.
            () = patience.entry.stopped(), if is_noted => Waited::Suspended,
            () = self.stop.cancelled() => Waited::Stopped,
            () = tokio::time::sleep(wait) => Waited::Over,
        };
        if matches!(waited, Waited::Suspended) {
            return waited;
        }
        (report.reason, report.hint) = (None, None);
        if is_noted {
            self.begin_again(report).await;
        }
        waited
    }

    /// Notes that the run waits, until when, and whether `finally` has run since; says whether that could be written.
    pub(super) async fn note_wait(
        &self,
        report: &RunReport,
        progress: &Progress,
        (due, is_tidy): (Timestamp, bool),
    ) -> bool {
        let mut so_far = report.clone();
        let record = progress.record();
        so_far.steps.extend(record.steps);
        so_far.warnings.extend(record.warnings);
        so_far.log = self.log.lines(report.run);
        let history = Arc::clone(&self.history);
        let waiting = WaitingRun { report: so_far, due, is_tidy };
        let noted = blocking(move || history.wait(&waiting)).await;
        let told = |error| tracing::warn!("it would not go on after a restart of the daemon: {error}");
        noted.inspect_err(|error| told(words::chain(error))).is_ok()
    }

    /// Notes that the next attempt begins. False where the run does not wait any more.
    pub(super) async fn begin_again(&self, report: &RunReport) -> bool {
        let (history, run) = (Arc::clone(&self.history), report.run);
        let noted = blocking(move || history.go_on(run)).await;
        noted.unwrap_or_else(|error| {
            tracing::warn!(error = words::chain(&error), "it is noted as waiting still");
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_the_first_up_to_an_hour() {
        let waits =
            |first: u64| (1..8).map(move |failed| backoff(Duration::from_secs(first), failed).as_secs());
        assert_eq!(waits(30).collect::<Vec<_>>(), [30, 60, 120, 240, 480, 960, 1920]);
        assert_eq!(waits(900).collect::<Vec<_>>(), [900, 1800, 3600, 3600, 3600, 3600, 3600]);
        assert_eq!(backoff(Duration::from_secs(30), u32::MAX), Duration::from_hours(1));
        assert_eq!(backoff(Duration::ZERO, 9), Duration::ZERO);
    }
}
