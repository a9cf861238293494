//! The job `close-stale-sessions`.

use super::Shared;
use crate::config::{JobConfig, StaleConfig};
use crate::jobs::{JobOutput, RunContext};
use crate::prometheus::preflight::Finding;
use crate::runner::Failure;

pub(super) async fn run(
    _: &Shared,
    _: &JobConfig,
    _: &StaleConfig,
    _: RunContext,
) -> Result<JobOutput, Failure> {
    Err(Failure::new("not yet"))
}

pub(super) async fn preview(_: &Shared, _: &StaleConfig) -> Vec<Finding> {
    Vec::new()
}
