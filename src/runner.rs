//! One run, from what triggered it to its record.
//!
//! ```text
//! trigger -> guard (else skipped: still running since …) -> history.start
//!         -> attempt: limit, retry what is transient, catch panics -> history.finish -> RunReport
//! ```
//!
//! Scheduled, caught-up and manual runs, and restores, all come through here, and nothing below knows which it is. A run
//! ends in exactly one outcome, whatever its work does: it hangs, panics, is told to stop, or its history cannot be written.

mod again;
mod attempt;
mod entering;
mod guard;
mod heartbeat;
mod hooks;
mod kept;
mod left;
mod lent;
mod live;
mod logbook;
mod patience;
mod shutdown;
#[cfg(test)]
mod tests;
mod unusual;
mod unwritten;
mod watch;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use ulid::Ulid;

pub use again::{Origin, backoff};
pub use attempt::Limit;
pub use guard::{Busy, Held, Holder, Lock, LockError, Locks};
pub use heartbeat::Heartbeat;
pub use left::Cleared;
pub use live::Live;
pub use logbook::LogBook;
pub use patience::{Entry, Patience, Place, Places};
pub use shutdown::Shutdown;
pub use unusual::too_long;
pub use unwritten::Unwritten;
pub use watch::TARGET as STEP_LOG_TARGET;

use crate::blocking::blocking;
use crate::config::values::{Anomalies, Hooks, JobName, Retries, Veil};
use crate::history::{Attempt, Cause, History, HistoryError, NewRun, RunReport};
use crate::jobs::{JobOutput, Outcome, RunContext};
use crate::progress::{Progress, Silent, Sink};
use crate::state_dir::reserve::Reserve;
use crate::words;
use again::{Ground, Waited};
use attempt::{Ended, Terms, attempt};
use entering::Entered;
use hooks::Around;

/// What the runner has to know of the work it runs.
#[derive(Debug, Clone)]
pub struct Task {
    /// The job it is a run of.
    pub job: JobName,
    /// What it does: `prometheus-snapshot`.
    pub kind: String,
    /// What nobody else may hold meanwhile.
    pub locks: Vec<Lock>,
    /// The limit of one attempt.
    pub limit: Option<Limit>,
    /// What to do when an attempt failed for a passing reason.
    pub retries: Retries,
    /// What is run around the work.
    pub hooks: Hooks,
    /// What of a run is unusual.
    pub anomalies: Anomalies,
    /// What is not to be seen in what is told of the run, nor in what hooks say.
    pub veil: Veil,
    /// Whether it waits for its locks; else a run whose locks are held is skipped.
    pub patience: Option<Patience>,
}

impl Task {
    /// Work that a person asked for and that is done once: each of its steps has its own limit, and it is neither tried
    /// again by itself nor waits for what it needs.
    pub fn once(job: &JobName, kind: &str, locks: Vec<Lock>) -> Self {
        let retries = Retries { max: 0, backoff: Duration::ZERO };
        let (job, kind) = (job.clone(), kind.to_owned());
        let (hooks, veil) = (Hooks::default(), Veil::default());
        let anomalies = Anomalies::NONE;
        Self { job, kind, locks, limit: None, retries, hooks, anomalies, veil, patience: None }
    }
}

/// Why work was not done, in words: an error with all its causes, as a person reads it and history keeps it.
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own, and most are false")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The error and its causes.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The same may work a little later.
    pub transient: bool,
    /// What it had begun may still run: it is not tried again, whatever ended it.
    pub is_lost: bool,
    /// Nothing was begun: there was nothing to do it with, or it was asked for in a way that cannot be. Its run is noted as
    /// skipped, for it says nothing of how well what it was asked of is.
    pub is_refusal: bool,
    /// A restore failed and the data that were there before are not back.
    pub data_not_back: bool,
    /// What it brought all the same.
    pub output: Option<Box<JobOutput>>,
}

impl Failure {
    /// A failure that stays, without a hint.
    pub fn new(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let (transient, is_lost, is_refusal) = (false, false, false);
        Self { reason, hint: None, transient, is_lost, is_refusal, data_not_back: false, output: None }
    }

    /// An error with its causes.
    pub fn of(error: &dyn std::error::Error, hint: Option<String>, transient: bool) -> Self {
        Self { hint, transient, ..Self::new(words::chain(error)) }
    }

    /// The same, without secrets: a program that failed is named with its arguments.
    fn under(self, veil: &Veil) -> Self {
        Self { reason: veil.over(&self.reason), hint: self.hint.map(|hint| veil.over(&hint)), ..self }
    }
}

