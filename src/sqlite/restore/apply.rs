//! Carries a restore out, and takes it back where it does not work.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::RestoreError;
use super::note::{Note, State};
use super::{RestorePlan, Site, SqliteBackup, holders, swap};
use crate::blocking::blocking;
use crate::jobs::RunContext;
use crate::regular;
use crate::sqlite::SqliteError;
use crate::sqlite::error::file;
use crate::sqlite::open::beside;
use crate::store::digest::Hashing;
use crate::store::{Owner, StoreError};
use crate::words;

/// So long what was stopped may take to end, and how often it is looked.
const ENDING: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A restore that has worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where the old database is; nothing where there was none.
    pub aside: Option<PathBuf>,
    /// What was seen of the application; nothing where it could not be asked.
    pub well: Option<String>,
    /// Whether what uses the database was started.
    pub started: bool,
}

/// Restores as planned.
pub async fn apply(
    site: &Site,
    source: &SqliteBackup,
    plan: &RestorePlan,
    context: &RunContext,
) -> Result<Restored, SqliteError> {
    let path = site.path()?;
    let note = Note { ran: Some(plan.runs), ..note(source, &path, context) };
    site.notes.write(&note)?;
    if let Err(error) = stage(source, &note, context).await {
        swap::remove(&note.stage).and_then(|()| site.notes.remove(&note))?;
        return Err(error);
    }
    if let Err(error) = free(site, &note.path, context).await {
        return Err(unchanged(site, &note, plan.runs, error, context).await);
    }
    let (error, started) = match exchange(&note, context).await {
        Err(error) => (error, false),
        Ok(()) => match site.start(context).await {
            Ok(well) => return finish(site, &note, well),
            Err(error) => (error, true),
        },
    };
    let was = Was { runs: plan.runs, started, restored: &source.contents.sha256 };
    Err(take_back(site, &note, was, error, context).await)
}

fn finish(site: &Site, note: &Note, well: Option<String>) -> Result<Restored, SqliteError> {
    site.notes.write(&Note { state: State::Done, ..note.clone() })?;
    let started = site.service.as_ref().is_some_and(crate::service::Service::is_controlled);
    Ok(Restored { aside: note.had_old.then(|| note.aside.clone()), well, started })
}

fn note(source: &SqliteBackup, path: &Path, context: &RunContext) -> Note {
    let folder = path.parent().unwrap_or(Path::new("/"));
    Note {
        run: context.run,
        began: context.now,
        source: source.title(),
        path: path.to_owned(),
        stage: folder.join(format!(".watchkeeper-{}.db", context.run)),
        aside: beside(path, &format!(".before-{}", context.run)),
        had_old: swap::exists(path),
        state: State::Begun,
        is_undo: false,
        ran: None,
        undoing: None,
    }
}

/// Verifies the backup, writes the new database beside the old one, and proves it there.
async fn stage(source: &SqliteBackup, note: &Note, context: &RunContext) -> Result<(), SqliteError> {
    let step = context.progress.step("verify the backup", Some(source.backup.size()));
    let (owned, cancel) = (source.clone(), context.cancel.clone());
    blocking(move || {
        for stored in &owned.backup.manifest.files {
            if let Some(problem) = owned.backup.check_file(stored, &step, &cancel)? {
                return Err(StoreError::Broken { path: owned.backup.path_of(stored), problem }.into());
            }
        }
        step.finish("its hash is the one in its manifest");
        Ok::<_, SqliteError>(())
    })
    .await?;
    let step = context.progress.step("write the new database beside the old", None);
    let (owned, note, cancel) = (source.clone(), note.clone(), context.cancel.clone());
    blocking(move || {
        owned.write(&note.stage, &cancel)?;
        owned.prove(&note.stage)?;
        own(&note, owned.backup.manifest.source.owner)?;
        step.add(owned.contents.bytes);
        step.finish(format!(
            "{}, {} rows, as the manifest says",
            words::count(owned.contents.tables.len(), "table"),
            owned.contents.rows()
        ));
        Ok(())
    })
    .await
}

/// Owner and mode of the old database, else those that the backup tells of, else the owner of the folder.
fn own(note: &Note, told: Option<Owner>) -> Result<(), SqliteError> {
    let of = |path: &Path, mode: Option<u32>| {
        let meta = fs::metadata(path).map_err(file("look at", path))?;
        Ok::<_, SqliteError>(Owner {
            uid: meta.uid(),
            gid: meta.gid(),
            mode: mode.unwrap_or(meta.mode() & 0o7777),
        })
    };
    let owner = match told {
        _ if note.had_old => of(&note.path, None)?,
        Some(told) => told,
        None => of(note.path.parent().unwrap_or(Path::new("/")), Some(0o640))?,
    };
    let is = fs::metadata(&note.stage).map_err(file("look at", &note.stage))?;
    if (is.uid(), is.gid()) != (owner.uid, owner.gid) {
        chown(&note.stage, Some(owner.uid), Some(owner.gid))
            .map_err(file("give to its owner", &note.stage))?;
    }
    fs::set_permissions(&note.stage, Permissions::from_mode(owner.mode))
        .map_err(file("set the mode of", &note.stage))
}

