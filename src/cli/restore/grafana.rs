//! `restore` of a Grafana: shows what differs, asks, writes that, proves it, and can take it back.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::choose::{self, Found};
use super::{Args, nothing_done, with_app};
use crate::app::{App, GrafanaAction, GrafanaOpenError, count_text, secret_text};
use crate::cli::bar;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::CliError;
use crate::cli::session::Session;
use crate::config::values::JobName;
use crate::config::{GrafanaTarget, JobKind};
use crate::grafana::object::{ObjectType, Selector};
use crate::grafana::restore::RestoreError;
use crate::grafana::restore::plan::{Action, Choice, RestorePlan};
use crate::grafana::restore::secrets::Secrets;
use crate::grafana::restore::source::GrafanaBackup;
use crate::words::time;

/// Restores, or tells what that would do.
pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    if args.after.resume || args.after.discard_old {
        let hint = "run the restore again: it writes only what still differs".to_owned();
        return Err(CliError::usage(
            "A restore of a Grafana sets nothing aside, and is finished by restoring again",
            Some(hint),
        ));
    }
    with_app(session, async |app, cancel| {
        if args.after.undo {
            undo(session, app, args, cancel).await
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
    let choice = choice(args)?;
    let (backup, job, reading) = if let Some(path) = &args.from {
        let backup = GrafanaBackup::outside(path).map_err(|error| failed(&error))?;
        let job = backup.job.clone();
        (backup, job, None)
    } else {
        let found = choose::backup(session, args.wanted());
        let Found { backup, job, reading } = found?;
        (GrafanaBackup::of(backup).map_err(|error| failed(&error))?, Some(job), reading)
    };
    if let Some(folder) = &args.into {
        let files = backup.unpack(folder, cancel).map_err(|error| failed(&error))?;
        let title = backup.title.clone();
        session.out.result(&json!({ "source": title, "into": folder, "files": files }), || {
            format!("{title}: {files} files in {}\n", folder.display())
        });
        return Ok(ExitCode::Ok);
    }
    let target = whose(session, args, job.as_ref(), Some(&backup.target))?;
    let from = backup.made_from();
    let job = job.or_else(|| job_of(session, target)).unwrap_or_else(|| target.name.clone());
    let site = app.open_grafana(target, &job).await.map_err(|error| not_opened(&error))?;
    let sink = bar::sink(session);
    let prepared =
        app.prepare_grafana(&site, (&job, session.now), backup, choice, sink, cancel.clone()).await;
    let prepared = prepared.map_err(|error| not_opened(&error))?;
    // It is unpacked: what lies in its folder, and is old, may go when the restore is done.
    drop(reading);
    let plan = &prepared.plan;
    let nothing_to_do = plan.is_done() && plan.refusals.is_empty();
    if nothing_to_do && !args.dry_run {
        app.settle_grafana(&site, &prepared, (&job, session.now)).map_err(|error| failed(&error))?;
    }
    if args.dry_run || nothing_to_do {
        session.out.result(&json!({ "plan": plan, "made_from": from }), || {
            text("Restore", plan, session.zone(), args.dry_run) + &choose::from_text(from.as_deref())
        });
        return Ok(code_of(plan));
    }
    let told = text("Restore", plan, session.zone(), false) + &choose::from_text(from.as_deref());
    session.out.say(told.trim_end());
    if let Some(refusal) = plan.refusals.first() {
        return Err(failed(&RestoreError::Refused { refusal: refusal.clone() }));
    }
    if !args.yes && !session.out.ask("Restore this?") {
        return Ok(nothing_done(session));
    }
    let command = command(session, &job, target);
    let action = GrafanaAction::Apply(Box::new(prepared));
    let report = app.run_grafana(&job, site, action, command, bar::sink(session)).await;
    session.out.result(&json!({ "runs": [report] }), || session.report(&report));
    Ok(ExitCode::of(&report))
}

async fn undo(
    session: &Session,
    app: &App,
    args: &Args,
    cancel: &CancellationToken,
) -> Result<ExitCode, CliError> {
    let job = choose::job_called(session, args.what.as_deref())?;
    let kept_of =
        job.as_ref().and_then(|job| choose::newest_origin(session, job)).map(|origin| origin.target);
    let target = whose(session, args, job.as_ref(), kept_of.as_deref().or_else(|| only_one(session)))?;
    // Target names are job names as far as their letters go.
    let job = job.or_else(|| job_of(session, target)).unwrap_or_else(|| target.name.clone());
    let site = app.open_grafana(target, &job).await.map_err(|error| not_opened(&error))?;
    let sink = bar::sink(session);
    let prepared = app.prepare_undo_of_grafana(&site, (&job, session.now), sink, cancel.clone()).await;
    let prepared = prepared.map_err(|error| not_opened(&error))?;
    let plan = &prepared.plan;
    let head = format!("Take back the restore of {}: bring back", prepared.restored());
    if args.dry_run {
        let document = json!({ "restored": prepared.restored(), "plan": plan });
        session.out.result(&document, || text(&head, plan, session.zone(), true));
        return Ok(code_of(plan));
    }
    session.out.say(text(&head, plan, session.zone(), false).trim_end());
    if let Some(refusal) = plan.refusals.first() {
        return Err(failed(&RestoreError::Refused { refusal: refusal.clone() }));
    }
    if !args.yes && !session.out.ask("Take this back?") {
        return Ok(nothing_done(session));
    }
    let command = command(session, &job, target);
    let action = GrafanaAction::Undo(Box::new(prepared));
    let report = app.run_grafana(&job, site, action, command, bar::sink(session)).await;
    session.out.result(&json!({ "runs": [report] }), || session.report(&report));
    Ok(ExitCode::of(&report))
}

fn choice(args: &Args) -> Result<Choice, CliError> {
    let selectors = |texts: &[String]| -> Result<Vec<Selector>, CliError> {
        let parsed = texts.iter().map(|text| text.parse::<Selector>());
        parsed.collect::<Result<_, _>>().map_err(|error| {
            let types: Vec<&str> = ObjectType::ALL.into_iter().map(ObjectType::name).collect();
            CliError::usage(
                error.to_string(),
                Some(format!("TYPE or TYPE/UID; the types are {}", types.join(", "))),
            )
        })
    };
    let secrets = match &args.secrets {
        Some(path) => Secrets::read(path).map_err(|error| failed(&error.into()))?,
        None => Secrets::default(),
    };
    Ok(Choice::new(selectors(&args.only)?, selectors(&args.exclude)?, secrets))
}

/// The Grafana that is meant: the one that was named, else the job's, else the one that the backup came from.
fn whose<'a>(
    session: &'a Session,
    args: &Args,
    job: Option<&JobName>,
    came_from: Option<&str>,
) -> Result<&'a GrafanaTarget, CliError> {
    let config = &session.config;
    let configured = job.and_then(|job| config.job(job.as_str())).and_then(|job| match &job.kind {
        JobKind::GrafanaExport(config) => Some(config.grafana.as_str()),
        _ => None,
    });
    let wanted = args.grafana.as_deref().or(configured).or(came_from.filter(|name| !name.is_empty()));
    let found =
        wanted.and_then(|wanted| config.grafana.values().find(|target| target.name.as_str() == wanted));
    found.ok_or_else(|| {
        let names: Vec<&str> = config.grafana.keys().map(crate::config::values::Name::as_str).collect();
        let hint = if names.is_empty() {
            "the configuration has no [grafana.NAME]".to_owned()
        } else {
            format!("name one with --grafana: {}", names.join(", "))
        };
        CliError::usage("Which Grafana?", Some(hint))
    })
}

