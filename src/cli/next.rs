//! `next`: when jobs are due.

use serde::Serialize;
use serde_json::json;

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::session::Session;
use crate::config::JobConfig;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Only this job
    job: Option<String>,
    /// How many times
    #[arg(short, value_name = "N", default_value_t = 3)]
    n: usize,
}

#[derive(Serialize)]
struct Upcoming {
    job: String,
    enabled: bool,
    schedule: Option<String>,
    slots: Vec<jiff::Timestamp>,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    let jobs: Vec<&JobConfig> = match &args.job {
        Some(name) => vec![session.job(name)?],
        None => session.config.jobs.iter().collect(),
    };
    let upcoming: Vec<Upcoming> = jobs.iter().map(|job| upcoming(session, job, args.n)).collect();
    session.out.result(&json!({ "jobs": upcoming }), || {
        let rows = upcoming.iter().flat_map(|job| rows(session, job));
        table(&["job", "schedule", "next"], rows)
    });
    Ok(ExitCode::Ok)
}

fn upcoming(session: &Session, job: &JobConfig, n: usize) -> Upcoming {
    let mut slots = Vec::new();
    let mut after = session.now;
    if let Some(schedule) = job.schedule.as_ref().filter(|_| job.enabled) {
        while slots.len() < n
            && let Some(slot) = schedule.next_after(after)
        {
            slots.push(slot);
            after = slot;
        }
    }
    let schedule = job.schedule.as_ref().map(ToString::to_string);
    Upcoming { job: job.name.to_string(), enabled: job.enabled, schedule, slots }
}

fn rows(session: &Session, job: &Upcoming) -> Vec<Vec<String>> {
    let schedule = job.schedule.clone().unwrap_or_else(|| "none: only by hand".to_owned());
    let row = |next: String| vec![job.job.clone(), schedule.clone(), next];
    if !job.enabled {
        return vec![row("never: it is disabled".to_owned())];
    }
    if job.slots.is_empty() {
        return vec![row(String::new())];
    }
    job.slots.iter().map(|slot| row(session.time(*slot))).collect()
}
