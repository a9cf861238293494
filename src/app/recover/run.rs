//! A recovery as a run: with locks, a record, and an outcome.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::onlookers::{self, Onlooker};
use super::{Recovery, backups, checks};
use crate::app::App;
use crate::blocking::blocking;
use crate::config::checks::CheckConfig;
use crate::config::{JobConfig, Target};
use crate::history::{Cause, RunReport};
use crate::jobs::{CheckResult, JobOutput, RunContext};
use crate::progress::Sink;
use crate::recovery::{
    Journal, Ledger, Note, Question, RecoveryError, Restarted, Trouble, restart, start_again,
};
use crate::runner::{Failure, Task};
use crate::words;

/// A recovery that is under way.
pub(super) struct Running {
    pub(super) app: Arc<App>,
    pub(super) recovery: Arc<Recovery>,
    pub(super) context: RunContext,
    reports: Arc<Mutex<Vec<RunReport>>>,
}

impl App {
    /// Does it, as a run of its own, and returns its record, followed by those of the jobs that it ran.
    pub async fn recover(self: &Arc<Self>, recovery: Recovery, sink: Arc<dyn Sink>) -> Vec<RunReport> {
        let recovery = Arc::new(recovery);
        let veil = self.shared.veil();
        let task = Task { veil, ..Task::once(&recovery.job, Target::RECOVERY_KIND, recovery.locks.clone()) };
        let reports: Arc<Mutex<Vec<RunReport>>> = Arc::default();
        let work = {
            let (app, reports) = (Arc::clone(self), Arc::clone(&reports));
            move |context| {
                let (app, recovery, reports) =
                    (Arc::clone(&app), Arc::clone(&recovery), Arc::clone(&reports));
                let running = Running { app, recovery, context, reports };
                // The jobs that it runs are runs of the same runner.
                Box::pin(async move { running.perform().await })
            }
        };
        let report = self.runner.run(&task, Cause::Manual, sink, work).await;
        let mut all = vec![report];
        all.append(&mut reports.lock().unwrap_or_else(PoisonError::into_inner));
        all
    }
}

impl Running {
    async fn perform(&self) -> Result<JobOutput, Failure> {
        let ran = onlookers::running(&self.recovery.onlookers).await;
        for text in &self.recovery.unsaved {
            self.context.progress.warn(text.clone());
        }
        let facts = backups::make(self).await?;
        let mut ledger = self.ledger().await;
        self.start_left(&mut ledger).await;
        let limit = self.recovery.options.limit;
        let restarted = restart(&self.recovery.parts, limit, &self.context, &mut ledger).await;
        let mut output = JobOutput { facts, ..JobOutput::default() };
        if self.recovery.plan.backups.is_empty() {
            let why = if self.recovery.options.backup {
                "no job backs it up"
            } else {
                "it was asked for without one"
            };
            output.unverified.push(format!("that there is a backup of what was there before: {why}"));
        }
        let name = |part: usize| self.recovery.parts.get(part).map_or("", |part| part.name.as_str());
        output.verified =
            restarted.ready.iter().map(|(part, seen)| format!("{}: {seen}", name(*part))).collect();
        if restarted.is_cut {
            return Err(self.cut(&restarted, output));
        }
        if let Some(failure) = self.not_back(&restarted, output.clone()) {
            self.warn_of_lost(&ran).await;
            return Err(failure);
        }
        let looked = checks::look(self).await;
        output.checks = looked.results;
        self.warn_of_lost(&ran).await;
        output.summary = self.summary(&restarted);
        if self.context.cancel.is_cancelled() {
            let reason = format!("{}; told to stop before it was seen whether all works", output.summary);
            return Err(Failure { output: Some(Box::new(output)), ..Failure::new(reason) });
        }
        let mut wrong = self.ended_since(&restarted).await;
        wrong.extend(looked.failed);
        if wrong.is_empty() {
            return Ok(output);
        }
        let reason = format!("{}, but: {}", output.summary, wrong.join("; "));
        Err(Failure { output: Some(Box::new(output)), ..Failure::new(reason) })
    }

    /// With what earlier recoveries have left stopped: this one may be killed as well.
    async fn ledger(&self) -> Ledger {
        let (job, target) = (self.recovery.job.clone(), self.recovery.plan.target.to_string());
        let journal = Journal::of(&self.app.shared.config.state_dir, &job);
        let read = {
            let journal = journal.clone();
            blocking(move || journal.read()).await
        };
        let new = || Note { target, job, has_ended: false, stopped: Vec::new() };
        // One that cannot be read was told with the plan.
        let note = read.ok().flatten().unwrap_or_else(new);
        Ledger::new(journal, note, self.app.runner.clock)
    }

    /// What an earlier recovery has left stopped and is no part of this one: what is restarted may need it.
    async fn start_left(&self, ledger: &mut Ledger) {
        let left = &self.recovery.left;
        if left.is_empty() {
            return;
        }
        let started = start_again(left, self.recovery.options.limit, &self.context, ledger).await;
        for trouble in &started.troubles {
            let why = words::chain(&trouble.error);
            self.context.progress.warn(format!("what an earlier recovery had stopped is not back: {why}"));
        }
        for (part, seen) in &started.ready {
            let name = left.get(*part).map_or("", |part| part.name.as_str());
            self.context
                .progress
                .warn(format!("{name}, which an earlier recovery had stopped, was started again: {seen}"));
        }
    }

