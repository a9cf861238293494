//! How a job stands.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::overdue::overdue;
use super::{
    DaemonStanding, LeftWaiting, Listings, Overdue, PausedBefore, StandingError, StoreStanding, View, WAITING,
};
use crate::config::values::JobName;
use crate::config::{JobConfig, Target};
use crate::history::{History, MissedSlots, Pause, RunReport};
use crate::jobs::Outcome;
use crate::runner::{self, Lock, Locks};

/// However many jobs run one after another.
const LONGEST_CHAIN: u32 = 64;

/// So many of the newest runs are looked at for how long they took.
const PAST: u32 = 24;

/// How a job stands.
#[derive(Debug, Clone, Serialize)]
pub struct JobStanding {
    /// Its name.
    pub job: JobName,
    /// What it does: `prometheus-snapshot`.
    pub kind: &'static str,
    /// The name of the target that it is about, where it is about one.
    pub target: Option<String>,
    /// Whether it runs on its schedule.
    pub enabled: bool,
    /// The newest run that was not skipped; a restore is none.
    pub last: Option<LastRun>,
    /// When it last ended well, with warnings or without.
    pub last_success: Option<Timestamp>,
    /// So many runs have failed or were interrupted since then.
    pub failures: usize,
    /// The newest restore of its backups, or what was done with one after it.
    pub restore: Option<LastRun>,
    /// Since when it is expected to run: a daemon watches its schedule, or that of what it runs after, and it is not paused.
    pub watched_since: Option<Timestamp>,
    /// The next slot.
    pub next: Option<Timestamp>,
    /// It does not run on its schedule for a while.
    pub pause: Option<Pause>,
    /// The paused jobs that it waits for, where it runs after others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paused_before: Vec<PausedBefore>,
    /// What its slots wait for that are due and have not begun, the oldest first.
    pub waits_for: Vec<String>,
    /// A slot, or a run that waits for its next attempt, is later than it may be.
    pub overdue: Option<Overdue>,
    /// It runs far longer than it usually does.
    pub too_long: Option<TooLong>,
    /// The slots that were missed, those of a pause left out, as far as the history reaches.
    pub missed: usize,
    /// The newest of them.
    pub last_missed: Option<MissedSlots>,
    /// The newest runs that were not skipped, oldest first.
    pub past: Vec<PastRun>,
    /// The newest runs that failed, were interrupted or had warnings, oldest first: some of them may be older than all of
    /// [`JobStanding::past`].
    #[serde(skip)]
    pub bad: Vec<PastRun>,
    /// Its backups.
    #[serde(flatten)]
    pub store: StoreStanding,
}

/// A run, in short.
#[derive(Debug, Clone, Serialize)]
pub struct LastRun {
    /// Which, for `show`.
    pub run: String,
    /// `running` while it does; `waiting` where it is under way, but nobody makes its next attempt: no daemon runs.
    pub outcome: &'static str,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Why it was not done.
    pub reason: Option<String>,
    /// What it warned of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// A restore failed, and the data that were there before are not back.
    pub data_not_back: bool,
}

/// A run goes on far longer than those before it took.
#[derive(Debug, Clone, Serialize)]
pub struct TooLong {
    /// When it began.
    pub since: Timestamp,
    /// How long its runs usually take, in milliseconds.
    pub usual_millis: u64,
}

/// What of a run is compared with others.
#[derive(Debug, Clone, Serialize)]
pub struct PastRun {
    /// Which, for `show`.
    pub run: String,
    /// When it began.
    pub started: Timestamp,
    /// How it ended, or `running`.
    pub outcome: &'static str,
    /// How long it took, in milliseconds.
    pub millis: Option<u64>,
    /// The stored size of its backup in bytes, where it made one.
    pub bytes: Option<u64>,
}

impl PastRun {
    /// How it ended is known.
    pub fn has_ended(&self) -> bool {
        self.millis.is_some()
    }
}

