//! Names of backups. They sort by creation, also where the clock went back or a second held several backups.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Names a backup within its job: `20261123T020000Z`, or `20261123T020000Z-2` where that second was taken.
/// Ordered by second, then by the number behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId {
    second: i64,
    number: u32,
    text: String,
}

/// Why a text is not a [`BackupId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the ID of a backup: one looks like 20261123T020000Z or 20261123T020000Z-2")]
pub struct BackupIdError {
    /// The text as it was given.
    pub text: String,
}

impl BackupId {
    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The second it is named after. Not always the time of its creation: see [`BackupId::after`].
    pub fn second(&self) -> Timestamp {
        Timestamp::from_second(self.second).unwrap_or_default()
    }

    /// The ID of a backup made at `now`, where `newest` is the newest that is there: always greater than that,
    /// even if the clock went back.
    pub fn after(newest: Option<&Self>, now: Timestamp) -> Self {
        let fresh = Self::build(now.as_second(), 1);
        match newest {
            Some(newest) if *newest >= fresh => match newest.number.checked_add(1) {
                Some(number) => Self::build(newest.second, number),
                None => Self::build(newest.second + 1, 1),
            },
            _ => fresh,
        }
    }

    fn build(second: i64, number: u32) -> Self {
        let time = Timestamp::from_second(second.max(0)).unwrap_or(Timestamp::MAX);
        let base = time.strftime("%Y%m%dT%H%M%SZ");
        let text = if number > 1 { format!("{base}-{number}") } else { base.to_string() };
        Self { second: time.as_second(), number, text }
    }

    fn parse(text: &str) -> Option<Self> {
        let (base, number) = match text.split_once('-') {
            Some((base, number)) => (base, number.parse().ok().filter(|n| *n > 1)?),
            None => (text, 1),
        };
        let bytes = base.as_bytes();
        let shaped = bytes.len() == 16 && bytes[8] == b'T' && bytes[15] == b'Z';
        if !shaped || !base.is_ascii() {
            return None;
        }
        let part = |from: usize, to: usize| base[from..to].parse::<i16>().ok();
        let small = |from: usize| part(from, from + 2).and_then(|n| i8::try_from(n).ok());
        let (month, day) = (small(4)?, small(6)?);
        let (hour, minute, second) = (small(9)?, small(11)?, small(13)?);
        let civil = DateTime::new(part(0, 4)?, month, day, hour, minute, second, 0).ok()?;
        let time = TimeZone::UTC.to_timestamp(civil).ok()?;
        // One text per ID: what is not written the way we write it (`+1`, `-02`) is none.
        Some(Self::build(time.as_second(), number)).filter(|id| id.text == text)
    }
}

impl FromStr for BackupId {
    type Err = BackupIdError;

    fn from_str(text: &str) -> Result<Self, BackupIdError> {
        Self::parse(text).ok_or_else(|| BackupIdError { text: text.to_owned() })
    }
}

impl TryFrom<String> for BackupId {
    type Error = BackupIdError;

    fn try_from(text: String) -> Result<Self, BackupIdError> {
        text.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.text
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(text: &str) -> BackupId {
        text.parse().unwrap()
    }

    #[test]
    fn ids_sort_by_second_and_then_by_number() {
        assert!(id("20261123T020000Z-2") < id("20261123T020000Z-10"));
        assert!(id("20261123T020000Z") < id("20261123T020000Z-2"));
        assert!(id("20261123T020000Z-10") < id("20261123T020001Z"));
    }

    #[test]
    fn an_id_that_is_not_written_our_way_is_none() {
        for text in [
            "",
            "latest",
            "20261123T020000Z-1",
            "20261123T020000Z-02",
            "20261123T020000Z-",
            "20261123T020000Z-+2",
            "20261123T020060Z",
            "20261323T020000Z",
            "+0261123T020000Z",
            "20261123T020000Z/../x",
            "20261123T02000é",
            "20261123T020000Z-99999999999",
        ] {
            assert!(text.parse::<BackupId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn json_holds_the_text_and_refuses_what_is_none() {
        assert_eq!(serde_json::to_string(&id("20261123T020000Z-2")).unwrap(), "\"20261123T020000Z-2\"");
        assert!(serde_json::from_str::<BackupId>("\"../x\"").is_err());
    }

    proptest! {
        #[test]
        fn ids_strictly_increase_whatever_the_clock_does(clock in proptest::collection::vec(-5_i64..253_402_200_000, 1..60)) {
            let mut newest: Option<BackupId> = None;
            for second in clock {
                let next = BackupId::after(newest.as_ref(), Timestamp::from_second(second).unwrap());
                prop_assert!(newest.is_none_or(|newest| newest < next));
                prop_assert_eq!(next.as_str().parse::<BackupId>().unwrap(), next.clone());
                newest = Some(next);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            let _ = text.parse::<BackupId>();
        }
    }
}