/// The Grafana of the configuration, where it has just one. To take back a restore of it harms no other one: what was
/// kept says of which it is.
fn only_one(session: &Session) -> Option<&str> {
    let mut all = session.config.grafana.values();
    all.next().filter(|_| all.next().is_none()).map(|target| target.name.as_str())
}

fn job_of(session: &Session, target: &GrafanaTarget) -> Option<JobName> {
    let is_its =
        |kind: &JobKind| matches!(kind, JobKind::GrafanaExport(config) if config.grafana == target.name);
    session.config.jobs.iter().find(|job| is_its(&job.kind)).map(|job| job.name.clone())
}

/// What a person types to restore this one again.
fn command(session: &Session, job: &JobName, target: &GrafanaTarget) -> String {
    let is_its =
        |kind: &JobKind| matches!(kind, JobKind::GrafanaExport(config) if config.grafana == target.name);
    match session.config.job(job.as_str()) {
        Some(known) if is_its(&known.kind) => format!("watchkeeper restore {job}"),
        Some(known) if matches!(known.kind, JobKind::GrafanaExport(_)) => {
            format!("watchkeeper restore {job} --grafana {}", target.name)
        }
        _ => format!("watchkeeper restore --grafana {}", target.name),
    }
}

/// What a plan alone says of the end, as its run would: what could not be done, what needs a look.
fn code_of(plan: &RestorePlan) -> ExitCode {
    if !plan.refusals.is_empty() || plan.blocked().next().is_some() {
        ExitCode::Failed
    } else if plan.warnings.is_empty() && plan.secrets.is_empty() {
        ExitCode::Ok
    } else {
        ExitCode::Warned
    }
}

/// The plan, with what is done in front. `all` also lists what is the same.
fn text(doing: &str, plan: &RestorePlan, zone: &TimeZone, all: bool) -> String {
    let made = plan.created.map(|at| format!(", made {}", time(at, zone))).unwrap_or_default();
    let mut out = format!("{doing} {}{made}\n", plan.source);
    let version =
        |version: &Option<String>| version.clone().unwrap_or_else(|| "of an unknown version".to_owned());
    let _ = writeln!(out, "  from  Grafana {}", version(&plan.from_version));
    let _ = writeln!(out, "  to    Grafana {} at {}", version(&plan.to_version), plan.to);
    for item in plan.items.iter().filter(|item| {
        all && item.id.kind != ObjectType::Plugins || item.action.writes() || item.action == Action::Blocked
    }) {
        let place = item.id.organisation.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
        let note = item.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        let _ = writeln!(out, "  {:7}  {} ({}){place}{note}", item.action.word(), item.id, item.title);
    }
    for (kind, counts) in plan.counts() {
        let _ = writeln!(out, "  {}", count_text(kind.name(), &counts));
    }
    for secret in &plan.secrets {
        let _ = writeln!(out, "warning: {}", secret_text(secret));
    }
    for warning in &plan.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    for refusal in &plan.refusals {
        let _ = writeln!(out, "cannot be done: {refusal}");
    }
    if plan.is_done() && plan.refusals.is_empty() {
        let _ = writeln!(out, "Nothing to do: everything that can be restored is as the backup has it");
    }
    out
}

fn failed(error: &RestoreError) -> CliError {
    let code = match error {
        _ if error.data_not_back() => ExitCode::DataNotBack,
        _ if error.is_interruption() => ExitCode::Interrupted,
        RestoreError::FitsNothing { .. } => ExitCode::Usage,
        _ => ExitCode::Failed,
    };
    CliError::of(code, error, error.hint())
}

fn not_opened(error: &GrafanaOpenError) -> CliError {
    match error {
        GrafanaOpenError::Restore(error) => failed(error),
        GrafanaOpenError::Target(_) | GrafanaOpenError::Away(_) => {
            CliError::of(ExitCode::Failed, error, error.hint())
        }
    }
}