impl LastRun {
    fn of(report: &RunReport) -> Self {
        Self {
            run: report.run.to_string(),
            outcome: report.outcome.map_or("running", Outcome::word),
            started: report.started,
            finished: report.finished,
            reason: report.reason.clone(),
            warnings: Vec::new(),
            data_not_back: report.data_not_back,
        }
    }

    /// Whether it failed or was interrupted.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, "failed" | "interrupted")
    }
}

impl JobStanding {
    /// Of what nothing is known.
    fn of_nothing(job: JobName, kind: &'static str) -> Self {
        Self {
            job,
            kind,
            target: None,
            enabled: true,
            last: None,
            last_success: None,
            failures: 0,
            restore: None,
            watched_since: None,
            next: None,
            pause: None,
            paused_before: Vec::new(),
            waits_for: Vec::new(),
            overdue: None,
            too_long: None,
            missed: 0,
            last_missed: None,
            past: Vec::new(),
            bad: Vec::new(),
            store: StoreStanding::default(),
        }
    }

    /// The newest restore, where it failed: whatever was backed up since, what was to come back did not.
    pub fn failed_restore(&self) -> Option<&LastRun> {
        self.restore.as_ref().filter(|restore| restore.failed())
    }

    /// Whether somebody has to look at it.
    pub fn is_bad(&self) -> bool {
        // The next run, while it goes on, makes it no better.
        let failed = self.failures > 0 || self.failed_restore().is_some();
        failed || self.overdue.is_some() || self.store.broken > 0 || self.store.bad > 0
    }
}

/// How the jobs of the configuration stand.
pub(super) fn all(
    view: View<'_>,
    daemon: &DaemonStanding,
    listings: &mut Listings,
) -> Result<Vec<JobStanding>, StandingError> {
    let newest = |read: fn(&History) -> _| view.history.map(read).transpose().map(Option::unwrap_or_default);
    let (last, restores): (BTreeMap<_, RunReport>, BTreeMap<_, RunReport>) =
        (newest(History::last_per_job)?, newest(History::last_restore_per_job)?);
    let left = LeftWaiting::of(view.history, daemon)?;
    let mut of = |job: &JobConfig| {
        let stands = of_history(view, job, (last.get(&job.name), restores.get(&job.name)))?;
        let waits_for = match view.history.filter(|_| daemon.is_running()) {
            Some(history) => history.waits(&job.name)?.into_iter().map(|wait| wait.what).collect(),
            None => Vec::new(),
        };
        let mut stands = JobStanding { waits_for, store: listings.of(view.store, job, view.now)?, ..stands };
        let left = left.of_run(last.get(&job.name));
        if let (Some(_), Some(last)) = (left, &mut stands.last) {
            last.outcome = WAITING;
        }
        let left = left.and_then(|waiting| Overdue::at(waiting.due, view.now));
        stands.overdue = left.or(stands.overdue);
        Ok(stands)
    };
    view.config.jobs.iter().map(&mut of).collect()
}

/// How the recoveries of a target stand, of which `last` is the newest.
pub(super) fn of_recoveries(
    history: &History,
    target: &Target,
    last: &RunReport,
) -> Result<JobStanding, StandingError> {
    let job = target.recoveries();
    let (last_success, failures) = history.last_success(&job)?;
    Ok(JobStanding {
        target: Some(target.to_string()),
        last: Some(LastRun { warnings: history.warnings(last.run)?, ..LastRun::of(last) }),
        last_success,
        failures,
        past: past(&history.newest_that_ran(&job, PAST)?),
        bad: past(&history.newest_bad(&job, PAST)?),
        ..JobStanding::of_nothing(job, Target::RECOVERY_KIND)
    })
}

