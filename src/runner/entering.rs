//! The beginning of a run: its locks, its place, whether it may begin, and its row in the history.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use ulid::Ulid;

use super::guard::{Held, Holder, Lock, LockError};
use super::patience::{Patience, Place};
use super::{Runner, Task, whole_millis};
use crate::blocking::blocking;
use crate::config::values::JobName;
use crate::history::{Begins, HistoryError, Pause, RunReport, Terms};
use crate::jobs::Outcome;
use crate::words;

/// How often a run that waits for its locks looks whether they are free.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long a run waits for its locks at most.
pub(super) const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// What became of the beginning of a run.
pub(super) enum Entered {
    Begun {
        held: Arc<Held>,
        /// The runs of its job that were cut off since it was last done.
        cut_off: Vec<Ulid>,
        /// Given back when the record is closed.
        _place: Option<Place>,
    },
    /// It has a record, and no more.
    Refused,
    /// Its slot has a record of another run.
    Taken,
    /// It is as if it had not been due.
    Withdrawn,
}

impl Runner {
    /// Takes the locks; with patience, as soon as they and a place are free.
    async fn locks(&self, task: &Task, holder: &mut Holder) -> Result<(Held, Option<Place>), LockError> {
        let since = Instant::now();
        let mut told = false;
        loop {
            let place = match &task.patience {
                Some(patience) => Some(place(patience).await),
                None => None,
            };
            holder.since = whole_millis((self.clock)());
            let busy = match self.locks.take(&task.locks, holder) {
                Err(LockError::Busy(busy)) => busy,
                taken => return taken.map(|held| (held, place.flatten())),
            };
            // Others may run while this one waits.
            drop(place);
            let waits = |patience: &&Patience| {
                (patience.for_job || !matches!(busy.lock, Lock::Job(_)))
                    && !patience.entry.is_stopped()
                    && since.elapsed() < LONGEST_WAIT
            };
            let Some(patience) = task.patience.as_ref().filter(waits) else {
                return Err(LockError::Busy(busy));
            };
            patience.entry.wait_for(|| busy.awaited(&self.zone));
            if !std::mem::replace(&mut told, true) {
                tracing::info!("it waits for {}", busy.awaited(&self.zone));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = patience.entry.stopped() => {}
            }
        }
    }

    /// Takes the locks and notes the start; where the run cannot begin, `report` then says why.
    pub(super) async fn guard(&self, task: &Task, report: &mut RunReport) -> Entered {
        let goes_on = !report.attempts.is_empty();
        let mut holder = Holder {
            pid: std::process::id(),
            since: report.started,
            job: Some(report.job.clone()),
            run: Some(report.run),
        };
        let entry = task.patience.as_ref().map(|patience| &patience.entry);
        match self.locks(task, &mut holder).await {
            Ok((held, place)) => {
                if let Some(entry) = entry {
                    if !goes_on {
                        report.started = holder.since;
                    }
                    if !entry.begin() {
                        (report.outcome, report.reason) =
                            (Some(Outcome::Skipped), Some("it was told not to begin".to_owned()));
                        return Entered::Withdrawn;
                    }
                }
                // It may have waited long: what was decided meanwhile holds for it too.
                let begun =
                    if goes_on { self.goes_on(task, report).await } else { self.begins(task, report).await };
                match begun {
                    Ok(cut_off) => Entered::Begun { held: Arc::new(held), cut_off, _place: place },
                    Err(entered) => entered,
                }
            }
            Err(LockError::Busy(busy)) => {
                if entry.is_some_and(|entry| !entry.begin()) {
                    (report.outcome, report.reason) = (Some(Outcome::Skipped), Some(busy.reason(&self.zone)));
                    return Entered::Withdrawn;
                }
                self.refuse(report, busy.reason(&self.zone)).await
            }
            Err(error) => {
                let reason = words::chain(&error);
                report.hint = match &error {
                    LockError::StateDir(error) => error.hint(),
                    _ => None,
                };
                let entered = self.refuse(report, reason).await;
                report.outcome = Some(Outcome::Failed);
                entered
            }
        }
    }

