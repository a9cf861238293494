//! Which slots were missed while nobody watched the clock, and which of them are made up for. Pure: the history says what
//! was run, and the clock what the time is.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::Schedule;
use crate::config::values::{OnMissed, SlotRules};

/// No more slots than this are made up for at once, however long the machine was off: the newest.
const MOST: usize = 100;
/// No more slots than this are counted.
const COUNTED: usize = 100_000;

/// So many slots are looked at, going back from the newest, where there are too many to count.
const LOOKED_AT: usize = 1_000;

/// Slots of which it is known what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Those that ran, were skipped, or wait to run.
    pub slots: BTreeSet<Timestamp>,
    /// Stretches that are noted as missed, from their first slot to their last.
    pub missed: Vec<(Timestamp, Timestamp)>,
}

impl Known {
    fn holds(&self, slot: Timestamp) -> bool {
        let is_in = |(first, last): &(Timestamp, Timestamp)| *first <= slot && slot <= *last;
        self.slots.contains(&slot) || self.missed.iter().any(is_in)
    }
}

/// Which slots may be made up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At most so many: the newest.
    pub most: usize,
    /// None before this time.
    pub oldest: Option<Timestamp>,
}

impl Limits {
    /// What a job wants at this time.
    pub fn of(rules: SlotRules, now: Timestamp) -> Self {
        let most = match rules.on_missed {
            OnMissed::Skip => 0,
            OnMissed::Once => 1,
            OnMissed::All => MOST,
        };
        let age = rules.max_age.and_then(|age| SignedDuration::try_from(age).ok());
        Self { most, oldest: age.and_then(|age| now.checked_sub(age).ok()) }
    }

    /// None are made up for.
    pub const NONE: Self = Self { most: 0, oldest: None };
}

/// Slots that nobody ran.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missed {
    /// Those to run now, the oldest first.
    pub catch_up: Vec<Timestamp>,
    /// The others.
    pub given_up: Option<Stretch>,
    /// More would have been made up for, were the others not too old.
    pub too_old: bool,
}

/// Slots of a job that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many.
    pub count: usize,
    /// There are more: nobody counted on.
    pub at_least: bool,
}

impl Schedule {
    /// The slots after `since`, up to and with `now`, that are not in `known`.
    pub fn missed(&self, since: Timestamp, now: Timestamp, known: &Known, limits: Limits) -> Missed {
        let mut slots = self.unknown(since, now, known, COUNTED);
        let mut given_up = None;
        // More than can be counted: the newest are what matters, and the others are one stretch.
        if let [first, .., last] = slots[..]
            && slots.len() == COUNTED
        {
            slots = self.newest_unknown(last, now, known);
            given_up = Some(Stretch { first, last, count: COUNTED, at_least: !slots.is_empty() });
        }
        let young = slots.partition_point(|slot| limits.oldest.is_some_and(|oldest| *slot < oldest));
        let catch_up = slots.split_off(slots.len() - (slots.len() - young).min(limits.most));
        if let [first, ..] = slots[..] {
            let (first, count, at_least) =
                given_up.map_or((first, slots.len(), false), |given| (given.first, given.count, true));
            given_up = slots.last().map(|last| Stretch { first, last: *last, count, at_least });
        }
        let too_old = given_up.is_some() && catch_up.len() < limits.most;
        Missed { catch_up, given_up, too_old }
    }

    /// What is left of a stretch that was noted as missed: its slots from `first` up to `until`, without those that ran.
    pub fn cut(&self, first: Timestamp, until: Timestamp, ran: BTreeSet<Timestamp>) -> Option<Stretch> {
        let before = first.checked_sub(SignedDuration::from_millis(1)).ok()?;
        let ran = Known { slots: ran, missed: Vec::new() };
        let slots = self.unknown(before, until, &ran, COUNTED);
        let (first, last) = (*slots.first()?, *slots.last()?);
        Some(Stretch { first, last, count: slots.len(), at_least: slots.len() == COUNTED })
    }

    /// The first slots after `since`, up to and with `now`, that are not in `known`.
    pub fn unknown(&self, since: Timestamp, now: Timestamp, known: &Known, most: usize) -> Vec<Timestamp> {
        let slots = std::iter::successors(self.next_after(since), |slot| self.next_after(*slot));
        slots.take_while(|slot| *slot <= now).filter(|slot| !known.holds(*slot)).take(most).collect()
    }

    /// Goes back from `now` and not further than `since`; the oldest first.
    fn newest_unknown(&self, since: Timestamp, now: Timestamp, known: &Known) -> Vec<Timestamp> {
        let before = |slot: Timestamp| {
            let end = slot.checked_sub(SignedDuration::from_millis(1)).ok()?;
            self.last_between(since, end)
        };
        let all = std::iter::successors(self.last_between(since, now), |slot| before(*slot));
        let mut newest: Vec<Timestamp> =
            all.take(LOOKED_AT).filter(|slot| !known.holds(*slot)).take(MOST + 1).collect();
        newest.reverse();
        newest
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::values::OnOverlap;

    fn rules(on_missed: OnMissed, max_age_hours: Option<u64>) -> SlotRules {
        let max_age = max_age_hours.map(Duration::from_hours);
        SlotRules { on_missed, max_age, on_overlap: OnOverlap::Skip, jitter: Duration::ZERO }
    }

    fn hour(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3_600).unwrap()
    }

