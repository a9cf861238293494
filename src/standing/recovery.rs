//! How the recoveries of each target stand: no jobs, but told of like those.

use super::{JobStanding, StandingError, View, job};
use crate::config::Target;

/// How the recoveries of a target stand.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RecoveryStanding {
    /// What was to be brought back.
    pub target: Target,
    /// Its recoveries, as the runs of a job.
    #[serde(flatten)]
    pub stands: JobStanding,
}

/// Of every target that somebody has had recovered, as far as the history reaches.
pub(super) fn all(view: View<'_>) -> Result<Vec<RecoveryStanding>, StandingError> {
    let Some(history) = view.history else { return Ok(Vec::new()) };
    let last = history.last_per_job()?;
    let mut found = Vec::new();
    for target in view.config.targets() {
        if let Some(last) = last.get(&target.recoveries()) {
            found.push(RecoveryStanding { stands: job::of_recoveries(history, &target, last)?, target });
        }
    }
    Ok(found)
}
