//! The anomaly hold: a new backup that is far smaller than those before it holds retention, because what it
//! lacks may exist only in the backups that retention would delete.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// How many backups before it the newest one is compared with.
const COMPARED_WITH: usize = 7;

/// So many of a sort there have to be for it to be missed where it is gone.
const SEVERAL: u64 = 2;

/// So many rows a table has to have for it to be missed where all of them are gone: small tables often are empty, as a queue.
const MANY: u64 = 10;

/// How the count of all rows of a database is called.
const ROWS: &str = "rows";

/// How that of the rows of one table is.
const ROWS_IN: &str = "rows in ";

/// So many sorts, or names, are told.
const SHOWN: usize = 5;

/// Why retention is held.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hold {
    /// Bytes in the backup, before compression.
    pub newest: u64,
    /// The median of the backups before it.
    pub median: u64,
    /// Of which sorts of what is counted there are far fewer. Where there are some, the bytes need not be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fewer: Vec<Fewer>,
    /// What those before it have and it cannot have, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// Far fewer of a sort than there usually are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fewer {
    /// `dashboards`
    pub sort: String,
    /// In the backup.
    pub newest: u64,
    /// The median of the backups before it.
    pub median: u64,
}

impl Hold {
    fn told_fewer(&self) -> String {
        let told = |one: &Fewer| format!("{} {} ({})", one.newest, one.sort, one.median);
        let all: Vec<String> = self.fewer.iter().map(told).collect();
        format!("has far fewer than those before it usually do: {}", crate::words::some(&all, SHOWN))
    }
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.missing.is_empty() {
            let all = crate::words::some(&self.missing, SHOWN);
            write!(f, "has nothing any more of what those before it have: {all}")?;
            return if self.fewer.is_empty() { Ok(()) } else { write!(f, "; it {}", self.told_fewer()) };
        }
        if !self.fewer.is_empty() {
            return f.write_str(&self.told_fewer());
        }
        #[expect(clippy::cast_precision_loss, reason = "a percentage is shown")]
        let share = self.newest as f64 / self.median as f64 * 100.0;
        write!(
            f,
            "holds {share:.0} % of what those before it usually do ({} of {} bytes)",
            self.newest, self.median
        )
    }
}

/// Judges each of the backups, given the content bytes of each since the last accepted one, oldest first, that one
/// included. It is compared with the median of the up to seven before it that were not suspicious themselves: however
/// often an emptied source is backed up, that does not become usual until somebody accepts it. Suspicious is what has less
/// than `below` per cent of that median.
pub fn holds(bytes: &[u64], below: u32) -> Vec<Option<Hold>> {
    let mut usual = Vec::new();
    let judge =
        |&bytes: &u64| {
            let hold = median(&usual)
                .filter(|median| is_suspicious(bytes, *median, below))
                .map(|median| Hold { newest: bytes, median, fewer: Vec::new(), missing: Vec::new() });
            if hold.is_none() {
                usual.push(bytes);
            }
            hold
        };
    bytes.iter().map(judge).collect()
}

/// What is counted of a database: all rows, and those of each table. A table may shrink, and be missed only where it is empty.
pub fn rows<'a>(tables: impl Iterator<Item = (&'a str, u64)>) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, u64> =
        tables.map(|(table, rows)| (format!("{ROWS_IN}{table}"), rows)).collect();
    let all = counts.values().fold(0, |all: u64, rows| all.saturating_add(*rows));
    counts.insert(ROWS.to_owned(), all);
    counts
}

/// Far fewer of a sort than usual.
fn are_missed(sort: &str, hold: &Hold) -> bool {
    if sort.starts_with(ROWS_IN) { hold.newest == 0 && hold.median >= MANY } else { hold.median >= SEVERAL }
}

/// A table that is no more where tables were counted has no rows.
fn count(counts: &BTreeMap<String, u64>, sort: &str) -> Option<u64> {
    let gone = || (sort.starts_with(ROWS_IN) && counts.contains_key(ROWS)).then_some(0);
    counts.get(sort).copied().or_else(gone)
}

/// Below how many per cent of the median a count is suspicious.
fn limit(sort: &str, below: u32) -> u32 {
    // A table of which any row is there is as usual.
    if sort.starts_with(ROWS_IN) { below.min(1) } else { below }
}

/// Judges what is counted in each of the backups, in the same way. Of what one has not counted nothing is said.
pub fn fewer(counts: &[&BTreeMap<String, u64>], below: u32) -> Vec<Vec<Fewer>> {
    let mut judged = vec![Vec::new(); counts.len()];
    let sorts: BTreeSet<&String> = counts.iter().flat_map(|counts| counts.keys()).collect();
    for sort in sorts {
        let counted = counts.iter().enumerate().filter_map(|(at, counts)| Some((at, count(counts, sort)?)));
        let (places, series): (Vec<usize>, Vec<u64>) = counted.unzip();
        for (at, hold) in places.into_iter().zip(holds(&series, limit(sort, below))) {
            if let Some(Hold { newest, median, .. }) = hold.filter(|hold| are_missed(sort, hold)) {
                judged[at].push(Fewer { sort: sort.clone(), newest, median });
            }
        }
    }
    judged
}

fn median(usual: &[u64]) -> Option<u64> {
    let mut last = usual[usual.len().saturating_sub(COMPARED_WITH)..].to_vec();
    last.sort_unstable();
    last.get(last.len() / 2).copied()
}

