//! Schedules that do what is written, and not what was meant.
//!
//! One leap year is looked at, always the same, so that a file is judged alike on every day.

use std::collections::BTreeMap;

use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};

use crate::config::job::Placed;
use crate::config::read::Report;
use crate::schedule::{ClockChange, Direction, Schedule, ShortMonths};
use crate::words;

/// 2028-01-01T00:00:00Z
const START: i64 = 1_830_297_600;
/// Slots of each schedule that are compared; enough for a year of hours.
const COMPARED: usize = 10_000;
/// So many jobs in one minute are a crowd, where fewer may run at a time.
const CROWD: usize = 5;

/// A job that runs by itself.
struct Scheduled<'a> {
    placed: &'a Placed,
    schedule: &'a Schedule,
}

/// Warns about the schedules of all jobs that run by themselves.
pub(in crate::config) fn schedules(report: &Report<'_>, jobs: &[Placed], max_concurrent: usize) {
    let scheduled: Vec<Scheduled<'_>> = jobs
        .iter()
        .filter(|placed| placed.job.enabled)
        .filter_map(|placed| Some(Scheduled { placed, schedule: placed.job.schedule.as_ref()? }))
        .collect();
    for job in &scheduled {
        clock_changes(report, job);
        absent_dates(report, job);
    }
    same_minute(report, &scheduled);
    crowd(report, &scheduled, max_concurrent);
}

fn year() -> (Timestamp, Timestamp) {
    let start = Timestamp::from_second(START).unwrap_or_default();
    (start, start.saturating_add(SignedDuration::from_hours(366 * 24)).unwrap_or(Timestamp::MAX))
}

/// Times of day that do not come, or come twice, when clocks are changed.
fn clock_changes(report: &Report<'_>, job: &Scheduled<'_>) {
    let (from, to) = year();
    let changes = job.schedule.clock_changes(from, to);
    let told: Vec<String> = changes.iter().map(|change| told(change, job.schedule)).collect();
    if !told.is_empty() {
        let message = format!("job \"{}\" when clocks are changed: {}", job.placed.job.name, told.join("; "));
        let zone = job.schedule.zone().iana_name().unwrap_or("its zone");
        let hint = format!(
            "it runs once on these days too; to be clear of it, move it to an hour that {zone} does not change, or set timezone = \"UTC\""
        );
        report.warn(&job.placed.span, message, Some(hint));
    }
}

fn told(change: &ClockChange, schedule: &Schedule) -> String {
    let time = change.civil.strftime("%H:%M");
    let day = change.civil.strftime("%-d %B");
    let due = change.due.to_zoned_datetime(schedule.zone().clone());
    match change.direction() {
        Direction::Forward => {
            format!("{time} does not come on {day} 2028, and it runs at {} then", due.strftime("%H:%M"))
        }
        Direction::Back => format!(
            "{time} comes twice on {day} 2028, and it runs the first time, at {}",
            due.strftime("%H:%M%:z")
        ),
    }
}

/// Days that some months do not have.
fn absent_dates(report: &Report<'_>, job: &Scheduled<'_>) {
    let Some(ShortMonths { first_day, months, are_all }) = job.schedule.short_months() else { return };
    if are_all {
        let message = format!("job \"{}\" runs in leap years only: on 29 February", job.placed.job.name);
        return report.warn(
            &job.placed.span,
            message,
            Some("`0 0 L 2 *` is the last day of February".to_owned()),
        );
    }
    let names: Vec<String> = months.iter().map(|month| month_name(*month)).collect();
    let leap = if first_day == 29 { ", but for 29 February of leap years" } else { "" };
    let message = format!(
        "job \"{}\" does not run in {}, which has no day {first_day}{leap}",
        job.placed.job.name,
        names.join(", ")
    );
    report.warn(&job.placed.span, message, Some("write L for the last day of every month".to_owned()));
}

fn month_name(month: usize) -> String {
    let month = i8::try_from(month).unwrap_or(1);
    date(2028, month, 1).strftime("%B").to_string()
}

/// Two jobs on one server that start in the same minute: the second waits for the first.
fn same_minute(report: &Report<'_>, jobs: &[Scheduled<'_>]) {
    for (index, second) in jobs.iter().enumerate() {
        let both = jobs[..index].iter().find_map(|first| Some((first, meets(first, second)?)));
        if let Some((first, minute)) = both {
            let when = second.schedule.zone().to_datetime(minute).strftime("%d %B at %H:%M").to_string();
            let message = format!(
                "jobs \"{}\" and \"{}\" use one Prometheus in the same minute, for instance on {when}",
                first.placed.job.name, second.placed.job.name
            );
            report.warn(&second.placed.span, message, Some("one of them has to wait; move it".to_owned()));
        }
    }
}

/// A minute in which both run, within a year.
fn meets(first: &Scheduled<'_>, second: &Scheduled<'_>) -> Option<Timestamp> {
    let server = first.placed.job.kind.prometheus()?;
    if second.placed.job.kind.prometheus() != Some(server) {
        return None;
    }
    let (start, end) = year();
    let (mut one, mut other) = (first.schedule.next_after(start)?, second.schedule.next_after(start)?);
    for _ in 0..COMPARED {
        if minute(one) == minute(other) {
            return Some(one);
        }
        let (behind, schedule) =
            if one < other { (&mut one, first.schedule) } else { (&mut other, second.schedule) };
        *behind = schedule.next_after(*behind).filter(|slot| *slot < end)?;
    }
    None
}

fn minute(slot: Timestamp) -> i64 {
    slot.as_second().div_euclid(60)
}

/// Many jobs that start in the same minute: most of them wait.
fn crowd(report: &Report<'_>, jobs: &[Scheduled<'_>], max_concurrent: usize) {
    if jobs.len() < CROWD {
        return;
    }
    let mut minutes: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (index, job) in jobs.iter().enumerate() {
        for slot in slots(job.schedule) {
            let together = minutes.entry(minute(slot)).or_default();
            if together.last() != Some(&index) {
                together.push(index);
            }
        }
    }
    // The first of the fullest minutes.
    let fullest = minutes.iter().max_by_key(|(minute, jobs)| (jobs.len(), -**minute));
    let Some((minute, together)) = fullest.filter(|(_, jobs)| jobs.len() >= CROWD.max(max_concurrent + 1))
    else {
        return;
    };
    let last = &jobs[together[together.len() - 1]];
    let at = Timestamp::from_second(minute * 60).unwrap_or_default();
    let when = last.schedule.zone().to_datetime(at).strftime("%-d %B at %H:%M").to_string();
    let names: Vec<String> = together.iter().map(|index| jobs[*index].placed.job.name.to_string()).collect();
    let message = format!(
        "{} jobs start in the same minute, for instance on {when}, and {max_concurrent} may run at a time: {}",
        together.len(),
        words::some(&names, 5)
    );
    let hint =
        "write H for the minute, which is another one for each job, or raise max_concurrent".to_owned();
    report.warn(&last.placed.span, message, Some(hint));
}

/// The first slots of the year.
fn slots(schedule: &Schedule) -> impl Iterator<Item = Timestamp> {
    let (start, end) = year();
    std::iter::successors(schedule.next_after(start), |slot| schedule.next_after(*slot))
        .take_while(move |slot| *slot < end)
        .take(COMPARED)
}
