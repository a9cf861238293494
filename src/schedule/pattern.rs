//! Reads cron patterns, and says what is wrong with one: croner alone does not say which field it means.

use chrono::NaiveDate;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

/// The fields with their limits, in the order of a pattern with seconds.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of week", "0 to 7 or SUN to SAT"),
];
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
    #[error("{text:?} is not known: there are @hourly, @daily, @weekly, @monthly and @yearly")]
    Nickname {
        /// The text.
        text: String,
    },
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

/// Reads the pattern.
pub(super) fn parse(text: &str) -> Result<Cron, ScheduleError> {
    let pattern = expand(text)?;
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    let skipped = match fields.len() {
        5 => 1,
        6 => 0,
        count => return Err(ScheduleError::Fields { count }),
    };
    for (field, position) in fields.iter().zip(skipped..) {
        check(field, position)?;
    }
    let failed = |error: CronError| at(&pattern, "pattern", "see above", &error);
    let cron = parser().parse(&pattern).map_err(failed)?;
    let start = NaiveDate::from_ymd_opt(2000, 1, 1).and_then(|date| date.and_hms_opt(0, 0, 0));
    match start.map(|start| cron.find_next_occurrence(&start, true)) {
        Some(Ok(_)) => Ok(cron),
        _ => Err(ScheduleError::Never),
    }
}

/// The hour field of a pattern that [`parse`] accepts.
pub(super) fn hour_field(text: &str) -> String {
    let pattern = expand(text).unwrap_or_default();
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    fields.len().checked_sub(4).and_then(|hour| fields.get(hour)).map(ToString::to_string).unwrap_or_default()
}

fn parser() -> CronParser {
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
    if field.split(',').any(str::is_empty) {
        let reason = "a comma stands between two values".to_owned();
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

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_dialect_is_five_fields_or_six_or_a_name() {
        for text in
            ["0 2 * * *", "*/5 * * * *", "30 0 2 * * *", "@daily", "@Hourly", " @yearly ", "0 0 * * mon-fri"]
        {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in ["0 0 L * *", "0 0 15W * *", "0 0 * * 5#2", "0 0 1 * +MON", "0 0 29 2 *", "0 0 * * 7"] {
            assert!(parse(text).is_ok(), "{text}");
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
                "\"@nightly\" is not known: there are @hourly, @daily, @weekly, @monthly and @yearly",
            ),
            ("61 2 * * *", "its minute \"61\" is wrong: number out of bounds (0 to 59)"),
            ("0 24 * * *", "its hour \"24\" is wrong: number out of bounds (0 to 23)"),
            ("60 0 0 * * *", "its second \"60\" is wrong: number out of bounds (0 to 59)"),
            (
                "0 2 * * FOO",
                "its day of week \"FOO\" is wrong: it has characters that may not stand there (0 to 7 or SUN to SAT)",
            ),
            ("0 2 5-1 * *", "its day of month \"5-1\" is wrong: range out of bounds (1 to 31)"),
            ("0,, 2 * * *", "its minute \"0,,\" is wrong: a comma stands between two values (0 to 59)"),
            ("0 2 31 2 *", "it never matches: there is no such date"),
            ("0 2 31 4,6,9,11 *", "it never matches: there is no such date"),
        ];
        for (text, wanted) in cases {
            assert_eq!(error(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_hour_is_found_in_every_form() {
        assert_eq!(hour_field("1 2 3 4 5"), "2");
        assert_eq!(hour_field("0 1 2 3 4 5"), "2");
        assert_eq!(hour_field("@hourly"), "*");
    }
}
