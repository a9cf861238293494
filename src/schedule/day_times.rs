//! The times of day of a pattern, as bits: croner looks for the next one value by value, and of a schedule with many
//! slots in a day almost all follow another of the same day.

use croner::CronPattern;
use jiff::civil::Time;

/// Hours, minutes and seconds; each with each is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct DayTimes {
    hours: u64,
    minutes: u64,
    seconds: u64,
}

impl DayTimes {
    pub(super) fn of(pattern: &CronPattern) -> Self {
        let bits = |values: Vec<u16>| values.into_iter().fold(0, |bits, value| bits | 1 << value);
        Self {
            hours: bits(pattern.hours.values()),
            minutes: bits(pattern.minutes.values()),
            seconds: bits(pattern.seconds.values()),
        }
    }

    /// The first after `time`, or that itself where it is `inclusive`; nothing where the day has no more. Fractions of
    /// a second do not count.
    pub(super) fn next(&self, time: Time, inclusive: bool) -> Option<Time> {
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let from = if inclusive { second } else { second + 1 };
        let in_hour = has(self.hours, hour);
        if in_hour
            && has(self.minutes, minute)
            && let Some(second) = least(self.seconds, from)
        {
            return Time::new(hour, minute, second, 0).ok();
        }
        let first = least(self.seconds, 0)?;
        if in_hour && let Some(minute) = least(self.minutes, minute + 1) {
            return Time::new(hour, minute, first, 0).ok();
        }
        Time::new(least(self.hours, hour + 1)?, least(self.minutes, 0)?, first, 0).ok()
    }
}

fn has(bits: u64, value: i8) -> bool {
    bits >> value & 1 == 1
}

/// The least value that is not below `from`.
fn least(bits: u64, from: i8) -> Option<i8> {
    let rest = bits >> from << from;
    (rest != 0).then(|| i8::try_from(rest.trailing_zeros()).ok()).flatten()
}
