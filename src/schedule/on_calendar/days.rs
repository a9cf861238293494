//! The days of a pattern, as systemd writes them.
//!
//! Whether a day matches depends on three things alone: its number, its weekday and the length of its month. So every
//! rule of cron, `W` and `#` and `L` and either of two, comes down to a table: which weekdays match, for each day of a
//! month of each length.

use std::collections::BTreeMap;

use croner::{CronPattern, Weekday};

use super::list;

/// From Monday on, as systemd orders them.
const WEEK: [(Weekday, &str); 7] = [
    (Weekday::Monday, "Mon"),
    (Weekday::Tuesday, "Tue"),
    (Weekday::Wednesday, "Wed"),
    (Weekday::Thursday, "Thu"),
    (Weekday::Friday, "Fri"),
    (Weekday::Saturday, "Sat"),
    (Weekday::Sunday, "Sun"),
];
/// All weekdays, as bits from Monday on.
const ANY: u8 = 0b111_1111;
const LONGEST: u16 = 31;
/// systemd counts no further from a month's end.
const FROM_END: u16 = 28;

/// Months of one length.
struct Length {
    days: u16,
    /// How systemd writes their years, right until 2100.
    years: &'static str,
    months: &'static [u16],
    /// The year of one of them.
    year: i32,
}

const LENGTHS: [Length; 4] = [
    Length { days: 31, years: "*", months: &[1, 3, 5, 7, 8, 10, 12], year: 2001 },
    Length { days: 30, years: "*", months: &[4, 6, 9, 11], year: 2001 },
    Length { days: 28, years: "1973/4,1974/4,1975/4", months: &[2], year: 2001 },
    Length { days: 29, years: "1972/4", months: &[2], year: 2004 },
];

/// The days of each set of weekdays.
type Days = BTreeMap<u8, Vec<u16>>;

/// The weekdays on which each day matches, in the months of one length.
struct Table {
    length: &'static Length,
    /// Those of the pattern's months that have it.
    months: Vec<u16>,
    weekdays: Vec<u8>,
}

/// Lines such as `Mon..Fri *-*-15`; a day matches where one of them does.
pub(super) fn of(pattern: &CronPattern) -> Vec<String> {
    let months = pattern.months.values();
    let mut tables: Vec<Table> =
        LENGTHS.iter().filter_map(|length| Table::of(pattern, &months, length)).collect();
    // Weekdays that match whatever the day: one line, so that the others are about the days that differ.
    let always = tables.iter().flat_map(|table| &table.weekdays).fold(ANY, |all, weekdays| all & weekdays);
    let every_day = (always != 0).then(|| line("*", &months, always, "-*"));
    tables.iter_mut().flat_map(|table| &mut table.weekdays).for_each(|weekdays| *weekdays &= !always);
    every_day.into_iter().chain(certain_days(&tables, &months)).collect()
}

fn certain_days(tables: &[Table], months: &[u16]) -> Vec<String> {
    let from_start = uniform(tables, |_, number| number).map(|days| write("*", months, '-', &days));
    let from_end = uniform(tables, |length, number| length + 1 - number)
        .filter(|days| days.values().flatten().all(|number| *number <= FROM_END))
        .map(|days| write("*", months, '~', &days));
    let by_length = tables.iter().flat_map(Table::lines).collect();
    // Where the days do not depend on the month's length, or only its end does, one line does for all months.
    [from_start, from_end, Some(by_length)].into_iter().flatten().min_by_key(Vec::len).unwrap_or_default()
}

impl Table {
    /// Nothing where the pattern has no month of that length.
    fn of(pattern: &CronPattern, months: &[u16], length: &'static Length) -> Option<Self> {
        let months: Vec<u16> = months.iter().copied().filter(|month| length.months.contains(month)).collect();
        let month = u32::from(*months.first()?);
        let matches =
            |day: u16, weekday| pattern.day_match(length.year, month, day.into(), weekday).unwrap_or(false);
        let weekdays = |day| {
            let bits = (0_u8..).zip(WEEK).filter(|(_, (weekday, _))| matches(day, *weekday));
            bits.fold(0, |bits, (bit, _)| bits | 1 << bit)
        };
        Some(Self { length, weekdays: (1..=length.days).map(weekdays).collect(), months })
    }

    fn weekdays(&self, day: u16) -> u8 {
        self.weekdays[usize::from(day) - 1]
    }

    fn lines(&self) -> Vec<String> {
        let mut days = Days::new();
        for day in 1..=self.length.days {
            days.entry(self.weekdays(day)).or_default().push(day);
        }
        days.remove(&0);
        write(self.length.years, &self.months, '-', &days)
    }
}

/// The days by their numbers, where months of all lengths agree on them. `day` tells which day of a month of that
/// length has the number.
fn uniform(tables: &[Table], day: fn(u16, u16) -> u16) -> Option<Days> {
    let mut days = Days::new();
    for number in 1..=LONGEST {
        let long = tables.iter().filter(|table| number <= table.length.days);
        let mut weekdays = long.map(|table| table.weekdays(day(table.length.days, number)));
        let Some(first) = weekdays.next() else { break };
        if weekdays.any(|other| other != first) {
            return None;
        }
        if first != 0 {
            days.entry(first).or_default().push(number);
        }
    }
    Some(days)
}

fn write(years: &str, months: &[u16], counted: char, days: &Days) -> Vec<String> {
    let all = usize::from(LONGEST) + 1; // never a star: all days are another line
    let of = |(weekdays, numbers): (&u8, &Vec<u16>)| {
        line(years, months, *weekdays, &format!("{counted}{}", list(numbers, all)))
    };
    days.iter().map(of).collect()
}

fn line(years: &str, months: &[u16], weekdays: u8, days: &str) -> String {
    let week = if weekdays == ANY { String::new() } else { format!("{} ", week(weekdays)) };
    format!("{week}{years}-{}{days}", list(months, 12))
}

/// `Mon..Fri,Sun`
fn week(weekdays: u8) -> String {
    let chosen: Vec<usize> = (0..WEEK.len()).filter(|bit| weekdays >> bit & 1 == 1).collect();
    let runs = chosen.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [first, _, .., last] => format!("{}..{}", WEEK[*first].1, WEEK[*last].1),
        run => run.iter().map(|bit| WEEK[*bit].1).collect::<Vec<_>>().join(","),
    });
    runs.collect::<Vec<_>>().join(",")
}
