//! Lengths of time as people write them: `90s`, `1h30m`, `14d`.

use std::time::Duration;

/// No length of time in a configuration is longer: everything can be added to a date without overflow.
const LONGEST: u64 = 100 * 366 * 86_400;

/// Why a text is not a length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a sequence of whole numbers with units.
    #[error("write whole numbers with a unit, such as \"90s\", \"1h30m\" or \"14d\" (s, m, h, d, w)")]
    Syntax,
    /// Over a hundred years.
    #[error("it is longer than 100 years")]
    TooLong,
}

/// Reads a length of time. A day is 24 hours and a week 7 days.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    let mut total = 0_u64;
    if rest.is_empty() {
        return Err(DurationError::Syntax);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError::Syntax)?;
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return Err(DurationError::Syntax);
        }
        let mut chars = after.chars();
        let unit = chars.next().and_then(seconds_of).ok_or(DurationError::Syntax)?;
        let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        let part = number.checked_mul(unit).ok_or(DurationError::TooLong)?;
        total = total.checked_add(part).filter(|total| *total <= LONGEST).ok_or(DurationError::TooLong)?;
        rest = chars.as_str().trim_start();
    }
    Ok(Duration::from_secs(total))
}

fn seconds_of(unit: char) -> Option<u64> {
    Some(match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_with_every_unit_and_in_sequence() {
        let cases =
            [("90s", 90), ("5m", 300), ("1h", 3_600), ("14d", 1_209_600), ("2w", 1_209_600), ("0s", 0)];
        for (text, seconds) in cases.into_iter().chain([("1h30m", 5_400), ("1d 2h", 93_600)]) {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_length_of_time_is_refused() {
        for text in ["", " ", "5", "h", "1.5h", "-1h", "1y", "1H", "1 h", "10ms", "1h5", "½h"] {
            assert_eq!(parse(text), Err(DurationError::Syntax), "{text}");
        }
        for text in ["36601d", "99999999999999999999s", "18446744073709551615w"] {
            assert_eq!(parse(text), Err(DurationError::TooLong), "{text}");
        }
    }
}
