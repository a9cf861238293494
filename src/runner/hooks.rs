//! What is run around the work of a run: once per run, and not for each of its attempts.
//!
//! A hook that fails is never silent: before the work it keeps that from beginning, and later it makes a run that was done
//! a warned one. What comes at the end is also run where the run was told to stop, but may not keep the program long.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Failure, Runner, Task, fill, millis};
use crate::command::{self, Command, CommandError, End, Noting, Place, RUN_VARIABLE, Ran};
use crate::config::values::{Hook, Moment};
use crate::history::{HookRun, RunReport};
use crate::jobs::Outcome;
use crate::progress::Progress;
use crate::words;

/// How long `on_failure` and `finally` may take each once the run was told to stop. With [`GRACE`], and with what a busy
/// machine takes to begin it, to kill it and to see that it is gone, no more than the 20 seconds that are promised.
const AFTER_STOP: Duration = Duration::from_secs(14);
/// How long a hook may take to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);
/// How long a hook that was told to stop may take to end. It is killed long before.
const STUCK: Duration = Duration::from_secs(30);
/// Characters of an error that a hook is told.
const LONGEST_ERROR: usize = 4000;

/// Runs the hooks of a run.
pub(super) struct Around<'a> {
    pub(super) runner: &'a Runner,
    pub(super) task: &'a Task,
    pub(super) progress: &'a Progress,
}

