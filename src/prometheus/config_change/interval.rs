//! Lengths of time as Prometheus writes them: `15s`, `1m30s`, `1h`.

use std::fmt;
use std::str::FromStr;

/// The units, from the largest on, in milliseconds. Each may stand once, in this order.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A length of time, with its writing. Compared by its length.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(transparent)]
pub struct Interval {
    text: String,
    #[serde(skip)]
    millis: u64,
}

/// A text is no length of time to Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no length of time as Prometheus writes it: 15s, 1m30s, 1h")]
pub struct IntervalError {
    text: String,
}

impl Interval {
    /// In milliseconds.
    pub fn millis(&self) -> u64 {
        self.millis
    }

    /// Prometheus takes no length for one that is not written at all.
    pub fn is_zero(&self) -> bool {
        self.millis == 0
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        let wrong = || IntervalError { text: text.to_owned() };
        let millis = if text == "0" { 0 } else { millis(text).ok_or_else(wrong)? };
        Ok(Self { text: text.to_owned(), millis })
    }
}

fn millis(text: &str) -> Option<u64> {
    let (mut rest, mut units, mut sum) = (text, UNITS.iter(), 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let letters = &rest[digits..];
        let unit = &letters[..letters.find(|c: char| c.is_ascii_digit()).unwrap_or(letters.len())];
        let (_, length) = units.find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(number.checked_mul(*length)?)?;
        rest = &letters[unit.len()..];
    }
    // What Prometheus can hold: nanoseconds in 63 bits.
    (!text.is_empty() && sum <= i64::MAX.unsigned_abs() / 1_000_000).then_some(sum)
}

impl PartialEq for Interval {
    fn eq(&self, other: &Self) -> bool {
        self.millis == other.millis
    }
}

impl Eq for Interval {}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_prometheus() {
        let millis = |text: &str| text.parse::<Interval>().ok().map(|interval| interval.millis());
        assert_eq!(millis("15s"), Some(15_000));
        assert_eq!(millis("1m30s"), Some(90_000));
        assert_eq!(millis("1d500ms"), Some(86_400_500));
        assert_eq!(millis("0"), Some(0));
        for wrong in
            ["", "15", "s", "1s1m", "1s2s", "1.5m", " 15s", "-1s", "1S", "400y", "99999999999999999y"]
        {
            assert_eq!(millis(wrong), None, "{wrong:?}");
        }
        assert_eq!("60s".parse::<Interval>(), "1m".parse());
    }
}