/// Stops what uses the database, and sees that nobody has it open.
pub(super) async fn free(site: &Site, path: &Path, context: &RunContext) -> Result<(), SqliteError> {
    if context.cancel.is_cancelled() {
        return Err(SqliteError::Cancelled);
    }
    site.stop(&context.progress).await?;
    must_be_free(path).await
}

/// The application does again what it did before [`free`] has failed.
pub(super) async fn after_free(site: &Site, error: &SqliteError, context: &RunContext) {
    match error {
        // It was stopped.
        SqliteError::Restore(RestoreError::Held { .. }) => site.start_again(context).await,
        // A stop that failed may have stopped it all the same.
        _ => site.start_unless_it_runs(context).await,
    }
}

async fn exchange(note: &Note, context: &RunContext) -> Result<(), SqliteError> {
    let step = context.progress.step("put the new database in place", None);
    let swapped = note.clone();
    blocking(move || swap::forward(&swapped)).await?;
    drop(step);
    Ok(())
}

/// A process that has the old file open would go on writing to it, and nobody would see that again. One that is about to
/// end is waited for: not every stop waits for all that it stops.
async fn must_be_free(path: &Path) -> Result<(), SqliteError> {
    let since = Instant::now();
    loop {
        let held = path.to_owned();
        let by = blocking(move || holders::holders(&held)).await;
        if by.is_empty() {
            return Ok(());
        }
        if since.elapsed() > ENDING {
            return Err(RestoreError::Held { path: path.to_owned(), by: by.join(", ") }.into());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Nothing was moved: what was prepared is removed, and the application does again what it did.
async fn unchanged(
    site: &Site,
    note: &Note,
    runs: bool,
    error: SqliteError,
    context: &RunContext,
) -> SqliteError {
    if let Err(left) = swap::remove(&note.stage).and_then(|()| site.notes.remove(note)) {
        context.progress.warn(words::chain(&left));
    }
    if runs {
        after_free(site, &error, context).await;
    }
    error.with_nothing_changed()
}

/// What there was before a restore is taken back.
#[derive(Debug, Clone, Copy)]
struct Was<'a> {
    /// The application ran before the restore.
    runs: bool,
    /// It was started with the new database.
    started: bool,
    /// SHA-256 of that.
    restored: &'a str,
}

/// Brings the old database back, and the application to what it was doing.
async fn take_back(
    site: &Site,
    note: &Note,
    was: Was<'_>,
    error: SqliteError,
    context: &RunContext,
) -> SqliteError {
    let why = Box::new(error);
    let back = async {
        if was.started {
            site.stop(&context.progress).await?;
        }
        let step = context.progress.step("take it back", None);
        let displaced = beside(&note.path, &format!(".failed-{}", context.run));
        let (taken, restored) = (note.clone(), was.restored.to_owned());
        let kept = blocking(move || {
            let swapped = swap::exists(&taken.aside) || !taken.had_old;
            if swapped && let Some(by) = holders::holders(&taken.path).first() {
                return Err(RestoreError::Held { path: taken.path, by: by.clone() }.into());
            }
            swap::back(&taken, &displaced)?;
            if !swap::exists(&displaced) {
                return Ok(None);
            }
            if is_as_restored(&displaced, &restored) {
                // It is in the backup, which is still there.
                return swap::remove(&displaced).map(|()| None);
            }
            Ok(Some(displaced))
        })
        .await?;
        let aside = kept.clone().unwrap_or_default();
        let had_old = kept.is_some();
        site.notes.write(&Note { state: State::TakenBack, aside, had_old, ..note.clone() })?;
        step.finish("the old database is in its place");
        Ok::<_, SqliteError>(kept)
    };
    let displaced = match back.await {
        Ok(displaced) => displaced,
        Err(back) => {
            return RestoreError::NotBack { why, back: Box::new(back), aside: note.aside.clone() }.into();
        }
    };
    if was.runs {
        site.start_again(context).await;
    }
    RestoreError::TakenBack { why, displaced }.into()
}

/// Nothing was written to a database since it was restored. Where that cannot be told it counts as written to.
fn is_as_restored(path: &Path, sha256: &str) -> bool {
    let is_empty = |side| fs::metadata(beside(path, side)).map_or(true, |meta| meta.len() == 0);
    let hash = || {
        let mut hashing = Hashing::new(regular::open_named(path)?);
        std::io::copy(&mut hashing, &mut std::io::sink())?;
        Ok::<_, std::io::Error>(hashing.finish().2)
    };
    is_empty("-wal") && is_empty("-journal") && hash().is_ok_and(|hash| hash == sha256)
}
