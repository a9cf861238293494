//! Reads cron patterns, and says what is wrong with one: croner alone does not say which field it means.

use std::time::Duration;

use chrono::NaiveDate;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

use super::slips::slip;
use super::{Civil, DayTimes, Rule, hashed};
use crate::config::duration::{self, DurationError};

/// The fields with their limits, in the order of a pattern with seconds.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of week", "0 to 7 or SUN to SAT"),
];
/// The least and the greatest value of each.
pub(super) const BOUNDS: [(u32, u32); 6] = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
pub(super) const DAY_OF_MONTH: usize = 3;
pub(super) const MONTH: usize = 4;
pub(super) const DAY_OF_WEEK: usize = 5;
/// Stands before the length of an interval.
const EVERY: &str = "@every";
/// The names for patterns, and what they stand for.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five or six fields.
    #[error(
        "it has {count} fields: write five (minute, hour, day of month, month, day of week) or six with seconds in front"
    )]
    Fields {
        /// How many there are.
        count: usize,
    },
    /// `@something`
    #[error("{text:?} is not known: there are @hourly, @daily, @weekly, @monthly, @yearly and @every 6h")]
    Nickname {
        /// The text.
        text: String,
    },
    /// `@every` without a length of time.
    #[error("its interval {text:?} is wrong: {source}")]
    Interval {
        /// What stands behind `@every`.
        text: String,
        /// What is wrong with it.
        source: DurationError,
    },
    /// `@every 0s`
    #[error("its interval is nothing: write at least 1s")]
    NoInterval,
    /// One field is wrong.
    #[error("its {field} {text:?} is wrong: {reason} ({limits})")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What stands there.
        text: String,
        /// What is wrong with it.
        reason: String,
        /// What may stand there.
        limits: &'static str,
    },
    /// Every field is right, and yet no date matches: 31 February.
    #[error("it never matches: there is no such date")]
    Never,
}

/// Reads the pattern of `job`.
pub(super) fn parse(text: &str, job: &str) -> Result<Rule, ScheduleError> {
    match interval(text) {
        Some(length) => every(length),
        None => civil(text, job).map(|civil| Rule::Civil(Box::new(civil))),
    }
}

/// What stands behind `@every`, where that is what the text is.
fn interval(text: &str) -> Option<&str> {
    let (name, length) = text.trim().split_at_checked(EVERY.len())?;
    let ends = length.is_empty() || length.starts_with(char::is_whitespace);
    (ends && name.eq_ignore_ascii_case(EVERY)).then(|| length.trim())
}

fn every(length: &str) -> Result<Rule, ScheduleError> {
    let failed = |source| ScheduleError::Interval { text: length.to_owned(), source };
    match duration::parse(length).map_err(failed)? {
        Duration::ZERO => Err(ScheduleError::NoInterval),
        length => {
            i64::try_from(length.as_secs()).map(Rule::Every).map_err(|_| failed(DurationError::TooLong))
        }
    }
}

fn civil(text: &str, job: &str) -> Result<Civil, ScheduleError> {
    let written = expand(text)?;
    let mut fields: Vec<String> = written.split_whitespace().map(str::to_owned).collect();
    let skipped = match fields.len() {
        5 => 1,
        6 => 0,
        count => return Err(ScheduleError::Fields { count }),
    };
    let mut is_hashed = false;
    for (field, position) in fields.iter_mut().zip(skipped..) {
        is_hashed |= fill(field, position, job)?;
        check(field, position)?;
    }
    let ends_on_a_weekday = fields[DAY_OF_MONTH - skipped].eq_ignore_ascii_case("LW");
    let hashed = is_hashed.then(|| fields.join(" "));
    both_days(&mut fields, skipped);
    let pattern = fields.join(" ");
    let failed = |error: CronError| at(&pattern, "pattern", "see above", &error);
    let cron = parser().parse(&pattern).map_err(failed)?;
    let start = NaiveDate::from_ymd_opt(2000, 1, 1).and_then(|date| date.and_hms_opt(0, 0, 0));
    let follows_real_time = cron.pattern.hours.values().len() == 24;
    match start.map(|start| cron.find_next_occurrence(&start, true)) {
        Some(Ok(_)) => {
            let times = DayTimes::of(&cron.pattern);
            Ok(Civil { cron, times, follows_real_time, ends_on_a_weekday, hashed })
        }
        _ => Err(ScheduleError::Never),
    }
}

