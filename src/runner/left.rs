//! What runs have left running whose own process was killed: it is ended before the job runs again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use ulid::Ulid;

use super::Runner;
use crate::blocking::blocking;
use crate::command;
use crate::config::values::JobName;
use crate::history::{CutRun, RunReport};

/// Runs that were cut off and have nothing left running: this process has looked, and need not look again through all
/// that runs on the machine. Its clones are one.
#[derive(Debug, Clone, Default)]
pub struct Cleared {
    runs: Arc<Mutex<BTreeMap<JobName, BTreeSet<Ulid>>>>,
}

impl Cleared {
    /// Those of a job.
    pub(super) fn of(&self, job: &JobName) -> BTreeSet<Ulid> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.get(job).cloned().unwrap_or_default()
    }

    /// Of all runs of a job that were cut off, these have nothing left.
    fn note(&self, job: &JobName, behind: &[CutRun]) {
        // One that waits for its next attempt may yet begin something.
        let over = behind.iter().filter(|cut| cut.is_over).map(|cut| cut.run).collect();
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(job.clone(), over);
    }
}

impl Runner {
    /// Ends what cut runs of any job have left, and tells of it.
    pub async fn end_all_left(&self) {
        let history = Arc::clone(&self.history);
        let runs = blocking(move || history.cut_off()).await.unwrap_or_default();
        let _ = end(&runs).await;
    }

    /// The runs of the job that were cut off since it was last done, but for this one.
    pub(super) async fn cut_off(&self, report: &RunReport) -> Vec<Ulid> {
        let (history, job, run) = (Arc::clone(&self.history), report.job.clone(), report.run);
        blocking(move || history.cut_off_since_done(&job, run)).await.unwrap_or_default()
    }

    /// The runs of the job that were cut off, but for this one. A history that cannot be read keeps no job from running.
    pub(super) async fn behind(&self, report: &RunReport) -> Vec<CutRun> {
        let (history, job, run) = (Arc::clone(&self.history), report.job.clone(), report.run);
        blocking(move || history.cut_off_of(&job, run)).await.unwrap_or_default()
    }

    /// Ends what these earlier runs of the job have left, whose lock the caller has. An error is why the run must not
    /// begin.
    pub(super) async fn end_left(&self, report: &mut RunReport, behind: &[CutRun]) -> Result<(), String> {
        let runs: Vec<Ulid> = behind.iter().map(|cut| cut.run).collect();
        report.warnings.extend(end(&runs).await?);
        self.nothing_begun(report).await?;
        self.cleared.note(&report.job, behind);
        Ok(())
    }

    /// What runs of the job have begun that the history does not know, or that another user has begun, has ended. Of
    /// another's process nothing can be read but that it lives.
    async fn nothing_begun(&self, report: &mut RunReport) -> Result<(), String> {
        let (state_dir, job) = (self.state_dir.clone(), report.job.clone());
        let begun = blocking(move || command::begun(&state_dir, &job)).await;
        if begun.is_empty() {
            return Ok(());
        }
        let runs: Vec<Ulid> = begun.iter().map(|begun| begun.run).collect();
        let told = ended(&command::end_left(&runs).await)?;
        report.warnings.extend(told);
        let Some(alive) = begun.iter().find_map(command::Begun::alive) else { return Ok(()) };
        let told = format!(
            "process {0} of {1}, begun by run {2} whose own process was killed, still runs, and this user cannot end it: \
             end it (`kill {0}` as {1}), then the job runs again",
            alive.pid, alive.user, alive.run
        );
        tracing::error!("{told}");
        Err(told)
    }

    /// Ends what a run has left that was begun by an earlier process. An error is why it must not go on.
    pub(super) async fn end_own(&self, report: &mut RunReport) -> Result<(), String> {
        report.warnings.extend(end(&[report.run]).await?);
        Ok(())
    }
}

/// Ends what these runs have left; what that was, in words.
async fn end(runs: &[Ulid]) -> Result<Option<String>, String> {
    ended(&command::end_left(runs).await)
}

/// What was ended, in words.
fn ended(left: &command::Left) -> Result<Option<String>, String> {
    if !left.alive.is_empty() {
        let numbers: Vec<String> = left.alive.iter().map(ToString::to_string).collect();
        let told = format!(
            "a run that was cut off has left something running that cannot be ended: pid {}",
            numbers.join(", ")
        );
        tracing::error!("{told}");
        return Err(told);
    }
    let told = (left.found > 0).then(|| {
        let what = if left.found == 1 { "process" } else { "processes" };
        format!("ended what a run that was cut off had left running: {} {what}", left.found)
    });
    if let Some(told) = &told {
        tracing::warn!("{told}");
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_run_is_looked_for_once_unless_it_may_go_on() {
        let (cleared, job) = (Cleared::default(), "j".parse().unwrap());
        let [over, goes_on] = [1, 2].map(Ulid);
        let behind = [(over, true), (goes_on, false)].map(|(run, is_over)| CutRun { run, is_over });
        cleared.note(&job, &behind);
        assert_eq!(cleared.clone().of(&job), BTreeSet::from([over]));
        assert_eq!(cleared.of(&"other".parse().unwrap()), BTreeSet::new());
    }
}
