//! Jobs that start in the same minute, so that some have to wait.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::calendar::Scheduled;
use crate::config::read::Report;
use crate::config::values::TargetName;
use crate::schedule::Schedule;
use crate::words;

/// Minutes of each schedule that are compared; enough for a year of hours.
const COMPARED: usize = 10_000;
const YEAR: SignedDuration = SignedDuration::from_hours(366 * 24);
/// How many jobs of a crowd are named.
const NAMED: usize = 5;

/// A minute, counted from 1970.
type Minute = i64;

/// Warns about the jobs that start in the same minute, in the year from `now` on.
pub(super) fn warn(report: &Report<'_>, jobs: &[Scheduled<'_>], max_concurrent: usize, now: Timestamp) {
    let groups = Groups::of(jobs, now);
    same_server(report, jobs, &groups);
    crowd(report, jobs, &groups, max_concurrent);
}

/// Jobs with the same slots: a thousand of them need one walk through the calendar.
struct Groups {
    /// The minutes of each group, in order.
    minutes: Vec<Vec<Minute>>,
    /// The group of each job.
    of_job: Vec<usize>,
}

impl Groups {
    fn of(jobs: &[Scheduled<'_>], now: Timestamp) -> Self {
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut groups = Self { minutes: Vec::new(), of_job: Vec::new() };
        for job in jobs {
            let group = *known.entry(job.schedule.rhythm()).or_insert_with(|| {
                groups.minutes.push(minutes(job.schedule, now));
                groups.minutes.len() - 1
            });
            groups.of_job.push(group);
        }
        groups
    }

    fn minutes_of(&self, job: usize) -> &[Minute] {
        &self.minutes[self.of_job[job]]
    }
}

/// The first minutes of a year in which it has slots.
fn minutes(schedule: &Schedule, now: Timestamp) -> Vec<Minute> {
    let end = now.saturating_add(YEAR).unwrap_or(Timestamp::MAX);
    let next_minute = |slot: &Timestamp| {
        let last_second = Timestamp::from_second(minute(*slot) * 60 + 59).ok()?;
        schedule.next_after(last_second)
    };
    std::iter::successors(schedule.next_after(now), next_minute)
        .take_while(|slot| *slot < end)
        .take(COMPARED)
        .map(minute)
        .collect()
}

fn minute(slot: Timestamp) -> Minute {
    slot.as_second().div_euclid(60)
}

fn told(minute: Minute, schedule: &Schedule) -> String {
    let at = Timestamp::from_second(minute * 60).unwrap_or_default();
    schedule.zone().to_datetime(at).strftime("%-d %B %Y at %H:%M").to_string()
}

/// Two jobs on one server: the second waits for the first.
fn same_server(report: &Report<'_>, jobs: &[Scheduled<'_>], groups: &Groups) {
    let mut taken: BTreeMap<&TargetName, HashMap<Minute, usize>> = BTreeMap::new();
    for (index, second) in jobs.iter().enumerate() {
        let Some(server) = second.job.kind.prometheus() else { continue };
        let taken = taken.entry(server).or_default();
        let minutes = groups.minutes_of(index);
        let both = minutes.iter().find_map(|minute| Some((*taken.get(minute)?, *minute)));
        if let Some((first, minute)) = both {
            let message = format!(
                "jobs \"{}\" and \"{}\" use one Prometheus in the same minute, for instance on {}",
                jobs[first].job.name,
                second.job.name,
                told(minute, second.schedule)
            );
            report.warn(second.span, message, Some("one of them has to wait; move it".to_owned()));
        }
        for minute in minutes {
            taken.entry(*minute).or_insert(index);
        }
    }
}

/// More jobs than may run at a time.
fn crowd(report: &Report<'_>, jobs: &[Scheduled<'_>], groups: &Groups, max_concurrent: usize) {
    let mut sizes = vec![0; groups.minutes.len()];
    for group in &groups.of_job {
        sizes[*group] += 1;
    }
    let mut together: HashMap<Minute, usize> = HashMap::new();
    for (minutes, size) in groups.minutes.iter().zip(&sizes) {
        for minute in minutes {
            *together.entry(*minute).or_default() += size;
        }
    }
    // The first of the fullest minutes.
    let fullest = together.into_iter().max_by_key(|(minute, jobs)| (*jobs, -minute));
    let Some((minute, count)) = fullest.filter(|(_, jobs)| *jobs > max_concurrent) else { return };
    let starts = |index: &usize| groups.minutes_of(*index).binary_search(&minute).is_ok();
    let crowd: Vec<&Scheduled<'_>> = (0..jobs.len()).filter(starts).map(|index| &jobs[index]).collect();
    let Some(last) = crowd.last() else { return };
    let names: Vec<String> = crowd.iter().map(|job| job.job.name.to_string()).collect();
    let message = format!(
        "{count} jobs start in the same minute, for instance on {}, and {max_concurrent} may run at a time, the rest wait: {}",
        told(minute, last.schedule),
        words::some(&names, NAMED)
    );
    let hint =
        "write H for the minute, which is another one for each job, or raise max_concurrent".to_owned();
    report.warn(last.span, message, Some(hint));
}
