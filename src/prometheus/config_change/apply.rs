//! Carries a plan out and proves it.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use ulid::Ulid;

use super::back::Back;
use super::candidate::{Checked, Kind, checked, sweep};
use super::error::ChangeError;
use super::journal::{Content, Note};
use super::place::Held;
use super::plan::{ChangePlan, Expected};
use super::reach::Standing;
use super::rules::is_covered;
use super::site::{Comparison, Site};
use crate::blocking::blocking;
use crate::jobs::RunContext;

/// So many old files of each name are kept.
const KEPT: usize = 20;

/// A change that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What it did, in words.
    pub what: String,
    /// Where the old file is kept, as a person finds it; nothing where there was none.
    pub backup: Option<String>,
    /// What brings back what was there before, as a person types it; nothing where nothing was written.
    pub back: Option<String>,
    /// What was seen, one line each.
    pub verified: Vec<String>,
    /// What nobody looked at, one line each.
    pub unverified: Vec<String>,
}

impl Changed {
    fn checked(&mut self, checked: Checked, kind: Kind) {
        match checked {
            Checked::Good(promtool) => {
                self.verified.push(format!("the promtool {} finds nothing wrong with it", promtool.whose()));
                self.unverified.extend(promtool.leaves_out(kind).map(str::to_owned));
            }
            Checked::Nobody(why) => {
                self.unverified.push(format!("by promtool, before it was written: {why}"));
            }
        }
    }
}

/// Changes as planned.
pub async fn apply(site: &Site, plan: &ChangePlan, context: &RunContext) -> Result<Changed, ChangeError> {
    let reach = &site.reach;
    if let Some(note) = reach.journal.read()? {
        return Err(ChangeError::Unfinished { what: note.what, began: note.began });
    }
    sweep(reach, &context.progress).await;
    if plan.place.read().await? != plan.old {
        return Err(ChangeError::Meanwhile { path: plan.written.clone() });
    }
    let (verified, unverified) = (Vec::new(), Vec::new());
    let mut changed = Changed { what: plan.what.clone(), backup: None, back: None, verified, unverified };
    changed.checked(checked(site, plan, &context.progress).await?, plan.kind);
    let before = reach.standing().await?;
    if context.cancel.is_cancelled() {
        return Err(ChangeError::Cancelled);
    }
    if let Expected::Rules { .. } = plan.expected {
        changed.unverified.push("that its rules can be evaluated: their turn is yet to come".to_owned());
    }
    if plan.is_same() {
        loaded_and_proven(site, plan, context, (&before, &mut changed)).await?;
        return Ok(changed);
    }
    let note = begun(site, plan, &before, context).await?;
    changed.backup.clone_from(&note.backup);
    changed.back = Some(back(plan, note.backup.as_deref()));
    let owner = plan.old.as_ref().map(|old| old.owner);
    let back = Back { reach, place: plan.place.clone(), owner, note };
    if let Err(cause) = written(plan, context).await {
        return Err(back.after_write(site, cause, context).await);
    }
    if context.cancel.is_cancelled() {
        return Err(back.after(site, ChangeError::Cancelled, context).await);
    }
    if let Err(cause) = loaded_and_proven(site, plan, context, (&before, &mut changed)).await {
        return Err(back.after(site, cause, context).await);
    }
    // A note that stays would have the next change take this one back.
    if let Err(cause) = reach.journal.remove() {
        return Err(back.after(site, cause, context).await);
    }
    forget_oldest(site, plan).await;
    Ok(changed)
}

/// Of the old files that were kept here the oldest go. One that cannot go is no reason to say that the change failed.
async fn forget_oldest(site: &Site, plan: &ChangePlan) {
    let name = Path::new(&plan.written).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = plan.place.beside(&name);
    let folders = [beside.here().and_then(Path::parent).map(Path::to_owned), site.reach.journal.kept_in()];
    blocking(move || {
        for folder in folders.into_iter().flatten() {
            let names = fs::read_dir(folder).into_iter().flatten().flatten();
            let mut kept: Vec<_> =
                names.filter(|entry| is_kept(&entry.file_name().to_string_lossy(), &name)).collect();
            // Their names are in the order of their times.
            kept.sort_by_key(fs::DirEntry::file_name);
            kept.iter().rev().skip(KEPT).for_each(|entry| drop(fs::remove_file(entry.path())));
        }
    })
    .await;
}

/// Whether a file is an old one of this name: `prometheus.yml.20261126T130000Z-01KB….bak`
fn is_kept(kept: &str, name: &str) -> bool {
    let parts = || kept.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".bak")?.split_once('-');
    let is_time = |at: &str| at.len() == "20261126T130000Z".len() && at.ends_with('Z');
    parts().is_some_and(|(at, run)| is_time(at) && Ulid::from_string(run).is_ok())
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
        loaded_at: before.at,
        temporary: plan.place.temporary(),
        is_back: false,
    };
    site.reach.journal.write(&note)?;
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
    site.reach.journal.keep(&name, &old.bytes)
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

async fn written(plan: &ChangePlan, context: &RunContext) -> Result<(), ChangeError> {
    let step = context.progress.step("write it", None);
    plan.place.write(&plan.new, plan.old.as_ref().map(|old| old.owner)).await?;
    step.finish(plan.written.clone());
    Ok(())
}

async fn loaded_and_proven(
    site: &Site,
    plan: &ChangePlan,
    context: &RunContext,
    (before, changed): (&Standing, &mut Changed),
) -> Result<(), ChangeError> {
    let step = context.progress.step("have Prometheus load it", None);
    let how = site.reach.reload(before).await?.how;
    step.finish(how);
    let step = context.progress.step("ask Prometheus what it has loaded", None);
    match (site.compare(&plan.expected).await?, plan.kind) {
        (Comparison::Other(what), _) => return Err(ChangeError::NotProven { what }),
        (Comparison::Unsure(what), Kind::Rules) => changed.unverified.push(what),
        // All else is in what it has loaded as a whole.
        (Comparison::Unsure(_), Kind::Config) | (Comparison::Same, _) => {}
    }
    step.finish("it has what was written");
    changed.verified.push(format!("Prometheus has loaded its configuration {how}, and says so"));
    changed.verified.push(plan.expected.proven());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_kept_of_a_file_is_taken_for_that() {
        let kept = backup_name("a.yml", Timestamp::UNIX_EPOCH, Ulid::from_parts(1, 2));
        assert!(is_kept(&kept, "a.yml"), "{kept}");
        assert!(!is_kept(&kept, "b.yml") && !is_kept("a.yml.bak", "a.yml"));
        assert!(
            !is_kept("a.yml.20261126T130000Z-mine.bak", "a.yml") && !is_kept(&format!("x{kept}"), "a.yml")
        );
    }
}