/// Runs work and keeps its record. Its clones are one runner.
#[derive(Clone)]
pub struct Runner {
    /// Where runs are kept.
    pub history: Arc<History>,
    /// What the history could not be told yet.
    pub unwritten: Unwritten,
    /// What is under way.
    pub live: Live,
    /// Of which cut runs it is known that they have left nothing running.
    pub cleared: Cleared,
    /// Why the history is not the real one: a warning of every run.
    pub forgetful: Option<String>,
    /// The locks of the `state_dir`.
    pub locks: Locks,
    /// The last log lines of what runs.
    pub log: Arc<LogBook>,
    /// The program's own folder.
    pub state_dir: PathBuf,
    /// What is kept free for a full disk.
    pub reserve: Reserve,
    /// Where backups go.
    pub backup_dir: PathBuf,
    /// The zone in which messages name times.
    pub zone: TimeZone,
    /// The wall clock.
    pub clock: fn() -> Timestamp,
    /// Tells what runs to stop.
    pub stop: CancellationToken,
    /// How long work may take to tidy up once it was told to stop.
    pub grace: Duration,
}

impl Runner {
    /// Runs `work` once, with its attempts, and returns the record, which is in the history then. `sink` is shown what it does.
    ///
    /// One of the daemon that waits for its next attempt when the daemon ends has no outcome yet: it goes on later.
    pub async fn run<F, Fut>(
        &self,
        task: &Task,
        origin: impl Into<Origin>,
        sink: Arc<dyn Sink>,
        work: F,
    ) -> RunReport
    where
        F: Fn(RunContext) -> Fut,
        Fut: Future<Output = Result<JobOutput, Failure>> + Send + 'static,
    {
        let mut since = Instant::now();
        let Begun { mut report, is_new, is_tidy, given_up } = self.begun(task, origin.into());
        let run = report.run;
        let span = tracing::info_span!("run", job = %task.job, run = %run);
        self.log.open(run, std::mem::take(&mut report.log));
        report.warnings.extend(self.forgetful.clone());
        // Held until the record is closed: a running row whose lock is free is taken for a cut one.
        let entered = match given_up {
            None => self.guard(task, &mut report).await,
            Some(why) => {
                report.cut_between_attempts(&why);
                let begins = task.patience.as_ref().is_none_or(|patience| patience.entry.begin());
                if begins { Entered::Refused } else { Entered::Withdrawn }
            }
        };
        if task.patience.is_some() {
            // It begins when it has waited.
            since = Instant::now();
        }
        let began = if is_new { report.started } else { whole_millis((self.clock)()) };
        if let Entered::Begun { held, cut_off, .. } = &entered {
            let activity = Arc::new(Notify::new());
            let watch = watch::Watch::new(sink, Arc::clone(&activity), span.clone(), Arc::clone(held));
            let progress = Progress::veiled(Arc::new(watch), task.veil.clone());
            let context =
                RunContext { cut_off: cut_off.clone(), ..self.context(&report, began, progress.clone()) };
            let whole = async {
                let around = Around { runner: self, task, progress: &progress };
                let is_put_away = is_new || is_tidy || around.put_away(&mut report).await;
                if is_put_away && around.before(&mut report).await {
                    let ground = Ground { task, held, progress: &progress };
                    let since = Instant::now();
                    self.attempts(ground, &context, &activity, &mut report, work).await;
                    self.warn_if_unusual(task, &report, (since.elapsed(), &progress)).await;
                }
                warned(&mut report, &progress);
                around.at_end(&mut report).await;
                warned(&mut report, &progress);
            };
            tokio::select! {
                () = whole.instrument(span.clone()) => {}
                () = held.keep().instrument(span.clone()) => {}
            }
            if report.outcome.is_none() {
                return self.suspended(report, &progress).await;
            }
            let record = progress.record();
            report.steps.extend(record.steps);
            report.warnings.extend(record.warnings);
        }
        if !is_new && matches!(entered, Entered::Refused) {
            self.give_up(task, &mut report, is_tidy).instrument(span.clone()).await;
        }
        let ended = began + SignedDuration::try_from(since.elapsed()).unwrap_or_default();
        report.finished = Some(whole_millis(ended.max(report.started)));
        // One that was not to begin is nothing to tell of.
        if !matches!(entered, Entered::Withdrawn) {
            span.in_scope(|| tell(&report));
        }
        report.log = self.log.close(run);
        let report = match &entered {
            Entered::Begun { .. } | Entered::Refused => self.close(report).await,
            Entered::Taken | Entered::Withdrawn => report,
        };
        self.live.ends(run);
        report
    }

