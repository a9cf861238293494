//! A schedule as systemd writes it: the `OnCalendar=` lines of a timer, whose slots together are those of
//! [`Schedule::next_after`].
//!
//! systemd knows neither "this day or that weekday" nor `W`, so that one pattern may need several lines. When clocks are
//! put forward it leaves out a time that does not come, and when they are put back it runs a repeated hour once. What
//! it leaves out is written out, one line for each change of the clocks in the coming ten years; a schedule that
//! follows real time, every hour of every day, is written in UTC instead, where clocks do not change. What stays: a timer
//! that is started, or delayed by its jitter, into an hour that clocks show for the second time runs a time of that hour
//! again.

mod days;
mod times;

use std::collections::BTreeSet;
use std::iter::successors;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::{Civil, Direction, Rule, Schedule};

/// Changes of the clocks are written out for so many years.
const YEARS: i64 = 10;
/// An interval that needs more lines is no calendar that a person could read.
const MOST_LINES: usize = 60;
const DAY: i64 = 24 * 60 * 60;
const WEEK: i64 = 7 * DAY;
/// 1970-01-01, from which intervals are counted, was one.
const EPOCH_WEEKDAY: &str = "Thu";

/// What stands behind `OnCalendar=` in a timer, each on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnCalendar {
    /// The pattern.
    pub lines: Vec<String>,
    /// What the lines of the pattern leave out because clocks change.
    pub clock_changes: Vec<String>,
    /// Changes of the clocks after this are not in it. Nothing where none needs a line.
    pub until: Option<Timestamp>,
}

/// Why a schedule is no calendar of systemd.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnCalendarError {
    /// `@every 14d`: a calendar knows times of day and days of the week, and not how often one has passed.
    #[error("{text:?} is no time of day or of the week, which is what a timer of systemd knows")]
    Interval {
        /// The schedule.
        text: String,
    },
}

impl Schedule {
    /// The lines for a timer that is written at `from`.
    pub fn on_calendar(&self, from: Timestamp) -> Result<OnCalendar, OnCalendarError> {
        match &self.rule {
            Rule::Every(seconds) => {
                let lines = interval(*seconds).filter(|lines| lines.len() <= MOST_LINES);
                let lines = lines.ok_or_else(|| OnCalendarError::Interval { text: self.text.clone() })?;
                Ok(OnCalendar { lines, clock_changes: Vec::new(), until: None })
            }
            Rule::Civil(civil) => Ok(self.civil(civil, from)),
        }
    }

    fn civil(&self, civil: &Civil, from: Timestamp) -> OnCalendar {
        let until = from.saturating_add((YEARS * 366 * 24).hours()).unwrap_or(Timestamp::MAX);
        if civil.is_any_hour_of_any_day() && has_whole_hours(&self.zone, from, until) {
            return OnCalendar { lines: lines(civil, Some("UTC")), clock_changes: Vec::new(), until: None };
        }
        let left_out: BTreeSet<Timestamp> = if civil.follows_real_time {
            self.repeated(from, until)
        } else {
            let changes = self.clock_changes(from, until).into_iter();
            changes
                .filter(|change| change.direction() == Direction::Forward)
                .map(|change| change.due)
                .collect()
        };
        let clock_changes = times::instants(&left_out);
        let until = (!clock_changes.is_empty()).then_some(until);
        // Where nobody told the zone's name it is the host's, which systemd knows as well.
        let zone = self.zone.iana_name().filter(|_| !self.zone.is_unknown());
        OnCalendar { lines: lines(civil, zone), clock_changes, until }
    }

    /// The slots of the hours that clocks show for the second time.
    fn repeated(&self, from: Timestamp, until: Timestamp) -> BTreeSet<Timestamp> {
        const INSTANT: SignedDuration = SignedDuration::from_nanos(1);
        let changes = self.zone.following(from).map(|change| change.timestamp());
        let slots = |change: Timestamp| {
            let before = change.saturating_sub(INSTANT).unwrap_or(Timestamp::MIN);
            let back = self.zone.to_offset(before).seconds() - self.zone.to_offset(change).seconds();
            let end = change.saturating_add(i64::from(back).seconds()).unwrap_or(Timestamp::MAX);
            successors(self.next_after(before), |slot| self.next_after(*slot))
                .take_while(move |slot| *slot < end)
        };
        changes.take_while(|change| *change <= until).flat_map(slots).collect()
    }
}

impl Civil {
    fn is_any_hour_of_any_day(&self) -> bool {
        let pattern = &self.cron.pattern;
        let any_day = pattern.is_dom_wildcard() && pattern.is_dow_wildcard();
        any_day && pattern.months.values().len() == 12 && pattern.hours.values().len() == 24
    }
}

/// The minutes of the zone's clocks are those of UTC's.
fn has_whole_hours(zone: &TimeZone, from: Timestamp, until: Timestamp) -> bool {
    let changes = zone.following(from).map(|change| change.timestamp()).take_while(|change| *change <= until);
    std::iter::once(from).chain(changes).all(|at| zone.to_offset(at).seconds() % 3_600 == 0)
}

