//! Which backups to keep, and why: pure, so that it can be shown before it is done and tested against a model.
//!
//! The rules are restic's: each bucket rule keeps the newest backup of each of the last N buckets that have one,
//! in the job's time zone, with ISO weeks; `within` counts from the newest good backup. Only good backups count:
//! a damaged one never takes the place of a good one. Invariants, whatever the rules say: the newest good backup
//! is kept; a backup that is not good is kept while it is newer than the newest good one, because nothing better
//! replaced it, and as long as the rules would keep it if all were good: one bad file makes every backup that shares it
//! not good, and most of what they hold is still there. A good backup may lack something that could not be read when it
//! was made: it counts, and it never pushes out the last copy of that, because the newest good backup from before that
//! was lacking is kept until a newer one has it again, or somebody has accepted that it is gone. What is pinned is kept
//! beside the rules, which count as if it were not there; so is what may be good and may be bad, because it is not known
//! any more when it was read, until it was read again.

mod hold;
mod leap;
mod until;

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use serde::Serialize;

pub use hold::{Fewer, Hold, fewer, holds, rows};
pub use leap::{Leap, leaps};
pub use until::{Until, until};

use crate::config::values::Keep;
use crate::store::{Backup, BackupId, is_lacking};

/// A backup, as far as retention looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own")]
pub struct Item {
    /// Which backup.
    pub id: BackupId,
    /// When it was made.
    pub created: Timestamp,
    /// It can be restored, as far as is known.
    pub good: bool,
    /// Some file of it was never read back, or it is lost what came of that: what is known of it says nothing.
    pub unread: bool,
    /// Somebody wants it kept.
    pub pinned: bool,
    /// Somebody has said that what it lacks is right.
    pub accepted: bool,
    /// Paths of what it should hold and does not hold whole; each with everything below it.
    pub lacks: Vec<String>,
}

impl Item {
    /// A backup of the store.
    pub fn of(backup: &Backup) -> Self {
        Self {
            id: backup.id().clone(),
            created: backup.manifest.created,
            good: backup.is_good(),
            unread: backup.verified().is_none(),
            pinned: backup.state.pinned,
            accepted: backup.state.accepted,
            lacks: backup.manifest.lacks.clone(),
        }
    }

    /// It is known to be good.
    const fn counts(&self) -> bool {
        self.good && !self.unread
    }

    /// Nothing that is known is against it, and it is not known to be good.
    const fn in_doubt(&self) -> bool {
        self.good && self.unread
    }
}

/// What is to happen to one backup, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Which backup.
    pub id: BackupId,
    /// It stays.
    pub keep: bool,
    /// Why; never empty.
    pub reasons: Vec<Reason>,
}

/// Why a backup is kept or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Kept: one of the last N.
    Last,
    /// Kept: the newest of one of the last N buckets.
    NewestOf(Bucket),
    /// Kept: younger than `within`, counted from the newest good backup.
    Within,
    /// Kept: it is the newest good backup.
    NewestGood,
    /// Kept: it may hold the last copy of something that every newer good backup lacks.
    LastCopy,
    /// Kept: it was made from something else than the job backs up now, which this tells. No rule counts it.
    OtherSource(String),
    /// Kept: pinned.
    Pinned,
    /// Kept: it is not known when it was read back, so it may be good.
    Unread,
    /// Kept: not good, but no good backup is newer.
    NothingBetter,
    /// Kept: not good, but the rules would keep it if it were.
    IfItWereGood,
    /// Deleted: no rule keeps it.
    NoRule,
    /// Deleted: not good, a good backup is newer, and no rule would keep it if it were good.
    NotGood,
}

/// A span of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bucket {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// An ISO week, Monday to Sunday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Bucket {
    /// Names the bucket that an instant falls into. Two instants are in one bucket exactly when this is equal.
    fn of(self, at: &ZonedDateTime) -> (i64, i64) {
        match self {
            // The hour that is repeated when the clocks go back is two hours: it has two offsets.
            Self::Hour => {
                let local = at.timestamp().as_second() + i64::from(at.offset().seconds());
                (local.div_euclid(3600), i64::from(at.offset().seconds()))
            }
            Self::Day => (i64::from(at.year()), i64::from(at.day_of_year())),
            Self::Week => {
                let week = at.date().iso_week_date();
                (i64::from(week.year()), i64::from(week.week()))
            }
            Self::Month => (i64::from(at.year()), i64::from(at.month())),
            Self::Year => (i64::from(at.year()), 0),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Last => f.write_str("one of the last"),
            Self::NewestOf(bucket) => write!(f, "the newest of its {}", bucket.word()),
            Self::Within => f.write_str("within the time to keep everything"),
            Self::NewestGood => f.write_str("the newest good backup"),
            Self::LastCopy => f.write_str("all newer ones lack something that it does not"),
            Self::OtherSource(source) => write!(f, "of another source, which no rule counts: {source}"),
            Self::Pinned => f.write_str("pinned"),
            Self::Unread => f.write_str("it has to be verified first"),
            Self::NothingBetter => f.write_str("not good, but no good backup is newer"),
            Self::IfItWereGood => f.write_str("not good, but the rules would keep it if it were"),
            Self::NoRule => f.write_str("no rule keeps it"),
            Self::NotGood => f.write_str("not good, and no rule would keep it if it were"),
        }
    }
}

