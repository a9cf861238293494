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
            let is_taken = match (self.refusal(&waiting.report, now), self.job(&name)) {
                _ if self.queues.get(&name).is_some_and(|queue| queue.running.is_some()) => false,
                (None, Some(job)) => {
                    self.go_on(&job, waiting, now);
                    true
                }
                (why, _) => self.books.cut(waiting.report, &why.unwrap_or_default(), now).await,
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

    fn go_on(&mut self, job: &JobConfig, waiting: WaitingRun, now: Timestamp) {
        let WaitingRun { report, due } = waiting;
        let failed = u32::try_from(report.attempts.len()).unwrap_or(u32::MAX);
        let owed = Duration::try_from(due.duration_since(now)).unwrap_or_default();
        // The clock may have been set back meanwhile.
        let delay = owed.min(backoff(job.retries.backoff, failed));
        let at = words::time(due, &self.app.config().timezone);
        let waits_for = format!("its attempt {}, which is due at {at}", failed.saturating_add(1));
        tracing::info!(job = %job.name, run = %report.run, "a run that an earlier daemon began waits for {waits_for}");
        let (cause, resumed) = (report.cause, Some(Arc::new(report.clone())));
        let origin = Origin::GoesOn(Box::new(report));
        self.start_run(job, Run { origin, cause, delay, waits_for, resumed });
    }
}
