//! Carries a plan out. Before the swap a failure drops what was staged; from the swap on it takes the restore back.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::error::{RestoreError, SourceError};
use super::plan::RestorePlan;
use super::proof::{Expected, Proof, prove};
use super::site::{Before, Site};
use super::source::RestoreSource;
use super::stage;
use super::warn::Warning;
use crate::blocking::blocking;
use crate::jobs::RunContext;
use crate::progress::Progress;
use crate::prometheus::block::BlockReport;
use crate::prometheus::folder_op::{FolderOp, RestoreNote, RestoreState, staging};
use crate::words::{chain, count};

/// What a restore brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The restore, as its journal has it now.
    pub state: RestoreState,
    /// What was verified and what was not.
    pub proof: Proof,
}

/// Restores `source` as `plan` says.
pub async fn apply(
    site: &Site,
    source: Arc<RestoreSource>,
    plan: &RestorePlan,
    context: &RunContext,
) -> Result<Restored, RestoreError> {
    if let Some(refusal) = plan.refusals.first() {
        return Err(RestoreError::Refused { refusal: refusal.clone() });
    }
    tell_left_out(plan, &context.progress);
    verify(&source, plan, context).await?;
    let restore = context.run;
    let note = RestoreNote { restore, began: context.now, source: plan.source.clone(), blocks: plan.names() };
    site.restore("prepare the restore", &FolderOp::Prepare { note }, &context.cancel).await?;
    let before = match staged(site, &source, plan, context).await {
        Ok(before) => before,
        Err(error) => return Err(drop_staged(site, restore, error, &context.progress).await),
    };
    let expected = Expected::of(plan, &source);
    finish(site, restore, &expected, before, context).await
}

/// The rest of the plan's warnings were for whoever said yes; this one stays true of what is live then.
pub(super) fn tell_left_out(plan: &RestorePlan, progress: &Progress) {
    for warning in plan.warnings.iter().filter(|warning| matches!(warning, Warning::LeftOut { .. })) {
        progress.warn(warning.to_string());
    }
}

/// Everything up to the moment at which live data are touched: Prometheus is stopped then.
async fn staged(
    site: &Site,
    source: &Arc<RestoreSource>,
    plan: &RestorePlan,
    context: &RunContext,
) -> Result<Before, RestoreError> {
    let cancel = &context.cancel;
    put(site, source, plan, context).await?;
    let step = Arc::new(context.progress.step("check the staged blocks", Some(plan.bytes)));
    let watched = Arc::clone(&step);
    let found = site.check_staged(context.run, Arc::new(move |n| watched.add(n)), cancel).await?;
    let names: BTreeSet<String> = plan.names().into_iter().collect();
    let promised: Vec<BlockReport> =
        source.blocks.iter().filter(|b| names.contains(&b.name)).cloned().collect();
    let problems = stage::differences(&promised, &found);
    if !problems.is_empty() {
        return Err(RestoreError::Staged { problems });
    }
    if let Some(step) = Arc::into_inner(step) {
        step.finish(format!("{}, all as the backup has them", count(found.len(), "block")));
    }
    if cancel.is_cancelled() {
        return Err(RestoreError::Cancelled);
    }
    let before = site.before().await;
    match site.stop_for(context.run, before, &context.progress).await {
        Ok(()) => Ok(before),
        Err(error) => {
            // Half stopped is no state to leave it in; the first error is the one that counts.
            if before.running {
                let _ = site.start(&context.progress).await;
            }
            Err(error)
        }
    }
}

async fn put(
    site: &Site,
    source: &Arc<RestoreSource>,
    plan: &RestorePlan,
    context: &RunContext,
) -> Result<(), RestoreError> {
    let step = Arc::new(context.progress.step("bring the blocks to the data folder", Some(plan.bytes)));
    let names = plan.names().into_iter().collect();
    let (tar, failure) = stage::stream(Arc::clone(source), names, Arc::clone(&step), context.cancel.clone())
        .map_err(|source| SourceError::Stream { source })?;
    let put = site.put(&staging(context.run), Box::new(tar), &context.cancel).await;
    // What went wrong in the source says more than the broken stream that came of it.
    if let Some(error) = failure.take().filter(|_| put.is_err())
        && !matches!(error, SourceError::Stream { .. })
    {
        return Err(error.into());
    }
    put?;
    if let Some(step) = Arc::into_inner(step) {
        step.finish(count(plan.blocks.len(), "block"));
    }
    Ok(())
}

