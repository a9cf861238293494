//! Runs that waited for their next attempt when an earlier daemon ended: they go on, with the wait that is still owed.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Daemon, Run};
use crate::config::JobConfig;
use crate::history::{RunReport, WaitingRun};
use crate::runner::{Origin, backoff};
use crate::words;

impl Daemon {
    /// Takes up the runs that waited when this daemon began, as far as the history and their jobs allow it now.
    pub(super) async fn take_up(&mut self, now: Timestamp) {
        if self.has_taken_up {
            return;
        }
        let Some(waiting) = self.books.waiting().await else { return };
        let mut all = true;
        for waiting in waiting {
            let run = waiting.report.run;
            if waiting.report.started > self.began || self.taken_up.contains(&run) {
                continue;
            }
            let name = waiting.report.job.clone();
            let job = self.app.config().job(name.as_str()).cloned();
            let job = job.filter(|job| job.kind.kind_name() == waiting.report.kind);
            let is_taken = match (self.refusal(&waiting.report, now), &job) {
                _ if self.queues.get(&name).is_some_and(|queue| queue.running.is_some()) => false,
                (None, Some(job)) => {
                    self.go_on(job, waiting, now);
                    true
                }
                (why, job) => self.give_up(waiting, job.as_ref(), &why.unwrap_or_default()).await,
            };
            if is_taken {
                self.taken_up.insert(run);
            }
            all &= is_taken;
        }
        self.has_taken_up = all;
    }

    /// Why a run does not go on.
    fn refusal(&self, report: &RunReport, now: Timestamp) -> Option<String> {
        let by_itself = |job: &JobConfig| job.schedule.is_some() || job.after.is_some();
        let job = self.job(&report.job).filter(by_itself).filter(|job| job.kind.kind_name() == report.kind);
        let Some(job) = job else {
            return Some("the job was taken out of the configuration, or disabled".to_owned());
        };
        if report.attempts.len() > job.retries.max as usize {
            return Some("\"retries\" of the job allows no more attempts".to_owned());
        }
        let age = now.duration_since(report.cause.slot()?);
        let max_age = job.slots.max_age?;
        (age > SignedDuration::try_from(max_age).unwrap_or(SignedDuration::MAX))
            .then(|| format!("its slot is older than max_age, {}", words::duration(max_age)))
    }

    /// Ends a run whose next attempt is not made, with the hooks that belong to its end, as far as they are known. Says
    /// whether it is ended, or about to be.
    pub(super) async fn give_up(&mut self, waiting: WaitingRun, job: Option<&JobConfig>, why: &str) -> bool {
        let Some(job) = job else {
            tracing::warn!(
                job = %waiting.report.job,
                run = %waiting.report.run,
                "the job is not in the configuration any more, and its hooks are not known: none is run for the end of this run"
            );
            return self.books.cut(waiting.report, why, (self.app.runner().clock)()).await;
        };
        let (cause, resumed) = (waiting.report.cause, Some(Arc::new(waiting.clone())));
        let origin = Origin::GivenUp(Box::new(waiting), why.to_owned());
        self.start_run(
            job,
            Run { origin, cause, delay: Duration::ZERO, waits_for: "its end".to_owned(), resumed },
        );
        true
    }

    fn go_on(&mut self, job: &JobConfig, waiting: WaitingRun, now: Timestamp) {
        let (report, due) = (&waiting.report, waiting.due);
        let failed = u32::try_from(report.attempts.len()).unwrap_or(u32::MAX);
        let owed = Duration::try_from(due.duration_since(now)).unwrap_or_default();
        // The clock may have been set back meanwhile.
        let delay = owed.min(backoff(job.retries.backoff, failed));
        let at = words::time(due, &self.app.config().timezone);
        let waits_for = format!("its attempt {}, which is due at {at}", failed.saturating_add(1));
        tracing::info!(job = %job.name, run = %report.run, "a run that an earlier daemon began waits for {waits_for}");
        let (cause, resumed) = (report.cause, Some(Arc::new(waiting.clone())));
        self.app.runner().live.waits(waiting.clone());
        let origin = Origin::GoesOn(Box::new(waiting));
        self.start_run(job, Run { origin, cause, delay, waits_for, resumed });
    }
}
