//! When a job is due: a cron pattern in a time zone.
//!
//! The pattern is matched on civil time (by croner), and the zone is applied here, so that what happens when
//! clocks change is one rule of this file and not an accident of a crate:
//!
//! * **The hour is wild** (`*`, `*/2`, or all 24): the schedule follows real time. A slot is every instant whose
//!   wall clock matches. When the clock is put back, the repeated hour has its slots twice; when it is put
//!   forward, the hour that is not there has none.
//! * **The hour is fixed** (`0 2 * * *`): every matching date and time has exactly one slot. One that is skipped
//!   by the clock is due at the end of the gap, together with all others of that gap; one that comes twice is due
//!   the first time.
//!
//! This is what Vixie cron does. Slots are strictly increasing, whatever the zone does.

pub mod driver;
mod pattern;

use std::fmt;

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};
use croner::Cron;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

pub use pattern::ScheduleError;

/// A cron pattern in a time zone, that matches at least once.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    cron: Cron,
    zone: TimeZone,
    follows_real_time: bool,
}

impl Schedule {
    /// Reads a pattern: five fields (minute, hour, day of month, month, day of week), six with seconds in front,
    /// or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    ///
    /// Where both day fields are given, a day that matches either is meant; with `+` before the day of week, one
    /// that matches both. `L`, `W` and `#` are understood.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self, ScheduleError> {
        let cron = pattern::parse(text)?;
        let hours = &cron.pattern.hours;
        let follows_real_time = pattern::hour_field(text).starts_with('*') || hours.values().len() == 24;
        Ok(Self { text: text.trim().to_owned(), cron, zone: zone.clone(), follows_real_time })
    }

    /// The first slot after `time`, or none before the end of the calendar.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        if self.follows_real_time { self.next_in_real_time(time) } else { self.next_fixed(time) }
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

    /// Walks from one change of the zone to the next: between them, wall clock and real time run alike.
    fn next_in_real_time(&self, time: Timestamp) -> Option<Timestamp> {
        let mut from = time;
        let mut inclusive = false;
        loop {
            let wall = self.zone.to_datetime(from);
            let offset = self.zone.to_offset(from);
            let slot = self.match_from(wall, inclusive).and_then(|civil| offset.to_timestamp(civil).ok());
            match self.zone.following(from).next() {
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
    fn next_fixed(&self, time: Timestamp) -> Option<Timestamp> {
        let mut wall = self.zone.to_datetime(time);
        loop {
            wall = self.match_from(wall, false)?;
            let slot = self.instant_of(wall)?;
            if slot > time {
                return Some(slot);
            }
        }
    }

    /// The one instant of a civil time.
    fn instant_of(&self, civil: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
            AmbiguousOffset::Gap { before, .. } => {
                let beyond =
                    before.to_timestamp(civil).ok()?.checked_add(SignedDuration::from_secs(1)).ok()?;
                self.zone.preceding(beyond).next().map(|change| change.timestamp())
            }
        }
    }

    fn match_from(&self, civil: DateTime, inclusive: bool) -> Option<DateTime> {
        let found = self.cron.find_next_occurrence(&to_chrono(civil)?, inclusive).ok()?;
        from_chrono(found)
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
