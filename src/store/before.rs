//! What was there before restores is kept as backups of a job of its own, so that each restore can be taken back. Which
//! of them go is decided here for every kind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Backup, BackupId, JobStore, Removed, StoreError};

/// That of so many restores of a target stays, however old it is.
const KEPT: usize = 5;
/// And all that is younger: a restore that fails in the middle has written some of it, and what was there then only the
/// first of its tries has kept, however many there were.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(14 * 24);
/// How long readers of what is kept are waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

impl JobStore {
    /// Removes what was kept before restores so long ago that nobody takes them back any more. `needs` says which one
    /// beside itself is needed where that is taken back.
    pub fn forget_old_restores(
        &self,
        now: Timestamp,
        needs: impl Fn(&Backup) -> Option<BackupId>,
    ) -> Result<Removed, StoreError> {
        let mut newer: BTreeMap<String, usize> = BTreeMap::new();
        let mut needed = BTreeSet::new();
        let mut old = Vec::new();
        for backup in self.list()?.backups.iter().rev() {
            let young = now.duration_since(backup.manifest.created) <= KEPT_FOR;
            // What was there at one server does not push out what was there at another.
            let place = newer.entry(backup.manifest.source.target.clone()).or_default();
            *place += 1;
            if *place <= KEPT || young || needed.contains(backup.id()) {
                needed.extend(needs(backup));
            } else {
                old.push(backup.id().clone());
            }
        }
        self.forget_restores(&old)
    }

    /// Removes what was kept before these restores: they were taken back, or never made.
    pub fn forget_restores(&self, ids: &[BackupId]) -> Result<Removed, StoreError> {
        self.remove(&self.lock_exclusive(LOCK_LIMIT)?, ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    const DAY: i64 = 24 * 3600;

    fn days_left(job: &JobStore) -> Vec<i64> {
        let backups = job.list().unwrap().backups;
        backups
            .iter()
            .map(|backup| backup.manifest.created.duration_since(testing::now()).as_secs() / DAY)
            .collect()
    }

    #[test]
    fn the_newest_five_stay_and_all_of_two_weeks() {
        let (_dir, job) = testing::job();
        for day in 0..8 {
            testing::backup(&job, day * DAY);
        }
        job.forget_old_restores(testing::at(16 * DAY), |_| None).unwrap();
        assert_eq!(days_left(&job), [2, 3, 4, 5, 6, 7]);
        job.forget_old_restores(testing::at(300 * DAY), |_| None).unwrap();
        assert_eq!(days_left(&job), [3, 4, 5, 6, 7]);
    }

    #[test]
    fn what_one_that_stays_needs_stays_and_what_that_needs() {
        let (_dir, job) = testing::job();
        let made: Vec<Backup> = (0..8).map(|day| testing::backup(&job, day * DAY)).collect();
        let needs = |backup: &Backup| {
            let of = |day: usize| made[day].id().clone();
            [(5, 2), (2, 0), (1, 1)]
                .iter()
                .find(|(one, _)| of(*one) == *backup.id())
                .map(|(_, other)| of(*other))
        };
        job.forget_old_restores(testing::at(300 * DAY), needs).unwrap();
        assert_eq!(days_left(&job), [0, 2, 3, 4, 5, 6, 7]);
    }
}
