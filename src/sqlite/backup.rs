//! The backup of a database: copied under its writers, checked, stored.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::contents::SqliteContents;
use super::copy::copy;
use super::error::file;
use super::inside::Inside;
use super::ledger::Ledger;
use super::place::{Database, Place};
use super::{KIND, SqliteError};
use crate::blocking::blocking;
use crate::config::values::Compression;
use crate::jobs::RunContext;
use crate::regular;
use crate::store::archive::Watched;
use crate::store::digest::Hashing;
use crate::store::{Backup, Beside, Draft, JobStore, Owner, Pending, Source};
use crate::words;

/// The copy, until it is in the archive.
const COPY: &str = "copy.db";

/// Where a database is said to be from, beside its path.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The name of its application in the configuration; empty where it belongs to none.
    pub target: String,
    /// Where that listens.
    pub url: String,
}

/// Backs a database up and publishes the backup.
pub async fn back_up(
    database: &Database,
    origin: &Origin,
    store: &JobStore,
    compression: Compression,
    context: &RunContext,
) -> Result<(Backup, SqliteContents), SqliteError> {
    let pending = store.begin(context.run, context.now)?.within_room(Beside::Copy)?;
    let to = pending.dir().join(COPY);
    let method = take(database, &to, context).await?;
    let shown = database.shown.clone();
    let contents = check(&to, &shown, &method, context).await?;
    let (pending, contents) = archive(pending, to, contents, compression, context).await?;
    tell(&contents, context);
    let backup = publish(pending, &contents, database, origin, context).await?;
    Ok((backup, contents))
}

/// Copies the database, and says how.
async fn take(database: &Database, to: &Path, context: &RunContext) -> Result<String, SqliteError> {
    let step = context.progress.step("copy the database", None);
    let method = match &database.place {
        Place::Host { path } => {
            let (path, to, cancel) = (path.clone(), to.to_owned(), context.cancel.clone());
            blocking(move || copy(&path, &to, &cancel)).await?;
            "online backup".to_owned()
        }
        Place::Inside { docker, container, path, closed } => {
            let opened = Inside::open(docker, container, path, context.run, &context.cancel).await;
            let inside = opened.map_err(|error| error.of_closed(closed.as_deref()))?;
            inside.copy(to, &Ledger::of(&context.state_dir)).await?;
            inside.method()
        }
    };
    let size = std::fs::metadata(to).map_err(file("look at", to))?.len();
    step.add(size);
    step.finish(method.clone());
    Ok(method)
}

async fn check(
    copy: &Path,
    shown: &str,
    method: &str,
    context: &RunContext,
) -> Result<SqliteContents, SqliteError> {
    let step = context.progress.step("check the copy", None);
    let (copy, shown, method) = (copy.to_owned(), shown.to_owned(), method.to_owned());
    blocking(move || {
        let contents = SqliteContents::of_copy(&copy, &shown, &method)?;
        step.add(contents.page_count * contents.page_size);
        step.finish(if contents.damage.is_empty() {
            format!("{}, {} rows", words::count(contents.tables.len(), "table"), contents.rows())
        } else {
            "damaged".to_owned()
        });
        Ok(contents)
    })
    .await
}

async fn archive(
    pending: Pending,
    copy: PathBuf,
    mut contents: SqliteContents,
    compression: Compression,
    context: &RunContext,
) -> Result<(Pending, SqliteContents), SqliteError> {
    let step = context.progress.step("compress it", None);
    let (cancel, mtime) = (context.cancel.clone(), context.now.as_second());
    blocking(move || {
        let opened = regular::open(&copy).map_err(file("open", &copy))?;
        let size = opened.metadata().map_err(file("look at", &copy))?.len();
        let mut writer = pending.archive(compression)?;
        let told = |n| step.add(n);
        let mut hashing = Hashing::new(Watched::new(opened, &cancel, &told));
        let mtime = u64::try_from(mtime).unwrap_or_default();
        writer.file(&contents.file, 0o600, mtime, size, &mut hashing)?;
        let (_, bytes, sha256) = hashing.finish();
        writer.finish()?;
        std::fs::remove_file(&copy).map_err(file("remove", &copy))?;
        contents.bytes = bytes;
        contents.sha256 = sha256;
        step.finish(pending.size().map(words::size).unwrap_or_default());
        Ok((pending, contents))
    })
    .await
}

/// What is not as it should be is told, and does not stop the backup: it may be the last one that can be made.
fn tell(contents: &SqliteContents, context: &RunContext) {
    if let Some(first) = contents.damage.first() {
        let all = contents.damage.len();
        context.progress.warn(format!(
            "the database is damaged ({all} problems; the first: {first}): this backup is kept, but is not a good one"
        ));
    }
    if let Some(first) = contents.foreign_keys.first() {
        let all = contents.foreign_keys.len();
        context.progress.warn(format!("foreign keys that lead nowhere, {all} or more; the first: {first}"));
    }
    for problem in &contents.unchecked {
        context.progress.warn(format!("not all could be checked: {problem}"));
    }
}

async fn publish(
    pending: Pending,
    contents: &SqliteContents,
    database: &Database,
    origin: &Origin,
    context: &RunContext,
) -> Result<Backup, SqliteError> {
    let owner = match &database.place {
        Place::Host { path } => std::fs::metadata(path).ok().map(|meta| Owner {
            uid: meta.uid(),
            gid: meta.gid(),
            mode: meta.mode() & 0o7777,
        }),
        Place::Inside { .. } => None,
    };
    let source = Source {
        target: origin.target.clone(),
        url: origin.url.clone(),
        product_version: None,
        container: database.container.clone(),
        image: database.image.clone(),
        data_path: Some(database.shown.clone()),
        retention: None,
        owner,
    };
    let described =
        serde_json::value::to_raw_value(contents).map_err(|source| SqliteError::Describe { source })?;
    let draft = Draft {
        content_bytes: contents.bytes,
        damaged: !contents.damage.is_empty(),
        ..Draft::new(KIND, context.now, source, described)
    };
    Ok(context.publish(pending, draft).await?)
}
