//! When a job is due: a cron pattern in a time zone, or an interval.
//!
//! A pattern is matched on civil time (by croner), and the zone is applied here, so that what happens when
//! clocks change is one rule of this file and not an accident of a crate:
//!
//! * **Every hour** (`*`, `*/1`, `0-23`): the schedule follows real time. A slot is every instant whose wall clock
//!   matches. When the clock is put back, the repeated hour has its slots twice; when it is put forward, the hour that
//!   is not there has none.
//! * **Certain hours** (`0 2 * * *`, `0 */12 * * *`): every matching date and time has exactly one slot. One that is
//!   skipped by the clock is due at the end of the gap, together with all others of that gap; one that comes twice is
//!   due the first time.
//! * **An interval** (`@every 6h`) knows no clocks: its slots are the whole multiples of it since
//!   1970-01-01T00:00:00Z, so that they stay where they are when the program is started anew.
//!
//! This is what Vixie cron does, but that there a wild minute or a step makes a pattern follow real time too: `*/10 2 * * *`
//! would not run at all on the day without that hour, nor `0 */12 * * *` at a midnight that a zone leaves out. Slots are strictly increasing, whatever the zone does.

mod clock_change;
mod day_times;
mod described;
pub mod driver;
mod gap;
mod hashed;
mod missed;
mod on_calendar;
mod pattern;
mod slips;

use std::fmt;
use std::time::Duration;

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};
use croner::{Cron, Weekday};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::config::values::JobName;

pub use clock_change::{ClockChange, Direction};
pub use missed::{Known, Limits, Missed, Stretch};
pub use on_calendar::{OnCalendar, OnCalendarError};
pub use pattern::ScheduleError;

use day_times::DayTimes;

/// When a job is due, in a time zone. It is due at least once.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    rule: Rule,
    zone: TimeZone,
}

/// Croner's marks for `W` and `L` in the day of the month, for which it gives no names away.
const NEAREST_WEEKDAY: u8 = 1 << 7;
const LAST: u8 = 1 << 6;

/// Months that have none of the days of a pattern: April, of 31.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortMonths {
    /// The earliest day of the month that the pattern names.
    pub first_day: u16,
    /// The months, 1 to 12. February counts as one of 28 days.
    pub months: Vec<usize>,
    /// These are all months of the pattern: it is due on 29 February only.
    pub are_all: bool,
}

/// How slots are found.
#[derive(Clone)]
enum Rule {
    Civil(Box<Civil>),
    /// At whole multiples of so many seconds. Never zero.
    Every(i64),
}

/// A pattern of dates and times of day, as clocks on the wall show them.
#[derive(Clone)]
struct Civil {
    cron: Cron,
    times: DayTimes,
    follows_real_time: bool,
    /// The days are `LW`: the last from Monday to Friday of a month.
    ends_on_a_weekday: bool,
    /// The pattern with its `H` filled in, where it has any.
    hashed: Option<String>,
}

impl Schedule {
    /// Reads a pattern: five fields (minute, hour, day of month, month, day of week), six with seconds in front,
    /// `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, or `@every 6h`.
    ///
    /// Where both day fields are given and neither begins with `*`, a day that matches either is meant; else, or with
    /// `+` before the day of week, one that matches both. `L`, `W` and `#` are understood. `H` stands for a value that
    /// depends on the name of the `job` alone, so that jobs with the same pattern are spread.
    pub fn parse(text: &str, zone: &TimeZone, job: &str) -> Result<Self, ScheduleError> {
        let rule = pattern::parse(text, job)?;
        Ok(Self { text: text.trim().to_owned(), rule, zone: zone.clone() })
    }

    /// The first slot after `time`, or none before the end of the calendar.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Civil(civil) if civil.follows_real_time => civil.next_in_real_time(&self.zone, time),
            Rule::Civil(civil) => civil.next_fixed(&self.zone, time),
            Rule::Every(seconds) => {
                let length = i128::from(*seconds) * 1_000_000_000;
                Timestamp::from_nanosecond((time.as_nanosecond().div_euclid(length) + 1) * length).ok()
            }
        }
    }

    /// The last slot after `from` and not after `to`. Asks for few slots, however many there are.
    pub fn last_between(&self, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
        let is_before_last = |time| self.next_after(time).filter(|slot| *slot <= to);
        let mut last = is_before_last(from)?;
        let (mut low, mut high) = (last.as_second(), to.as_second());
        while low < high {
            let middle = low + (high - low) / 2;
            match Timestamp::from_second(middle).ok().and_then(is_before_last) {
                Some(slot) => {
                    last = slot;
                    low = slot.as_second();
                }
                None => high = middle,
            }
        }
        Some(last)
    }

    /// The time zone its pattern is meant in.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The months of the pattern that have none of its days of the month. Nothing where there are none, or days of the
    /// week or `L` give every month a date.
    pub fn short_months(&self) -> Option<ShortMonths> {
        const DAYS: [u16; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let Rule::Civil(civil) = &self.rule else { return None };
        let pattern = &civil.cron.pattern;
        let other_days = !pattern.is_dow_wildcard() && !pattern.matches_dom_and_dow();
        // Of a month without that day its nearest weekday is none of it either.
        let nearest = pattern.days.get_set_values(NEAREST_WEEKDAY);
        let first = pattern.days.values().into_iter().chain(nearest).min();
        let first_day = first.filter(|_| !other_days && !pattern.days.is_feature_enabled(LAST))?;
        let all: Vec<usize> = pattern.months.values().into_iter().map(usize::from).collect();
        let months: Vec<usize> = all.iter().copied().filter(|month| first_day > DAYS[month - 1]).collect();
        (!months.is_empty()).then_some(ShortMonths { first_day, are_all: months == all, months })
    }

    /// Schedules with the same have the same slots.
    pub fn rhythm(&self) -> String {
        match &self.rule {
            Rule::Every(seconds) => format!("@every {seconds}"),
            Rule::Civil(civil) => format!("{} in {:?}", civil.cron.pattern, self.zone),
        }
    }

    /// What it means, in words: `At 02:00, on Monday (Europe/Berlin)`.
    pub fn describe(&self) -> String {
        match &self.rule {
            Rule::Every(_) => {
                let length = self.text.split_whitespace().skip(1).collect::<String>();
                format!("Every {length}, counted from 1970-01-01T00:00:00Z")
            }
            Rule::Civil(civil) => {
                let words = described::words(&civil.cron, civil.ends_on_a_weekday);
                let zone = self.zone.iana_name().unwrap_or("the host's time");
                let hashed = civil.hashed.as_ref().map(|pattern| format!("; with its H: {pattern}"));
                format!("{words} ({zone}){}", hashed.unwrap_or_default())
            }
        }
    }
}

