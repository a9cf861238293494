//! `history` and `show`: what ran.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::session::{Session, time};
use crate::config::values::JobName;
use crate::history::{Filter, Founded, History, HistoryError, LogLine, MissedSlots, RunReport, RunState};
use crate::jobs::Outcome;
use crate::standing::{DaemonStanding, LeftWaiting, NO_DAEMON, WAITING, lost};
use crate::{report, words};

#[derive(clap::Args)]
pub(super) struct HistoryArgs {
    /// Only this job's runs
    job: Option<String>,
    /// Only runs that failed or were interrupted
    #[arg(long, conflicts_with = "outcome")]
    failed: bool,
    /// Only what ended so; may be given several times, or with commas
    #[arg(long, value_enum, value_delimiter = ',')]
    outcome: Vec<Ended>,
    /// Only what began at this time or later: `2026-11-23`, `2026-11-23T02:00:00`, or with an offset
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what began before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many, the newest first
    #[arg(short, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    n: u32,
    /// Which N of them: 2 are the N before the newest N
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    page: u32,
}

/// How a line of the history ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Ended {
    Done,
    Warned,
    Failed,
    Skipped,
    Interrupted,
    Running,
    /// Slots that did not run at all
    Missed,
}

impl Ended {
    /// The condition of runs; nothing where it is none of a run.
    fn of_run(self) -> Option<RunState> {
        match self {
            Self::Done => Some(RunState::Ended(Outcome::Done)),
            Self::Warned => Some(RunState::Ended(Outcome::Warned)),
            Self::Failed => Some(RunState::Ended(Outcome::Failed)),
            Self::Skipped => Some(RunState::Ended(Outcome::Skipped)),
            Self::Interrupted => Some(RunState::Ended(Outcome::Interrupted)),
            Self::Running => Some(RunState::Running),
            Self::Missed => None,
        }
    }
}

impl HistoryArgs {
    fn ended(&self) -> Vec<Ended> {
        if self.failed { vec![Ended::Failed, Ended::Interrupted] } else { self.outcome.clone() }
    }

    /// Of runs and of missed slots so many are read: all up to the last one shown, and one to know whether there are more.
    fn read(&self) -> u32 {
        self.n.saturating_mul(self.page).saturating_add(1)
    }

    fn filter(&self, session: &Session) -> Result<Filter, CliError> {
        let job = self.job.as_deref().map(str::parse).transpose();
        let job =
            job.map_err(|error: crate::config::values::NameError| CliError::usage(error.to_string(), None))?;
        let time = |text: &Option<String>| text.as_deref().map(|text| time(session, text)).transpose();
        let (since, until) = (time(&self.since)?, time(&self.until)?);
        let states = self.ended().into_iter().filter_map(Ended::of_run).collect();
        Ok(Filter { job, states, since, until, limit: Some(self.read()) })
    }

    /// Whether the filter lets runs, and missed slots, through.
    fn wants(&self) -> (bool, bool) {
        let ended = self.ended();
        let runs = ended.is_empty() || ended.iter().any(|ended| *ended != Ended::Missed);
        (runs, ended.is_empty() || ended.contains(&Ended::Missed))
    }
}

/// A line of the history.
enum Entry {
    Run(Box<RunReport>),
    Missed(JobName, MissedSlots),
}

impl Entry {
    fn at(&self) -> Timestamp {
        match self {
            Self::Run(run) => run.started,
            Self::Missed(_, missed) => missed.last,
        }
    }
}

pub(super) fn list(session: &Session, args: &HistoryArgs) -> Result<ExitCode, CliError> {
    let filter = args.filter(session)?;
    let (Seen { page, founded, left }, code) = session.read_history(|history| {
        Ok(match history {
            Some(history) => Seen::of(session, history, (&filter, args))?,
            None => Seen::of_nothing(session, args)?,
        })
    })?;
    let Page { entries, is_empty, has_more } = page;
    // A job that is no longer configured still has its runs; without any, its name is a slip of the pen.
    if let Some(name) = args.job.as_deref().filter(|_| is_empty) {
        session.job(name)?;
    }
    let json = told(&entries, args, has_more);
    session.out.result(&json, || {
        if entries.is_empty() {
            return none(args, is_empty).to_owned();
        }
        let row = |entry: &Entry| match entry {
            Entry::Run(run) => row(session, run, left.of_run(Some(run)).is_some()),
            Entry::Missed(job, missed) => of_missed(session, job, missed),
        };
        let more =
            if has_more { format!("\nThere are more: --page {}\n", args.page + 1) } else { String::new() };
        let lost = founded.as_ref().map(|founded| format!("\nCAUTION: {}.\n", founded.words(session.zone())));
        table(&["run", "job", "cause", "began", "took", "outcome", ""], entries.iter().map(row))
            + &more
            + &lost.unwrap_or_default()
    });
    Ok(code)
}

/// The entries that are shown.
struct Page {
    entries: Vec<Entry>,
    /// There are none on any page.
    is_empty: bool,
    has_more: bool,
}

impl Page {
    fn of(mut all: Vec<Entry>, args: &HistoryArgs) -> Self {
        let (n, before) = (args.n as usize, (args.n as usize).saturating_mul(args.page as usize - 1));
        let (is_empty, has_more) = (all.is_empty(), all.len() > before.saturating_add(n));
        let entries = all.drain(before.min(all.len())..).take(n).collect();
        Self { entries, is_empty, has_more }
    }
}

