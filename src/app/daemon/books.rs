//! What became of every slot, in the history. A history that cannot be written is told of and keeps no job from running.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::schedule_of;
use crate::blocking::blocking;
use crate::config::values::{JobName, OnMissed, SlotRules};
use crate::config::{After, AfterOutcome, JobConfig};
use crate::history::{History, HistoryError, MissedSlots, Pause, Watched};
use crate::jobs::Outcome;
use crate::schedule::driver::Leap;
use crate::schedule::{Missed, Schedule};
use crate::words;

/// Keeps the account of slots.
pub(super) struct Books {
    history: Arc<History>,
    /// The zone in which reasons name times.
    zone: TimeZone,
}

impl Books {
    pub(super) fn new(history: Arc<History>, zone: TimeZone) -> Self {
        Self { history, zone }
    }

    /// Looks which slots up to `now` were missed: since they were last known, or in a leap of the clock. Notes those that
    /// are given up, and returns those to run.
    pub(super) async fn settle(&self, job: &JobConfig, now: Timestamp, leap: Option<Leap>) -> Vec<Timestamp> {
        let Some(schedule) = schedule_of(job).cloned() else { return Vec::new() };
        let (job, zone) = (job.clone(), self.zone.clone());
        let settled = self.with_history(move |history| {
            Settling { history, job: &job, schedule: &schedule, zone: &zone }.settle(now, leap)
        });
        settled.await.unwrap_or_default()
    }

    /// A job of another configuration: its slots are watched from now on, unless they were before.
    pub(super) async fn adopt(&self, job: &JobConfig, now: Timestamp) {
        let Some(schedule) = schedule_of(job).cloned() else { return };
        let name = job.name.clone();
        let adopt = move |history: &History| {
            let known = history.watched(&name)?;
            let watched = watched(&schedule, now);
            let is_same = known
                .is_some_and(|known| (&known.schedule, &known.zone) == (&watched.schedule, &watched.zone));
            if is_same { Ok(()) } else { history.watch(&name, &watched, None) }
        };
        self.with_history(adopt).await;
    }

    /// Forgets how far the slots of other jobs were watched: when one comes back, it has missed nothing.
    pub(super) async fn forget_others(&self, jobs: &[JobConfig]) {
        let names: BTreeSet<JobName> = jobs.iter().map(|job| job.name.clone()).collect();
        self.with_history(move |history| history.watch_only(&names)).await;
    }

    /// Every slot up to this one ran or was skipped.
    pub(super) async fn known_until(&self, job: &JobConfig, slot: Timestamp) {
        let Some(schedule) = schedule_of(job) else { return };
        let (name, watched) = (job.name.clone(), watched(schedule, slot));
        self.with_history(move |history| history.watch(&name, &watched, None)).await;
    }

    /// A job that runs after others: what ended before now is nothing to it, unless it was watched before.
    pub(super) async fn adopt_after(&self, job: &JobConfig, now: Timestamp) {
        let Some(after) = &job.after else { return };
        let (name, watched) = (job.name.clone(), watched_after(after, now));
        let adopt = move |history: &History| {
            let known = history.watched(&name)?;
            let is_same = known.is_some_and(|known| known.schedule == watched.schedule);
            if is_same { Ok(()) } else { history.watch(&name, &watched, None) }
        };
        self.with_history(adopt).await;
    }

    /// The slot of a job that runs after others, where all of them have ended since the last one: when the last of them
    /// did. With why it is to be skipped, if it is.
    pub(super) async fn due_after(&self, job: &JobConfig) -> Option<(Timestamp, Option<String>)> {
        let (name, after) = (job.name.clone(), job.after.clone()?);
        self.with_history(move |history| due_after(history, &name, &after)).await?
    }

    /// Why a job is not to run now, where it is paused.
    pub(super) async fn pause(&self, job: &JobName) -> Option<String> {
        let name = job.clone();
        let pause = self.with_history(move |history| history.pause_of(&name)).await??;
        Some(paused(&pause, &self.zone))
    }

    /// A slot that did not run; all before it are known.
    pub(super) async fn missed(&self, job: &JobConfig, slot: Timestamp, reason: String) {
        let Some(schedule) = schedule_of(job) else { return };
        let (name, watched) = (job.name.clone(), watched(schedule, slot));
        let missed = MissedSlots { first: slot, last: slot, count: 1, reason };
        self.with_history(move |history| history.watch(&name, &watched, Some(&missed))).await;
    }