    /// The slots made up for, and those given up, as hours; `hours` went by.
    fn missed(hours: i64, known: &[i64], rules: SlotRules) -> (Vec<i64>, Option<(i64, i64, usize)>) {
        let hourly = Schedule::parse("0 * * * *", &TimeZone::UTC, "job").unwrap();
        let slots = known.iter().map(|number| hour(*number)).collect();
        let known = Known { slots, missed: Vec::new() };
        let number = |slot: Timestamp| (slot.as_second() - 1_800_000_000) / 3_600;
        let missed = hourly.missed(hour(0), hour(hours), &known, Limits::of(rules, hour(hours)));
        let given_up = missed.given_up.map(|given| (number(given.first), number(given.last), given.count));
        (missed.catch_up.into_iter().map(number).collect(), given_up)
    }

    #[test]
    fn of_missed_slots_none_the_newest_or_all_are_made_up_for() {
        assert_eq!(missed(5, &[], rules(OnMissed::Skip, None)), (vec![], Some((1, 5, 5))));
        assert_eq!(missed(5, &[], rules(OnMissed::Once, None)), (vec![5], Some((1, 4, 4))));
        assert_eq!(missed(5, &[], rules(OnMissed::All, None)), (vec![1, 2, 3, 4, 5], None));
        assert_eq!(missed(0, &[], rules(OnMissed::All, None)), (vec![], None));
    }

    #[test]
    fn what_history_knows_is_not_missed_and_what_is_too_old_is_not_made_up_for() {
        assert_eq!(missed(5, &[1, 2, 5], rules(OnMissed::Once, None)), (vec![4], Some((3, 3, 1))));
        assert_eq!(missed(5, &[1, 2, 3, 4, 5], rules(OnMissed::Once, None)), (vec![], None));
        assert_eq!(missed(5, &[], rules(OnMissed::All, Some(2))), (vec![3, 4, 5], Some((1, 2, 2))));
        assert_eq!(missed(5, &[4, 5], rules(OnMissed::Once, Some(1))), (vec![], Some((1, 3, 3))));
    }

    #[test]
    fn where_age_is_why_slots_are_not_made_up_for_that_is_told() {
        let hourly = Schedule::parse("0 * * * *", &TimeZone::UTC, "job").unwrap();
        let too_old = |on_missed, age| {
            let limits = Limits::of(rules(on_missed, age), hour(5));
            hourly.missed(hour(0), hour(5), &Known::default(), limits).too_old
        };
        assert!(too_old(OnMissed::All, Some(2)));
        assert!(!too_old(OnMissed::All, None));
        assert!(!too_old(OnMissed::Once, Some(2)), "one was made up for, and more are not wanted");
        assert!(!too_old(OnMissed::Skip, Some(2)));
    }

    #[test]
    fn after_a_year_off_no_storm_of_runs_follows() {
        let (catch_up, given_up) = missed(8_760, &[], rules(OnMissed::All, None));
        assert_eq!((catch_up.len(), catch_up[0], given_up), (100, 8_661, Some((1, 8_660, 8_660))));
    }

    #[test]
    fn of_more_slots_than_are_counted_the_newest_are_made_up_for() {
        let (catch_up, given_up) = missed(2_000_000, &[], rules(OnMissed::Once, Some(1)));
        assert_eq!((catch_up, given_up), (vec![2_000_000], Some((1, 1_999_999, COUNTED))));
        let (catch_up, _) = missed(150_000, &[150_000], rules(OnMissed::All, None));
        assert_eq!((catch_up.len(), catch_up[99]), (100, 149_999));
        assert_eq!(missed(2_000_000, &[], rules(OnMissed::Skip, None)).1.unwrap().1, 2_000_000);
    }

    #[test]
    fn what_is_noted_as_missed_is_not_missed_again() {
        let hourly = Schedule::parse("0 * * * *", &TimeZone::UTC, "job").unwrap();
        let known = Known { slots: BTreeSet::new(), missed: vec![(hour(2), hour(4))] };
        let missed = hourly.missed(hour(0), hour(5), &known, Limits::of(rules(OnMissed::All, None), hour(5)));
        assert_eq!(missed.catch_up, [hour(1), hour(5)]);
    }

    #[test]
    fn a_stretch_is_cut_where_its_slots_have_not_come() {
        let hourly = Schedule::parse("0 * * * *", &TimeZone::UTC, "job").unwrap();
        let cut = |until, ran: &[i64]| {
            let ran = ran.iter().map(|number| hour(*number)).collect();
            hourly.cut(hour(2), hour(until), ran).map(|cut| (cut.first, cut.last, cut.count))
        };
        assert_eq!((cut(5, &[]), cut(1, &[])), (Some((hour(2), hour(5), 4)), None));
        assert_eq!((cut(5, &[2, 4]), cut(2, &[2])), (Some((hour(3), hour(5), 2)), None));
    }
}
