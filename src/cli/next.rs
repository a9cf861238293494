//! `next`: when jobs are due. Without a job, the plan of the coming day; with one, what its schedule means and its
//! coming slots.

mod day;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;

use super::exit_code::ExitCode;
use super::output::CliError;
use super::session::Session;
use crate::config::JobConfig;
use crate::config::values::JobName;
use crate::history::{History, Pause};
use crate::schedule::Schedule;
use crate::standing::{DaemonStanding, PausedBefore};
use crate::words;

/// How many slots of a job are shown unless told.
const SHOWN: usize = 3;
/// A date with its day of the week, a time and the offset.
const SLOT: &str = "%a %Y-%m-%d %H:%M:%S %:z";

#[derive(clap::Args)]
pub(super) struct Args {
    /// Only this job: what its schedule means, and its coming slots
    job: Option<String>,
    /// So many slots of each job, in place of the plan of the coming day
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    n: Option<u32>,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    let history = session.history()?;
    let history = history.as_ref();
    let (pauses, before) = (pauses(session, history)?, paused_before(session, history)?);
    let named = args.job.as_deref().map(|name| session.job(name)).transpose()?;
    let watched: Vec<&JobConfig> =
        named.map_or_else(|| session.config.jobs.iter().collect(), |job| vec![job]);
    let standing = DaemonStanding::of(session.view(history), watched)?;
    let n = args.n.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let known = Known { pauses, before, standing };
    match (&args.job, n) {
        (Some(name), n) => of_jobs(session, &known, &[session.job(name)?], n.unwrap_or(SHOWN)),
        (None, Some(n)) => of_jobs(session, &known, &session.config.jobs.iter().collect::<Vec<_>>(), n),
        (None, None) => day::show(session, &known),
    }
    Ok(ExitCode::Ok)
}

/// The jobs that are paused.
type Pauses = BTreeMap<JobName, Pause>;

/// The paused jobs that others wait for.
type Before = BTreeMap<JobName, Vec<PausedBefore>>;

/// What is known beside the configuration.
struct Known {
    pauses: Pauses,
    before: Before,
    standing: DaemonStanding,
}

impl Known {
    /// What a job waits for, in words; nothing where no job that it runs after is paused.
    fn waits(&self, session: &Session, job: &JobName) -> Option<String> {
        let paused = self.before.get(job)?.iter().map(|paused| paused.words(session.zone()));
        Some(paused.collect::<Vec<_>>().join("; "))
    }
}

fn paused_before(session: &Session, history: Option<&History>) -> Result<Before, CliError> {
    let Some(history) = history else { return Ok(Before::new()) };
    let mut before = Before::new();
    for job in &session.config.jobs {
        let paused = PausedBefore::of(&session.config, history, job)?;
        before.extend((!paused.is_empty()).then(|| (job.name.clone(), paused)));
    }
    Ok(before)
}

fn pauses(session: &Session, history: Option<&History>) -> Result<Pauses, CliError> {
    let Some(history) = history else { return Ok(Pauses::new()) };
    let mut pauses = Pauses::new();
    for job in &session.config.jobs {
        pauses.extend(history.pause_of(&job.name)?.map(|pause| (job.name.clone(), pause)));
    }
    Ok(pauses)
}

/// The slots of a job.
#[derive(Serialize)]
struct Upcoming {
    job: String,
    enabled: bool,
    schedule: Option<String>,
    /// What the schedule means, in words.
    meaning: Option<String>,
    /// What it runs after, where it has no schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// A run begins up to so much later than its slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter_seconds: Option<u64>,
    /// It does not run on its schedule for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Pause>,
    /// The paused jobs that it waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paused_before: Vec<PausedBefore>,
    slots: Vec<Timestamp>,
    #[serde(skip)]
    local: Vec<String>,
    #[serde(skip)]
    waits: Option<String>,
}

