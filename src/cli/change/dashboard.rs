//! `change dashboard`: shows what differs, asks, does it, and tells what was proven.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::{Asking, hint_of_targets, nothing_done, read, shown, with_app};
use crate::app::{App, DashboardAction};
use crate::cli::bar;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::CliError;
use crate::cli::session::Session;
use crate::config::GrafanaTarget;
use crate::config::values::Name;
use crate::grafana::change::{Cut, DashboardError, DashboardPlan};
use crate::history::RunReport;

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The dashboard, as Grafana exports it, or as its API or a change has kept it
    file: PathBuf,
    /// The folder, by title or UID [default: where it is; a new one, General]
    #[arg(long, value_name = "NAME")]
    folder: Option<String>,
    /// The Grafana of the configuration [default: the only one]
    #[arg(long, value_name = "NAME")]
    grafana: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    let target = whose(session, args.grafana.as_deref())?;
    let bytes = read(&args.file)?;
    args.asking.check(session, "Grafana")?;
    with_app(session, async |app| change(session, app, target, &bytes, args).await)
}

async fn change(
    session: &Session,
    app: &App,
    target: &GrafanaTarget,
    bytes: &[u8],
    args: &Args,
) -> Result<ExitCode, CliError> {
    let site = app.open_dashboards(target).await;
    let site = Arc::new(site.map_err(|failure| CliError {
        code: ExitCode::Failed,
        message: failure.reason,
        hint: failure.hint,
    })?);
    let mut runs = Vec::new();
    if let Some(cut) = site.cut().map_err(|error| failed(&error))? {
        session.out.say(&told(session, &cut));
        if !args.asking.dry_run {
            if !args.asking.agrees(session, "Settle it first?") {
                return Ok(nothing_done(session));
            }
            let settle = DashboardAction::Settle;
            let report = app.run_dashboard(target, Arc::clone(&site), settle, bar::sink(session)).await;
            let code = ExitCode::of(&report);
            runs.push(report);
            if !matches!(code, ExitCode::Ok | ExitCode::Warned) {
                shown(session, &runs);
                return Ok(code);
            }
        }
    }
    let plan = site.plan(bytes, &args.file, args.folder.as_deref()).await;
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            if !session.out.json {
                shown(session, &runs);
            }
            return Err(failed(&error));
        }
    };
    if args.asking.dry_run {
        session.out.result(&json!({ "plan": plan }), || text(&plan));
        return Ok(ExitCode::Ok);
    }
    if plan.is_done() {
        session.out.result(&json!({ "plan": plan, "runs": runs }), || {
            format!("{}{}\nThat is so already: Grafana has it.\n", texts(session, &runs), plan.what)
        });
        return Ok(worst(&runs));
    }
    session.out.say(text(&plan).trim_end());
    if !args.asking.agrees(session, "Change this?") {
        return Ok(nothing_done(session));
    }
    let apply = DashboardAction::Apply(Arc::new(plan));
    let report = app.run_dashboard(target, site, apply, bar::sink(session)).await;
    runs.push(report);
    shown(session, &runs);
    Ok(worst(&runs))
}

/// How the last one ended; where that is well, and one before it is not, that one.
fn worst(runs: &[RunReport]) -> ExitCode {
    let mut codes = runs.iter().rev().map(ExitCode::of);
    codes.find(|code| *code != ExitCode::Ok).unwrap_or(ExitCode::Ok)
}

/// The reports of what was settled before.
fn texts(session: &Session, runs: &[RunReport]) -> String {
    runs.iter().map(|report| session.report(report) + "\n").collect()
}

fn told(session: &Session, cut: &Cut) -> String {
    format!(
        "A change was cut, begun {}: {}. It was not proven, and is settled before another one.",
        session.time(cut.began),
        cut.what
    )
}

/// The Grafana that is meant: the one that was named, else the only one.
fn whose<'a>(session: &'a Session, named: Option<&str>) -> Result<&'a GrafanaTarget, CliError> {
    let all = &session.config.grafana;
    let known: Vec<&str> = all.keys().map(Name::as_str).collect();
    let found = match named {
        Some(named) => all.values().find(|target| target.name.as_str() == named),
        None => all.values().next().filter(|_| all.len() == 1),
    };
    found.ok_or_else(|| {
        let message = match named {
            Some(named) => format!("There is no [grafana.{named}] in {}", session.config.path.display()),
            None => "Which Grafana?".to_owned(),
        };
        CliError::usage(message, Some(hint_of_targets("grafana", &known)))
    })
}

fn text(plan: &DashboardPlan) -> String {
    let same = if plan.diff.is_empty() { "  no difference in the dashboard itself\n" } else { "" };
    format!("{}\n{}{same}", plan.what, plan.diff)
}

fn failed(error: &DashboardError) -> CliError {
    let code = match error {
        DashboardError::NoDashboard { .. }
        | DashboardError::NoFolder { .. }
        | DashboardError::Ambiguous { .. } => ExitCode::Usage,
        _ => ExitCode::Failed,
    };
    CliError::of(code, error, error.hint())
}