/// Decides about every backup. `items` are in the order of creation, oldest first; so are the decisions.
pub fn plan(items: &[Item], keep: &Keep, zone: &TimeZone) -> Vec<Decision> {
    plan_at(items, keep, zone, Timestamp::MAX)
}

/// Decides at a time: `within` counts from none that is later.
pub fn plan_at(items: &[Item], keep: &Keep, zone: &TimeZone, now: Timestamp) -> Vec<Decision> {
    let newest_good = items.iter().rposition(Item::counts);
    let counted_from = counted_from(items).map(|newest| newest.min(now));
    let reasons = by_rules(items, Item::counts, (keep, zone), counted_from);
    let if_good = by_rules(items, |_| true, (keep, zone), counted_from);
    let last_copies = last_copies(items);
    let decide = |(i, (item, mut reasons)): (usize, (&Item, Vec<Reason>))| {
        if item.pinned {
            reasons.push(Reason::Pinned);
        }
        if item.in_doubt() {
            reasons.push(Reason::Unread);
        }
        if newest_good == Some(i) {
            reasons.push(Reason::NewestGood);
        }
        if last_copies.contains(&i) {
            reasons.push(Reason::LastCopy);
        }
        if !item.good && newest_good.is_none_or(|newest| newest < i) {
            reasons.push(Reason::NothingBetter);
        } else if !item.good && !if_good[i].is_empty() {
            reasons.push(Reason::IfItWereGood);
        }
        let keep = !reasons.is_empty();
        if !keep {
            reasons.push(if item.good { Reason::NoRule } else { Reason::NotGood });
        }
        Decision { id: item.id.clone(), keep, reasons }
    };
    items.iter().zip(reasons).enumerate().map(decide).collect()
}

/// For everything that the newest good backups lack: the newest good one before them. A path is lacking where it or a
/// folder above it is. Whether that backup has it is not asked: it is not known to lack it, and that is enough.
fn last_copies(items: &[Item]) -> BTreeSet<usize> {
    let good: Vec<usize> = (0..items.len()).rev().filter(|&i| items[i].counts()).collect();
    let lacking: BTreeSet<&str> = good.iter().flat_map(|&i| &items[i].lacks).map(String::as_str).collect();
    let last_copy = |path: &str| {
        let without = good.iter().take_while(|&&i| is_lacking(&items[i].lacks, path)).count();
        let accepted = good[..without].iter().any(|&i| items[i].accepted);
        good.get(without).copied().filter(|_| without > 0 && !accepted)
    };
    lacking.into_iter().filter_map(last_copy).collect()
}

/// By which rules each is kept, where those count that are not pinned and that `counts` says.
fn by_rules(
    items: &[Item],
    counts: impl Fn(&Item) -> bool,
    (keep, zone): (&Keep, &TimeZone),
    counted_from: Option<Timestamp>,
) -> Vec<Vec<Reason>> {
    let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); items.len()];
    let counted: Vec<usize> =
        (0..items.len()).rev().filter(|&i| counts(&items[i]) && !items[i].pinned).collect();
    let rules = keep.rules();
    let last = rules.last.map_or(0, count);
    counted.iter().take(last).for_each(|&i| reasons[i].push(Reason::Last));
    for (limit, bucket) in [
        (rules.hourly, Bucket::Hour),
        (rules.daily, Bucket::Day),
        (rules.weekly, Bucket::Week),
        (rules.monthly, Bucket::Month),
        (rules.yearly, Bucket::Year),
    ] {
        let limit = limit.map_or(0, count);
        newest_of_each(&counted, items, bucket, zone).take(limit).for_each(|i| {
            reasons[i].push(Reason::NewestOf(bucket));
        });
    }
    if let (Some(within), Some(newest)) = (rules.within, counted_from) {
        let young = |&&i: &&usize| {
            newest.duration_since(items[i].created).unsigned_abs() <= within || items[i].created > newest
        };
        counted.iter().filter(young).for_each(|&i| reasons[i].push(Reason::Within));
    }
    reasons
}

/// What `within` counts from: the newest good backup. Where a newer one is in doubt, and its clock was behind, from that:
/// doubts about one never make another go.
fn counted_from(items: &[Item]) -> Option<Timestamp> {
    let newest = items.iter().rfind(|item| item.counts())?.created;
    let perhaps = items.iter().rfind(|item| item.good).map(|item| item.created);
    Some(perhaps.map_or(newest, |perhaps| newest.min(perhaps)))
}

/// The newest item of each bucket, newest bucket first. `counted` is newest first.
fn newest_of_each<'a>(
    counted: &'a [usize],
    items: &'a [Item],
    bucket: Bucket,
    zone: &'a TimeZone,
) -> impl Iterator<Item = usize> + 'a {
    let mut seen = std::collections::HashSet::new();
    counted
        .iter()
        .copied()
        .filter(move |&i| seen.insert(bucket.of(&items[i].created.to_zoned_datetime(zone.clone()))))
}

fn count(n: std::num::NonZeroU32) -> usize {
    usize::try_from(n.get()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