/// How much later than its slot a run of `job` begins: less than `most`, and always the same for the same slot.
pub fn jitter(job: &JobName, slot: Timestamp, most: Duration) -> Duration {
    hashed::jitter(job.as_str(), slot, most)
}

impl Civil {
    /// Walks from one change of the zone to the next: between them, wall clock and real time run alike.
    fn next_in_real_time(&self, zone: &TimeZone, time: Timestamp) -> Option<Timestamp> {
        let mut from = time;
        let mut inclusive = false;
        loop {
            let wall = zone.to_datetime(from);
            let offset = zone.to_offset(from);
            let slot = self.match_from(wall, inclusive).and_then(|civil| offset.to_timestamp(civil).ok());
            match zone.following(from).next() {
                Some(change) if slot.is_none_or(|slot| slot >= change.timestamp()) => {
                    from = change.timestamp();
                    inclusive = true;
                }
                _ => return slot,
            }
        }
    }

    /// Takes matching civil times until one lies after `time`. Only in the second half of a repeated hour are
    /// there any to skip: from anywhere else the first will do.
    fn next_fixed(&self, zone: &TimeZone, time: Timestamp) -> Option<Timestamp> {
        let mut wall = zone.to_datetime(time);
        loop {
            wall = self.match_from(wall, false)?;
            let slot = instant_of(zone, wall)?;
            if slot > time {
                return Some(slot);
            }
        }
    }

    fn match_from(&self, civil: DateTime, inclusive: bool) -> Option<DateTime> {
        let date = civil.date();
        if self.is_due_on(date)
            && let Some(time) = self.times.next(civil.time(), inclusive)
        {
            return Some(date.to_datetime(time));
        }
        let end = date.to_datetime(Time::constant(23, 59, 59, 0));
        from_chrono(self.cron.find_next_occurrence(&to_chrono(end)?, false).ok()?)
    }

    fn is_due_on(&self, date: Date) -> bool {
        let (pattern, part) = (&self.cron.pattern, |value: i8| u32::try_from(value).unwrap_or_default());
        let (month, day) = (part(date.month()), part(date.day()));
        let weekday =
            Weekday::from_days_from_sunday(date.weekday().to_sunday_zero_offset().unsigned_abs().into());
        pattern.month_match(month).unwrap_or_default()
            && pattern.day_match(date.year().into(), month, day, weekday).unwrap_or_default()
    }
}

/// The one instant of a civil time.
fn instant_of(zone: &TimeZone, civil: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
        AmbiguousOffset::Gap { before, .. } => {
            let beyond = before.to_timestamp(civil).ok()?.checked_add(SignedDuration::from_secs(1)).ok()?;
            zone.preceding(beyond).next().map(|change| change.timestamp())
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

// Croner's own `Debug` shows every bit of the pattern, on thousands of lines.
impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({:?} in {:?})", self.text, self.zone)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

impl Eq for Schedule {}

/// To whole seconds, which is all that croner knows.
fn to_chrono(civil: DateTime) -> Option<NaiveDateTime> {
    let part = |value: i8| u32::try_from(value).ok();
    let date = NaiveDate::from_ymd_opt(civil.year().into(), part(civil.month())?, part(civil.day())?)?;
    date.and_hms_opt(part(civil.hour())?, part(civil.minute())?, part(civil.second())?)
}

fn from_chrono(civil: NaiveDateTime) -> Option<DateTime> {
    let part = |value: u32| i8::try_from(value).ok();
    let year = i16::try_from(civil.year()).ok()?;
    let (hour, minute, second) = (part(civil.hour())?, part(civil.minute())?, part(civil.second())?);
    DateTime::new(year, part(civil.month())?, part(civil.day())?, hour, minute, second, 0).ok()
}

#[cfg(test)]
mod tests;