fn is_suspicious(bytes: u64, median: u64, below: u32) -> bool {
    u128::from(bytes) * 100 < u128::from(median) * u128::from(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The judgement of the newest.
    fn hold(bytes: &[u64]) -> Option<Hold> {
        holds(bytes, 50).pop().flatten()
    }

    #[test]
    fn a_backup_of_less_than_half_the_median_holds() {
        assert_eq!(
            hold(&[100, 110, 120, 54]),
            Some(Hold { newest: 54, median: 110, fewer: Vec::new(), missing: Vec::new() })
        );
        assert_eq!(hold(&[100, 110, 120, 55]), None);
    }

    #[test]
    fn how_much_less_is_suspicious_can_be_said() {
        let judge = |newest, below| holds(&[100, 100, newest], below).pop().flatten().is_some();
        assert_eq!([judge(79, 80), judge(80, 80), judge(9, 10), judge(10, 10)], [true, false, true, false]);
    }

    #[test]
    fn the_first_backup_has_nothing_to_be_compared_with() {
        assert_eq!(hold(&[]), None);
        assert_eq!(hold(&[0]), None);
    }

    #[test]
    fn a_source_that_was_emptied_holds_however_many_backups_are_made_of_it() {
        for emptied in 1..50 {
            let sizes: Vec<u64> =
                [1_000_000; 2].into_iter().chain(std::iter::repeat_n(10, emptied)).collect();
            assert_eq!(
                hold(&sizes),
                Some(Hold { newest: 10, median: 1_000_000, fewer: Vec::new(), missing: Vec::new() }),
                "{emptied}"
            );
        }
    }

    #[test]
    fn what_came_back_holds_no_longer_and_what_shrinks_bit_by_bit_never_does() {
        assert_eq!(hold(&[100, 100, 5, 5, 5, 90]), None);
        let shrinking: Vec<u64> =
            std::iter::successors(Some(1_000_000), |size| Some(size * 9 / 10)).take(60).collect();
        assert_eq!(hold(&shrinking), None);
    }

    #[test]
    fn each_is_judged_by_those_before_it() {
        let suspicious = |bytes: &[u64]| holds(bytes, 50).iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(suspicious(&[100, 110, 5, 100, 4, 3]), [false, false, true, false, true, true]);
    }

    #[test]
    fn a_sort_that_had_several_is_missed_where_it_has_none_or_under_half() {
        let counts = |dashboards: u64, users: u64| -> BTreeMap<String, u64> {
            [("dashboards".to_owned(), dashboards), ("users".to_owned(), users)].into()
        };
        let judged = |all: &[BTreeMap<String, u64>]| fewer(&all.iter().collect::<Vec<_>>(), 50);
        let lost = vec![Fewer { sort: "dashboards".to_owned(), newest: 0, median: 4 }];
        let none: Vec<Fewer> = Vec::new();
        let emptied = [counts(4, 1), counts(4, 1), counts(0, 0), counts(0, 0)];
        assert_eq!(judged(&emptied), [none.clone(), none.clone(), lost.clone(), lost]);
        for [first, second] in [
            [counts(4, 1), counts(2, 0)],
            // One that counted nothing says nothing.
            [BTreeMap::new(), counts(0, 0)],
            [counts(4, 1), BTreeMap::new()],
        ] {
            assert_eq!(judged(&[first, second]), [none.clone(), none.clone()]);
        }
    }

    #[test]
    fn a_database_is_missed_where_most_of_its_rows_are_gone_and_a_table_only_where_all_of_them_are() {
        let counted = |tables: &[(&'static str, u64)]| rows(tables.iter().copied());
        let judged = |newest: BTreeMap<String, u64>| {
            let usual = counted(&[("log", 900), ("users", 100), ("queue", 4)]);
            let told: Vec<String> = fewer(&[&usual, &usual, &newest, &newest], 50)
                .pop()
                .unwrap()
                .into_iter()
                .map(|fewer| format!("{} {} of {}", fewer.newest, fewer.sort, fewer.median))
                .collect();
            told
        };
        let none: [&str; 0] = [];
        assert_eq!(judged(counted(&[("log", 900), ("users", 1), ("queue", 0)])), none);
        assert_eq!(judged(counted(&[("log", 600), ("users", 3), ("queue", 0), ("new", 0)])), none);
        assert_eq!(judged(counted(&[("log", 400), ("users", 100), ("queue", 0)])), ["500 rows of 1004"]);
        assert_eq!(judged(counted(&[("log", 5), ("users", 100)])), ["105 rows of 1004"]);
        for gone in [counted(&[("log", 900), ("users", 0)]), counted(&[("log", 900)])] {
            assert_eq!(judged(gone), ["0 rows in users of 100"]);
        }
        assert_eq!(
            judged(counted(&[])),
            ["0 rows of 1004", "0 rows in log of 900", "0 rows in users of 100"]
        );
        // One of before they were counted says nothing.
        assert_eq!(judged(BTreeMap::new()), none);
    }

    #[test]
    fn what_holds_it_is_told_with_what_was_usual() {
        let fewer = vec![Fewer { sort: "users".to_owned(), newest: 1, median: 4 }];
        let sized = Hold { newest: 25, median: 100, fewer: Vec::new(), missing: Vec::new() };
        assert_eq!(sized.to_string(), "holds 25 % of what those before it usually do (25 of 100 bytes)");
        let counted = Hold { fewer, ..sized };
        assert_eq!(counted.to_string(), "has far fewer than those before it usually do: 1 users (4)");
        let missing = vec!["Main Org.".to_owned()];
        let lost = "has nothing any more of what those before it have: Main Org.";
        assert_eq!(
            Hold { missing: missing.clone(), ..counted.clone() }.to_string(),
            format!("{lost}; it {counted}")
        );
        assert_eq!(Hold { missing, fewer: Vec::new(), ..counted }.to_string(), lost);
    }

    #[test]
    fn an_empty_backup_after_full_ones_holds() {
        assert!(hold(&[5, 0]).is_some());
    }
}
