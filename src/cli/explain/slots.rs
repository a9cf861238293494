//! What became of the last slots of a job.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::output::{CliError, table};
use crate::cli::session::Session;
use crate::config::values::JobName;
use crate::history::{History, MissedSlots, RunReport};
use crate::jobs::Outcome;
use crate::words;

/// How many are shown.
const SHOWN: u32 = 10;

/// What became of a slot, or of several that follow each other.
#[derive(Serialize)]
pub(super) struct SlotFate {
    first: Timestamp,
    last: Timestamp,
    count: usize,
    /// `ran`, `caught up`, `skipped` or `missed`
    fate: &'static str,
    /// How the run ended, or why there was none.
    detail: String,
}

/// The newest slots, the newest first.
pub(super) fn of(history: &History, job: &JobName, zone: &TimeZone) -> Result<Vec<SlotFate>, CliError> {
    let mut runs = Vec::new();
    for run in history.recent_slots(job, SHOWN)? {
        let resumed = history.resumed(run.run)?;
        runs.extend(of_run(run, resumed, zone));
    }
    let missed = history.missed(job, SHOWN)?.into_iter().map(of_missed);
    let mut fates: Vec<SlotFate> = runs.into_iter().chain(missed).collect();
    fates.sort_by_key(|fate| std::cmp::Reverse(fate.last));
    fates.truncate(SHOWN as usize);
    Ok(fates)
}

fn of_run(run: RunReport, resumed: Option<Timestamp>, zone: &TimeZone) -> Option<SlotFate> {
    let slot = run.cause.slot()?;
    let reason = run.reason.unwrap_or_default();
    let (fate, detail) = match (run.outcome, run.cause) {
        (Some(Outcome::Skipped), _) => ("skipped", reason),
        (outcome, cause) => {
            let fate = if matches!(cause, crate::history::Cause::CatchUp(_)) { "caught up" } else { "ran" };
            let word = outcome.map_or("running", Outcome::word);
            // One that waits says what for.
            let waits =
                if outcome.is_none() && !reason.is_empty() { format!(": {reason}") } else { String::new() };
            let resumed = resumed
                .map(|at| format!(", went on at {} after a restart of the daemon", words::time(at, zone)));
            (fate, format!("{word}{waits}{}; `watchkeeper show {}`", resumed.unwrap_or_default(), run.run))
        }
    };
    Some(SlotFate { first: slot, last: slot, count: 1, fate, detail })
}

fn of_missed(missed: MissedSlots) -> SlotFate {
    let MissedSlots { first, last, count, reason } = missed;
    SlotFate { first, last, count, fate: "missed", detail: reason }
}

/// The slots as a table; nothing where there are none.
pub(super) fn text(session: &Session, fates: &[SlotFate]) -> String {
    if fates.is_empty() {
        return String::new();
    }
    let slot = |fate: &SlotFate| match fate.count {
        1 => session.time(fate.first),
        count => format!("{count} from {} to {}", session.time(fate.first), session.time(fate.last)),
    };
    let rows = fates.iter().map(|fate| vec![slot(fate), fate.fate.to_owned(), fate.detail.clone()]);
    format!("\n{}", table(&["slot", "fate", ""], rows))
}
