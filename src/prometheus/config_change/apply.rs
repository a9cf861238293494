//! Carries a plan out, proves it, and takes it back where that fails.

use std::path::Path;

use jiff::Timestamp;
use ulid::Ulid;

use super::error::ChangeError;
use super::journal::{Content, Found, Note};
use super::place::{Held, Owner, Place};
use super::plan::{ChangePlan, Expected};
use super::promtool::{Checked, Kind, check};
use super::rules::{RuleFile, is_covered};
use super::site::{Site, Standing};
use crate::jobs::RunContext;

/// How the name of what is only checked ends: no pattern of rules fits it.
const CANDIDATE: &str = ".watchkeeper-check.tmp";

/// A change that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What it did, in words.
    pub what: String,
    /// Where the old file is kept, as a person finds it; nothing where there was none.
    pub backup: Option<String>,
    /// What brings back what was there before, as a person types it.
    pub back: String,
    /// What was seen, one line each.
    pub verified: Vec<String>,
    /// What nobody looked at, one line each.
    pub unverified: Vec<String>,
}

/// Changes as planned.
pub async fn apply(site: &Site, plan: &ChangePlan, context: &RunContext) -> Result<Changed, ChangeError> {
    let mut changed = Changed {
        what: plan.what.clone(),
        backup: None,
        back: String::new(),
        verified: Vec::new(),
        unverified: Vec::new(),
    };
    if let Some(note) = site.journal.read()? {
        return Err(ChangeError::Unfinished { what: note.what, began: note.began });
    }
    if plan.place.read().await? != plan.old {
        return Err(ChangeError::Meanwhile { path: plan.written.clone() });
    }
    checked(site, plan, context, &mut changed).await?;
    let before = site.standing().await?;
    if context.cancel.is_cancelled() {
        return Err(ChangeError::Cancelled);
    }
    let note = begun(site, plan, &before, context).await?;
    changed.backup.clone_from(&note.backup);
    changed.back = back(plan, note.backup.as_deref());
    if let Expected::Rules { .. } = plan.expected {
        changed.unverified.push("that its rules can be evaluated: their turn is yet to come".to_owned());
    }
    let back = Back::of(site, plan.place.clone(), plan.old.as_ref(), &note);
    match written_and_proven(site, plan, context, &before).await {
        Ok(verified) => changed.verified.extend(verified),
        Err(cause) => return Err(back.after(cause, context).await),
    }
    // A note that stays would have the next change take this one back.
    if let Err(cause) = site.journal.remove() {
        return Err(back.after(cause, context).await);
    }
    Ok(changed)
}

/// Has promtool look at it, in a file of its own beside the one that it becomes: paths in it begin there.
async fn checked(
    site: &Site,
    plan: &ChangePlan,
    context: &RunContext,
    changed: &mut Changed,
) -> Result<(), ChangeError> {
    let step = context.progress.step("check it with promtool", None);
    let seen = Path::new(&plan.file).with_file_name(CANDIDATE);
    let candidate = site.locate(&seen.to_string_lossy()).await?;
    let nobody = |why: &str| format!("by promtool, before it was written: {why}");
    let owner = plan.old.as_ref().map(|old| old.owner);
    if let Err(error) = candidate.write(&plan.new, owner).await {
        let why = crate::words::chain(&error);
        step.finish(format!("not done: {why}"));
        changed.unverified.push(nobody(&why));
        return Ok(());
    }
    let result = check(site, plan.kind, &candidate).await;
    if let Err(error) = candidate.remove().await {
        context.progress.warn(format!("{} was left: {}", candidate.shown(), crate::words::chain(&error)));
    }
    match result? {
        Checked::Good(whose) => {
            step.finish("it finds nothing wrong");
            changed.verified.push(format!("the promtool {whose} finds nothing wrong with it"));
        }
        Checked::Nobody(why) => {
            step.finish(format!("not done: {why}"));
            changed.unverified.push(nobody(&why));
        }
    }
    Ok(())
}

/// Keeps the old file, and notes what is about to be done.
async fn begun(
    site: &Site,
    plan: &ChangePlan,
    before: &Standing,
    context: &RunContext,
) -> Result<Note, ChangeError> {
    let step = context.progress.step("keep the old file", None);
    let backup = match &plan.old {
        Some(old) => Some(kept(site, plan, old, context).await?),
        None => None,
    };
    let note = Note {
        run: context.run,
        began: context.now,
        what: plan.what.clone(),
        seen: plan.file.clone(),
        backup: backup.clone(),
        old: plan.old.as_ref().map(|old| Content(old.bytes.clone())),
        new: Content(plan.new.clone()),
        loaded: before.loaded.clone(),
    };
    site.journal.write(&note)?;
    step.finish(backup.unwrap_or_else(|| "there was none".to_owned()));
    Ok(note)
}

/// Beside the file; where that cannot be, or the server would load it from there, in the `state_dir`.
async fn kept(
    site: &Site,
    plan: &ChangePlan,
    old: &Held,
    context: &RunContext,
) -> Result<String, ChangeError> {
    let file = Path::new(&plan.written).file_name().unwrap_or_default().to_string_lossy();
    let name = backup_name(&file, context.now, context.run);
    let beside = plan.place.beside(&name);
    let loaded = is_covered(&plan.patterns, site.folder(), &beside.seen);
    if !loaded && beside.write(&old.bytes, Some(old.owner)).await.is_ok() {
        return Ok(beside.shown());
    }
    site.journal.keep(&name, &old.bytes)
}

