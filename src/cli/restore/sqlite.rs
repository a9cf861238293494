//! `restore` of a database: shows what it will do, asks, does it, and can take it back.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::choose::{self, Found};
use super::{Args, nothing_done, with_app};
use crate::app::{App, SqliteAction};
use crate::blocking::blocking;
use crate::cli::bar;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::CliError;
use crate::cli::session::Session;
use crate::config::values::JobName;
use crate::config::{DatabaseRef, JobKind};
use crate::sqlite::SqliteError;
use crate::sqlite::restore::{RestorePlan, Site, SqliteBackup, plan};
use crate::words::{size, time};

/// The kinds of job whose backups are databases.
pub(super) const KINDS: [&str; 2] = [crate::sqlite::KIND, "close-stale-sessions"];

/// The arguments make sense for a database.
pub(super) fn check(args: &Args) -> Result<(), CliError> {
    if !args.after.resume {
        return Ok(());
    }
    let hint = "take it back with --undo, then restore again".to_owned();
    Err(CliError::usage("A restore of a database that was cut is not resumed", Some(hint)))
}

/// Restores, or tells what that would do.
pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    with_app(session, async |app, cancel| {
        if args.after.undo || args.after.discard_old {
            after(session, app, args).await
        } else {
            restore(session, app, args, cancel).await
        }
    })
}

async fn restore(
    session: &Session,
    app: &App,
    args: &Args,
    cancel: &CancellationToken,
) -> Result<ExitCode, CliError> {
    let found = match &args.from {
        Some(path) => choose::outside(session, path)?,
        None => choose::backup(session, args.wanted())?,
    };
    let Found { backup, job, reading: _reading } = found;
    let source = SqliteBackup::of(backup).map_err(|error| failed(&error))?;
    if let Some(folder) = &args.into {
        let title = source.title();
        let (folder, cancel) = (folder.clone(), cancel.clone());
        let unpacked = blocking(move || source.unpack(&folder, &cancel)).await;
        let path = unpacked.map_err(|error| failed(&error))?;
        session.out.result(&json!({ "source": title, "into": path }), || {
            format!("{title}: {}, checked\n", path.display())
        });
        return Ok(ExitCode::Ok);
    }
    if args.dry_run {
        choose::must_be_whole(session, &source.backup, cancel)?;
    }
    let database = database_of(session, args, Some(&job), Some(&source))?;
    let site = open(app, &job, &database).await?;
    let plan = plan(&site, &source).await.map_err(|error| failed(&error))?;
    let from = source.backup.manifest.made_from();
    let told = || text(&plan, session.zone()) + &choose::from_text(Some(&from));
    if args.dry_run {
        session.out.result(&json!({ "plan": plan, "made_from": from }), told);
        return Ok(if plan.refusals.is_empty() { ExitCode::Ok } else { ExitCode::Failed });
    }
    session.out.say(told().trim_end());
    if let Some(refusal) = plan.refusals.first() {
        let message = format!("The restore cannot be done: {refusal}");
        return Err(CliError { code: ExitCode::Failed, message, hint: None });
    }
    if !args.yes && !session.out.ask("Restore this?") {
        return Ok(nothing_done(session));
    }
    let action = SqliteAction::Apply(Arc::new((source, plan)));
    Ok(perform(session, app, &job, &database, site, action).await)
}

/// What is done with a restore after its own run.
async fn after(session: &Session, app: &App, args: &Args) -> Result<ExitCode, CliError> {
    let job = choose::job_called(session, args.what.as_deref())?;
    let Some(job) = job else { return Err(CliError::usage("Which job?", None)) };
    let database = database_of(session, args, Some(&job), None)?;
    let site = open(app, &job, &database).await?;
    let sessions =
        if args.after.undo { site.closed_sessions().map_err(|error| failed(&error))? } else { None };
    let (question, action) = if let Some(file) = sessions {
        (format!("Open the sessions again that {job} has closed?"), SqliteAction::OpenSessions(file))
    } else if args.after.undo {
        (format!("Bring back the database of before the newest restore of {job}?"), SqliteAction::Undo)
    } else {
        let question = format!("Remove the databases that restores of {job} have set aside, for good?");
        (question, SqliteAction::DiscardOld)
    };
    if !args.yes && !session.out.ask(&question) {
        return Ok(nothing_done(session));
    }
    Ok(perform(session, app, &job, &database, site, action).await)
}

