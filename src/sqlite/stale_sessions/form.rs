//! The form in which a table has its times, so that an end that is written looks like those its application writes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The form of a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// Whole seconds since 1970.
    Seconds,
    /// The same, with a fraction.
    Real,
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

/// What stands at the end of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suffix {
    None,
    Z,
    Offset,
}

impl Form {
    /// The form of a time that was read: its type and its text.
    fn of(kind: &str, text: &str) -> Option<Self> {
        match kind {
            "integer" => return Some(Self::Seconds),
            "real" => return Some(Self::Real),
            "text" => {}
            _ => return None,
        }
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

    /// The form that most of these times have; those that come first win.
    pub(super) fn most<'a>(times: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut counts: BTreeMap<Self, usize> = BTreeMap::new();
        for (kind, text) in times {
            if let Some(form) = Self::of(kind, text) {
                *counts.entry(form).or_default() += 1;
            }
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(form, _)| form)
    }

    /// A time in this form, as an SQL literal.
    pub(super) fn literal(&self, at: Timestamp, zone: &TimeZone) -> String {
        let (separator, fraction, suffix) = match self {
            Self::Seconds => return at.as_second().to_string(),
            Self::Real => return format!("{}.0", at.as_second()),
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
            let form = Form::most([("text", text)].into_iter()).unwrap();
            assert_eq!(form.literal(at, &berlin), wanted);
        }
        assert_eq!(Form::most([("integer", "5")].into_iter()).unwrap().literal(at, &berlin), "1795597507");
        assert_eq!(Form::most([("text", "yesterday"), ("null", "")].into_iter()), None);
    }

    #[test]
    fn most_decide() {
        let times = ["2025-01-08T09:30:00Z", "2025-01-08 09:30:00", "2025-01-09 09:30:00"];
        let form = Form::most(times.iter().map(|text| ("text", *text))).unwrap();
        assert_eq!(form, Form::Text { separator: ' ', fraction: Some(0), suffix: Suffix::None });
    }
}