/// Fills in the `H` of a field, and says whether there was one.
fn fill(field: &mut String, position: usize, job: &str) -> Result<bool, ScheduleError> {
    let (name, limits) = FIELDS[position];
    let filled = hashed::fill(field, position, job);
    let filled = filled.map_err(|reason| ScheduleError::Field {
        field: name,
        text: field.clone(),
        reason: reason.to_owned(),
        limits,
    })?;
    let is_filled = filled != *field;
    *field = filled;
    Ok(is_filled)
}

/// Vixie's rule: either day is meant, unless one of the fields begins with `*`. Croner knows only whether one is `*`
/// alone, and would run `0 0 */2 * MON` on every Monday.
fn both_days(fields: &mut [String], skipped: usize) {
    let (day, week_day) = (&fields[DAY_OF_MONTH - skipped], &fields[DAY_OF_WEEK - skipped]);
    let is_any = |field: &str| matches!(field, "*" | "?");
    let starts = day.starts_with('*') || week_day.starts_with('*');
    if starts && !is_any(day) && !is_any(week_day) {
        fields[DAY_OF_WEEK - skipped].insert(0, '+');
    }
}

pub(super) fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build()
}

fn expand(text: &str) -> Result<String, ScheduleError> {
    let text = text.trim();
    if !text.starts_with('@') {
        return Ok(text.to_owned());
    }
    let known = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known
        .map(|(_, pattern)| (*pattern).to_owned())
        .ok_or_else(|| ScheduleError::Nickname { text: text.to_owned() })
}

/// Tries one field with all others wild.
fn check(field: &str, position: usize) -> Result<(), ScheduleError> {
    let (name, limits) = FIELDS[position];
    if let Some(reason) = slip(field, position) {
        return Err(ScheduleError::Field { field: name, text: field.to_owned(), reason, limits });
    }
    let mut fields = ["*"; 6];
    fields[position] = field;
    parser().parse(&fields.join(" ")).map(drop).map_err(|error| at(field, name, limits, &error))
}

fn at(text: &str, field: &'static str, limits: &'static str, error: &CronError) -> ScheduleError {
    let reason = match error {
        CronError::IllegalCharacters(_) => "it has characters that may not stand there".to_owned(),
        CronError::ComponentError(reason) | CronError::InvalidPattern(reason) => lower_first(reason),
        other => lower_first(&other.to_string()),
    };
    ScheduleError::Field { field, text: text.to_owned(), reason, limits }
}