    /// The report of a run that begins, or goes on.
    fn begun(&self, task: &Task, origin: Origin) -> Begun {
        let (waiting, given_up) = match origin {
            Origin::New(cause) => {
                let started = whole_millis((self.clock)());
                let run = new_ulid(started);
                let (job, kind) = (task.job.clone(), task.kind.clone());
                let report = RunReport::begun(&NewRun { run, job, kind, cause, started });
                return Begun { report, is_new: true, is_tidy: false, given_up: None };
            }
            Origin::GoesOn(waiting) => (waiting, None),
            Origin::GivenUp(waiting, why) => (waiting, Some(why)),
        };
        Begun { report: waiting.report, is_new: false, is_tidy: waiting.is_tidy, given_up }
    }

    /// Does what belongs to the end of a run that does not go on: its next attempt is not made, as `report` says.
    async fn give_up(&self, task: &Task, report: &mut RunReport, is_tidy: bool) {
        let holder = Holder {
            pid: std::process::id(),
            since: whole_millis((self.clock)()),
            job: Some(report.job.clone()),
            run: Some(report.run),
        };
        // Where a person runs the job now, it is told of the end all the same.
        let _held = self.locks.take(&[Lock::Job(task.job.clone())], &holder).ok();
        let progress = Progress::new(Arc::new(Silent));
        let around = Around { runner: self, task, progress: &progress };
        around.when_given_up(report, is_tidy).await;
        if !is_tidy && let Err(why) = self.end_own(report).await {
            progress.warn(why);
        }
        let record = progress.record();
        report.steps.extend(record.steps);
        report.warnings.extend(record.warnings);
    }

    /// Leaves a run for the next start of the daemon. Its reason says what it waits for.
    async fn suspended(&self, report: RunReport, progress: &Progress) -> RunReport {
        let reason = report.reason.as_deref();
        tracing::info!(job = %report.job, run = %report.run, reason, "the run goes on when the daemon is started again");
        // With what was told since it waits.
        let (history, run) = (Arc::clone(&self.history), report.run);
        let waiting = blocking(move || history.waiting()).await.unwrap_or_default();
        if let Some(waiting) = waiting.into_iter().find(|waiting| waiting.report.run == run) {
            self.note_wait(&report, progress, (waiting.due, true)).await;
        }
        self.log.close(run);
        self.live.ends(run);
        report
    }

    /// Notes that a slot was not run, and why.
    pub async fn skip(&self, job: &JobName, kind: &str, cause: Cause, reason: String) -> RunReport {
        let started = whole_millis((self.clock)());
        let run = new_ulid(started);
        let new = NewRun { run, job: job.clone(), kind: kind.to_owned(), cause, started };
        let mut report = RunReport::begun(&new);
        (report.outcome, report.reason, report.finished) =
            (Some(Outcome::Skipped), Some(reason), Some(started));
        tracing::info_span!("run", job = %job, run = %run).in_scope(|| tell(&report));
        let report = match self.note(&report).await {
            Err(error @ HistoryError::SlotTaken { .. }) => {
                report.warnings.push(words::chain(&error));
                report
            }
            Ok(()) | Err(_) => self.close(report).await,
        };
        self.live.ends(run);
        report
    }

