//! The options of a `block-cleanup`.

use std::time::Duration;

use super::{Context, DAY, target};
use crate::config::read::{Item, Section, nearest};
use crate::config::values::{JobName, TargetName};

/// The options of a `block-cleanup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupConfig {
    /// The server; the configuration has it.
    pub prometheus: TargetName,
    /// Blocks all of whose samples are older than this may go. Never zero.
    pub older_than: Duration,
    /// Which backups must hold what goes.
    pub require_backup: RequireBackup,
    /// How many of a thousand blocks may go at once; 1 to 1000.
    pub max_permille: u16,
    /// Restart the server afterwards, so that the disk space is free at once.
    pub restart: bool,
}

/// Which backups must hold a block before it is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequireBackup {
    /// One of any job that backs the server up.
    AnyJob,
    /// One of this job, which backs the server up.
    Job(JobName),
    /// None.
    No,
}

pub(super) fn cleanup(mut section: Section<'_, '_>, context: &Context<'_>) -> Option<CleanupConfig> {
    let prometheus = section.require("prometheus", "\"main\"").and_then(|item| target(&item, context));
    let older_than = section.get("older_than").and_then(|item| item.some_duration());
    let span = section.key_span("prometheus");
    let require_backup = match (section.get("require_backup"), &prometheus) {
        (None, Some(prometheus)) => {
            if jobs_of(prometheus, context).next().is_none() {
                let message = format!(
                    "no job backs [prometheus.{prometheus}] up: {} will delete nothing",
                    section.name
                );
                let hint = "add a job of kind prometheus-snapshot; what no backup holds is not deleted";
                section.report.warn(&span, message, Some(hint.to_owned()));
            }
            Some(RequireBackup::AnyJob)
        }
        (Some(item), Some(prometheus)) => require_backup(&item, prometheus, context),
        (_, None) => None,
    };
    let max_share = section.get("max_share").map_or(Some(500), |item| share(&item));
    let restart = section.get("restart").and_then(|item| item.boolean());
    section.finish(&[]);
    Some(CleanupConfig {
        prometheus: prometheus?,
        older_than: older_than.unwrap_or(30 * DAY),
        require_backup: require_backup?,
        max_permille: max_share?,
        restart: restart.unwrap_or_default(),
    })
}

/// The names of the jobs that back a server up.
fn jobs_of<'a>(prometheus: &'a TargetName, context: &'a Context<'_>) -> impl Iterator<Item = &'a str> {
    let snapshots = context.snapshots.iter().filter(move |(_, server)| server == prometheus.as_str());
    snapshots.map(|(job, _)| job.as_str())
}

fn require_backup(item: &Item<'_, '_>, server: &TargetName, context: &Context<'_>) -> Option<RequireBackup> {
    if item.is_boolean() {
        if item.boolean()? {
            let hint = "remove it: a backup of any job is required then; or name the job".to_owned();
            item.error("\"require_backup\" is the name of a job, or false", Some(hint));
            return None;
        }
        let hint = "they are gone for good then".to_owned();
        item.warn("blocks are deleted that no backup holds", Some(hint));
        return Some(RequireBackup::No);
    }
    let text = item.text()?;
    if jobs_of(server, context).any(|job| job == text) {
        return text.parse().ok().map(RequireBackup::Job);
    }
    let names: Vec<&str> = jobs_of(server, context).collect();
    let hint = match nearest(text, names.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if names.is_empty() => "add a job of kind prometheus-snapshot for it".to_owned(),
        None => format!("there is {}", names.join(", ")),
    };
    item.error(format!("no job {text:?} backs [prometheus.{server}] up"), Some(hint));
    None
}

/// A part of all blocks, in thousandths.
fn share(item: &Item<'_, '_>) -> Option<u16> {
    let share = item.float()?;
    if share > 0.0 && share <= 1.0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 1 to 1000")]
        return Some(((share * 1000.0).floor() as u16).max(1));
    }
    item.error("\"max_share\" must be a number above 0 and up to 1", Some("0.5 is a half".to_owned()));
    None
}
