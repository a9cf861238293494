//! What is done with a restore after its own run: finish it, take it back, or remove what it set aside.

use std::sync::Arc;

use super::apply::{Restored, apply, back, finish, proven, take_back};
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
    /// The restore had touched nothing: what it had staged is gone.
    Dropped(RestoreState),
    /// The data of before are live again.
    Back(RestoreState),
}

/// Finishes the unfinished restore. With its source its probes are asked too; without, only its blocks are looked for.
pub async fn resume(
    opened: &Opened,
    source: Option<Arc<RestoreSource>>,
    context: &RunContext,
) -> Result<Restored, RestoreError> {
    let site = &opened.site;
    let folder = site.inspect(&context.cancel).await?;
    let state = folder.unfinished().ok_or(RestoreError::NoRestore { action: "resume" })?.clone();
    let restore = state.note.restore;
    let source = source.filter(|source| source.title == state.note.source);
    let expected = match &source {
        Some(source) => {
            let plan = opened.plan(source, context.now, &context.cancel).await?;
            Expected::of(&plan, source)
        }
        None => Expected::named(&state.note.blocks),
    };
    match state.phase {
        // How much of it arrived nobody knows: it begins anew.
        Phase::Staging => {
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
            let (Undone::Back(state) | Undone::Dropped(state)) = undone;
            let what = "the data of before are live again: the restore was being taken back when it was cut";
            let proof = super::Proof { verified: vec![what.to_owned()], unverified: Vec::new() };
            Ok(Restored { state, proof })
        }
        // `unfinished` yields no such.
        Phase::Proven | Phase::Undone => Err(RestoreError::NoRestore { action: "resume" }),
    }
}

/// Takes back the unfinished restore, else the newest one that is live.
pub async fn undo(site: &Site, context: &RunContext) -> Result<Undone, RestoreError> {
    let folder = site.inspect(&context.cancel).await?;
    let live = || folder.restores.iter().rev().find(|restore| restore.phase == Phase::Proven);
    let state = folder.unfinished().or_else(live).ok_or(RestoreError::NoRestore { action: "undo" })?;
    let restore = state.note.restore;
    if state.phase == Phase::Staging {
        site.run("drop what was staged", &FolderOp::Discard { restore }, &context.cancel).await?;
        return Ok(Undone::Dropped(state.clone()));
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
