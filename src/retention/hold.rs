//! The anomaly hold: a new backup that is far smaller than those before it holds retention, because what it
//! lacks may exist only in the backups that retention would delete.

use serde::Serialize;

/// A backup is suspicious when it has less than this part of the median of those before it.
const SUSPICIOUS_BELOW: f64 = 0.5;

/// How many backups before it the newest one is compared with.
const COMPARED_WITH: usize = 7;

/// Why retention is held.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Hold {
    /// Bytes in the newest good backup, before compression.
    pub newest: u64,
    /// The median of the backups before it.
    pub median: u64,
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "a percentage is shown")]
        let share = self.newest as f64 / self.median as f64 * 100.0;
        write!(
            f,
            "the newest backup holds {share:.0} % of what those before it usually do ({} of {} bytes)",
            self.newest, self.median
        )
    }
}

/// Judges the newest of the good backups, given the content bytes of each since the last accepted one, oldest
/// first, that one included. It is compared with the median of the up to seven before it.
pub fn hold(bytes: &[u64]) -> Option<Hold> {
    let (&newest, before) = bytes.split_last()?;
    let mut before = before[before.len().saturating_sub(COMPARED_WITH)..].to_vec();
    if before.is_empty() {
        return None;
    }
    before.sort_unstable();
    let median = before[before.len() / 2];
    #[expect(clippy::cast_precision_loss, reason = "a share is compared")]
    let suspicious = (newest as f64) < median as f64 * SUSPICIOUS_BELOW;
    suspicious.then_some(Hold { newest, median })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_of_less_than_half_the_median_holds() {
        assert_eq!(hold(&[100, 110, 120, 54]), Some(Hold { newest: 54, median: 110 }));
        assert_eq!(hold(&[100, 110, 120, 55]), None);
    }

    #[test]
    fn the_first_backup_has_nothing_to_be_compared_with() {
        assert_eq!(hold(&[]), None);
        assert_eq!(hold(&[0]), None);
    }

    #[test]
    fn old_sizes_are_forgotten_after_seven() {
        let mut sizes = vec![1_000_000; 5];
        sizes.extend([10; 7]);
        sizes.push(9);
        assert_eq!(hold(&sizes), None);
    }

    #[test]
    fn an_empty_backup_after_full_ones_holds() {
        assert!(hold(&[5, 0]).is_some());
    }
}
