//! Whether a daemon runs, and which slots no daemon has accounted for yet: without one, a plan is only a plan.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::View;
use crate::config::JobConfig;
use crate::config::values::JobName;
use crate::history::{History, HistoryError, RunReport, WaitingRun, Watched};
use crate::runner::{Heartbeat, Lock, Locks};
use crate::schedule::{Known, Schedule};
use crate::words;

/// So many slots of a job are counted.
const COUNTED: usize = 1_000;

/// The runs that wait for their next attempt and for a daemon to make it. None while one runs.
pub struct LeftWaiting(Vec<WaitingRun>);

impl LeftWaiting {
    /// Of a history.
    pub fn of(history: Option<&History>, daemon: &DaemonStanding) -> Result<Self, HistoryError> {
        let history = history.filter(|_| !daemon.is_running());
        Ok(Self(history.map(History::waiting).transpose()?.unwrap_or_default()))
    }

    /// The run, where it is one of them.
    pub fn of_run(&self, run: Option<&RunReport>) -> Option<&WaitingRun> {
        let run = run.filter(|run| run.outcome.is_none())?.run;
        self.0.iter().find(|waiting| waiting.report.run == run)
    }
}

/// How it stands with the daemon.
#[derive(Debug, Clone, Serialize)]
pub struct DaemonStanding {
    running: bool,
    /// When one last lived, to a minute; nothing where none ever did.
    last_alive: Option<Timestamp>,
    /// Slots since then of which nobody knows yet what becomes of them.
    unaccounted: usize,
    /// There are more: nobody counted on.
    at_least: bool,
}

impl DaemonStanding {
    /// With what is open of these jobs.
    pub fn of<'a>(
        view: View<'_>,
        jobs: impl IntoIterator<Item = &'a JobConfig>,
    ) -> Result<Self, HistoryError> {
        let state_dir = &view.config.state_dir;
        let running = Locks::new(state_dir).is_held(&Lock::Daemon);
        let last_alive = Heartbeat::new(state_dir).last();
        let mut standing = Self { running, last_alive, unaccounted: 0, at_least: false };
        let Some(history) = view.history.filter(|_| !running) else { return Ok(standing) };
        for job in jobs {
            for note in history.watched(&job.name)? {
                let count = open(view, history, job, &note)?;
                standing.unaccounted += count;
                standing.at_least |= count >= COUNTED;
            }
        }
        Ok(standing)
    }

    /// Whether a daemon runs.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// When one last lived, to a minute; nothing where none ever did.
    pub fn last_alive(&self) -> Option<Timestamp> {
        self.last_alive
    }

    /// What is to be said where no daemon runs any more. One that never ran is not missed: systemd may keep the time.
    pub fn words(&self, zone: &TimeZone) -> Option<String> {
        let since = words::time(self.last_alive.filter(|_| !self.running)?, zone);
        let at_least = if self.at_least { "at least " } else { "" };
        let open = match self.unaccounted {
            0 => "no slot came since then".to_owned(),
            1 => "1 slot since then is not accounted for yet".to_owned(),
            count => {
                format!("{at_least}{} since then are not accounted for yet", words::count(count, "slot"))
            }
        };
        Some(format!("no daemon runs here since {since}; {open}. `systemctl start watchkeeper` starts one"))
    }
}

/// The slots of a job under one of its schedules that have no fate yet, as many as are counted.
fn open(view: View<'_>, history: &History, job: &JobConfig, note: &Watched) -> Result<usize, HistoryError> {
    let own = job.schedule.as_ref().filter(|_| job.enabled && note.ended.is_none()).cloned();
    let Some(schedule) = own.or_else(|| of_note(view, note, &job.name)) else { return Ok(0) };
    let since = note.until.max(note.born);
    let end = note.ended.map_or(view.now, |end| end.min(view.now));
    let missed = history.missed_after(&job.name, since)?;
    let known = Known {
        slots: history.slots_after(&job.name, since)?,
        missed: missed.into_iter().map(|missed| (missed.first, missed.last)).collect(),
    };
    Ok(schedule.unknown(since, end, &known, COUNTED).len())
}

fn of_note(view: View<'_>, note: &Watched, job: &JobName) -> Option<Schedule> {
    let zone = match note.zone.as_str() {
        "" => view.config.timezone.clone(),
        name => TimeZone::get(name).ok()?,
    };
    Schedule::parse(&note.schedule, &zone, job.as_str()).ok()
}