fn of_history(
    view: View<'_>,
    job: &JobConfig,
    (last, restore): (Option<&RunReport>, Option<&RunReport>),
) -> Result<JobStanding, StandingError> {
    let schedule = job.schedule.as_ref().filter(|_| job.enabled);
    let mut stands = JobStanding {
        target: job.kind.target().map(ToString::to_string),
        enabled: job.enabled,
        last: last.map(LastRun::of),
        restore: restore.map(LastRun::of),
        next: schedule.and_then(|schedule| schedule.next_after(view.now)),
        ..JobStanding::of_nothing(job.name.clone(), job.kind.kind_name())
    };
    let Some(history) = view.history else { return Ok(stands) };
    if let (Some(last), Some(run)) = (&mut stands.last, last) {
        last.warnings = history.warnings(run.run)?;
    }
    stands.pause = history.pause_of(&job.name)?;
    stands.paused_before = PausedBefore::of(view.config, history, job)?;
    (stands.last_success, stands.failures) = history.last_success(&job.name)?;
    stands.missed = history.count_lost(&job.name)?;
    stands.last_missed = history.last_lost(&job.name)?;
    stands.past = past(&history.newest_that_ran(&job.name, PAST)?);
    stands.bad = past(&history.newest_bad(&job.name, PAST)?);
    stands.watched_since = watched_since(view, history, job)?;
    // One that waits for its next attempt, and for a daemon to make it, is not running.
    let is_held = || Locks::new(&view.config.state_dir).is_held(&Lock::Job(job.name.clone()));
    let is_running = last.is_some_and(|last| last.outcome.is_none()) && is_held();
    if let Some(last) = last.filter(|_| is_running) {
        let taken = view.now.duration_since(last.started).unsigned_abs();
        let usual = history.usual(&job.name, None)?;
        stands.too_long = runner::too_long(job.anomalies, taken, &usual)
            .map(|usual| TooLong { since: last.started, usual_millis: whole_millis(usual) });
    }
    if stands.pause.is_none() && !is_running {
        stands.overdue = overdue(history, job, (last, stands.watched_since), view.now)?;
    }
    Ok(stands)
}

/// Of the newest first, the oldest first.
fn past(runs: &[RunReport]) -> Vec<PastRun> {
    let of = |run: &RunReport| PastRun {
        run: run.run.to_string(),
        started: run.started,
        outcome: run.outcome.map_or("running", Outcome::word),
        millis: run.millis(),
        bytes: run.output.as_ref().and_then(|output| output.bytes),
    };
    runs.iter().rev().map(of).collect()
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Since when a job is expected to run: since the daemon watches its schedule, or that of what it runs after, or since the
/// last slot of a pause.
fn watched_since(
    view: View<'_>,
    history: &History,
    job: &JobConfig,
) -> Result<Option<Timestamp>, StandingError> {
    let born = born(view, history, job, LONGEST_CHAIN)?;
    let newest = history.missed(&job.name, 1)?.pop();
    let paused = newest.filter(MissedSlots::are_of_a_pause).map(|missed| missed.last);
    Ok(born.map(|born| paused.map_or(born, |paused| paused.max(born))))
}

/// Since when the daemon watches the schedule that the job has now, or the youngest of those that it runs after.
fn born(
    view: View<'_>,
    history: &History,
    job: &JobConfig,
    longest: u32,
) -> Result<Option<Timestamp>, StandingError> {
    let Some(schedule) = job.schedule.as_ref().map(ToString::to_string) else {
        let before = job.after.iter().filter(|_| longest > 0).flat_map(|after| &after.jobs);
        let before = before.filter_map(|name| view.config.job(name.as_str()));
        let born =
            before.map(|before| born(view, history, before, longest - 1)).collect::<Result<Vec<_>, _>>()?;
        return Ok(born.into_iter().flatten().max());
    };
    let watched = history.watched(&job.name)?;
    let current = watched.iter().find(|watched| watched.ended.is_none() && watched.schedule == schedule);
    Ok(current.map(|watched| watched.born))
}
