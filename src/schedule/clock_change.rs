//! What a change of the clocks does to a schedule: for people who want to know before it happens.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Civil, Rule, Schedule, instant_of};

/// Which way clocks are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Put forward: some times of day do not come.
    Forward,
    /// Put back: some times of day come twice.
    Back,
}

/// A time of day of a schedule that does not come, or comes twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockChange {
    /// The date and time that the pattern names.
    pub civil: DateTime,
    /// When it is due on that day.
    pub due: Timestamp,
    /// What clocks showed just before they were moved.
    pub from: DateTime,
    /// What they show from then on.
    pub to: DateTime,
}

impl ClockChange {
    /// Which way clocks are moved.
    pub fn direction(&self) -> Direction {
        if self.from < self.to { Direction::Forward } else { Direction::Back }
    }
}

impl Schedule {
    /// The first time of day that each change of the clocks after `from`, up to and with `to`, takes away or repeats.
    /// Nothing for a schedule that follows real time.
    pub fn clock_changes(&self, from: Timestamp, to: Timestamp) -> Vec<ClockChange> {
        let civil = match &self.rule {
            Rule::Civil(civil) if !civil.follows_real_time => civil,
            _ => return Vec::new(),
        };
        let changes = self.zone.following(from).map(|change| change.timestamp());
        changes.take_while(|at| *at <= to).filter_map(|at| touched(civil, &self.zone, at)).collect()
    }
}

/// What the change at this instant does to the pattern.
fn touched(pattern: &Civil, zone: &TimeZone, at: Timestamp) -> Option<ClockChange> {
    let before = zone.to_offset(at.checked_sub(SignedDuration::from_nanos(1)).ok()?);
    let (from, to) = (before.to_datetime(at), zone.to_datetime(at));
    let civil = pattern.match_from(from.min(to), true).filter(|civil| *civil < from.max(to))?;
    Some(ClockChange { civil, due: instant_of(zone, civil)?, from, to })
}
