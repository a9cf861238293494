//! Times of day, as systemd writes them.

use std::collections::{BTreeMap, BTreeSet};

use croner::CronPattern;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::list;

/// Hours, minutes and seconds; each with each is meant.
type Times = (Vec<u16>, Vec<u16>, Vec<u16>);

/// Such as `02:00,30:00`.
pub(super) fn of(pattern: &CronPattern) -> String {
    write(&(pattern.hours.values(), pattern.minutes.values(), pattern.seconds.values()))
}

/// Single instants, such as `2026-10-25 01:00,30:00 UTC`.
pub(super) fn instants(instants: &BTreeSet<Timestamp>) -> Vec<String> {
    let mut dates: BTreeMap<Date, BTreeSet<i64>> = BTreeMap::new();
    for instant in instants {
        let date = instant.to_zoned_datetime(TimeZone::UTC).date();
        dates.entry(date).or_default().insert(instant.as_second().rem_euclid(super::DAY));
    }
    let lines = dates
        .iter()
        .flat_map(|(date, times)| products(times).into_iter().map(move |time| format!("{date} {time} UTC")));
    lines.collect()
}

/// Seconds of the day, in as few lines as they fall into.
pub(super) fn products(times: &BTreeSet<i64>) -> Vec<String> {
    let part = |value: i64| u16::try_from(value).unwrap_or_default();
    let mut hours: BTreeMap<(u16, u16), Vec<u16>> = BTreeMap::new();
    for time in times {
        hours.entry((part(time % 60), part(time / 60 % 60))).or_default().push(part(time / 3_600));
    }
    let mut minutes: BTreeMap<(u16, Vec<u16>), Vec<u16>> = BTreeMap::new();
    for ((second, minute), hours) in hours {
        minutes.entry((second, hours)).or_default().push(minute);
    }
    let mut seconds: BTreeMap<(Vec<u16>, Vec<u16>), Vec<u16>> = BTreeMap::new();
    for ((second, hours), minutes) in minutes {
        seconds.entry((hours, minutes)).or_default().push(second);
    }
    seconds.into_iter().map(|((hours, minutes), seconds)| write(&(hours, minutes, seconds))).collect()
}

fn write((hours, minutes, seconds): &Times) -> String {
    format!("{}:{}:{}", list(hours, 24), list(minutes, 60), list(seconds, 60))
}
