//! A leap of the clock: a backup that bears a time far ahead of those before it. `within` counts from the newest good backup,
//! so one that was made while the clock was ahead would take all the others away.
//!
//! It cannot be told from a job that did not run for long, and so somebody has to say which of the two it was.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// Where nothing is known of how often a job runs, it is taken to be no rarer than this.
const RARELY: SignedDuration = SignedDuration::from_hours(60 * 24);
/// So many times the longest time that ever passed between two of its backups is far.
const FAR: i32 = 3;
/// Less than this is never far.
const LEAST: SignedDuration = SignedDuration::from_hours(2 * 24);
/// Two clocks may differ by so much.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Why retention does not trust the time of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "clock")]
pub enum Leap {
    /// It is far from what comes before it.
    Far {
        /// When it was made, by the clock of then.
        created: Timestamp,
        /// The newest time of those before it.
        before: Timestamp,
    },
    /// It has not come yet.
    Ahead {
        /// When it was made, by the clock of then.
        created: Timestamp,
        /// What the clock shows now.
        now: Timestamp,
    },
}

impl Leap {
    /// Where a backup bears a time that has not come yet.
    pub fn ahead(created: Timestamp, now: Timestamp) -> Option<Self> {
        (created.duration_since(now) > SKEW).then_some(Self::Ahead { created, now })
    }
}

impl std::fmt::Display for Leap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Far { created, before } => {
                write!(
                    f,
                    "is of {created:.0}, long after the one before it, of {before:.0}: was the clock right?"
                )
            }
            Self::Ahead { created, now } => {
                write!(f, "is of {created:.0}, and it is {now:.0} now: one of the two clocks was wrong")
            }
        }
    }
}

/// Judges the time of each of some backups, in the order in which they were made, the last one that somebody accepted first.
/// Each is compared with those before it that were trusted themselves: while the clock stays ahead, that does not become right.
pub fn leaps(created: &[Timestamp], within: Duration) -> Vec<Option<Leap>> {
    let within = SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX);
    let mut trusted: Option<Timestamp> = None;
    let mut longest: Option<SignedDuration> = None;
    let judge = |&created: &Timestamp| {
        let Some(before) = trusted else {
            trusted = Some(created);
            return None;
        };
        let passed = created.duration_since(before);
        let far = longest.unwrap_or(RARELY).saturating_mul(FAR).max(within / 2).max(LEAST);
        if passed > far {
            return Some(Leap::Far { created, before });
        }
        if passed.is_positive() {
            longest = longest.max(Some(passed));
            trusted = Some(created);
        }
        None
    };
    created.iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;
    const FORTNIGHT: Duration = Duration::from_hours(14 * 24);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// Which of some times are not trusted.
    fn far(seconds: &[i64], within: Duration) -> Vec<bool> {
        let created: Vec<Timestamp> = seconds.iter().map(|&seconds| at(seconds)).collect();
        leaps(&created, within).iter().map(Option::is_some).collect()
    }

    #[test]
    fn a_clock_that_leaps_is_not_trusted_however_long_it_stays_ahead_and_no_longer_than_that() {
        let year = 365 * DAY;
        let times = [0, DAY, 2 * DAY, year, year + DAY, year + 2 * DAY, 3 * DAY, 4 * DAY];
        assert_eq!(far(&times, FORTNIGHT), [false, false, false, true, true, true, false, false]);
        let (created, before) = (at(year), at(2 * DAY));
        assert_eq!(
            leaps(&[at(0), at(DAY), before, created], FORTNIGHT)[3],
            Some(Leap::Far { created, before })
        );
    }

    #[test]
    fn half_of_what_is_kept_is_no_leap_and_all_of_it_is_one() {
        let hourly = |then: i64| far(&[0, HOUR, 2 * HOUR, 2 * HOUR + then], Duration::from_hours(60 * 24))[3];
        assert!(!hourly(30 * DAY) && hourly(31 * DAY) && hourly(60 * DAY));
    }

    #[test]
    fn what_is_usual_for_a_job_is_no_leap() {
        let (day, week) = (Duration::from_hours(24), 7 * DAY);
        // By hand a few times, and then every night.
        assert_eq!(far(&[0, 60, 120, DAY, 2 * DAY], day), [false; 5]);
        // On working days, and every week.
        assert_eq!(far(&[0, DAY, 4 * DAY, 5 * DAY, 8 * DAY], day), [false; 5]);
        assert_eq!(far(&[0, week, 2 * week], day), [false; 3]);
        // A host that was off for a few days, and a clock that went back.
        assert_eq!(far(&[0, DAY, 2 * DAY, 7 * DAY], FORTNIGHT), [false; 4]);
        assert_eq!(far(&[100 * DAY, 0, DAY, 2 * DAY], FORTNIGHT), [false; 4]);
        assert_eq!(far(&[], day), [false; 0]);
        assert_eq!(far(&[0, 500 * DAY], FORTNIGHT), [false, true]);
    }

    #[test]
    fn a_time_that_has_not_come_is_ahead_where_it_is_more_than_two_clocks_differ_by() {
        assert_eq!(Leap::ahead(at(300), at(0)), None);
        assert_eq!(Leap::ahead(at(-5), at(0)), None);
        let leap = Leap::ahead(at(301), at(0)).unwrap();
        assert_eq!(
            leap.to_string(),
            "is of 2027-01-15T08:05:01Z, and it is 2027-01-15T08:00:00Z now: one of the two clocks was wrong"
        );
    }
}