async fn verify(
    source: &Arc<RestoreSource>,
    plan: &RestorePlan,
    context: &RunContext,
) -> Result<(), RestoreError> {
    let (source, progress, cancel) = (Arc::clone(source), context.progress.clone(), context.cancel.clone());
    let blocks: BTreeSet<String> = plan.names().into_iter().collect();
    Ok(blocking(move || source.verify(&blocks, &progress, &cancel)).await?)
}

/// Drops what was staged; the live data were not touched.
async fn drop_staged(site: &Site, restore: Ulid, error: RestoreError, progress: &Progress) -> RestoreError {
    // Not the run's token: that one may be why we are here.
    let never = CancellationToken::new();
    let dropped = site.run("drop what was staged", &FolderOp::Discard { restore }, &never).await;
    if let Err(left) = dropped {
        progress.warn(format!("What was staged is still in the data folder: {}", chain(&left)));
    }
    if error.is_interruption() { RestoreError::Cancelled } else { error }
}

/// From the swap to the accepted proof. Prometheus is stopped, where it can be.
pub(super) async fn finish(
    site: &Site,
    restore: Ulid,
    expected: &Expected,
    before: Before,
    context: &RunContext,
) -> Result<Restored, RestoreError> {
    match swap_and_prove(site, restore, expected, context).await {
        Ok(restored) => Ok(restored),
        Err(error) => Err(take_back(site, restore, error, before, &context.progress).await),
    }
}

async fn swap_and_prove(
    site: &Site,
    restore: Ulid,
    expected: &Expected,
    context: &RunContext,
) -> Result<Restored, RestoreError> {
    let (cancel, progress) = (&context.cancel, &context.progress);
    let step = progress.step("put the new data in place", None);
    let state = site.restore("put the new data in place", &FolderOp::Swap { restore }, cancel).await?;
    drop(step);
    if !site.is_controllable() {
        let proof = Proof {
            verified: Vec::new(),
            unverified: vec!["that Prometheus serves the data: nobody has started it yet".to_owned()],
        };
        progress
            .warn("The new data are in place, but not proven: start Prometheus, then run restore --resume");
        return Ok(Restored { state, proof });
    }
    site.start(progress).await?;
    site.wait_ready(progress, cancel).await?;
    proven(site, restore, expected, context).await
}

/// Proves what is live, and notes that it was.
pub(super) async fn proven(
    site: &Site,
    restore: Ulid,
    expected: &Expected,
    context: &RunContext,
) -> Result<Restored, RestoreError> {
    let step = context.progress.step("prove the restore", None);
    let proof = Box::pin(prove(site, expected, &step, &context.cancel));
    let proof = site.while_it_lives(&context.progress, proof).await?;
    // What was proven is told at length by the report.
    drop(step);
    let accept = FolderOp::Accept { restore };
    let state = site.restore("note that it was proven", &accept, &CancellationToken::new()).await?;
    Ok(Restored { state, proof })
}

/// Makes the old data live again, and tells in which state everything is then.
pub(super) async fn take_back(
    site: &Site,
    restore: Ulid,
    error: RestoreError,
    before: Before,
    progress: &Progress,
) -> RestoreError {
    progress.warn(format!("The restore is taken back: {}", chain(&error)));
    match back(site, restore, before, progress).await {
        Ok(_) => RestoreError::TakenBack { source: Box::new(error) },
        Err(RestoreError::Down { source, .. }) => {
            RestoreError::Down { failed: Some(Box::new(error)), source, target: site.target.clone() }
        }
        Err(source) => RestoreError::NotBack {
            failed: Some(Box::new(error)),
            source: Box::new(source),
            hint: site.by_hand(restore),
        },
    }
}

/// Stops, makes the old data live, and starts again what ran before. No token: this must not be cut.
pub(super) async fn back(
    site: &Site,
    restore: Ulid,
    before: Before,
    progress: &Progress,
) -> Result<RestoreState, RestoreError> {
    let never = CancellationToken::new();
    site.stop_to_undo(restore, before, progress).await?;
    let step = progress.step("put the old data back", None);
    let state = site.restore("put the old data back", &FolderOp::Undo { restore }, &never).await?;
    drop(step);
    // Whatever comes now, the old data are live.
    if before.running && site.is_controllable() {
        let down = |source| RestoreError::Down {
            failed: None,
            source: Box::new(source),
            target: site.target.clone(),
        };
        site.start(progress).await.map_err(down)?;
        let ready = site.wait_ready(progress, &never).await;
        if ready.is_ok() || !before.ready {
            site.note_up(restore).await;
        }
        // It was not serving the old data before either: then that is how it was.
        if before.ready {
            ready.map_err(down)?;
        }
    }
    Ok(state)
}
