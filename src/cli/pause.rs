//! `pause` and `resume`: a job that does not run on its schedule for a while.

use serde_json::json;

use super::exit_code::ExitCode;
use super::output::CliError;
use super::session::Session;
use crate::history::Pause;

/// Characters of a reason: it stands in a line with other things, and in the record of each slot that was not run.
const LONGEST_REASON: usize = 200;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Which job
    job: String,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT", value_parser = one_line)]
    reason: Option<String>,
}

fn one_line(text: &str) -> Result<String, String> {
    let text = text.trim();
    let length = text.chars().count();
    if text.is_empty() {
        Err("it is empty: say why, or leave --reason out".to_owned())
    } else if text.chars().any(char::is_control) {
        Err("it must be one line, without tabs and other control characters".to_owned())
    } else if length > LONGEST_REASON {
        Err(format!("it has {length} characters, and {LONGEST_REASON} is the most: put the rest elsewhere"))
    } else {
        Ok(text.to_owned())
    }
}

pub(super) fn pause(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    let name = &session.job(&args.job)?.name;
    let history = session.history_to_write()?;
    let new = history.pause(name, &Pause { since: session.now, reason: args.reason.clone() })?;
    let pause = history.pause_of(name)?;
    session.out.result(&json!({ "job": name, "paused": pause, "changed": new }), || {
        let since = pause.as_ref().map(|pause| session.time(pause.since)).unwrap_or_default();
        let was = if new { "is paused" } else { "was paused already" };
        format!("{name} {was}, since {since}: `watchkeeper resume {name}` ends that. `run-now` runs it all the same.\n")
    });
    Ok(ExitCode::Ok)
}

pub(super) fn resume(session: &Session, job: &str) -> Result<ExitCode, CliError> {
    let job = session.job(job)?;
    let history = session.history_to_write()?;
    let was = history.resume(&job.name, session.now)?;
    let schedule = job.schedule.as_ref().filter(|_| job.enabled);
    let next = schedule.and_then(|schedule| schedule.next_after(session.now));
    session.out.result(&json!({ "job": job.name, "changed": was, "next": next }), || {
        let next = next.map_or("it has no slot".to_owned(), |next| format!("next {}", session.time(next)));
        let was = if was { "goes on" } else { "was not paused" };
        format!("{} {was}: {next}\n", job.name)
    });
    Ok(ExitCode::Ok)
}
