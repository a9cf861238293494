//! What became of the last slots of a job.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::output::{CliError, table};
use crate::cli::session::Session;
use crate::config::JobConfig;
use crate::config::values::JobName;
use crate::history::{Cause, History, MissedSlots, RunReport, Wait};
use crate::jobs::Outcome;
use crate::standing::{DaemonStanding, LeftWaiting, WAITING};
use crate::words;

/// What became of a slot, or of several that follow each other.
#[derive(Serialize)]
pub(super) struct SlotFate {
    first: Timestamp,
    last: Timestamp,
    count: usize,
    /// There were more: nobody counted on.
    at_least: bool,
    /// `ran`, `caught up`, `skipped`, `missed` or `waiting`
    fate: &'static str,
    /// How the run ended, or why there was none.
    detail: String,
}

/// Where fates are looked up.
pub(super) struct Source<'a> {
    pub(super) session: &'a Session,
    pub(super) history: &'a History,
    /// The job as it is configured, where it is.
    pub(super) job: Option<&'a JobConfig>,
    pub(super) daemon: &'a DaemonStanding,
}

/// The newest slots, the newest first, at most so many.
pub(super) fn of(source: &Source<'_>, job: &JobName, most: u32) -> Result<Vec<SlotFate>, CliError> {
    let Source { session, history, .. } = source;
    let left = LeftWaiting::of(Some(history), source.daemon)?;
    let mut fates = Vec::new();
    for run in history.recent_slots(job, most)? {
        let resumed = history.resumed(run.run)?;
        let stands_for = stands_for(source, &run)?;
        fates.extend(
            of_run(run, resumed, (&left, session.zone()))
                .map(|fate| SlotFate { detail: format!("{}{stands_for}", fate.detail), ..fate }),
        );
    }
    fates.extend(history.missed(job, most)?.into_iter().map(of_missed));
    fates.extend(history.waits(job)?.into_iter().map(|wait| of_wait(&wait, source.daemon.is_running())));
    fates.sort_by_key(|fate| std::cmp::Reverse(fate.last));
    fates.truncate(most as usize);
    Ok(fates)
}

/// Of a run after others: for how many ends it stands, where they are several.
fn stands_for(source: &Source<'_>, run: &RunReport) -> Result<String, CliError> {
    let Cause::After(slot) = run.cause else { return Ok(String::new()) };
    let after = source.job.and_then(|job| job.after.as_ref());
    let since = source.history.after_before(&run.job, slot)?;
    let (Some(after), Some(since)) = (after, since) else { return Ok(String::new()) };
    let mut told = Vec::new();
    for before in &after.jobs {
        let ends = source.history.ends(before, since, slot)?.len();
        if ends > 1 {
            told.push(format!("{ends} ends of {before}"));
        }
    }
    Ok(if told.is_empty() { String::new() } else { format!("; it stands for {}", told.join(" and ")) })
}

fn of_wait(wait: &Wait, is_daemon_running: bool) -> SlotFate {
    let detail = if is_daemon_running {
        format!("it waits for {}", wait.what)
    } else {
        format!("it waited for {} when the daemon ended; the next one decides", wait.what)
    };
    SlotFate { first: wait.slot, last: wait.slot, count: 1, at_least: false, fate: "waiting", detail }
}

fn of_run(
    run: RunReport,
    resumed: Option<Timestamp>,
    (left, zone): (&LeftWaiting, &TimeZone),
) -> Option<SlotFate> {
    let is_left = left.of_run(Some(&run)).is_some();
    let slot = run.cause.slot()?;
    let reason = run.reason.unwrap_or_default();
    let (fate, detail) = match (run.outcome, run.cause) {
        (Some(Outcome::Skipped), _) => ("skipped", reason),
        (outcome, cause) => {
            let fate = if matches!(cause, Cause::CatchUp(_)) { "caught up" } else { "ran" };
            let word = if is_left { WAITING } else { outcome.map_or("running", Outcome::word) };
            // One that waits says what for.
            let waits =
                if outcome.is_none() && !reason.is_empty() { format!(": {reason}") } else { String::new() };
            let resumed = resumed
                .map(|at| format!(", went on at {} after a restart of the daemon", words::time(at, zone)));
            (fate, format!("{word}{waits}{}; `watchkeeper show {}`", resumed.unwrap_or_default(), run.run))
        }
    };
    Some(SlotFate { first: slot, last: slot, count: 1, at_least: false, fate, detail })
}

fn of_missed(missed: MissedSlots) -> SlotFate {
    let MissedSlots { first, last, count, at_least, reason } = missed;
    SlotFate { first, last, count, at_least, fate: "missed", detail: reason }
}

/// The slots as a table; nothing where there are none.
pub(super) fn text(session: &Session, fates: &[SlotFate]) -> String {
    if fates.is_empty() {
        return String::new();
    }
    let slot = |fate: &SlotFate| match fate.count {
        1 => session.time(fate.first),
        count => {
            let (count, at_least) =
                (words::grouped(count as u64), if fate.at_least { "at least " } else { "" });
            format!("{at_least}{count} from {} to {}", session.time(fate.first), session.time(fate.last))
        }
    };
    let rows = fates.iter().map(|fate| vec![slot(fate), fate.fate.to_owned(), fate.detail.clone()]);
    format!("\n{}", table(&["slot", "fate", ""], rows))
}