/// The command that brings back what was there before.
fn back(plan: &ChangePlan, backup: Option<&str>) -> String {
    let Some(backup) = backup else {
        return format!("there was none before: removing {} and a reload take it away again", plan.written);
    };
    // What lies in a container has to be had from there first.
    let (before, file) = if backup.starts_with('/') {
        (String::new(), backup)
    } else {
        (format!("`docker cp {backup} old.yml` and "), "old.yml")
    };
    let name = Path::new(&plan.file).file_name().unwrap_or_default().to_string_lossy();
    let what = match plan.kind {
        Kind::Config => format!("prometheus-config {file}"),
        Kind::Rules => format!("alert-rule {file} --name {name}"),
    };
    format!(
        "{before}`watchkeeper change {what} --prometheus {}` bring back what was there before",
        plan.target
    )
}

/// `prometheus.yml.20261126T130000Z-01KB….bak`
fn backup_name(file: &str, at: Timestamp, run: Ulid) -> String {
    format!("{file}.{}-{run}.bak", at.strftime("%Y%m%dT%H%M%SZ"))
}

async fn written_and_proven(
    site: &Site,
    plan: &ChangePlan,
    context: &RunContext,
    before: &Standing,
) -> Result<Vec<String>, ChangeError> {
    let step = context.progress.step("write it", None);
    plan.place.write(&plan.new, plan.old.as_ref().map(|old| old.owner)).await?;
    step.finish(plan.written.clone());
    if context.cancel.is_cancelled() {
        return Err(ChangeError::Cancelled);
    }
    let step = context.progress.step("have Prometheus load it", None);
    let how = site.reload(before).await?;
    step.finish(how);
    let step = context.progress.step("ask Prometheus what it has loaded", None);
    if let Some(what) = site.lacks(&plan.expected).await? {
        return Err(ChangeError::NotProven { what });
    }
    step.finish("it has what was written");
    Ok(vec![format!("Prometheus has loaded its configuration {how}, and says so"), plan.expected.proven()])
}

/// What is needed to take a change back.
struct Back<'a> {
    site: &'a Site,
    place: Place,
    old: Option<Vec<u8>>,
    owner: Option<Owner>,
    loaded: String,
    backup: String,
}

impl<'a> Back<'a> {
    fn of(site: &'a Site, place: Place, old: Option<&Held>, note: &Note) -> Self {
        Self {
            site,
            place,
            old: old.map(|old| old.bytes.clone()),
            owner: old.map(|old| old.owner),
            loaded: note.loaded.clone(),
            backup: note.backup.clone().unwrap_or_else(|| site.journal.path().display().to_string()),
        }
    }

    /// Takes it back, and says what came of both.
    async fn after(self, cause: ChangeError, context: &RunContext) -> ChangeError {
        match self.taken(context).await {
            Ok(()) => ChangeError::TakenBack { cause: Box::new(cause) },
            Err(undo) => {
                let (cause, undo) = (Box::new(cause), Box::new(undo));
                ChangeError::NotBack { cause, undo, backup: self.backup }
            }
        }
    }

    /// Puts the old file back, has it loaded, and compares what the server has with what it had.
    async fn taken(&self, context: &RunContext) -> Result<(), ChangeError> {
        let step = context.progress.step("put the old file back", None);
        if self.place.read().await?.map(|held| held.bytes) != self.old {
            match &self.old {
                Some(old) => self.place.write(old, self.owner).await?,
                None => self.place.remove().await?,
            }
        }
        let now = self.site.standing().await?;
        match self.site.reload(&now).await {
            // It was refused before, too, where the server had been running with an older one.
            Ok(_) | Err(ChangeError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        self.proven().await?;
        step.finish("Prometheus has loaded it, and has what it had before");
        self.site.journal.remove()
    }

    async fn proven(&self) -> Result<(), ChangeError> {
        let not = |what: &str| Err(ChangeError::NotProven { what: what.to_owned() });
        if self.site.client.loaded_config().await? != self.loaded {
            return not("its configuration is not the one of before the change");
        }
        if self.place.seen == self.site.config.seen {
            return Ok(());
        }
        let old = self.old.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let file = RuleFile::of(&old).unwrap_or_default();
        let path = self.place.seen.clone();
        match self.site.lacks(&Expected::Rules { path, file }).await? {
            Some(what) => not(&what),
            None => Ok(()),
        }
    }
}

/// Takes back the change that was cut, and says what was done; nothing where there is none.
pub async fn take_back_cut(site: &Site, context: &RunContext) -> Result<Option<String>, ChangeError> {
    let Some(note) = site.journal.read()? else { return Ok(None) };
    let place = site.locate(&note.seen).await?;
    let now = place.read().await?;
    let backup = note.backup.clone().unwrap_or_else(|| "nothing".to_owned());
    let found = note.judge(now.as_ref().map(|now| now.bytes.as_slice()));
    if found == Found::Other {
        let (path, what, note) = (place.shown(), note.what, site.journal.path().to_owned());
        return Err(ChangeError::Edited { path, what, note, backup });
    }
    if let Ok(candidate) =
        site.locate(&Path::new(&note.seen).with_file_name(CANDIDATE).to_string_lossy()).await
    {
        // It says nothing to anybody where it stays.
        let _ = candidate.remove().await;
    }
    let old = note
        .old
        .as_ref()
        .map(|old| Held { bytes: old.0.clone(), owner: now.as_ref().map_or(Owner::PUBLIC, |now| now.owner) });
    let shown = place.shown();
    let back = Back::of(site, place, old.as_ref(), &note);
    if let Err(undo) = back.taken(context).await {
        let (cause, undo) = (Box::new(ChangeError::Cancelled), Box::new(undo));
        return Err(ChangeError::NotBack { cause, undo, backup });
    }
    Ok(Some(match found {
        Found::Old => {
            format!("the change that was cut, {}, had not written {shown} or had put it back", note.what)
        }
        _ => format!("the change that was cut, {}, was taken back: {shown} is as it was before", note.what),
    }))
}