    /// What came of the parts, where one is not back that has to be. What did not run before, and is not what was asked for,
    /// may stay as it was.
    fn not_back(&self, restarted: &Restarted, output: JobOutput) -> Option<Failure> {
        let is_needed = |trouble: &&Trouble| {
            let ran = self.recovery.parts.get(trouble.part).is_some_and(|part| part.ran);
            ran || trouble.part == self.recovery.target_part
        };
        let (needed, rest): (Vec<_>, Vec<_>) = restarted.troubles.iter().partition(is_needed);
        for trouble in rest {
            self.context
                .progress
                .warn(format!("what did not run before is not up: {}", words::chain(&trouble.error)));
        }
        let first = needed.first()?;
        let all: Vec<String> = needed.iter().map(|trouble| words::chain(&trouble.error)).collect();
        let reason = match all.as_slice() {
            [one] => format!("{} is not back: {one}", self.part_name(first.part)),
            all => format!("{} of {} are not back: {}", all.len(), self.parts_words(), all.join("; ")),
        };
        let down = needed.iter().filter(|trouble| matches!(trouble.error, RecoveryError::Waits { .. }));
        let down: Vec<String> = down.map(|trouble| self.start_words(trouble.part)).collect();
        let hint = [first.error.hint(), Some(down.join("; ")).filter(|down| !down.is_empty())];
        let hint = hint.into_iter().flatten().collect::<Vec<_>>().join("; then ");
        let summary = format!("{} of {} are ready", restarted.ready.len(), self.parts_words());
        let output = Some(Box::new(JobOutput { summary, ..output }));
        Some(Failure { hint: Some(hint).filter(|hint| !hint.is_empty()), output, ..Failure::new(reason) })
    }

    fn part_name(&self, part: usize) -> &str {
        self.recovery.parts.get(part).map_or("it", |part| part.name.as_str())
    }

    /// What a person types for a part that was left stopped.
    fn start_words(&self, part: usize) -> String {
        self.recovery
            .parts
            .get(part)
            .map_or_else(String::new, |part| format!("{}: {}", part.name, onlookers::start_of(&part.service)))
    }

    fn parts_words(&self) -> String {
        words::count(self.recovery.parts.len(), "part")
    }

    fn cut(&self, restarted: &Restarted, output: JobOutput) -> Failure {
        let troubles: Vec<String> =
            restarted.troubles.iter().map(|trouble| words::chain(&trouble.error)).collect();
        let reason = match troubles.as_slice() {
            [] if !restarted.is_begun => "told to stop before anything was restarted".to_owned(),
            [] => "told to stop: what was stopped was started again, and nobody has waited until it is ready"
                .to_owned(),
            all => format!(
                "told to stop, and not all that was stopped could be started again: {}",
                all.join("; ")
            ),
        };
        let hint = Some(format!("run `watchkeeper recover {}` again", self.recovery.plan.target));
        Failure { hint, output: Some(Box::new(output)), ..Failure::new(reason) }
    }

    fn summary(&self, restarted: &Restarted) -> String {
        match restarted.ready.as_slice() {
            [(part, seen)] => format!("{} was restarted and is ready: {seen}", self.part_name(*part)),
            all => format!("{} were restarted and are ready", words::count(all.len(), "part")),
        }
    }

    /// What was ready and has ended meanwhile. What ran to its end and was to is none of it.
    async fn ended_since(&self, restarted: &Restarted) -> Vec<String> {
        let mut ended = Vec::new();
        for (place, seen) in &restarted.ready {
            let Some(part) = self.recovery.parts.get(*place) else { continue };
            let was_to_end = seen == crate::recovery::ENDED_WELL;
            if !was_to_end && !onlookers::runs(&part.service).await {
                ended.push(format!(
                    "{} was ready and has ended since: {}",
                    part.name,
                    onlookers::start_of(&part.service)
                ));
            }
        }
        ended
    }

    async fn warn_of_lost(&self, ran: &[&Onlooker]) {
        for text in onlookers::lost(ran).await {
            self.context.progress.warn(text);
        }
    }

    pub(super) fn warn_of(&self, results: &[CheckResult]) {
        for result in results.iter().filter(|result| !result.passed) {
            self.context.progress.warn(format!("{}: {}", result.name, result.text));
        }
    }

    /// The runs of the jobs, the oldest first.
    pub(super) fn reports(&self) -> MutexGuard<'_, Vec<RunReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody who is in a hurry waits for longer.
    pub(super) fn patience(&self, usual: Duration) -> Duration {
        usual.min(self.recovery.options.limit)
    }

    /// Whether a check is of anything that was restarted.
    pub(super) fn is_about(&self, check: &CheckConfig) -> bool {
        self.recovery.targets.iter().any(|target| self.app.shared.config.is_about(check, target))
    }

    /// What the server is asked for that a job backs up.
    pub(super) fn questions_of(&self, job: &JobConfig) -> &[Question] {
        let config = &self.app.shared.config;
        let backs_up =
            |target: &&Target| config.backups_of(target).iter().any(|other| other.name == job.name);
        let target = self.recovery.targets.iter().find(backs_up).map(ToString::to_string);
        let part = self.recovery.parts.iter().find(|part| Some(&part.name) == target.as_ref());
        part.map_or(&[], |part| part.questions.as_slice())
    }
}
