//! When it is time again: the one question of every cool-down, reminder and further try.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A clock that is kept right is set back by less.
const STEP: SignedDuration = SignedDuration::from_secs(10);

/// Whether so much time is over since then, by the wall clock: that is what survives a restart. A clock that went back makes
/// nobody wait until it has come so far again.
pub fn is_over(since: Timestamp, length: Duration, now: Timestamp) -> bool {
    let passed = now.duration_since(since);
    passed < -STEP || passed >= SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_over_when_it_has_passed_or_when_the_clock_went_back() {
        let at = |second| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let minute = Duration::from_mins(1);
        let over: Vec<i64> = [-3_600, -11, -1, 0, 59, 60, 61]
            .into_iter()
            .filter(|now| is_over(at(0), minute, at(*now)))
            .collect();
        assert_eq!(over, [-3_600, -11, 60, 61]);
        assert!(is_over(at(0), Duration::ZERO, at(0)) && !is_over(at(0), Duration::MAX, at(61)));
    }
}