fn lines(civil: &Civil, zone: Option<&str>) -> Vec<String> {
    let time = times::of(&civil.cron.pattern);
    let zone = zone.map(|zone| format!(" {zone}")).unwrap_or_default();
    days::of(&civil.cron.pattern).into_iter().map(|days| format!("{days} {time}{zone}")).collect()
}

/// The whole multiples of so many seconds since 1970.
fn interval(seconds: i64) -> Option<Vec<String>> {
    if seconds == WEEK {
        return Some(vec![format!("{EPOCH_WEEKDAY} *-*-* 00:00:00 UTC")]);
    }
    let step = usize::try_from(seconds).ok().filter(|_| DAY % seconds == 0)?;
    let times = times::products(&(0..DAY).step_by(step).collect());
    Some(times.into_iter().map(|time| format!("*-*-* {time} UTC")).collect())
}

/// Values as systemd lists them, in order: `01,15,20..31`; a star for all that there are.
fn list(values: &[u16], all: usize) -> String {
    if values.len() == all {
        return "*".to_owned();
    }
    let runs = values.chunk_by(|a, b| a + 1 == *b).flat_map(|run| match run {
        [first, _, .., last] if run.len() > 2 => vec![format!("{first:02}..{last:02}")],
        run => run.iter().map(|value| format!("{value:02}")).collect(),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_calendar(pattern: &str, zone: &str) -> OnCalendar {
        let schedule = Schedule::parse(pattern, &TimeZone::get(zone).unwrap(), "nightly").unwrap();
        schedule.on_calendar("2026-01-01T00:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_pattern_is_as_many_lines_as_it_takes() {
        for (pattern, wanted) in [
            ("0 2 * * *", &["*-*-* 02:00:00 UTC"][..]),
            ("*/15 * * * *", &["*-*-* *:00,15,30,45:00 UTC"]),
            ("30 0 2 * * MON-FRI", &["Mon..Fri *-*-* 02:00:30 UTC"]),
            ("0 2 1,15 * MON", &["Mon *-*-* 02:00:00 UTC", "Tue..Sun *-*-01,15 02:00:00 UTC"]),
            ("0 2 1-7 * +MON", &["Mon *-*-01..07 02:00:00 UTC"]),
            ("0 2 * * 5#2", &["Fri *-*-08..14 02:00:00 UTC"]),
            ("0 2 * * 5L", &["Fri *-*~01..07 02:00:00 UTC"]),
            ("0 2 L * *", &["*-*~01 02:00:00 UTC"]),
            ("0 2 L 2,4 *", &["*-02,04~01 02:00:00 UTC"]),
            ("0 2 LW * *", &["Fri *-*~02,03 02:00:00 UTC", "Mon..Fri *-*~01 02:00:00 UTC"]),
            (
                "0 2 15W * *",
                &["Mon *-*-16 02:00:00 UTC", "Fri *-*-14 02:00:00 UTC", "Mon..Fri *-*-15 02:00:00 UTC"],
            ),
            ("H H * * *", &["*-*-* 21:39:00 UTC"]),
            ("@every 6h", &["*-*-* 00,06,12,18:00:00 UTC"]),
            (
                "@every 90m",
                &["*-*-* 00,03,06,09,12,15,18,21:00:00 UTC", "*-*-* 01,04,07,10,13,16,19,22:30:00 UTC"],
            ),
            ("@every 7d", &["Thu *-*-* 00:00:00 UTC"]),
        ] {
            assert_eq!(on_calendar(pattern, "UTC").lines, wanted, "{pattern}");
        }
    }

    #[test]
    fn what_clock_changes_take_away_or_repeat_is_written_out() {
        let fixed = on_calendar("30 2 * * *", "Europe/Berlin");
        assert_eq!(fixed.lines, ["*-*-* 02:30:00 Europe/Berlin"]);
        assert_eq!(fixed.clock_changes[..2], ["2026-03-29 01:00:00 UTC", "2027-03-28 01:00:00 UTC"]);
        assert_eq!((fixed.clock_changes.len(), fixed.until.is_some()), (10, true));
        let wild = on_calendar("*/30 * * * 0", "Europe/Berlin");
        assert_eq!(wild.clock_changes[0], "2026-10-25 01:00,30:00 UTC");
        let every_hour = on_calendar("5 * * * *", "Europe/Berlin");
        assert_eq!((&every_hour.lines[..], every_hour.until), (&["*-*-* *:05:00 UTC".to_owned()][..], None));
        assert_eq!(on_calendar("5 * * * *", "Asia/Kolkata").lines, ["*-*-* *:05:00 Asia/Kolkata"]);
    }

    #[test]
    fn an_interval_that_no_calendar_knows_is_refused_by_name() {
        for text in ["@every 14d", "@every 7m", "@every 36h", "@every 35s"] {
            let schedule = Schedule::parse(text, &TimeZone::UTC, "job").unwrap();
            let error = schedule.on_calendar(Timestamp::UNIX_EPOCH).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