async fn perform(
    session: &Session,
    app: &App,
    job: &JobName,
    database: &DatabaseRef,
    site: Site,
    action: SqliteAction,
) -> ExitCode {
    let report = app.run_sqlite(job, database, Arc::new(site), action, bar::sink(session)).await;
    session.out.result(&json!({ "runs": [report] }), || session.report(&report));
    ExitCode::of(&report)
}

async fn open(app: &App, job: &JobName, database: &DatabaseRef) -> Result<Site, CliError> {
    let site = app.sqlite_site(job, database).await;
    site.map_err(|error| CliError::of(ExitCode::Failed, &error, error.hint()))
}

/// The database that is meant: of the application that was named, else of the job, else of the application that the
/// backup came from.
fn database_of(
    session: &Session,
    args: &Args,
    job: Option<&JobName>,
    source: Option<&SqliteBackup>,
) -> Result<DatabaseRef, CliError> {
    let config = &session.config;
    let configured = job.and_then(|job| config.job(job.as_str())).and_then(|job| match &job.kind {
        JobKind::SqliteBackup(config) => Some(&config.database),
        JobKind::CloseStaleSessions(config) => Some(&config.backup.database),
        _ => None,
    });
    if let (None, Some(database)) = (&args.application, configured) {
        return Ok(database.clone());
    }
    let came_from = source.map(|source| source.backup.manifest.source.target.as_str());
    let wanted = args.application.as_deref().or(came_from.filter(|name| !name.is_empty()));
    let found = wanted.and_then(|wanted| {
        let with_database = |(_, target): &(_, &crate::config::ApplicationTarget)| target.database.is_some();
        config.application.iter().filter(with_database).find(|(name, _)| name.as_str() == wanted)
    });
    found.map(|(name, _)| DatabaseRef::Application(name.clone())).ok_or_else(|| {
        let names: Vec<&str> = config.application.keys().map(crate::config::values::Name::as_str).collect();
        let hint = format!("name one that has a \"database\" with --application: {}", names.join(", "));
        CliError::usage("Which application's database?", Some(hint))
    })
}

fn text(plan: &RestorePlan, zone: &TimeZone) -> String {
    let mut out = format!("Restore {}, made {}\n", plan.source, time(plan.created, zone));
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<11} {value}");
    };
    field("to", &plan.to);
    if plan.to != plan.path.display().to_string() {
        field("which is", &plan.path.display().to_string());
    }
    field("brings", &size(plan.bytes));
    let aside = plan.old_bytes.map_or_else(
        || "nothing: there is no database".to_owned(),
        |bytes| format!("{}, with the files beside it", size(bytes)),
    );
    field("sets aside", &aside);
    let service = match (&plan.service, plan.runs) {
        (None, _) => "none is known: whoever has it open keeps this from being done".to_owned(),
        (Some(service), true) => {
            format!("{service} is stopped for the swap, started again, and asked whether it is well")
        }
        (Some(service), false) => format!("{service} does not run; it is started where that is known how"),
    };
    field("application", &service);
    for table in &plan.tables {
        let rows = |rows: Option<u64>| rows.map_or_else(|| "none".to_owned(), |rows| format!("{rows} rows"));
        let change = match (table.now, table.then) {
            (now, then) if now == then => format!("{}, as now", rows(then)),
            (now, then) => format!("{} (now: {})", rows(then), rows(now)),
        };
        field("table", &format!("{}: {change}", table.name));
    }
    for warning in &plan.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    for refusal in &plan.refusals {
        let _ = writeln!(out, "cannot be done: {refusal}");
    }
    out
}

fn failed(error: &SqliteError) -> CliError {
    let code = if matches!(error, SqliteError::Cancelled) { ExitCode::Interrupted } else { ExitCode::Failed };
    CliError::of(code, error, error.hint())
}
