//! Every backup is made between what is done before and what is done after one.

use super::{Shared, right_store};
use crate::blocking::blocking;
use crate::config::JobConfig;
use crate::jobs::RunContext;
use crate::runner::Failure;
use crate::upkeep;

/// What was seen to in a store around a new backup.
#[derive(Debug, Default)]
pub(super) struct Upkept {
    /// What was verified.
    pub(super) verified: Vec<String>,
    /// What became of older backups.
    pub(super) facts: Vec<String>,
}

/// Makes a backup, and does what is done before and after one.
pub(super) async fn with_upkeep<T>(
    (shared, job): (&Shared, &JobConfig),
    context: &RunContext,
    make: impl Future<Output = Result<T, Failure>>,
) -> Result<(T, Upkept), Failure> {
    let store = shared.store.job(&job.name);
    let Some(policy) = super::policy(job, &shared.config.timezone) else {
        return Err(Failure::new(format!("{} makes no backups", job.kind.kind_name())));
    };
    let before = {
        let (store, policy, context) = (store.clone(), policy.clone(), context.clone());
        let work =
            move || upkeep::before_backup(&store, &policy, context.now, &context.progress, &context.cancel);
        blocking(work).await
    };
    let backup = make.await?;
    // A disk can go at any time: what is in its place is not to be pruned.
    right_store::confirm(shared).await?;
    let context = context.clone();
    let work = move || {
        let facts = upkeep::after_backup(&store, &policy, context.now, &context.progress, &before);
        Upkept { verified: before.verified, facts }
    };
    Ok((backup, blocking(work).await))
}