    async fn attempts<F, Fut>(
        &self,
        ground: Ground<'_>,
        context: &RunContext,
        activity: &Arc<Notify>,
        report: &mut RunReport,
        work: F,
    ) where
        F: Fn(RunContext) -> Fut,
        Fut: Future<Output = Result<JobOutput, Failure>> + Send + 'static,
    {
        let task = ground.task;
        // Of a run that goes on, those of the process before.
        let before = u32::try_from(report.attempts.len()).unwrap_or(u32::MAX);
        let mut resumed = (before > 0).then_some(context.now);
        for number in before.saturating_add(1).. {
            let terms = Terms {
                cancel: self.stop.child_token(),
                stop: self.stop.clone(),
                limit: task.limit,
                activity: Arc::clone(activity),
                progress: context.progress.clone(),
                grace: self.grace,
            };
            let since = Instant::now();
            let work = work(RunContext { cancel: terms.cancel.clone(), ..context.clone() });
            let ended = attempt(&terms, work.in_current_span()).await.under(&task.veil);
            let error = match &ended {
                Ended::Done(_) => None,
                Ended::Failed(failure) | Ended::Stopped(failure) => Some(failure.reason.clone()),
            };
            report.attempts.push(Attempt {
                number,
                millis: millis(since.elapsed()),
                error,
                resumed: resumed.take(),
            });
            match ended {
                Ended::Failed(failure) if failure.transient && number <= task.retries.max => {
                    match self.between(ground, report, &failure).await {
                        Waited::Over => {}
                        Waited::Suspended => return,
                        Waited::Stopped => return fill(report, Outcome::Interrupted, failure),
                        Waited::Paused(why) => {
                            fill(report, Outcome::Interrupted, failure);
                            return report.cut_between_attempts(&why);
                        }
                        Waited::InVain(why) => {
                            let reason = format!("{}; {why}", failure.reason);
                            return fill(report, Outcome::Failed, Failure { reason, ..failure });
                        }
                    }
                }
                Ended::Failed(failure) if failure.is_refusal => {
                    return fill(report, Outcome::Skipped, failure);
                }
                Ended::Failed(failure) => return fill(report, Outcome::Failed, failure),
                Ended::Stopped(failure) => {
                    // A person who ends a run by hand knows why; who is told of one that the daemon ran does not.
                    let of_daemon =
                        || format!("the daemon was told to stop while it ran: {}", failure.reason);
                    let reason = task.patience.as_ref().map(|_| of_daemon());
                    let reason = reason.unwrap_or_else(|| failure.reason.clone());
                    return fill(report, Outcome::Interrupted, Failure { reason, ..failure });
                }
                Ended::Done(output) => {
                    report.outcome = Some(Outcome::Done);
                    report.output = Some(output);
                    return;
                }
            }
        }
    }

    async fn note(&self, report: &RunReport) -> Result<(), HistoryError> {
        let (history, new) = (Arc::clone(&self.history), report.new_run());
        blocking(move || history.start(&new)).await
    }

    /// Closes the record. One that cannot be written is kept until it can.
    async fn close(&self, mut report: RunReport) -> RunReport {
        let reserve = self.reserve.clone();
        if let Some(lack) = blocking(move || reserve.tend()).await {
            report.warnings.push(lack);
            if report.outcome == Some(Outcome::Done) {
                report.outcome = Some(Outcome::Warned);
            }
        }
        let (history, copy) = (Arc::clone(&self.history), report.clone());
        if let Err(error) = blocking(move || history.finish(&copy)).await {
            self.unwritten.keep(report.clone());
            report.warnings.push(words::chain(&error));
            if report.outcome == Some(Outcome::Done) {
                report.outcome = Some(Outcome::Warned);
            }
        }
        report
    }

    fn context(&self, report: &RunReport, now: Timestamp, progress: Progress) -> RunContext {
        RunContext {
            run: report.run,
            job: report.job.clone(),
            now,
            cancel: self.stop.child_token(),
            progress,
            state_dir: self.state_dir.clone(),
            backup_dir: self.backup_dir.clone(),
            cut_off: Vec::new(),
        }
    }
}

/// The record of a run at its beginning, or where it was left.
struct Begun {
    report: RunReport,
    is_new: bool,
    is_tidy: bool,
    /// Why it does not go on, where it does not.
    given_up: Option<String>,
}

/// What was done, but told a warning, needs a look.
fn warned(report: &mut RunReport, progress: &Progress) {
    let is_clean = report.warnings.is_empty() && progress.record().warnings.is_empty();
    if report.outcome == Some(Outcome::Done) && !is_clean {
        report.outcome = Some(Outcome::Warned);
    }
}

fn fill(report: &mut RunReport, outcome: Outcome, failure: Failure) {
    report.outcome = Some(outcome);
    report.reason = Some(failure.reason);
    report.hint = failure.hint.map(|hint| words::for_job(&hint, report.job.as_str()));
    report.data_not_back = failure.data_not_back;
    report.output = failure.output.map(|output| *output);
}

fn tell(report: &RunReport) {
    let (kind, cause, reason) = (&report.kind, report.cause, report.reason.as_deref());
    let outcome = report.outcome.map_or("running", Outcome::word);
    let (millis, summary) = (report.millis(), report.output.as_ref().map(|output| output.summary.as_str()));
    match report.outcome {
        Some(Outcome::Failed) => tracing::error!(kind, %cause, outcome, millis, reason, "run ended"),
        Some(Outcome::Done) => tracing::info!(kind, %cause, outcome, millis, summary, "run ended"),
        _ => tracing::warn!(kind, %cause, outcome, millis, reason, summary, "run ended"),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn new_ulid(at: Timestamp) -> Ulid {
    let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
    Ulid::from_parts(millis, Ulid::generate().random())
}

/// History keeps milliseconds; what the runner returns is what history will show.
fn whole_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}
