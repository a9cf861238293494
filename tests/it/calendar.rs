//! The calendar against an independent walker that tries every minute of ten years, in thirty zones.
//!
//! The walker shares nothing with the program: it reads no patterns (each is made together with what it means) and it
//! knows only one rule of clocks, that a time of day is due when a clock first shows it or a later one.
//! `make test` tries a few patterns in every zone; `make oracle` a thousand.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use watchkeeper::schedule::{Schedule, ScheduleError};

use crate::reliability::figure;

/// With half hours, changes at midnight, two hours, a day that was left out, a summer that is interrupted, and none.
const ZONES: [&str; 30] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Lisbon",
    "Europe/Moscow",
    "Europe/Istanbul",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Johannesburg",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/Havana",
    "America/Caracas",
    "America/Asuncion",
    "America/Nuuk",
    "Asia/Tehran",
    "Asia/Gaza",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Asia/Pyongyang",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Antarctica/Troll",
];
const FROM: &str = "2007-01-01T00:00:00Z";
const YEARS: i64 = 10;

#[test]
fn ten_years_of_slots_in_thirty_zones_are_those_of_a_walker_that_tries_every_minute() {
    let patterns = match std::env::var("WATCHKEEPER_ORACLE_PATTERNS") {
        Ok(number) => number.parse().expect("a number of patterns"),
        Err(_) => 3,
    };
    let (next, slots) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(zone) =
                    ZONES.get(usize::try_from(next.fetch_add(1, Ordering::SeqCst)).unwrap())
                {
                    slots.fetch_add(compare(zone, patterns), Ordering::SeqCst);
                }
            });
        }
    });
    let slots = slots.into_inner();
    figure(
        &format!("calendar: {YEARS} years × {} zones × {patterns} patterns", ZONES.len()),
        &format!("{slots} slots, none other than those of a walker that tries every minute"),
    );
    assert!(slots > 10_000 * patterns, "the patterns match next to nothing: {slots} slots");
}

/// Compares every slot, and returns how many there were.
fn compare(zone: &str, patterns: u64) -> u64 {
    let minutes = Minutes::of(zone);
    // Every zone has patterns of its own while they are few; a thousand are the same thousand everywhere.
    let first = if patterns < 100 { fnv(zone) % 100_000 } else { 0 };
    (first..first + patterns)
        .map(|seed| {
            let pattern = Pattern::made(seed);
            let schedule = match Schedule::parse(&pattern.text, &minutes.zone, "job") {
                Err(ScheduleError::Never) => {
                    minutes.walk(&pattern, |slot| panic!("{} matches at {slot}", pattern.text));
                    return 0;
                }
                schedule => schedule.unwrap(),
            };
            let mut at = minutes.from;
            let mut count = 0;
            minutes.walk(&pattern, |wanted| {
                let slot = schedule.next_after(at);
                assert_eq!(slot, Some(wanted), "{} in {zone} after {at}", pattern.text);
                at = wanted;
                count += 1;
            });
            let beyond = schedule.next_after(at);
            assert!(
                beyond.is_none_or(|slot| slot > minutes.to),
                "{} in {zone}: {beyond:?} too much",
                pattern.text
            );
            count
        })
        .sum()
}

fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// What the clocks of a zone show, minute by minute.
struct Minutes {
    zone: TimeZone,
    from: Timestamp,
    to: Timestamp,
    /// Minutes since 1970 on the wall, for each real minute after `from`, up to and with `to`.
    wall: Vec<u32>,
}

impl Minutes {
    fn of(name: &str) -> Self {
        let zone = TimeZone::get(name).unwrap();
        let from: Timestamp = FROM.parse().unwrap();
        let to = from + SignedDuration::from_hours(24 * (365 * YEARS + 2));
        let minute = |second: i64| {
            let offset = zone.to_offset(Timestamp::from_second(second).unwrap()).seconds();
            u32::try_from((second + i64::from(offset)) / 60).unwrap()
        };
        let wall = (from.as_second() / 60 + 1..=to.as_second() / 60).map(|at| minute(at * 60)).collect();
        Self { zone, from, to, wall }
    }

    /// Calls `found` with every slot.
    fn walk(&self, pattern: &Pattern, mut found: impl FnMut(Timestamp)) {
        let days = pattern.days();
        let matches = |wall: u32| {
            days[usize::try_from(wall / 1440 - FIRST_DAY).unwrap()] && pattern.minutes[(wall % 1440) as usize]
        };
        let mut latest = self.wall[0] - 1;
        for (index, wall) in self.wall.iter().enumerate() {
            let is_due = if pattern.is_interval { matches(*wall) } else { (latest + 1..=*wall).any(matches) };
            latest = latest.max(*wall);
            if is_due {
                let minutes = i64::try_from(index).unwrap() + 1;
                found(self.from + SignedDuration::from_mins(minutes));
            }
        }
    }
}

/// Days since 1970 of 2006-12-30.
const FIRST_DAY: u32 = 13_512;

/// A pattern and what it means.
struct Pattern {
    text: String,
    minutes: Vec<bool>,
    day: Day,
    months: Vec<bool>,
    week_day: Day,
    is_interval: bool,
}

/// One of the two fields of days.
struct Day {
    text: String,
    rule: DayRule,
}

enum DayRule {
    Set(Vec<bool>),
    LastDay,
    Nearest(i8),
    LastOfWeek(i8),
    Nth(i8, i8),
}