impl Around<'_> {
    /// Whether the work may begin. Where it may not, `report` says why.
    pub(super) async fn before(&self, report: &mut RunReport) -> bool {
        let Err(why) = self.run(Moment::Before, report).await else { return true };
        let outcome = if self.runner.stop.is_cancelled() { Outcome::Interrupted } else { Outcome::Failed };
        // What it said is in the report, and where to look for more is said of each run that failed.
        let reason = format!("The hook before failed, so nothing of the job was done: {why}");
        fill(report, outcome, Failure::new(reason));
        false
    }

    /// Runs what belongs to the end of the run. A hook that fails is a warning of it.
    pub(super) async fn at_end(&self, report: &mut RunReport) {
        self.end(report, true).await;
    }

    /// Runs what belongs to the end of a run that was left between two attempts and does not go on. What it had prepared
    /// was put away when it was left in order, and not where its process was killed.
    pub(super) async fn when_given_up(&self, report: &mut RunReport, is_tidy: bool) {
        self.end(report, !is_tidy).await;
    }

    /// Puts away what was prepared for a run that goes on, and whose process was killed before it could do that: `finally`
    /// is owed, and what the run has left running besides is ended. Whether that could be done; where not, `report` says why
    /// the run does not go on.
    pub(super) async fn put_away(&self, report: &mut RunReport) -> bool {
        if let Err(why) = self.run(Moment::Finally, report).await {
            self.progress.warn(format!("the hook {} failed: {why}", Moment::Finally));
        }
        let Err(why) = self.runner.end_own(report).await else { return true };
        report.cut_between_attempts(&why);
        false
    }

    async fn end(&self, report: &mut RunReport, is_finally_owed: bool) {
        let moment = match report.outcome {
            Some(Outcome::Done | Outcome::Warned) => Some(Moment::After),
            Some(_) => Some(Moment::OnFailure),
            // It goes on later.
            None => None,
        };
        for moment in moment.into_iter().chain(is_finally_owed.then_some(Moment::Finally)) {
            if let Err(why) = self.run(moment, report).await {
                self.progress.warn(format!("the hook {moment} failed: {why}"));
            }
        }
    }

    /// Runs the hook of a moment, if there is one; `report` has its record then. An error is why it failed.
    async fn run(&self, moment: Moment, report: &mut RunReport) -> Result<(), String> {
        let Some(hook) = self.task.hooks.at(moment) else { return Ok(()) };
        let step = self.progress.step(&format!("hook {moment}"), None);
        let since = Instant::now();
        let (ended, printed) = self.program(hook, moment, report).await;
        let veil = &self.task.veil;
        let ended = ended.map_err(|why| veil.over(&why));
        let program = hook.program.shown(veil);
        step.finish(ended.clone().unwrap_or_else(|why| why));
        report.hooks.push(HookRun {
            hook: moment,
            program: program.clone(),
            millis: millis(since.elapsed()),
            error: ended.clone().err(),
            printed,
        });
        ended.map(drop).map_err(|why| format!("{program}: {why}"))
    }

    /// How it ended, and the end of what it said.
    async fn program(
        &self,
        hook: &Hook,
        moment: Moment,
        report: &RunReport,
    ) -> (Result<String, String>, Vec<String>) {
        let (argv, veil) = (hook.program.argv(), self.task.veil.clone());
        let state_dir = self.runner.state_dir.clone();
        let noting = Noting { state_dir, job: report.job.clone(), run: report.run };
        let env = environment(moment, report);
        let noting = Some(noting);
        let command = Command { argv, env, directory: None, user: None, grace: GRACE, veil, noting };
        let cancel = CancellationToken::new();
        let mut say = |line: &str| tracing::info!("{line}");
        let running = command::run(&command, &Place::Host, &cancel, &mut say);
        tokio::pin!(running);
        let why = tokio::select! {
            biased;
            ran = &mut running => return ended(ran),
            why = self.told_to_stop(hook, moment) => why,
        };
        cancel.cancel();
        let printed = match tokio::time::timeout(STUCK, running).await {
            Ok(Ok(ran)) => ran.printed,
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        (Err(why), printed)
    }

    /// Why it is to end, when it is.
    async fn told_to_stop(&self, hook: &Hook, moment: Moment) -> String {
        let stopped = async {
            self.runner.stop.cancelled().await;
            if matches!(moment, Moment::OnFailure | Moment::Finally) {
                tokio::time::sleep(AFTER_STOP).await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(hook.timeout) => {
                let timeout = words::duration(hook.timeout);
                format!("it timed out after {timeout} and was ended, with all that could be found of what it had started")
            }
            () = stopped => {
                "the program was told to stop, and it was ended with all that could be found of what it had started".to_owned()
            },
        }
    }
}

fn ended(ran: Result<Ran, CommandError>) -> (Result<String, String>, Vec<String>) {
    match ran {
        Ok(Ran { end: End::Code(0), printed, left_running }) => {
            let left = if left_running { ", and left something running" } else { "" };
            (Ok(format!("{}{left}", End::Code(0))), printed)
        }
        Ok(ran) => (Err(ran.end.to_string()), ran.printed),
        Err(error) => (Err(words::chain(&error)), Vec::new()),
    }
}

/// What a hook is told. Each variable is there; what is not known, or means nothing, is empty.
fn environment(moment: Moment, report: &RunReport) -> BTreeMap<String, String> {
    let is_over = moment != Moment::Before;
    // One that goes on later has no outcome yet: for now it was interrupted.
    let outcome = report.outcome.unwrap_or(Outcome::Interrupted).word();
    let backup = report.output.as_ref().and_then(|output| output.backup.as_ref());
    // The system takes no NUL, and no variable of any length.
    let error = report.reason.iter().flat_map(|reason| reason.chars());
    let error: String = error.filter(|c| *c != '\0').take(LONGEST_ERROR).collect();
    [
        (RUN_VARIABLE, report.run.to_string()),
        ("WATCHKEEPER_JOB", report.job.to_string()),
        ("WATCHKEEPER_KIND", report.kind.clone()),
        ("WATCHKEEPER_CAUSE", report.cause.to_string()),
        ("WATCHKEEPER_HOOK", moment.to_string()),
        ("WATCHKEEPER_SLOT", report.cause.slot().as_ref().map(Timestamp::to_string).unwrap_or_default()),
        ("WATCHKEEPER_OUTCOME", if is_over { outcome.to_owned() } else { String::new() }),
        ("WATCHKEEPER_ERROR", if is_over { error } else { String::new() }),
        ("WATCHKEEPER_BACKUP", backup.map(|backup| format!("{}/{backup}", report.job)).unwrap_or_default()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
