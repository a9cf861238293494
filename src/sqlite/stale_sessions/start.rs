//! When a session began, read strictly.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::value::Value;

/// Reads an ISO date and time: `2025-01-08 09:30:00`, with `T` or a space, with or without seconds, their fraction, and
/// `Z` or an offset. Without one it is in `zone`; an hour that the clock shows twice is the later one, which makes the
/// session younger.
pub(super) fn iso(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    let no = || format!("{text:?} is no full ISO date and time");
    let bytes = text.as_bytes();
    let shape = |from: usize, pattern: &str| {
        let part = bytes.get(from..from + pattern.len()).unwrap_or_default();
        part.len() == pattern.len()
            && part.iter().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                b' ' => matches!(byte, b' ' | b'T'),
                wanted => *byte == wanted,
            })
    };
    if !text.is_ascii() || !shape(0, "0000-00-00 00:00") {
        return Err(no());
    }
    let mut end = 16;
    if shape(end, ":00") {
        end += 3;
        if bytes.get(end) == Some(&b'.') {
            let digits = bytes[end + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return Err(no());
            }
            end += 1 + digits;
        }
    }
    let (local, suffix) = text.split_at(end);
    // A leap second would be read as another one.
    if local.get(17..19) == Some("60") {
        return Err(no());
    }
    let civil: DateTime = local
        .replacen(' ', "T", 1)
        .parse()
        .map_err(|_| format!("{text:?} is no date and time that there is"))?;
    instant(civil, suffix, zone).ok_or_else(|| match suffix {
        // The last days of that year cannot be computed with everywhere on earth.
        "" | "Z" if civil.year() == 9999 => format!("{text:?} is in the far future"),
        "" => format!("{text:?} is a time that the clock left out there"),
        suffix if civil.year() == 9999 && offset(suffix).is_some() => {
            format!("{text:?} is in the far future")
        }
        _ => no(),
    })
}

fn instant(civil: DateTime, suffix: &str, zone: &TimeZone) -> Option<Timestamp> {
    match suffix {
        "" => {
            let found = zone.to_ambiguous_zoned_datetime(civil);
            if matches!(found.offset(), AmbiguousOffset::Gap { .. }) {
                return None;
            }
            found.later().ok().map(|zoned| zoned.timestamp())
        }
        "Z" => TimeZone::UTC.to_timestamp(civil).ok(),
        _ => offset(suffix)?.to_timestamp(civil).ok(),
    }
}

/// `+01:00`
pub(super) fn offset(text: &str) -> Option<Offset> {
    let bytes = text.as_bytes();
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if bytes.len() != 6 || bytes[3] != b':' {
        return None;
    }
    let two = |from: usize| text.get(from..from + 2)?.parse::<u8>().ok().map(i32::from);
    let (hours, minutes) = (two(1)?, two(4)?);
    if hours > 15 || minutes > 59 || !text[1..3].bytes().chain(text[4..6].bytes()).all(|b| b.is_ascii_digit())
    {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

/// Reads seconds since 1970.
pub(super) fn unix(value: &Value) -> Result<Timestamp, String> {
    let shown = value.literal();
    let since = match value {
        Value::Integer(seconds) => Some(SignedDuration::from_secs(*seconds)),
        Value::Real(seconds) => SignedDuration::try_from_secs_f64(*seconds).ok(),
        Value::Null | Value::Text(_) | Value::Other(..) => None,
    };
    match since {
        Some(since) if since <= SignedDuration::ZERO => {
            Err(format!("{shown} is no number of seconds since 1970"))
        }
        Some(since) => Timestamp::from_duration(since)
            .map_err(|_| format!("{shown} seconds since 1970 are in the far future: is it milliseconds?")),
        None => Err(format!("{shown} is no number of seconds since 1970")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_dates_and_times_are_read_in_their_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (text, wanted) in [
            ("2025-01-08 09:30:00", "2025-01-08T08:30:00Z"),
            ("2025-07-08T09:30:00", "2025-07-08T07:30:00Z"),
            ("2025-01-08T09:30", "2025-01-08T08:30:00Z"),
            ("2025-01-08 09:30:00.123456", "2025-01-08T08:30:00.123456Z"),
            ("2025-01-08T09:30:00Z", "2025-01-08T09:30:00Z"),
            ("2025-01-08T09:30:00-05:30", "2025-01-08T15:00:00Z"),
            // Twice on that day: the later one.
            ("2025-10-26 02:30:00", "2025-10-26T01:30:00Z"),
        ] {
            assert_eq!(iso(text, &berlin).unwrap().to_string(), wanted, "{text}");
        }
    }

    #[test]
    fn what_sqlite_would_take_for_a_time_is_none() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for text in [
            "",
            "12:30",
            "2025",
            "now",
            "2025-02-31 10:00:00",
            "2025-01-08",
            "2025-1-8 09:30:00",
            "2460000.5",
            "2025-01-08 24:00:00",
            "2025-01-08 09:60:00",
            "2025-01-08 09:30:60",
            "2025-01-08 09:30:00 ",
            "2025-01-08 09:30:00.",
            "2025-01-08 09:30:00+1:00",
            "2025-01-08 09:30:00+25:00",
            "2025-01-08 09:30:00+01:00x",
            "2025-01-08t09:30:00",
            "20250108T093000",
            "-2025-01-08 09:30:00",
            // Left out on that day.
            "2025-03-30 02:30:00",
            "２025-01-08 09:30:00",
        ] {
            assert!(iso(text, &berlin).is_err(), "{text:?}");
        }
    }

    #[test]
    fn seconds_are_numbers_after_1970() {
        assert_eq!(unix(&Value::Integer(1_736_325_000)).unwrap().to_string(), "2025-01-08T08:30:00Z");
        assert_eq!(unix(&Value::Real(1_736_325_000.75)).unwrap().to_string(), "2025-01-08T08:30:00.75Z");
        let reals = [0.0, -0.5, f64::INFINITY, f64::NAN, 1e300].map(Value::Real);
        let integers = [0, -5, 1_736_325_000_000, i64::MAX].map(Value::Integer);
        for value in reals.iter().chain(&integers).chain([&Value::Null, &Value::Text("5".to_owned())]) {
            assert!(unix(value).is_err(), "{value:?}");
        }
    }
}