impl Pattern {
    fn made(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
        let (minute_text, minutes) =
            if dice.one_in(25) { any(60) } else { dice.field(0, 59, &[5, 7, 10, 15, 20, 30, 45]) };
        let (hour_text, hours) =
            if dice.one_in(3) { any(24) } else { dice.field(0, 23, &[2, 3, 4, 5, 6, 7, 8, 12]) };
        let (month_text, months) = if dice.one_in(2) { any(13) } else { dice.field(1, 12, &[2, 3, 4, 5, 6]) };
        let day = dice.day();
        let week_day = dice.week_day();
        let of_day = (0..1440).map(|minute| minutes[minute % 60] && hours[minute / 60]).collect();
        let is_interval = hours[..24].iter().all(|hour| *hour);
        let text = format!("{minute_text} {hour_text} {} {month_text} {}", day.text, week_day.text);
        Self { text, minutes: of_day, day, months, week_day, is_interval }
    }

    /// For each day from `FIRST_DAY` whether it matches.
    fn days(&self) -> Vec<bool> {
        let first: Date = DateTime::constant(1970, 1, 1, 0, 0, 0, 0).date() + i64::from(FIRST_DAY).days();
        first.series(1.day()).take(365 * 10 + 10).map(|date| self.matches(date)).collect()
    }

    fn matches(&self, date: Date) -> bool {
        let (day, week_day) = (self.day.matches(date), self.week_day.matches(date));
        let either = !self.day.text.starts_with('*') && !self.week_day.text.starts_with('*');
        self.months[usize::from(date.month().unsigned_abs())]
            && if either { day || week_day } else { day && week_day }
    }
}

impl Day {
    fn matches(&self, date: Date) -> bool {
        let week_day = date.weekday().to_sunday_zero_offset();
        match &self.rule {
            DayRule::Set(set) if set.len() == 7 => set[usize::from(week_day.unsigned_abs())],
            DayRule::Set(set) => set[usize::from(date.day().unsigned_abs())],
            DayRule::LastDay => date == date.last_of_month(),
            DayRule::Nearest(day) => {
                *day <= date.days_in_month() && date.day() == nearest(date.with().day(*day).build().unwrap())
            }
            DayRule::LastOfWeek(wanted) => week_day == *wanted && date.day() + 7 > date.days_in_month(),
            DayRule::Nth(wanted, nth) => week_day == *wanted && (date.day() - 1) / 7 + 1 == *nth,
        }
    }
}

/// The working day nearest to a date, in its month.
fn nearest(date: Date) -> i8 {
    match date.weekday().to_sunday_zero_offset() {
        6 if date.day() == 1 => 3,
        6 => date.day() - 1,
        0 if date == date.last_of_month() => date.day() - 2,
        0 => date.day() + 1,
        _ => date.day(),
    }
}

fn any(length: usize) -> (String, Vec<bool>) {
    ("*".to_owned(), vec![true; length])
}

/// Splitmix64: the same patterns on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll(high - low + 1)
    }

    /// A value, a range, a stepped range, a list, or a step over all.
    fn field(&mut self, low: u64, high: u64, steps: &[u64]) -> (String, Vec<bool>) {
        let mut set = vec![false; usize::try_from(high).unwrap() + 1];
        let step = steps[usize::try_from(self.roll(steps.len() as u64)).unwrap()];
        let (start, end) = (self.between(low, high), self.between(low, high));
        let (start, end) = (start.min(end), start.max(end));
        let mut mark = |from: u64, to: u64, step: u64| {
            for value in (from..=to).step_by(usize::try_from(step).unwrap()) {
                set[usize::try_from(value).unwrap()] = true;
            }
        };
        let text = match self.roll(5) {
            0 | 1 => {
                mark(start, start, 1);
                start.to_string()
            }
            2 => {
                mark(start, end, step);
                format!("{start}-{end}/{step}")
            }
            3 => {
                mark(start, start, 1);
                mark(end, end, 1);
                format!("{end},{start}")
            }
            _ => {
                mark(low, high, step);
                format!("*/{step}")
            }
        };
        (text, set)
    }

    fn day(&mut self) -> Day {
        let day = i8::try_from(self.between(1, 31)).unwrap();
        let (text, rule) = match self.roll(8) {
            0..=3 => {
                let (text, set) = any(32);
                (text, DayRule::Set(set))
            }
            4 => ("L".to_owned(), DayRule::LastDay),
            5 => (format!("{day}W"), DayRule::Nearest(day)),
            _ => {
                let (text, set) = self.field(1, 31, &[2, 3, 5, 7, 10]);
                (text, DayRule::Set(set))
            }
        };
        Day { text, rule }
    }

    fn week_day(&mut self) -> Day {
        const NAMES: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
        let day = self.roll(7);
        let number = i8::try_from(day).unwrap();
        let (text, rule) = match self.roll(8) {
            0..=3 => {
                let (text, set) = any(7);
                (text, DayRule::Set(set))
            }
            4 => (format!("{day}L"), DayRule::LastOfWeek(number)),
            5 => {
                let nth = self.between(1, 5);
                let mut text = NAMES[usize::from(number.unsigned_abs())].to_owned();
                write!(text, "#{nth}").unwrap();
                (text, DayRule::Nth(number, i8::try_from(nth).unwrap()))
            }
            _ => {
                let (text, set) = self.field(0, 6, &[2, 3]);
                (text, DayRule::Set(set))
            }
        };
        Day { text, rule }
    }
}