/// What is to be said where no daemon runs.
fn warning(session: &Session, standing: &DaemonStanding) -> String {
    standing.words(session.zone()).map(|words| format!("\nCAUTION: {words}.\n")).unwrap_or_default()
}

fn of_jobs(session: &Session, known: &Known, jobs: &[&JobConfig], n: usize) {
    let standing = &known.standing;
    let upcoming: Vec<Upcoming> = jobs.iter().map(|job| upcoming(session, known, job, n)).collect();
    session.out.result(&json!({ "jobs": upcoming, "daemon": standing }), || {
        let jobs = upcoming.iter().map(|job| text(session, job)).collect::<Vec<_>>().join("\n");
        jobs + &warning(session, standing)
    });
}

fn upcoming(session: &Session, known: &Known, job: &JobConfig, n: usize) -> Upcoming {
    let slots: Vec<Timestamp> =
        scheduled(job).map(|schedule| slots(schedule, session.now).take(n).collect()).unwrap_or_default();
    let local = |schedule: &Schedule| slots.iter().map(|slot| local(*slot, schedule.zone())).collect();
    Upcoming {
        job: job.name.to_string(),
        enabled: job.enabled,
        schedule: job.schedule.as_ref().map(ToString::to_string),
        meaning: job.schedule.as_ref().map(Schedule::describe),
        after: job.after.as_ref().map(|_| after_words(job)),
        jitter_seconds: Some(job.slots.jitter.as_secs()).filter(|seconds| *seconds > 0),
        paused: known.pauses.get(&job.name).cloned(),
        paused_before: known.before.get(&job.name).cloned().unwrap_or_default(),
        waits: known.waits(session, &job.name),
        local: job.schedule.as_ref().map(local).unwrap_or_default(),
        slots,
    }
}

fn text(session: &Session, job: &Upcoming) -> String {
    let mut text = format!("{}\n", job.job);
    match (&job.schedule, &job.meaning) {
        (Some(schedule), Some(meaning)) => {
            let _ = writeln!(text, "  schedule  {schedule}\n  means     {meaning}");
        }
        _ if job.after.is_some() => {
            let _ = writeln!(text, "  runs      {}", job.after.as_deref().unwrap_or_default());
        }
        _ => text.push_str("  no schedule: it runs only by `watchkeeper run-now`\n"),
    }
    if job.schedule.is_some() && !job.enabled {
        text.push_str("  disabled: it runs only by `watchkeeper run-now`\n");
    }
    if let Some(pause) = &job.paused {
        let _ = writeln!(
            text,
            "  PAUSED    {}: no slot runs until `watchkeeper resume {}`",
            pause.words(session.zone()),
            job.job
        );
    }
    if let Some(waits) = &job.waits {
        let _ = writeln!(text, "  waits     {waits}");
    }
    if let Some(seconds) = job.jitter_seconds {
        let most = words::duration(Duration::from_secs(seconds));
        let _ = writeln!(text, "  jitter    a run begins up to {most} later than its slot");
    }
    for (index, slot) in job.local.iter().enumerate() {
        let _ = writeln!(text, "  {:<8}  {slot}", if index == 0 { "due" } else { "" });
    }
    text
}

fn after_words(job: &JobConfig) -> String {
    let jobs = job.after.as_ref().map(|after| after.jobs.clone()).unwrap_or_default();
    let names: Vec<String> = jobs.iter().map(ToString::to_string).collect();
    format!("after {}", names.join(" and "))
}

fn scheduled(job: &JobConfig) -> Option<&Schedule> {
    job.schedule.as_ref().filter(|_| job.enabled)
}

fn slots(schedule: &Schedule, after: Timestamp) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(schedule.next_after(after), |slot| schedule.next_after(*slot))
}

fn local(slot: Timestamp, zone: &TimeZone) -> String {
    slot.to_zoned_datetime(zone.clone()).strftime(SLOT).to_string()
}
