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
        Ok(())
    }

    /// Ends what a run has left that was begun by an earlier process. An error is why it must not go on.
    pub(super) async fn end_own(&self, report: &mut RunReport) -> Result<(), String> {
        report.warnings.extend(end(&[report.run]).await?);
        Ok(())
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
        end(&runs).await
    }
}

/// Ends what these runs have left; what that was, in words.
async fn end(runs: &[ulid::Ulid]) -> Result<Option<String>, String> {
    let left = command::end_left(runs).await;
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
