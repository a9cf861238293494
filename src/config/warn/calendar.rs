//! Schedules that do what is written, and not what was meant.

use std::ops::Range;
use std::time::Duration;

use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};

use super::crowd;
use crate::config::read::Report;
use crate::config::values::OnOverlap;
use crate::config::{Config, JobConfig};
use crate::schedule::{ClockChange, Direction, Schedule, ShortMonths};
use crate::words;

/// How far ahead a change of the clocks is looked for: within eleven years every date but 29 February falls on each day of
/// the week.
const YEARS: i64 = 11;
/// Slots between which the shortest interval is looked for.
const LOOKED_AT: usize = 100;

/// A job that runs on a schedule.
pub(super) struct Scheduled<'a> {
    pub(super) job: &'a JobConfig,
    pub(super) schedule: &'a Schedule,
    pub(super) span: &'a Range<usize>,
}

/// Warns about the schedules of all jobs that run by themselves, as they are from `now` on. `spans`: where the schedule
/// of each job is.
pub(in crate::config) fn schedules(
    report: &Report<'_>,
    config: &Config,
    spans: &[Range<usize>],
    now: Timestamp,
) {
    let scheduled: Vec<Scheduled<'_>> = config
        .jobs
        .iter()
        .zip(spans)
        .filter(|(job, _)| job.enabled)
        .filter_map(|(job, span)| Some(Scheduled { job, schedule: job.schedule.as_ref()?, span }))
        .collect();
    for job in &scheduled {
        clock_changes(report, job, now);
        absent_dates(report, job);
        long_jitter(report, job, now);
    }
    crowd::warn(report, &scheduled, config.max_concurrent, now);
}

/// The next time of day that does not come, and the next that comes twice, when clocks are changed.
fn clock_changes(report: &Report<'_>, job: &Scheduled<'_>, now: Timestamp) {
    let to = now.saturating_add(SignedDuration::from_hours(YEARS * 366 * 24)).unwrap_or(Timestamp::MAX);
    let changes = job.schedule.clock_changes(now, to);
    let first = |direction| changes.iter().find(|change| change.direction() == direction);
    let mut next: Vec<&ClockChange> =
        [Direction::Forward, Direction::Back].into_iter().filter_map(first).collect();
    next.sort_by_key(|change| change.due);
    let told: Vec<String> = next.into_iter().map(|change| told(change, job.schedule)).collect();
    if !told.is_empty() {
        let message = format!("job \"{}\" when clocks are changed: {}", job.job.name, told.join("; "));
        let zone = job.schedule.zone().iana_name().unwrap_or("its zone");
        let hint = format!(
            "it runs once on these days too; to be clear of it, move it to an hour that {zone} does not change, or set timezone = \"UTC\""
        );
        report.warn(job.span, message, Some(hint));
    }
}

fn told(change: &ClockChange, schedule: &Schedule) -> String {
    let time = change.civil.strftime("%H:%M");
    let day = change.civil.strftime("%-d %B %Y");
    let due = change.due.to_zoned_datetime(schedule.zone().clone());
    match change.direction() {
        Direction::Forward => {
            format!("{time} does not come on {day}, and it runs at {} then", due.strftime("%H:%M"))
        }
        Direction::Back => {
            format!(
                "{time} comes twice on {day}, and it runs the first time, at {}",
                due.strftime("%H:%M%:z")
            )
        }
    }
}

/// Days that some months do not have.
fn absent_dates(report: &Report<'_>, job: &Scheduled<'_>) {
    let Some(ShortMonths { first_day, months, are_all }) = job.schedule.short_months() else { return };
    let name = &job.job.name;
    if are_all {
        let message = format!("job \"{name}\" runs in leap years only: others have no 29 February");
        return report.warn(job.span, message, Some("`0 0 L 2 *` is the last day of February".to_owned()));
    }
    let names: Vec<String> = months.iter().map(|month| month_name(*month)).collect();
    let leap = if first_day == 29 { ", but for 29 February of leap years" } else { "" };
    let message =
        format!("job \"{name}\" does not run in {}, which has no day {first_day}{leap}", names.join(", "));
    let hint =
        "write L for the last day of every month, LW for its last day from Monday to Friday".to_owned();
    report.warn(job.span, message, Some(hint));
}

fn month_name(month: usize) -> String {
    let month = i8::try_from(month).unwrap_or(1);
    date(2028, month, 1).strftime("%B").to_string()
}

/// A run that may begin after the slot that comes next.
fn long_jitter(report: &Report<'_>, job: &Scheduled<'_>, now: Timestamp) {
    let jitter = job.job.slots.jitter;
    if jitter == Duration::ZERO {
        return;
    }
    let slots: Vec<Timestamp> =
        std::iter::successors(job.schedule.next_after(now), |slot| job.schedule.next_after(*slot))
            .take(LOOKED_AT)
            .collect();
    let shortest = slots.windows(2).map(|pair| pair[1].duration_since(pair[0]).unsigned_abs()).min();
    let Some(shortest) = shortest.filter(|shortest| jitter > *shortest) else { return };
    let (most, interval) = (words::duration(jitter), words::duration(shortest));
    let fate = match job.job.slots.on_overlap {
        OnOverlap::Skip => "slots that come while a run waits are skipped",
        OnOverlap::Queue => {
            "of the slots that come while a run waits one waits, too, and the others are skipped"
        }
    };
    let message = format!(
        "job \"{}\" may begin {most} after its slot (jitter), and the next comes {interval} later: {fate}",
        job.job.name
    );
    report.warn(job.span, message, Some(format!("set a jitter of less than {interval}")));
}
