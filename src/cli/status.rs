//! `status`: how every job stands.

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::session::Session;
use crate::history::NotifierTrouble;
use crate::standing::{JobStanding, LastRun, Listings, NO_DAEMON, Standing, View, WAITING};
use crate::words;

pub(super) fn run(session: &Session) -> Result<ExitCode, CliError> {
    let history = session.history()?;
    let store = if session.config.backup_dir.exists() { Some(session.store()?) } else { None };
    let view = View { store: store.as_ref(), ..session.view(history.as_ref()) };
    let standing = Standing::of(view, &mut Listings::default())?;
    session.out.result(&standing, || {
        let header = ["job", "last", "began", "next", "backups", "newest good", ""];
        let words = standing.daemon.words(session.zone());
        let words = words.map(|words| format!("\nCAUTION: {words}.\n")).unwrap_or_default();
        table(&header, standing.jobs.iter().map(|job| row(session, job)))
            + &words
            + &troubles(session, &standing)
    });
    Ok(if standing.jobs.iter().any(JobStanding::is_bad) { ExitCode::Failed } else { ExitCode::Ok })
}

/// Who does not learn what happens, and why.
fn troubles(session: &Session, standing: &Standing) -> String {
    let line = |trouble: &NotifierTrouble| {
        let (name, since) = (&trouble.notifier, session.time(trouble.since));
        let waiting = words::count(trouble.waiting, "message");
        format!(
            "\nCAUTION: notifier {name}: not delivered since {since}, {waiting} waiting: {}\n",
            trouble.reason
        )
    };
    standing.notifiers.iter().map(line).collect()
}

fn row(session: &Session, job: &JobStanding) -> Vec<String> {
    let last = job.last.as_ref();
    let ago = |last: &LastRun| words::duration(session.now.duration_since(last.started).unsigned_abs());
    let mut notes = Vec::new();
    notes.extend(last.and_then(|last| last.reason.clone()));
    if last.is_some_and(|last| last.outcome == WAITING) {
        notes.push(NO_DAEMON.to_owned());
    }
    if let Some(restore) = job.failed_restore() {
        let (outcome, ago) = (restore.outcome, ago(restore));
        let back = if restore.data_not_back { "; the old data are NOT back" } else { "" };
        let why = restore.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let was = if outcome == "interrupted" { "was interrupted" } else { outcome };
        notes.push(format!("the last restore {was} {ago} ago{why}{back}"));
    }
    if !job.enabled {
        notes.push("disabled".to_owned());
    }
    if let Some(pause) = &job.pause {
        let why = pause.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        notes.push(format!("PAUSED since {}{why}", session.time(pause.since)));
    }
    if let Some(what) = job.waits_for.first() {
        notes.push(format!("a slot waits for {what}"));
    }
    if job.overdue.is_some() {
        notes.push("overdue".to_owned());
    }
    if job.store.broken > 0 {
        notes.push(format!("{} broken, see `backups`", job.store.broken));
    }
    if job.store.bad > 0 {
        notes.push(format!("{} BAD, see `verify {}`", job.store.bad, job.job));
    }
    if let Some(held) = &job.store.held {
        notes.push(format!("retention is held: {held}"));
    }
    let outcome = last.map_or("never ran", |last| last.outcome);
    let restore = if job.failed_restore().is_some() { ", restore failed" } else { "" };
    vec![
        job.job.to_string(),
        format!("{outcome}{restore}"),
        last.map(|last| format!("{} ago", ago(last))).unwrap_or_default(),
        job.next.map(|next| session.time(next)).unwrap_or_default(),
        job.store.backups.to_string(),
        job.store.newest_good.as_ref().map(ToString::to_string).unwrap_or_default(),
        notes.join("; "),
    ]
}
