//! What a restore would do, before it does it.

use std::path::PathBuf;
use std::{fs, io};

use jiff::Timestamp;
use serde::Serialize;

use super::{Site, SqliteBackup};
use crate::blocking::blocking;
use crate::regular;
use crate::room::Room;
use crate::sqlite::SqliteError;
use crate::sqlite::contents::tables_of;
use crate::sqlite::error::file;
use crate::sqlite::open::{SIDES, beside};

/// What a restore would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestorePlan {
    /// The backup: `JOB/ID`.
    pub source: String,
    /// When it was made.
    pub created: Timestamp,
    /// The database, as its application sees it.
    pub to: String,
    /// Its file on this host.
    pub path: PathBuf,
    /// What is stopped and started, where there is something.
    pub service: Option<String>,
    /// Whether it runs now.
    pub runs: bool,
    /// Bytes of the new database.
    pub bytes: u64,
    /// Bytes of the old one with the files beside it; nothing where there is none.
    pub old_bytes: Option<u64>,
    /// Bytes that are free there.
    pub free: u64,
    /// Every table that is in either.
    pub tables: Vec<TableChange>,
    /// What is doubtful.
    pub warnings: Vec<String>,
    /// Why it cannot be done.
    pub refusals: Vec<String>,
}

/// The rows of a table, now and after the restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableChange {
    /// Its name.
    pub name: String,
    /// Rows now; nothing where it is not there or cannot be read.
    pub now: Option<u64>,
    /// Rows in the backup; nothing where it is not there.
    pub then: Option<u64>,
}

/// Looks at what is there. Nothing is changed.
pub async fn plan(site: &Site, source: &SqliteBackup) -> Result<RestorePlan, SqliteError> {
    let path = site.path()?;
    let folder = path.parent().unwrap_or(&path).to_owned();
    let room = Room::at(&folder).map_err(file("look at", &folder))?;
    let (bytes, free) = (source.contents.bytes, room.free);
    let mut plan = RestorePlan {
        source: source.title(),
        created: source.backup.manifest.created,
        to: site.database.to_string(),
        service: site.service.as_ref().map(ToString::to_string),
        runs: site.runs().await,
        bytes,
        old_bytes: old_bytes(&path),
        free,
        tables: Vec::new(),
        warnings: Vec::new(),
        refusals: Vec::new(),
        path,
    };
    // It would be set aside as the old database, and a backup refuses it.
    match plan.path.symlink_metadata().and_then(|found| regular::must_be(&found)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let path = plan.path.display();
            plan.refusals.push(format!("{path}: {error}; put it elsewhere, or name the database itself"));
        }
        _ => {}
    }
    compare(&mut plan, source).await?;
    if !source.contents.damage.is_empty() {
        plan.warnings.push(format!("the backup was damaged at its source: {}", source.contents.damage[0]));
    }
    // Beside the database, which is kept.
    if !room.is_for(bytes) {
        plan.refusals.push(format!("{}: {}", folder.display(), room.lack(bytes)));
    }
    if let Err(error) = crate::rights::may_write(&folder) {
        let error = file("write to the folder", &folder)(error);
        let hint = error.hint().map_or_else(String::new, |hint| format!(": {hint}"));
        plan.refusals.push(format!("{}{hint}", crate::words::chain(&error)));
    }
    if let Err(unfinished) = site.notes.none_unfinished(&plan.path) {
        let hint = unfinished.hint().map_or_else(String::new, |hint| format!(": {hint}"));
        plan.refusals.push(format!("{}{hint}", crate::words::chain(&unfinished)));
    }
    if site.service.as_ref().is_some_and(|service| !service.is_controlled()) && plan.runs {
        plan.refusals.push("the application runs, and nothing says how it is stopped: stop it, or give it its \"container\" or \"service\"".to_owned());
    }
    Ok(plan)
}

fn old_bytes(path: &std::path::Path) -> Option<u64> {
    let size = |path: PathBuf| fs::metadata(path).map(|meta| meta.len()).ok();
    let main = size(path.to_owned())?;
    Some(main + SIDES.iter().filter_map(|side| size(beside(path, side))).sum::<u64>())
}

async fn compare(plan: &mut RestorePlan, source: &SqliteBackup) -> Result<(), SqliteError> {
    let path = plan.path.clone();
    let now = match blocking(move || tables_of(&path)).await {
        Ok(now) => now,
        Err(SqliteError::Missing { .. }) => Vec::new(),
        Err(error) => {
            let why = crate::words::chain(&error);
            plan.warnings.push(format!("what is there now cannot be read, and is set aside as it is: {why}"));
            Vec::new()
        }
    };
    let then = &source.contents.tables;
    let rows = |of: &[crate::sqlite::TableRows], name: &str| {
        of.iter().find(|table| table.name == *name).map(|table| table.rows.unwrap_or_default())
    };
    let mut names: Vec<&String> = now.iter().chain(then).map(|table| &table.name).collect();
    names.sort();
    names.dedup();
    plan.tables = names
        .into_iter()
        .map(|name| TableChange { name: name.clone(), now: rows(&now, name), then: rows(then, name) })
        .collect();
    Ok(())
}
