//! What is done with a restore after its own run: finish it, take it back, or remove what it set aside.

use std::sync::Arc;

use super::apply::{Restored, apply, back, finish, proven, take_back, tell_left_out};
use super::error::RestoreError;
use super::open::Opened;
use super::proof::Expected;
use super::site::{Before, Site};
use super::source::RestoreSource;
use super::warn::Refusal;
use crate::jobs::RunContext;
use crate::prometheus::folder_op::{FolderOp, FolderState, Phase, RestoreState};

/// What taking back did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// The restore had touched nothing: what it had staged is gone. It says what Prometheus does.
    Dropped(RestoreState, Runs),
    /// The data of before are live again.
    Back(RestoreState),
}

/// What a Prometheus does whose restore has touched no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// It ran all the time, or somebody else has started it.
    On,
    /// It was stopped for the restore, and was started again.
    Again,
    /// It does not run, and was not stopped for the restore.
    Not,
}

/// Finishes the unfinished restore. With its source its probes are asked too; without, only its blocks are looked for.
pub async fn resume(
    opened: &Opened,
    source: Option<Arc<RestoreSource>>,
    context: &RunContext,
) -> Result<Restored, RestoreError> {
    let site = &opened.site;
    let folder = site.inspect(&context.cancel).await?;
    let Some(state) = folder.unfinished().cloned() else {
        return started_again(site, &folder, context).await;
    };
    let restore = state.note.restore;
    let source = source.filter(|source| source.title == state.note.source);
    // What it had left out is no part of it now either.
    let limited =
        |source: Arc<RestoreSource>| Arc::new(Arc::unwrap_or_clone(source).limited_to(&state.note.blocks));
    let source = source.map(limited);
    let expected = match &source {
        Some(source) => {
            let plan = opened.plan(source, context.now, &context.cancel).await?;
            // Where it begins anew it is told then.
            if state.phase != Phase::Staging {
                tell_left_out(&plan, &context.progress);
            }
            Expected::of(&plan, source)
        }
        None => Expected::named(&state.note.blocks),
    };
    match state.phase {
        // How much of it arrived nobody knows: it begins anew.
        Phase::Staging => {
            // What fails from now on leaves it as it was before the restore.
            up_again(site, &state, context).await?;
            let source = source.ok_or(RestoreError::CutEarly { what: state.note.source })?;
            site.run("drop what was staged", &FolderOp::Discard { restore }, &context.cancel).await?;
            let plan = opened.plan(&source, context.now, &context.cancel).await?;
            apply(site, source, &plan, context).await
        }
        Phase::Swapping => {
            must_be_stoppable(site, &folder).await?;
            site.stop(&context.progress).await?;
            finish(site, restore, &expected, Before::UNKNOWN, context).await
        }
        Phase::Swapped => {
            if site.is_controllable() && !site.before().await.ready {
                site.start(&context.progress).await?;
            }
            let shown = async {
                site.wait_ready(&context.progress, &context.cancel).await?;
                proven(site, restore, &expected, context).await
            };
            match shown.await {
                Ok(restored) => Ok(restored),
                // Without a way to stop it, it cannot be taken back either: it stays as it is.
                Err(error) if !site.is_controllable() => Err(error),
                Err(error) => Err(take_back(site, restore, error, Before::UNKNOWN, &context.progress).await),
            }
        }
        Phase::Undoing => {
            let undone = undo(site, context).await?;
            let (Undone::Back(state) | Undone::Dropped(state, _)) = undone;
            let what = "the data of before are live again: the restore was being taken back when it was cut";
            Ok(restored(state, what))
        }
        // `unfinished` yields no such.
        Phase::Proven | Phase::Undone => Err(RestoreError::NoRestore { action: "resume" }),
    }
}

/// A restore, or its undoing, that was cut before Prometheus was started: nothing else is left to be done.
async fn started_again(
    site: &Site,
    folder: &FolderState,
    context: &RunContext,
) -> Result<Restored, RestoreError> {
    let state = folder.left_down().ok_or(RestoreError::NoRestore { action: "resume" })?;
    up_again(site, state, context).await?;
    Ok(restored(RestoreState { down: false, ..state.clone() }, "Prometheus runs again, and is ready"))
}

