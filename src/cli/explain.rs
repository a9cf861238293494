//! `explain`: why a job ran or did not, which of its backups stay and why, and what each of them costs; of a cleanup,
//! what would become of every block and why.

mod slots;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::prune::unclaimed;
use super::session::{GRACE, Session, block_on};
use crate::app::Preview;
use crate::config::{JobConfig, JobKind};
use crate::history::{Pause, RunReport};
use crate::jobs::Outcome;
use crate::prometheus::preflight::Severity;
use crate::store::{BackupId, Listing, StoredName};
use crate::upkeep::Plan;
use crate::{app, words};
use slots::SlotFate;

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
    /// What became of its last slots, the newest first.
    slots: Vec<SlotFate>,
    /// Nothing where the job makes no backups.
    retention: Option<Plan>,
    backups: Vec<Cost>,
    /// Bytes of all stored files.
    stored_bytes: u64,
    /// Bytes of all backups, as if each stood alone.
    backed_up_bytes: u64,
    /// Files that no backup names.
    unclaimed: Vec<StoredName>,
    #[serde(skip)]
    unclaimed_text: String,
    /// Of a cleanup: what it would find and do now.
    #[serde(skip_serializing_if = "Option::is_none")]
    cleanup: Option<Preview>,
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
    let history = session.history()?;
    let last = match &history {
        Some(history) => history.last_per_job()?.remove(&job.name),
        None => None,
    };
    let mut explained = explain(session, job, &listing, last.as_ref());
    if let Some(history) = &history {
        explained.slots = slots::of(history, &job.name, session.zone())?;
        if let Some(pause) = history.pause_of(&job.name)? {
            explained.when.push_str(&paused(session, &pause));
        }
    }
    if matches!(job.kind, JobKind::BlockCleanup(_)) {
        explained.cleanup = Some(look(session, job)?);
    }
    session.out.result(&json!(explained), || text(session, &explained));
    Ok(ExitCode::Ok)
}

/// What the job would do, looked up at its server.
fn look(session: &Session, job: &JobConfig) -> Result<Preview, CliError> {
    block_on(async {
        let app = session.app_now(CancellationToken::new(), GRACE)?;
        let preview = app.preview(job).await;
        app.close().await;
        Ok(preview)
    })
}

fn explain(session: &Session, job: &JobConfig, listing: &Listing, last: Option<&RunReport>) -> Explained {
    let schedule = job.schedule.as_ref().filter(|_| job.enabled);
    let when = match (&job.schedule, job.enabled) {
        (None, true) if job.after.is_some() => {
            let names = job
                .after
                .as_ref()
                .map(|after| after.jobs.iter().map(ToString::to_string).collect::<Vec<_>>());
            format!("it runs after {}", names.unwrap_or_default().join(" and "))
        }
        (None, _) => "it has no schedule: it runs only by `watchkeeper run-now`".to_owned(),
        (Some(_), false) => "it is disabled: it runs only by `watchkeeper run-now`".to_owned(),
        (Some(schedule), true) => format!("its schedule is {schedule}: {}", schedule.describe()),
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
        slots: Vec::new(),
        retention: app::policy(job, session.zone()).map(|policy| Plan::of(listing, &policy)),
        stored_bytes: listing.stored_bytes(),
        backed_up_bytes: backups.iter().map(|backup| backup.size).sum(),
        cleanup: None,
        backups,
        unclaimed: listing.unclaimed.files.clone(),
        unclaimed_text: unclaimed(&listing.unclaimed),
    }
}

fn paused(session: &Session, pause: &Pause) -> String {
    let why = pause.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!(", and it is PAUSED since {}{why}", session.time(pause.since))
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
    let slots = slots::text(session, &explained.slots);
    if let Some(cleanup) = &explained.cleanup {
        return text + &slots + "\n" + &blocks(session, cleanup);
    }
    let Some(retention) = retention else { return text + &slots };
    let (stored, all) = (words::size(explained.stored_bytes), words::size(explained.backed_up_bytes));
    let _ = writeln!(text, "  stored    {stored} for backups of {all} altogether");
    if let Some(hold) = &retention.hold {
        let _ = writeln!(
            text,
            "  retention is held: the newest backup {hold}. `watchkeeper accept {job}/latest` says that this is right"
        );
    }
    if explained.backups.is_empty() {
        return text + "  There is no backup yet.\n" + &explained.unclaimed_text + &slots;
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
    let table = table(&["backup", "verdict", "because", "size", "of it alone", "verified"], rows);
    text + "\n" + &table + &explained.unclaimed_text + &slots
}

fn blocks(session: &Session, cleanup: &Preview) -> String {
    let worth = cleanup.findings.iter().filter(|finding| finding.severity != Severity::Ok);
    let mut text: String = worth.map(crate::prometheus::preflight::Finding::text_lines).collect();
    let Some(plan) = &cleanup.blocks else { return text };
    if let Some(cutoff) = plan.cutoff {
        let _ = writeln!(text, "  What has only samples of before {} may go.\n", session.time(cutoff));
    }
    let rows = plan.decisions.iter().map(|decision| {
        vec![
            decision.block.clone(),
            decision.covered.map(|covered| covered.text(session.zone())).unwrap_or_default(),
            words::size(decision.bytes),
            if decision.goes() { "delete" } else { "keep" }.to_owned(),
            decision.reason.clone(),
            decision.backup.clone().unwrap_or_default(),
            decision.kept.as_ref().map(|kept| kept.words.clone()).unwrap_or_default(),
        ]
    });
    text + &table(&["block", "covers", "size", "verdict", "because", "held by", "which is kept"], rows)
}
