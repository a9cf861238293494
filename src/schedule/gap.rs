//! The longest time from one slot of a schedule to the next: who watches a job has to know how long its silence may be.
//! The weekend of a job for weekdays is such a time, and the 31 days of a monthly one.

use jiff::{SignedDuration, Timestamp};

use super::{Rule, Schedule};

/// Every pattern of days of the week shows itself in that time.
const NEAR: SignedDuration = SignedDuration::from_hours(35 * 24);
/// And every pattern of months in this; where it does not, the first gap is looked at all the same.
const FAR: SignedDuration = SignedDuration::from_hours(400 * 24);
/// In `NEAR`, shorter gaps are jumped over, and a day in `FAR`: a schedule may have a slot each second.
const SHORT: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Where all gaps are short, so many are looked at.
const DENSE: usize = 4_000;

impl Schedule {
    /// The longest time from one slot to the next after `from`, in the following weeks and, where the gaps are long, in the
    /// following year. Nothing where there are no two slots before the end of the calendar.
    pub fn longest_gap(&self, from: Timestamp) -> Option<SignedDuration> {
        if let Rule::Every(seconds) = &self.rule {
            return Some(SignedDuration::from_secs(*seconds));
        }
        let first = self.next_after(from)?;
        let until = |length| first.checked_add(length).unwrap_or(Timestamp::MAX);
        let near = self.longest_above(SHORT, first, until(NEAR));
        let far = self.longest_above(near.unwrap_or_default().max(DAY), first, until(FAR));
        far.or(near).or_else(|| self.longest_of(DENSE, first))
    }

    /// Of the gaps that are longer than `floor` and begin between two times, the first of which is a slot.
    fn longest_above(
        &self,
        floor: SignedDuration,
        from: Timestamp,
        until: Timestamp,
    ) -> Option<SignedDuration> {
        let (mut slot, mut longest) = (from, None);
        while slot < until {
            // Between this slot and the last one within the longest gap so far, none can be longer.
            let reach = slot.checked_add(longest.unwrap_or(floor)).unwrap_or(Timestamp::MAX);
            let last = self.last_between(slot, reach).unwrap_or(slot);
            let Some(next) = self.next_after(last) else { break };
            let gap = next.duration_since(last);
            if gap > longest.unwrap_or(floor) {
                longest = Some(gap);
            }
            slot = next;
        }
        longest
    }

    fn longest_of(&self, count: usize, first: Timestamp) -> Option<SignedDuration> {
        let slots = std::iter::successors(Some(first), |slot| self.next_after(*slot));
        let gaps = slots.take(count).map_while(|slot| Some(self.next_after(slot)?.duration_since(slot)));
        gaps.max()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use jiff::tz::TimeZone;

    use super::*;

    fn hours(text: &str, zone: &str) -> f64 {
        let zone = TimeZone::get(zone).unwrap();
        let schedule = Schedule::parse(text, &zone, "job").unwrap();
        let from = "2026-11-26T12:00:00Z".parse().unwrap();
        let start = Instant::now();
        let gap = schedule.longest_gap(from).unwrap();
        assert!(start.elapsed().as_secs() < 2, "{text}: {:?}", start.elapsed());
        gap.as_secs_f64() / 3600.0
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "whole numbers")]
    fn the_longest_gap_is_that_of_a_weekend_a_long_month_or_a_clock_that_is_put_back() {
        let day = 24.0;
        for (text, wanted) in [
            ("0 2 * * *", day),
            ("0 2 * * 1-5", 3.0 * day),
            ("0 2 * * 1,4", 4.0 * day),
            ("0 2 1 * *", 31.0 * day),
            ("0 2 31 * *", 61.0 * day),
            ("0 0 1 1,7 *", 184.0 * day),
            ("@weekly", 7.0 * day),
            ("@yearly", 366.0 * day),
            ("*/5 8-17 * * 1-5", 2.0 * day + 14.0 + 5.0 / 60.0),
            ("0 0 29 2 *", 1461.0 * day),
            ("@every 90m", 1.5),
        ] {
            assert_eq!(hours(text, "UTC"), wanted, "{text}");
        }
        assert_eq!(hours("0 2 * * *", "Europe/Berlin"), day + 1.0);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "whole numbers of seconds")]
    fn a_slot_each_second_takes_no_longer_to_look_at() {
        for (text, wanted) in [
            ("* * * * * *", 1.0),
            ("* * * * *", 60.0),
            ("* 0-29 * * * *", 1801.0),
            ("0,50 * * * *", 3000.0),
            ("* * 9-16 * * 1-5", 64.0 * 3600.0 + 1.0),
        ] {
            assert_eq!((hours(text, "UTC") * 3600.0).round(), wanted, "{text}");
        }
    }
}