fn lower_first(sentence: &str) -> String {
    let mut chars = sentence.trim_end_matches('.').chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Rule, ScheduleError> {
        parse(text, "nightly")
    }

    fn error(text: &str) -> String {
        read(text).err().unwrap().to_string()
    }

    #[test]
    fn the_dialect_is_five_fields_or_six_or_a_name() {
        for text in
            ["0 2 * * *", "*/5 * * * *", "30 0 2 * * *", "@daily", "@Hourly", " @yearly ", "0 0 * * mon-fri"]
        {
            assert!(read(text).is_ok(), "{text}");
        }
        for text in [
            "0 0 L * *",
            "0 0 15W * *",
            "0 0 * * 5#2",
            "0 0 1 * +MON",
            "0 0 29 2 *",
            "0 0 * * 7",
            "@every 6h",
            "@Every 1h 30m",
            "H H * * *",
            "H(0-29)/10 H(8-15) * * H(1-5)",
            "0 0 LW * *",
            "0 0 l * *",
            "0 0 15w JUL *",
            "0 0 * APR-JUL WED",
            "0 0 * * 5L",
            "0 0 * * friL",
            "0 0 * * 1L,5#3",
            "0 0 * * MON#1",
        ] {
            assert!(read(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_error_names_the_field_what_stands_there_and_what_may() {
        let cases = [
            (
                "",
                "it has 0 fields: write five (minute, hour, day of month, month, day of week) or six with seconds in front",
            ),
            (
                "0 2 * *",
                "it has 4 fields: write five (minute, hour, day of month, month, day of week) or six with seconds in front",
            ),
            (
                "0 0 2 * * * 2030",
                "it has 7 fields: write five (minute, hour, day of month, month, day of week) or six with seconds in front",
            ),
            (
                "@nightly",
                "\"@nightly\" is not known: there are @hourly, @daily, @weekly, @monthly, @yearly and @every 6h",
            ),
            ("61 2 * * *", "its minute \"61\" is wrong: number out of bounds (0 to 59)"),
            ("0 24 * * *", "its hour \"24\" is wrong: number out of bounds (0 to 23)"),
            ("60 0 0 * * *", "its second \"60\" is wrong: number out of bounds (0 to 59)"),
            (
                "0 2 * * FOO",
                "its day of week \"FOO\" is wrong: it has characters that may not stand there (0 to 7 or SUN to SAT)",
            ),
            (
                "0 2 5-1 * *",
                "its day of month \"5-1\" is wrong: a range does not go on past the end: write 5-31,1-1 (1 to 31)",
            ),
            (
                "0 2 * * FRI-MON",
                "its day of week \"FRI-MON\" is wrong: a range does not go on past the end: write 5-6,0-1 (0 to 7 or SUN to SAT)",
            ),
            ("*/61 * * * *", "its minute \"*/61\" is wrong: the step is longer than the field (0 to 59)"),
            (
                "h 2 * * *",
                "its minute \"h\" is wrong: the sign for a value that depends on the job's name is a capital H (0 to 59)",
            ),
            (
                "H(0-99) * * * *",
                "its minute \"H(0-99)\" is wrong: write H, H/15, H(0-29) or H(0-29)/10 (0 to 59)",
            ),
            ("0,, 2 * * *", "its minute \"0,,\" is wrong: a comma stands between two values (0 to 59)"),
            (
                "@every",
                "its interval \"\" is wrong: write whole numbers with a unit, such as \"90s\", \"1h30m\" or \"14d\" (s, m, h, d, w)",
            ),
            ("@every 0s", "its interval is nothing: write at least 1s"),
            (
                "@everyday",
                "\"@everyday\" is not known: there are @hourly, @daily, @weekly, @monthly, @yearly and @every 6h",
            ),
            ("H/61 * * * *", "its minute \"H/61\" is wrong: the step is longer than the field (0 to 59)"),
            (
                "H(5-1) * * * *",
                "its minute \"H(5-1)\" is wrong: write H, H/15, H(0-29) or H(0-29)/10 (0 to 59)",
            ),
            (
                "0 2 L-3 * *",
                "its day of month \"L-3\" is wrong: days before the last are not known: write L for the last day of the month, LW for its last day from Monday to Friday (1 to 31)",
            ),
            (
                "0 2 1L * *",
                "its day of month \"1L\" is wrong: # and a day before L belong in the day of week: 5#2 is the second Friday of the month, 5L the last (1 to 31)",
            ),
            (
                "0 2 5#2 * *",
                "its day of month \"5#2\" is wrong: # and a day before L belong in the day of week: 5#2 is the second Friday of the month, 5L the last (1 to 31)",
            ),
            (
                "0 0 * * L",
                "its day of week \"L\" is wrong: L stands behind a day here: 5L is the last Friday of the month; the last day of the month is L in the day of month (0 to 7 or SUN to SAT)",
            ),
            (
                "0 0 * * 15W",
                "its day of week \"15W\" is wrong: W belongs in the day of month: 15W is the day from Monday to Friday that is nearest to the 15th (0 to 7 or SUN to SAT)",
            ),
            (
                "0 0 * * 1-5L",
                "its day of week \"1-5L\" is wrong: L stands behind one day: write 1L,2L for the last Monday and the last Tuesday of the month (0 to 7 or SUN to SAT)",
            ),
            (
                "0 0 * * 5#6",
                "its day of week \"5#6\" is wrong: behind # stands 1 to 5, or L: 5#2 is the second Friday of the month (0 to 7 or SUN to SAT)",
            ),
            (
                "0 L * * *",
                "its hour \"L\" is wrong: L, W and # belong in the day of month or the day of week (0 to 23)",
            ),
            (
                "0 0 1 5L *",
                "its month \"5L\" is wrong: L, W and # belong in the day of month or the day of week (1 to 12 or JAN to DEC)",
            ),
            ("0 2 31 2 *", "it never matches: there is no such date"),
            ("0 2 31 4,6,9,11 *", "it never matches: there is no such date"),
        ];
        for (text, wanted) in cases {
            assert_eq!(error(text), wanted, "{text}");
        }
    }
}
