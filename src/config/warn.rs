//! What is not wrong, but will surprise.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::Config;
use super::job::Placed;
use super::problem::Problem;
use super::read::Report;
use super::values::Place;
use crate::schedule::Schedule;

/// Slots of each schedule that are compared; enough for a year of hours.
const COMPARED: usize = 10_000;

/// Two jobs on one server that start in the same minute: the second waits for the first.
pub(super) fn same_minute(report: &Report<'_>, jobs: &[Placed]) {
    for (index, second) in jobs.iter().enumerate() {
        let both = jobs[..index].iter().find_map(|first| Some((first, meets(first, second)?)));
        if let Some((first, minute)) = both {
            let zone = second.job.schedule.as_ref().map_or(jiff::tz::TimeZone::UTC, |own| own.zone().clone());
            let when = zone.to_datetime(minute).strftime("%d %B at %H:%M").to_string();
            let message = format!(
                "jobs \"{}\" and \"{}\" use one Prometheus in the same minute, for instance on {when}",
                first.job.name, second.job.name
            );
            report.warn(&second.span, message, Some("one of them has to wait; move it".to_owned()));
        }
    }
}

/// A minute in which both run, within a year.
fn meets(first: &Placed, second: &Placed) -> Option<Timestamp> {
    let one = first.job.kind.prometheus();
    let apart = one.is_none() || one != second.job.kind.prometheus();
    let apart = apart || !first.job.enabled || !second.job.enabled;
    if apart { None } else { same_minute_of(first.job.schedule.as_ref()?, second.job.schedule.as_ref()?) }
}

/// A fixed leap year is looked at, so that a file is judged alike on every day.
fn same_minute_of(first: &Schedule, second: &Schedule) -> Option<Timestamp> {
    let start = Timestamp::from_second(1_830_297_600).ok()?; // 2028-01-01
    let end = start.checked_add(SignedDuration::from_hours(366 * 24)).ok()?;
    let minute = |slot: Timestamp| slot.as_second().div_euclid(60);
    let (mut one, mut other) = (first.next_after(start)?, second.next_after(start)?);
    for _ in 0..COMPARED {
        if minute(one) == minute(other) {
            return Some(one);
        }
        let (behind, schedule) = if one < other { (&mut one, first) } else { (&mut other, second) };
        *behind = schedule.next_after(*behind).filter(|slot| *slot < end)?;
    }
    None
}

/// Backups on the device of the data are lost together with it.
pub(super) fn same_device(config: &Config) -> Vec<Problem> {
    let backups = device(&config.backup_dir);
    let of_target = |target: &super::values::PrometheusTarget| {
        let Place::Host { data_dir: Some(data_dir), .. } = &target.place else { return None };
        let data = std::fs::metadata(data_dir).ok()?.dev();
        (Some(data) == backups).then(|| {
            let message =
                format!("backup_dir is on the same device as the data of [prometheus.{}]", target.name);
            Problem::of_file(
                message,
                Some("when that disk fails, both are lost: mount another one there".to_owned()),
            )
        })
    };
    config.prometheus.values().filter_map(of_target).collect()
}

/// The device of a folder, or of the one it will be made in.
fn device(path: &Path) -> Option<u64> {
    path.ancestors().find_map(|path| std::fs::metadata(path).ok()).map(|metadata| metadata.dev())
}
