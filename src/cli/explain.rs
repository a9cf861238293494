//! `explain`: why a job ran or did not, which of its backups stay and why, and what each of them costs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::session::Session;
use crate::config::JobConfig;
use crate::history::RunReport;
use crate::jobs::Outcome;
use crate::store::{BackupId, Listing};
use crate::upkeep::Plan;
use crate::{app, words};

/// What is known about a job.
#[derive(Serialize)]
struct Explained {
    job: String,
    kind: &'static str,
    /// Why it runs when it does.
    when: String,
    next: Option<Timestamp>,
    /// How its last run ended, and why.
    last: Option<String>,
    /// Nothing where the job makes no backups.
    retention: Option<Plan>,
    backups: Vec<Cost>,
    /// Bytes of all stored files.
    stored_bytes: u64,
    /// Bytes of all backups, as if each stood alone.
    backed_up_bytes: u64,
}

/// What a backup costs.
#[derive(Serialize)]
struct Cost {
    id: BackupId,
    /// Bytes of all its files.
    size: u64,
    /// Bytes of the files that no other backup has: what deleting it would free.
    alone: u64,
    verified: Option<Timestamp>,
}

pub(super) fn run(session: &Session, job: &str) -> Result<ExitCode, CliError> {
    let job = session.job(job)?;
    let is_there = session.config.backup_dir.is_dir();
    let listing = if is_there { session.store()?.job(&job.name).list()? } else { Listing::default() };
    let last = match session.history()? {
        Some(history) => history.last_per_job()?.remove(&job.name),
        None => None,
    };
    let explained = explain(session, job, &listing, last.as_ref());
    session.out.result(&json!(explained), || text(session, &explained));
    Ok(ExitCode::Ok)
}

fn explain(session: &Session, job: &JobConfig, listing: &Listing, last: Option<&RunReport>) -> Explained {
    let schedule = job.schedule.as_ref().filter(|_| job.enabled);
    let when = match (&job.schedule, job.enabled) {
        (None, _) => "it has no schedule: it runs only by `watchkeeper run-now`".to_owned(),
        (Some(_), false) => "it is disabled: it runs only by `watchkeeper run-now`".to_owned(),
        (Some(schedule), true) => format!("its schedule is {schedule}"),
    };
    let alone = listing.alone();
    let backups: Vec<Cost> = listing
        .backups
        .iter()
        .map(|backup| Cost {
            id: backup.id().clone(),
            size: backup.size(),
            alone: alone.get(backup.id()).copied().unwrap_or_default(),
            verified: backup.verified(),
        })
        .collect();
    Explained {
        job: job.name.to_string(),
        kind: job.kind.kind_name(),
        when,
        next: schedule.and_then(|schedule| schedule.next_after(session.now)),
        last: last.map(|last| ended(session, last)),
        retention: app::policy(job, session.zone()).map(|policy| Plan::of(listing, &policy)),
        stored_bytes: listing.stored_bytes(),
        backed_up_bytes: backups.iter().map(|backup| backup.size).sum(),
        backups,
    }
}

fn ended(session: &Session, last: &RunReport) -> String {
    let outcome = last.outcome.map_or("running", Outcome::word);
    let reason = last.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let began = session.time(last.started);
    format!("{outcome}, began {began} ({}){reason}; `watchkeeper show {}`", last.cause, last.run)
}

fn text(session: &Session, explained: &Explained) -> String {
    let Explained { job, kind, when, retention, .. } = explained;
    let mut text = format!("{job} ({kind})\n  when      {when}");
    if let Some(next) = explained.next {
        let _ = write!(text, "; next {}", session.time(next));
    }
    let last = explained.last.as_deref().unwrap_or("it never ran");
    let _ = writeln!(text, "\n  last run  {last}");
    let Some(retention) = retention else { return text };
    let (stored, all) = (words::size(explained.stored_bytes), words::size(explained.backed_up_bytes));
    let _ = writeln!(text, "  stored    {stored} for backups of {all} altogether");
    if let Some(hold) = &retention.hold {
        let _ = writeln!(
            text,
            "  retention is held: {hold}. `watchkeeper accept {job}/latest` says that this is right"
        );
    }
    if explained.backups.is_empty() {
        return text + "  There is no backup yet.\n";
    }
    let costs: BTreeMap<&BackupId, &Cost> = explained.backups.iter().map(|cost| (&cost.id, cost)).collect();
    let rows = retention.decisions.iter().filter_map(|decision| {
        let cost = costs.get(&decision.id)?;
        let reasons: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
        let verdict = if decision.keep || retention.hold.is_some() { "keep" } else { "delete" };
        Some(vec![
            format!("{job}/{}", decision.id),
            verdict.to_owned(),
            reasons.join(", "),
            words::size(cost.size),
            words::size(cost.alone),
            cost.verified.map(|at| session.time(at)).unwrap_or_default(),
        ])
    });
    text + "\n" + &table(&["backup", "verdict", "because", "size", "of it alone", "verified"], rows)
}