fn restored(state: RestoreState, verified: &str) -> Restored {
    let proof = super::Proof { verified: vec![verified.to_owned()], unverified: Vec::new() };
    Restored { state, proof }
}

/// Starts the Prometheus that was stopped for a restore which was cut then, and waits until it is ready.
async fn up_again(site: &Site, state: &RestoreState, context: &RunContext) -> Result<Runs, RestoreError> {
    if site.before().await.running {
        if state.down {
            site.note_up(state.note.restore).await;
        }
        return Ok(Runs::On);
    }
    if !state.down {
        return Ok(Runs::Not);
    }
    let up = async {
        site.start(&context.progress).await?;
        site.wait_ready(&context.progress, &context.cancel).await
    };
    let down = |source| RestoreError::Stopped { source: Box::new(source), target: site.target.clone() };
    up.await.map_err(down)?;
    site.note_up(state.note.restore).await;
    Ok(Runs::Again)
}

/// Takes back the unfinished restore, else the newest one that is live.
pub async fn undo(site: &Site, context: &RunContext) -> Result<Undone, RestoreError> {
    let folder = site.inspect(&context.cancel).await?;
    let left_down = folder.left_down().filter(|state| state.phase == Phase::Undone);
    if let Some(state) = left_down.filter(|_| folder.unfinished().is_none())
        && up_again(site, state, context).await? == Runs::Again
    {
        // It was being undone when it was cut.
        return Ok(Undone::Back(state.clone()));
    }
    let live = || folder.restores.iter().rev().find(|restore| restore.phase == Phase::Proven);
    let state = folder.unfinished().or_else(live).ok_or(RestoreError::NoRestore { action: "undo" })?;
    let restore = state.note.restore;
    if state.phase == Phase::Staging {
        // First: who finds nothing staged any more does not know that it was stopped.
        let runs = up_again(site, state, context).await?;
        site.run("drop what was staged", &FolderOp::Discard { restore }, &context.cancel).await?;
        return Ok(Undone::Dropped(state.clone(), runs));
    }
    must_be_stoppable(site, &folder).await?;
    // A Prometheus that is down for what the restore brought is to come up again, too.
    match back(site, restore, Before::UNKNOWN, &context.progress).await {
        Ok(state) => Ok(Undone::Back(state)),
        Err(down @ RestoreError::Down { .. }) => Err(down),
        Err(error) => {
            let hint = site.by_hand(restore);
            Err(RestoreError::NotBack { failed: None, source: Box::new(error), hint })
        }
    }
}

/// Removes what finished restores have set aside, and returns those.
pub async fn discard_old(site: &Site, context: &RunContext) -> Result<Vec<RestoreState>, RestoreError> {
    let folder = site.inspect(&context.cancel).await?;
    if let Some(unfinished) = folder.unfinished() {
        let refusal = Refusal::Unfinished {
            what: unfinished.note.source.clone(),
            began: unfinished.note.began,
            touched: unfinished.phase != Phase::Staging,
        };
        return Err(RestoreError::Refused { refusal });
    }
    if folder.restores.is_empty() {
        return Err(RestoreError::NoRestore { action: "discard" });
    }
    for state in &folder.restores {
        let step = context.progress.step("remove what was set aside", None);
        let discard = FolderOp::Discard { restore: state.note.restore };
        site.run("remove what was set aside", &discard, &context.cancel).await?;
        step.finish(state.note.source.clone());
    }
    Ok(folder.restores)
}

async fn must_be_stoppable(site: &Site, folder: &FolderState) -> Result<(), RestoreError> {
    if site.is_controllable() || !(folder.locked || site.before().await.running) {
        return Ok(());
    }
    Err(RestoreError::Refused { refusal: Refusal::CannotStop { target: site.target.clone() } })
}
