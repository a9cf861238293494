//! The form in which a table has its times, so that an end that is written looks like those its application writes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::value::Value;

/// The form of a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// A number of these since 1970.
    Number(Unit, Kind),
    /// Text.
    Text {
        /// `T` or a space.
        separator: char,
        /// It has seconds, with so many digits of a fraction.
        fraction: Option<usize>,
        /// What stands at its end.
        suffix: Suffix,
    },
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

/// How a number is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Integer,
    /// A REAL without a fraction.
    Whole,
    /// A REAL with one.
    Fraction,
    /// A number, in a column of texts.
    Text,
}

/// What stands at the end of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suffix {
    None,
    Z,
    Offset,
}

impl Unit {
    const ALL: [Self; 4] = [Self::Seconds, Self::Millis, Self::Micros, Self::Nanos];

    const fn per_second(self) -> i128 {
        match self {
            Self::Seconds => 1,
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        }
    }

    /// What a number counts: a thousand times the seconds of the year 2000 is so far in the future that it is no number
    /// of seconds any more. What is before that year is no time at all.
    fn of(number: i64) -> Option<Self> {
        let year_2000 = i128::from(super::EARLIEST.as_second());
        let counts = |unit: &Self| i128::from(number) >= year_2000 * unit.per_second();
        Self::ALL.into_iter().rev().find(counts)
    }
}

impl Form {
    /// The form of a time that was read; nothing of what is no time.
    fn of(value: &Value) -> Option<Self> {
        let number = |number: i64, kind| Unit::of(number).map(|unit| Self::Number(unit, kind));
        match value {
            Value::Integer(whole) => number(*whole, Kind::Integer),
            Value::Real(real) => {
                let whole = format!("{:.0}", real.trunc()).parse().ok()?;
                number(whole, if real.fract() == 0.0 { Kind::Whole } else { Kind::Fraction })
            }
            Value::Text(text) => match text.parse() {
                Ok(whole) => number(whole, Kind::Text),
                Err(_) => Self::of_text(text),
            },
            Value::Null | Value::Other(..) => None,
        }
    }

    fn of_text(text: &str) -> Option<Self> {
        super::start::iso(text, &TimeZone::UTC).ok()?;
        let suffix = match text.as_bytes().last() {
            Some(b'Z') => Suffix::Z,
            _ if text.len() > 6 && super::start::offset(&text[text.len() - 6..]).is_some() => Suffix::Offset,
            _ => Suffix::None,
        };
        let end = text.len() - [0, 1, 6][suffix as usize];
        let fraction = (end > 16).then(|| end.saturating_sub(20));
        Some(Self::Text { separator: char::from(text.as_bytes()[10]), fraction, suffix })
    }

    /// The form that most of these times have; nothing where none is one.
    pub(super) fn most<'a>(times: impl IntoIterator<Item = &'a Value>) -> Option<Self> {
        let mut counts: BTreeMap<Self, usize> = BTreeMap::new();
        for form in times.into_iter().filter_map(Self::of) {
            *counts.entry(form).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(form, _)| form)
    }

    /// A time in this form, as an SQL literal.
    pub(super) fn literal(&self, at: Timestamp, zone: &TimeZone) -> String {
        let (separator, fraction, suffix) = match self {
            Self::Number(unit, kind) => return kind.literal(at.as_nanosecond(), *unit),
            Self::Text { separator, fraction, suffix } => (separator, fraction, suffix),
        };
        let zone = if *suffix == Suffix::Z { TimeZone::UTC } else { zone.clone() };
        let zoned = at.to_zoned_datetime(zone);
        let mut text = zoned.strftime(&format!("%Y-%m-%d{separator}%H:%M")).to_string();
        if let Some(digits) = fraction {
            text.push_str(&zoned.strftime(":%S").to_string());
            if *digits > 0 {
                let nanos = format!("{:09}", zoned.subsec_nanosecond());
                text.push('.');
                text.push_str(&nanos[..(*digits).min(9)]);
            }
        }
        match suffix {
            Suffix::None => {}
            Suffix::Z => text.push('Z'),
            Suffix::Offset => text.push_str(&zoned.strftime("%:z").to_string()),
        }
        format!("'{text}'")
    }
}

impl Kind {
    fn literal(self, nanos: i128, unit: Unit) -> String {
        let one = 1_000_000_000 / unit.per_second();
        let (whole, rest) = (nanos / one, nanos % one);
        match self {
            Self::Integer => whole.to_string(),
            Self::Whole => format!("{whole}.0"),
            Self::Fraction => format!("{whole}.{:03}", rest * 1_000 / one),
            Self::Text => format!("'{whole}'"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_written_as_the_table_writes_its_times() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let at: Timestamp = "2026-11-25T09:05:07.123456Z".parse().unwrap();
        for (text, wanted) in [
            ("2025-01-08 09:30:00", "'2026-11-25 10:05:07'"),
            ("2025-01-08T09:30", "'2026-11-25T10:05'"),
            ("2025-01-08T09:30:00Z", "'2026-11-25T09:05:07Z'"),
            ("2025-01-08T09:30:00.123+01:00", "'2026-11-25T10:05:07.123+01:00'"),
            ("2025-01-08 09:30:00.000000", "'2026-11-25 10:05:07.123456'"),
        ] {
            let form = Form::most(&[Value::Text(text.to_owned())]).unwrap();
            assert_eq!(form.literal(at, &berlin), wanted);
        }
        for (value, wanted) in [
            (Value::Integer(1_600_000_000), "1795597507"),
            (Value::Integer(1_600_000_000_000), "1795597507123"),
            (Value::Integer(1_600_000_000_000_000), "1795597507123456"),
            (Value::Integer(1_600_000_000_000_000_000), "1795597507123456000"),
            (Value::Real(1_600_000_000.0), "1795597507.0"),
            (Value::Real(1_600_000_000.5), "1795597507.123"),
            (Value::Real(1_600_000_000_000.0), "1795597507123.0"),
            (Value::Text("1600000000000".to_owned()), "'1795597507123'"),
        ] {
            let form = Form::most(&[value]).unwrap();
            assert_eq!(form.literal(at, &berlin), wanted);
        }
    }

    #[test]
    fn what_is_no_time_has_no_form() {
        for text in ["yesterday", "2025", "-1", ""] {
            assert_eq!(Form::most(&[Value::Text(text.to_owned())]), None);
        }
        let others = [
            Value::Null,
            Value::Integer(5),
            Value::Integer(-1),
            Value::Real(2_460_000.5),
            Value::Real(1e300),
        ];
        assert_eq!(Form::most(&others), None);
    }

    #[test]
    fn most_decide() {
        let times = ["2025-01-08T09:30:00Z", "2025-01-08 09:30:00", "2025-01-09 09:30:00"]
            .map(|text| Value::Text(text.to_owned()));
        let form = Form::most(&times).unwrap();
        assert_eq!(form, Form::Text { separator: ' ', fraction: Some(0), suffix: Suffix::None });
    }
}
