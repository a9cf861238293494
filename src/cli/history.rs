//! `history` and `show`: what ran.

use std::time::Duration;

use serde_json::json;

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::session::Session;
use crate::config::values::JobName;
use crate::history::{Filter, MissedSlots, RunReport};
use crate::jobs::Outcome;
use crate::standing::{DaemonStanding, LeftWaiting, NO_DAEMON, WAITING};
use crate::{report, words};

#[derive(clap::Args)]
pub(super) struct HistoryArgs {
    /// Only this job's runs
    job: Option<String>,
    /// Only runs that failed or were interrupted
    #[arg(long)]
    failed: bool,
    /// How many, the newest first
    #[arg(short, value_name = "N", default_value_t = 20)]
    n: u32,
}

pub(super) fn list(session: &Session, args: &HistoryArgs) -> Result<ExitCode, CliError> {
    let job = args.job.as_deref().map(str::parse).transpose();
    let job =
        job.map_err(|error: crate::config::values::NameError| CliError::usage(error.to_string(), None))?;
    let filter = Filter { job, failed: args.failed, limit: Some(args.n) };
    let history = session.history()?;
    let runs = match &history {
        Some(history) => history.recent(&filter)?,
        None => Vec::new(),
    };
    let missed = match &history {
        Some(history) if !args.failed => history.recent_missed(filter.job.as_ref(), args.n)?,
        _ => Vec::new(),
    };
    // A job that is no longer configured still has its runs; without any, its name is a slip of the pen.
    if let Some(name) = args.job.as_deref().filter(|_| runs.is_empty() && missed.is_empty()) {
        session.job(name)?;
    }
    let told: Vec<Told<'_>> = missed.iter().map(|(job, slots)| Told { job, slots }).collect();
    let daemon = DaemonStanding::of(session.view(history.as_ref()), [])?;
    let left = LeftWaiting::of(history.as_ref(), &daemon)?;
    session.out.result(&json!({ "runs": runs, "missed": told }), || {
        if runs.is_empty() && missed.is_empty() {
            return if args.failed { "No run failed.\n" } else { "Nothing ran yet.\n" }.to_owned();
        }
        let runs = runs.iter().map(|run| (run.started, row(session, run, left.of_run(Some(run)).is_some())));
        let missed = missed.iter().map(|(job, missed)| (missed.last, of_missed(session, job, missed)));
        let mut rows: Vec<_> = runs.chain(missed).collect();
        rows.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let rows = rows.into_iter().take(args.n as usize).map(|(_, row)| row);
        table(&["run", "job", "cause", "began", "took", "outcome", ""], rows)
    });
    Ok(ExitCode::Ok)
}

/// Slots of a job that did not run.
#[derive(serde::Serialize)]
struct Told<'a> {
    job: &'a JobName,
    #[serde(flatten)]
    slots: &'a MissedSlots,
}

/// Slots that did not run, where they belong among the runs.
fn of_missed(session: &Session, job: &JobName, missed: &MissedSlots) -> Vec<String> {
    let at_least = if missed.at_least { "at least " } else { "" };
    let count = words::count(missed.count, "slot");
    let until =
        if missed.count > 1 { format!(" until {}", session.time(missed.last)) } else { String::new() };
    let told = format!("{at_least}{count}{until}: {}", missed.reason);
    let empty = String::new;
    vec![empty(), job.to_string(), empty(), session.time(missed.first), empty(), "missed".to_owned(), told]
}

/// `is_left`: it waits for its next attempt, and no daemon runs.
fn row(session: &Session, run: &RunReport, is_left: bool) -> Vec<String> {
    let took = run.millis().map(|millis| words::duration(Duration::from_millis(millis)));
    let told = run.reason.clone().or_else(|| run.output.as_ref().map(|output| output.summary.clone()));
    let told = if is_left { [told, Some(NO_DAEMON.to_owned())] } else { [told, None] };
    let outcome = if is_left { WAITING } else { run.outcome.map_or("running", Outcome::word) };
    vec![
        run.run.to_string(),
        run.job.to_string(),
        run.cause.to_string(),
        session.time(run.started),
        took.unwrap_or_default(),
        outcome.to_owned(),
        told.into_iter().flatten().collect::<Vec<_>>().join("; "),
    ]
}

pub(super) fn show(session: &Session, run: &str) -> Result<ExitCode, CliError> {
    let Some(history) = session.history()? else {
        return Err(CliError::usage(format!("No run is called {run:?}"), Some("nothing ran yet".to_owned())));
    };
    let run = history.show(run)?;
    session.out.result(&run, || {
        let log: String = report::log(&run, session.zone());
        format!("{}{log}", report::text(&run, session.zone()))
    });
    Ok(ExitCode::Ok)
}