    /// Looks whether anything stands against a run whose locks are held, and notes that it begins. Returns the runs of its
    /// job that were cut off since it was last done.
    async fn begins(&self, task: &Task, report: &mut RunReport) -> Result<Vec<Ulid>, Entered> {
        let mut terms = Terms { heeds_pause: task.patience.is_some(), cleared: self.cleared.of(&report.job) };
        loop {
            self.live.begins(report.new_run());
            let (history, new, asked) = (Arc::clone(&self.history), report.new_run(), terms.clone());
            let unwritten = self.unwritten.clone();
            let begins = blocking(move || {
                // What is noted last counts as the newest: those that came before it come before it.
                unwritten.write(&history);
                history.begin(&new, &asked)
            });
            let begins = begins.await;
            if !matches!(begins, Begins::Now { .. }) {
                self.live.ends(report.run);
            }
            match begins {
                Begins::Paused(pause) => return Err(self.refuse(report, pause.words(&self.zone)).await),
                Begins::Behind(behind) => {
                    if let Err(why) = self.end_left(report, &behind).await {
                        return Err(self.refuse(report, why).await);
                    }
                    terms.cleared.extend(behind.iter().map(|cut| cut.run));
                }
                Begins::Now { noted, cut_off } => return may_begin(report, noted).map(|()| cut_off),
            }
        }
    }

    /// The same for a run that waited for its next attempt when its process was ended.
    async fn goes_on(&self, task: &Task, report: &mut RunReport) -> Result<Vec<Ulid>, Entered> {
        if task.patience.is_some()
            && let Some(pause) = self.pause(&task.job).await
        {
            return Err(self.refuse(report, pause.words(&self.zone)).await);
        }
        let behind = self.behind(report).await;
        if let Err(why) = self.end_left(report, &behind).await {
            return Err(self.refuse(report, why).await);
        }
        if !self.begin_again(report).await {
            let ended = "it does not wait for its next attempt any more".to_owned();
            (report.outcome, report.reason) = (Some(Outcome::Skipped), Some(ended));
            return Err(Entered::Taken);
        }
        (report.reason, report.hint) = (None, None);
        Ok(self.cut_off(report).await)
    }

    /// A run that cannot begin: it is in the history as skipped. One that cannot go on was interrupted.
    async fn refuse(&self, report: &mut RunReport, reason: String) -> Entered {
        if !report.attempts.is_empty() {
            report.cut_between_attempts(&reason);
            return Entered::Refused;
        }
        (report.outcome, report.reason) = (Some(Outcome::Skipped), Some(reason));
        match self.note(report).await {
            Ok(()) => Entered::Refused,
            Err(error) => {
                report.warnings.push(words::chain(&error));
                if matches!(error, HistoryError::SlotTaken { .. }) {
                    Entered::Taken
                } else {
                    Entered::Refused
                }
            }
        }
    }

    /// Since when the job is paused. A history that cannot be read keeps no job from running.
    pub(super) async fn pause(&self, job: &JobName) -> Option<Pause> {
        let (history, job) = (Arc::clone(&self.history), job.clone());
        blocking(move || history.pause_of(&job)).await.ok().flatten()
    }
}

/// A run begins whose note was written, or can be written later.
fn may_begin(report: &mut RunReport, noted: Result<(), HistoryError>) -> Result<(), Entered> {
    match noted {
        Ok(()) => {}
        Err(error @ HistoryError::SlotTaken { .. }) => {
            (report.outcome, report.reason) = (Some(Outcome::Skipped), Some(error.to_string()));
            return Err(Entered::Taken);
        }
        // It is written when it has ended, or later.
        Err(error) if error.is_transient() => {
            tracing::warn!(error = words::chain(&error), "the run begins all the same");
        }
        // A backup that is not in the history is worth more than none.
        Err(error) => report.warnings.push(words::chain(&error)),
    }
    Ok(())
}

/// A place, or none where it is to wait no longer.
async fn place(patience: &Patience) -> Option<Place> {
    let all = patience.places.all();
    patience.entry.wait_for(|| format!("one of the {all} places that runs have (max_concurrent)"));
    tokio::select! {
        biased;
        () = patience.entry.stopped() => None,
        place = patience.places.take() => Some(place),
    }
}
