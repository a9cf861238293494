//! What runs have left running whose own process was killed: it is ended before the job runs again.

use std::sync::Arc;

use super::Runner;
use crate::blocking::blocking;
use crate::command;
use crate::config::values::JobName;
use crate::history::RunReport;

impl Runner {
    /// Ends what cut runs of any job have left, and tells of it.
    pub async fn end_all_left(&self) {
        let _ = self.end_left_of(None, None).await;
    }

    /// The runs of the job that were cut off since it was last done, but for this one.
    pub(super) async fn cut_off(&self, report: &RunReport) -> Vec<ulid::Ulid> {
        let (history, job, run) = (Arc::clone(&self.history), report.job.clone(), report.run);
        blocking(move || history.cut_off_since_done(&job, run)).await.unwrap_or_default()
    }

    /// Ends what earlier runs of the job have left, whose lock the caller has. An error is why the run must not begin.
    pub(super) async fn end_left(&self, report: &mut RunReport) -> Result<(), String> {
        let told = self.end_left_of(Some(report.job.clone()), Some(report.run)).await?;
        report.warnings.extend(told);
        self.nothing_begun(report).await
    }

    /// What runs of the job have begun that the history does not know, or that another user has begun, has ended. Of
    /// another's process nothing can be read but that it lives.
    async fn nothing_begun(&self, report: &mut RunReport) -> Result<(), String> {
        let (state_dir, job) = (self.state_dir.clone(), report.job.clone());
        let begun = blocking(move || command::begun(&state_dir, &job)).await;
        if begun.is_empty() {
            return Ok(());
        }
        let runs: Vec<ulid::Ulid> = begun.iter().map(|begun| begun.run).collect();
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

    /// What was ended, in words.
    async fn end_left_of(
        &self,
        job: Option<JobName>,
        but: Option<ulid::Ulid>,
    ) -> Result<Option<String>, String> {
        let history = Arc::clone(&self.history);
        // A history that cannot be read keeps no job from running.
        let runs = blocking(move || history.cut_off(job.as_ref(), but)).await.unwrap_or_default();
        ended(&command::end_left(&runs).await)
    }
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
