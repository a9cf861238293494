//! Until when retention will keep a backup: its rules, played through with the backups that are still to come.
//!
//! Every coming slot is taken to bring a good backup. One that brings none keeps the older ones longer, so what is told
//! here is the earliest end.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Item, plan};
use crate::config::values::Keep;
use crate::store::BackupId;

/// Until when a backup is kept. Ordered: what is greater is kept longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Until {
    /// The next backup may already be its end.
    Dropped,
    /// Nobody knows when the next backup comes.
    Unscheduled,
    /// It goes after the backup of this slot, if all until then are made.
    Slot(Timestamp),
    /// It is still there after the backup of this slot.
    Beyond(Timestamp),
    /// It is pinned.
    Pinned,
}

/// Until when each of these backups, oldest first, is kept, when the next ones are made at `slots`.
pub fn until(items: &[Item], keep: &Keep, zone: &TimeZone, slots: &[Timestamp]) -> Vec<Until> {
    // The next run reads what was not read, and what is kept only because of that may go then.
    let items: Vec<Item> = items.iter().map(|item| Item { unread: false, ..item.clone() }).collect();
    let items = items.as_slice();
    let decisions = plan(items, keep, zone);
    let mut ends: Vec<Until> = items
        .iter()
        .zip(&decisions)
        .map(|(item, decision)| match slots.last() {
            _ if item.pinned => Until::Pinned,
            _ if !decision.keep => Until::Dropped,
            None => Until::Unscheduled,
            Some(last) => Until::Beyond(*last),
        })
        .collect();
    let mut there: Vec<(Option<usize>, Item)> = (0..).map(Some).zip(items.iter().cloned()).collect();
    there.retain(|(index, _)| index.is_some_and(|index| ends[index] != Until::Dropped));
    for slot in slots {
        if !there.iter().any(|(index, item)| index.is_some() && !item.pinned) {
            break;
        }
        let id = BackupId::after(there.last().map(|(_, item)| &item.id), *slot);
        let coming = Item {
            id,
            created: *slot,
            good: true,
            unread: false,
            pinned: false,
            accepted: false,
            lacks: Vec::new(),
        };
        there.push((None, coming));
        let items: Vec<Item> = there.iter().map(|(_, item)| item.clone()).collect();
        let mut kept = plan(&items, keep, zone).into_iter().map(|decision| decision.keep);
        there.retain(|(index, _)| {
            let keep = kept.next().unwrap_or(true);
            if let (Some(index), false) = (index, keep) {
                ends[*index] = Until::Slot(*slot);
            }
            keep
        });
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values::KeepRules;
    use std::num::NonZeroU32;

    fn day(n: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + n * 86_400).unwrap()
    }

    fn item(n: i64) -> Item {
        Item {
            id: BackupId::after(None, day(n)),
            created: day(n),
            good: true,
            unread: false,
            pinned: false,
            accepted: false,
            lacks: Vec::new(),
        }
    }

    fn ends(items: &[Item], rules: KeepRules, slots: std::ops::Range<i64>) -> Vec<Until> {
        let slots: Vec<Timestamp> = slots.map(day).collect();
        until(items, &Keep::new(rules).unwrap(), &TimeZone::UTC, &slots)
    }

    fn last(n: u32) -> KeepRules {
        KeepRules { last: NonZeroU32::new(n), ..KeepRules::default() }
    }

    #[test]
    fn of_the_last_three_the_oldest_goes_with_the_next_backup_and_the_newest_with_the_third() {
        let found = ends(&[item(0), item(1), item(2)], last(3), 3..100);
        assert_eq!(found, [3, 4, 5].map(|n| Until::Slot(day(n))));
    }

    #[test]
    fn what_no_rule_keeps_is_dropped_and_what_is_pinned_stays() {
        let pinned = Item { pinned: true, ..item(0) };
        let found = ends(&[pinned, item(1), item(2)], last(1), 3..10);
        assert_eq!(found, [Until::Pinned, Until::Dropped, Until::Slot(day(3))]);
    }

    #[test]
    fn the_newest_of_its_month_outlives_the_last_ones() {
        let rules = KeepRules { monthly: NonZeroU32::new(2), ..last(1) };
        // 1 800 000 000 is 2027-01-15: day 16 is its last of January.
        let found = ends(&[item(15), item(16)], rules, 17..200);
        assert_eq!(found[0], Until::Dropped);
        assert_eq!(found[1], Until::Slot("2027-03-01T08:00:00Z".parse().unwrap()));
    }

    #[test]
    fn without_slots_nobody_knows_and_after_the_last_one_looked_at_it_is_beyond() {
        assert_eq!(ends(&[item(0)], last(5), 1..1), [Until::Unscheduled]);
        assert_eq!(ends(&[item(0)], last(5), 1..4), [Until::Beyond(day(3))]);
    }

    #[test]
    fn what_was_not_read_yet_is_as_if_the_next_run_had_found_it_good() {
        let unread = Item { unread: true, ..item(0) };
        assert_eq!(ends(&[unread, item(1), item(2)], last(2), 3..10)[0], Until::Dropped);
    }
}