/// What is read of the history.
struct Seen {
    page: Page,
    /// It stands in the place of one that was lost.
    founded: Option<Founded>,
    left: LeftWaiting,
}

impl Seen {
    fn of(
        session: &Session,
        history: &History,
        (filter, args): (&Filter, &HistoryArgs),
    ) -> Result<Self, HistoryError> {
        let mut page = Page::of(entries(history, filter, args)?, args);
        add_warnings(history, &mut page.entries)?;
        let view = session.view(Some(history));
        let daemon = DaemonStanding::of(view, [])?;
        Ok(Self { page, founded: lost(view), left: LeftWaiting::of(Some(history), &daemon)? })
    }

    fn of_nothing(session: &Session, args: &HistoryArgs) -> Result<Self, HistoryError> {
        let daemon = DaemonStanding::of(session.view(None), [])?;
        Ok(Self { page: Page::of(Vec::new(), args), founded: None, left: LeftWaiting::of(None, &daemon)? })
    }
}

/// What is shown, and what might be on later pages, the newest first.
fn entries(history: &History, filter: &Filter, args: &HistoryArgs) -> Result<Vec<Entry>, HistoryError> {
    let (wants_runs, wants_missed) = args.wants();
    let runs = if wants_runs { history.recent(filter)? } else { Vec::new() };
    // Those of the time are sought among all: a stretch is one line, however long it is.
    let missed = if wants_missed { history.recent_missed(filter)? } else { Vec::new() };
    let missed = missed.into_iter().map(|(job, missed)| Entry::Missed(job, missed));
    let mut all: Vec<Entry> = runs.into_iter().map(|run| Entry::Run(Box::new(run))).chain(missed).collect();
    all.sort_by_key(|entry| std::cmp::Reverse(entry.at()));
    Ok(all)
}

/// What the runs that are shown warned of: else nobody would see why they are.
fn add_warnings(history: &History, entries: &mut [Entry]) -> Result<(), HistoryError> {
    for entry in entries {
        if let Entry::Run(run) = entry
            && run.outcome == Some(Outcome::Warned)
        {
            run.warnings = history.warnings(run.run)?;
        }
    }
    Ok(())
}

fn told(entries: &[Entry], args: &HistoryArgs, has_more: bool) -> serde_json::Value {
    let runs = entries.iter().filter_map(|entry| match entry {
        Entry::Run(run) => Some(run),
        Entry::Missed(..) => None,
    });
    let missed = entries.iter().filter_map(|entry| match entry {
        Entry::Missed(job, slots) => Some(Told { job, slots }),
        Entry::Run(_) => None,
    });
    json!({
        "runs": runs.collect::<Vec<_>>(), "missed": missed.collect::<Vec<_>>(), "page": args.page, "more": has_more,
    })
}

fn none(args: &HistoryArgs, is_empty: bool) -> &'static str {
    let is_filtered = !args.outcome.is_empty() || args.since.is_some() || args.until.is_some();
    match (is_empty, args.failed, is_filtered) {
        (false, ..) => "There are not so many pages.\n",
        (_, _, true) => "Nothing in the history is so.\n",
        (_, true, _) => "No run failed.\n",
        _ => "Nothing ran yet.\n",
    }
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
    let warning = || {
        let more = run.warnings.len().saturating_sub(1);
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        run.warnings.first().map(|warning| format!("{warning}{more}"))
    };
    let told = run.reason.clone().or_else(warning);
    let told = told.or_else(|| run.output.as_ref().map(|output| output.summary.clone()));
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

#[derive(clap::Args)]
pub(super) struct ShowArgs {
    /// Its ID, or the beginning of it; a job's name means its newest run
    run: String,
    /// Only so many of the last log lines; 0: none
    #[arg(long, value_name = "N")]
    log: Option<usize>,
    /// Only log lines that are at least so grave
    #[arg(long, value_enum)]
    level: Option<Level>,
}

/// How grave a log line is.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
}

impl Level {
    /// Whether a line with this level is shown.
    fn lets_through(self, line: &LogLine) -> bool {
        match self {
            Self::Error => line.level == "ERROR",
            Self::Warn => matches!(line.level.as_str(), "ERROR" | "WARN"),
            Self::Info => matches!(line.level.as_str(), "ERROR" | "WARN" | "INFO"),
        }
    }
}

pub(super) fn show(session: &Session, args: &ShowArgs) -> Result<ExitCode, CliError> {
    let Some(history) = session.history()? else {
        let hint = Some("nothing ran yet".to_owned());
        return Err(CliError::usage(format!("No run is called {:?}", args.run), hint));
    };
    let mut run = history.show(&called(&history, &args.run)?)?;
    run.log.retain(|line| args.level.is_none_or(|level| level.lets_through(line)));
    let hidden = args.log.map_or(0, |lines| run.log.len().saturating_sub(lines));
    run.log.drain(..hidden);
    session.out.result(&run, || {
        let log: String = report::log(&run, session.zone());
        format!("{}{log}", report::text(&run, session.zone()))
    });
    Ok(ExitCode::Ok)
}

/// The ID of the run that is called so: that of the newest, where a job is.
fn called(history: &History, text: &str) -> Result<String, CliError> {
    let Ok(job) = text.parse::<JobName>() else { return Ok(text.to_owned()) };
    let newest = history.newest_run(&job)?;
    Ok(newest.map_or_else(|| text.to_owned(), |run| run.run.to_string()))
}
