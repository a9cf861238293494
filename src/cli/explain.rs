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
use crate::config::values::JobName;
use crate::config::{JobConfig, JobKind};
use crate::history::History;
use crate::history::{Pause, RunReport};
use crate::jobs::Outcome;
use crate::prometheus::preflight::Severity;
use crate::standing::{DaemonStanding, LeftWaiting, NO_DAEMON, PausedBefore, WAITING};
use crate::store::{BackupId, Listing, StoredName};
use crate::upkeep::Plan;
use crate::{app, identity, words};
use slots::{SlotFate, Source};

/// What `explain` is told.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Which
    job: String,
    /// So many slots, the newest first
    #[arg(short, value_name = "N", default_value_t = 10)]
    n: u32,
}

/// What is known about a job.
#[derive(Serialize)]
struct Explained {
    job: String,
    kind: String,
    /// Why it runs when it does.
    when: String,
    next: Option<Timestamp>,
    /// How its last run ended, and why.
    last: Option<String>,
    /// What became of its last slots, the newest first.
    slots: Vec<SlotFate>,
    /// Whether somebody watches them.
    daemon: DaemonStanding,
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
    /// Why nothing is known of the backups, where another store, or none, is in the place of the right one.
    #[serde(skip_serializing_if = "Option::is_none")]
    store_away: Option<String>,
    #[serde(skip)]
    daemon_text: Option<String>,
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

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    let history = session.history()?;
    let job = match session.job(&args.job) {
        Ok(job) => job,
        Err(unknown) => return gone(session, args, history.as_ref()).unwrap_or(Err(unknown)),
    };
    let store_away = identity::check(&session.config).err().map(|error| error.told());
    let is_there = store_away.is_none() && session.config.backup_dir.is_dir();
    let listing = if is_there { session.store()?.job(&job.name).list()? } else { Listing::default() };
    let last = match &history {
        Some(history) => history.last_per_job()?.remove(&job.name),
        None => None,
    };
    let standing = DaemonStanding::of(session.view(history.as_ref()), [job])?;
    let mut explained = Explained { store_away, ..explain(session, job, &listing, standing) };
    let left = LeftWaiting::of(history.as_ref(), &explained.daemon)?;
    explained.last = last.as_ref().map(|last| ended(session, last, &left));
    if let Some(history) = &history {
        explained.when.push_str(&paused_before(session, &PausedBefore::of(&session.config, history, job)?));
        let source = Source { session, history, job: Some(job), daemon: &explained.daemon };
        explained.slots = slots::of(&source, &job.name, args.n)?;
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

/// A job that is not configured any more still has its slots; nothing where it never had any.
fn gone(session: &Session, args: &Args, history: Option<&History>) -> Option<Result<ExitCode, CliError>> {
    let (history, name) = (history?, args.job.parse::<JobName>().ok()?);
    let explain = || -> Result<Option<Explained>, CliError> {
        let last = history.last_per_job()?.remove(&name);
        let standing = DaemonStanding::of(session.view(Some(history)), [])?;
        let source = Source { session, history, job: None, daemon: &standing };
        let slots = slots::of(&source, &name, args.n)?;
        let left = LeftWaiting::of(Some(history), &standing)?;
        if last.is_none() && slots.is_empty() {
            return Ok(None);
        }
        Ok(Some(Explained {
            job: name.to_string(),
            kind: last.as_ref().map_or("no kind any more".to_owned(), |last| last.kind.clone()),
            when: "it is not in the configuration any more".to_owned(),
            next: None,
            last: last.as_ref().map(|last| ended(session, last, &left)),
            slots,
            daemon_text: standing.words(session.zone()),
            daemon: standing,
            retention: None,
            backups: Vec::new(),
            stored_bytes: 0,
            backed_up_bytes: 0,
            unclaimed: Vec::new(),
            unclaimed_text: String::new(),
            store_away: None,
            cleanup: None,
        }))
    };
    let explained = match explain() {
        Ok(explained) => explained?,
        Err(error) => return Some(Err(error)),
    };
    session.out.result(&json!(explained), || text(session, &explained));
    Some(Ok(ExitCode::Ok))
}

/// What a job runs after, and which of these only a person runs.
fn after_words(session: &Session, job: &JobConfig) -> String {
    let names = job.after.as_ref().map(|after| after.jobs.clone()).unwrap_or_default();
    let never = names.iter().filter_map(|name| {
        let before = session.config.job(name.as_str())?;
        let why = if !before.enabled {
            "is disabled"
        } else if before.schedule.is_none() && before.after.is_none() {
            "has no schedule"
        } else {
            return None;
        };
        Some(format!("; {name} {why}: it ends only when `watchkeeper run-now {name}` runs it"))
    });
    let never: String = never.collect();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    format!("it runs after {}{never}", names.join(" and "))
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

fn explain(session: &Session, job: &JobConfig, listing: &Listing, daemon: DaemonStanding) -> Explained {
    let schedule = job.schedule.as_ref().filter(|_| job.enabled);
    let when = match (&job.schedule, job.enabled) {
        (None, true) if job.after.is_some() => after_words(session, job),
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
        kind: job.kind.kind_name().to_owned(),
        when,
        next: schedule.and_then(|schedule| schedule.next_after(session.now)),
        last: None,
        slots: Vec::new(),
        daemon_text: daemon.words(session.zone()),
        daemon,
        retention: app::policy(job, session.zone()).map(|policy| Plan::of(listing, &policy, session.now)),
        stored_bytes: listing.stored_bytes(),
        backed_up_bytes: backups.iter().map(|backup| backup.size).sum(),
        cleanup: None,
        backups,
        unclaimed: listing.unclaimed.files.clone(),
        unclaimed_text: unclaimed(&listing.unclaimed),
        store_away: None,
    }
}

fn paused(session: &Session, pause: &Pause) -> String {
    let why = pause.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!(", and it is PAUSED since {}{why}", session.time(pause.since))
}

fn paused_before(session: &Session, paused: &[PausedBefore]) -> String {
    paused.iter().fold(String::new(), |text, paused| text + "; " + &paused.words(session.zone()))
}

fn ended(session: &Session, last: &RunReport, left: &LeftWaiting) -> String {
    let is_left = left.of_run(Some(last)).is_some();
    let outcome = if is_left { WAITING } else { last.outcome.map_or("running", Outcome::word) };
    let reason = last.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let reason = if is_left { format!("{reason}; {NO_DAEMON}") } else { reason };
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
    if let Some(words) = &explained.daemon_text {
        let _ = writeln!(text, "  daemon    {words}");
    }
    let slots = slots::text(session, &explained.slots);
    if let Some(cleanup) = &explained.cleanup {
        return text + &slots + "\n" + &blocks(session, cleanup);
    }
    let Some(retention) = retention else { return text + &slots };
    if let Some(away) = &explained.store_away {
        return text + "  backups   " + away + "\n" + &slots;
    }
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