    async fn with_history<T: Send + 'static>(
        &self,
        work: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
    ) -> Option<T> {
        let history = Arc::clone(&self.history);
        let result = blocking(move || work(&history)).await;
        result
            .inspect_err(|error| {
                tracing::error!(error = words::chain(error), "what became of slots is not known");
            })
            .ok()
    }
}

/// The account of one job.
struct Settling<'a> {
    history: &'a History,
    job: &'a JobConfig,
    schedule: &'a Schedule,
    zone: &'a TimeZone,
}

impl Settling<'_> {
    fn settle(&self, now: Timestamp, leap: Option<Leap>) -> Result<Vec<Timestamp>, HistoryError> {
        let name = &self.job.name;
        let known = self.history.watched(name)?;
        let since = match (leap, &known) {
            (Some(leap), _) => leap.from,
            // A clock that was ahead when they were noted: they are in the past as far as they can be.
            (None, Some(known)) => known.until.min(now),
            (None, None) => now,
        };
        let pause = self.history.pause_of(name)?;
        let rules = match pause {
            Some(_) => SlotRules { on_missed: OnMissed::Skip, ..self.job.slots },
            None => self.job.slots,
        };
        // Those of the schedule that was in force, not of one that was written since.
        let schedule = known.and_then(|known| self.former(&known)).unwrap_or_else(|| self.schedule.clone());
        let slots = self.history.slots_after(name, since)?;
        let Missed { catch_up, given_up } = schedule.missed(since, now, &slots, rules);
        let reason = match pause {
            Some(pause) => paused(&pause, self.zone),
            None => unwatched(since, now, leap, self.zone),
        };
        let until = match (&catch_up[..], given_up) {
            ([], _) => now,
            (_, Some(given_up)) => given_up.last,
            (_, None) => since,
        };
        let given_up = given_up.map(|given| MissedSlots {
            first: given.first,
            last: given.last,
            count: given.count,
            reason,
        });
        if let Some(missed) = &given_up {
            tracing::warn!(job = %name, missed = missed.count, caught_up = catch_up.len(), "{}", missed.reason);
        }
        self.history.watch(name, &watched(self.schedule, until), given_up.as_ref())?;
        Ok(catch_up)
    }

    /// The schedule that was noted, where it is another one.
    fn former(&self, known: &Watched) -> Option<Schedule> {
        let now = watched(self.schedule, known.until);
        if now == *known {
            return None;
        }
        let zone = TimeZone::get(&known.zone).ok()?;
        Schedule::parse(&known.schedule, &zone, self.job.name.as_str()).ok()
    }
}

fn due_after(
    history: &History,
    job: &JobName,
    after: &After,
) -> Result<Option<(Timestamp, Option<String>)>, HistoryError> {
    let Some(watched) = history.watched(job)? else { return Ok(None) };
    let since = history.last_after(job)?.map_or(watched.until, |slot| slot.max(watched.until));
    let (mut slot, mut failed) = (since, None);
    for before in &after.jobs {
        match history.last_ended(before)?.filter(|(ended, _)| *ended > since) {
            None => return Ok(None),
            Some((ended, outcome)) => {
                slot = slot.max(ended);
                let is_well = matches!(outcome, Outcome::Done | Outcome::Warned);
                if !is_well && after.outcome == AfterOutcome::Success {
                    failed = Some(format!("the run of {before} that it runs after was {}", outcome.word()));
                }
            }
        }
    }
    Ok(Some((slot, failed)))
}

fn watched_after(after: &After, until: Timestamp) -> Watched {
    let names: Vec<&str> = after.jobs.iter().map(JobName::as_str).collect();
    Watched { schedule: format!("after {}", names.join(", ")), zone: String::new(), until }
}

fn watched(schedule: &Schedule, until: Timestamp) -> Watched {
    let zone = schedule.zone().iana_name().unwrap_or_default().to_owned();
    Watched { schedule: schedule.to_string(), zone, until }
}

fn paused(pause: &Pause, zone: &TimeZone) -> String {
    let why = pause.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("paused since {}{why}", words::time(pause.since, zone))
}

fn unwatched(from: Timestamp, to: Timestamp, leap: Option<Leap>, zone: &TimeZone) -> String {
    let (from, to) = (words::time(from, zone), words::time(to, zone));
    match leap {
        Some(_) => format!("the clock was set, or the machine was suspended, from {from} to {to}"),
        None => format!("no daemon ran them between {from} and {to}"),
    }
}
