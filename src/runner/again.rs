//! The time between two attempts of a run. A run of the daemon is in the history as one that waits meanwhile, so that
//! it goes on with its remaining attempts where the daemon is ended, or killed, and started again.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::guard::Held;
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
    /// What it needs was not free for too long, in words.
    InVain(String),
    /// Its job is paused, in words.
    Paused(String),
}

/// What a run stands on between two attempts.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) task: &'a Task,
    pub(super) held: &'a Held,
    pub(super) progress: &'a Progress,
}

/// The attempt that is waited for.
pub(super) struct Wanted<'a> {
    pub(super) ground: Ground<'a>,
    /// Why the one before it failed.
    failure: &'a Failure,
    due: Timestamp,
    /// The history knows that the run waits.
    is_noted: bool,
}

impl Wanted<'_> {
    /// Notes in the history how the run stands, where it could go on after a restart.
    pub(super) async fn tell(&mut self, runner: &Runner, report: &mut RunReport, stands: &str) {
        let Ground { task, progress, .. } = self.ground;
        if task.patience.is_none() {
            return;
        }
        let (next, all) = (report.attempts.len().saturating_add(1), task.retries.max.saturating_add(1));
        report.reason = Some(format!("{}; attempt {next} of {all} {stands}", self.failure.reason));
        report.hint.clone_from(&self.failure.hint);
        self.is_noted = runner.note_wait(report, progress, (self.due, false)).await;
    }

    /// Lets some time pass.
    pub(super) async fn pass(&self, runner: &Runner, time: Duration) -> Waited {
        let ends = async {
            match &self.ground.task.patience {
                // The attempt would have to be over within the time that is left for ending; the next start has all
                // the time.
                Some(patience) if self.is_noted => patience.entry.stopped().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ends => Waited::Suspended,
            () = runner.stop.cancelled() => Waited::Stopped,
            () = tokio::time::sleep(time) => Waited::Over,
        }
    }
}

/// The wait before the attempt that follows this many.
pub fn backoff(first: Duration, failed: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1))).min(LONGEST_BACKOFF)
}

impl Runner {
    /// Waits for the next attempt. `report`: the run so far, but for what the progress has.
    pub(super) async fn between(
        &self,
        ground: Ground<'_>,
        report: &mut RunReport,
        failure: &Failure,
    ) -> Waited {
        let failed = u32::try_from(report.attempts.len()).unwrap_or(u32::MAX);
        let wait = backoff(ground.task.retries.backoff, failed);
        let again = words::duration(wait);
        tracing::warn!(attempt = failed, ?wait, "{}; it is tried again", failure.reason);
        ground.progress.wait(&format!("{}; trying again in {again}", failure.reason));
        let due = (self.clock)().saturating_add(SignedDuration::try_from(wait).unwrap_or_default());
        let due = whole_millis(due.unwrap_or(Timestamp::MAX));
        let mut ahead = Wanted { ground, failure, due, is_noted: false };
        ahead.tell(self, report, &format!("is due at {}", words::time(due, &self.zone))).await;
        let lent = ground.held.lend();
        let waited = match ahead.pass(self, wait).await {
            Waited::Over => self.take_back(&lent, report, ahead).await,
            ended => ended,
        };
        let waited = match waited {
            Waited::Over => self.over_unless_paused(ground.task).await,
            ended => ended,
        };
        if !matches!(waited, Waited::Suspended) && ground.task.patience.is_some() {
            (report.reason, report.hint) = (None, None);
            self.begin_again(report).await;
        }
        waited
    }

    /// A pause that began during the wait holds for the next attempt, too, as it does for a run that begins. Whoever runs a
    /// job by hand has asked for all its attempts.
    async fn over_unless_paused(&self, task: &Task) -> Waited {
        if task.patience.is_none() {
            return Waited::Over;
        }
        let pause = self.pause(&task.job).await;
        pause.map_or(Waited::Over, |pause| Waited::Paused(pause.words(&self.zone)))
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
        self.live.waits(waiting.clone());
        let noted = blocking(move || history.wait(&waiting)).await;
        let told = |error| tracing::warn!("it would not go on after a restart of the daemon: {error}");
        noted.inspect_err(|error| told(words::chain(error))).is_ok()
    }

    /// Notes that the next attempt begins. False where the run does not wait any more.
    pub(super) async fn begin_again(&self, report: &RunReport) -> bool {
        self.live.begins(report.new_run());
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
