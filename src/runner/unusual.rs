//! A run that took far longer or shorter than those before it: it may have done all it should, but somebody should look.
//!
//! (One whose backup is far smaller is told by what is done after a backup, and holds retention.)

use std::time::Duration;

use super::{Runner, Task};
use crate::blocking::blocking;
use crate::config::values::Anomalies;
use crate::history::RunReport;
use crate::jobs::Outcome;
use crate::progress::Progress;
use crate::words;

/// With fewer runs before it nobody knows what is usual.
const LEAST_RUNS: usize = 5;

/// What takes so much more or less is nobody's concern.
const LEAST: Duration = Duration::from_secs(30);

/// The usual length, where a run takes far longer than that; `usual`: those before it, in milliseconds.
pub fn too_long(anomalies: Anomalies, taken: Duration, usual: &[u64]) -> Option<Duration> {
    let median = median(usual).filter(|_| anomalies.longer > 0)?;
    let is_long = taken > percent(median, anomalies.longer) && taken > median + LEAST;
    is_long.then_some(median)
}

/// The usual length, where a run took far less than that.
fn too_short(anomalies: Anomalies, taken: Duration, usual: &[u64]) -> Option<Duration> {
    let median = median(usual)?;
    let is_short = taken < percent(median, anomalies.shorter) && taken + LEAST < median;
    is_short.then_some(median)
}

fn median(usual: &[u64]) -> Option<Duration> {
    let mut usual = usual.to_vec();
    usual.sort_unstable();
    (usual.len() >= LEAST_RUNS).then(|| Duration::from_millis(usual[usual.len() / 2]))
}

fn percent(of: Duration, percent: u32) -> Duration {
    of.saturating_mul(percent) / 100
}

impl Runner {
    /// Warns where the work took far longer or shorter than usual. One that was tried several times has told why.
    pub(super) async fn warn_if_unusual(
        &self,
        task: &Task,
        report: &RunReport,
        (taken, progress): (Duration, &Progress),
    ) {
        let is_done = matches!(report.outcome, Some(Outcome::Done | Outcome::Warned));
        if task.anomalies == Anomalies::NONE || !is_done || report.attempts.len() != 1 {
            return;
        }
        let (history, job, run) = (std::sync::Arc::clone(&self.history), task.job.clone(), report.run);
        // Where the history cannot be read, nothing is known to be unusual.
        let usual = blocking(move || history.usual(&job, Some(run))).await.unwrap_or_default();
        let (longer, shorter) =
            (too_long(task.anomalies, taken, &usual), too_short(task.anomalies, taken, &usual));
        let judged = longer.map(|usual| ("longer", usual)).or(shorter.map(|usual| ("shorter", usual)));
        if let Some((how, median)) = judged {
            let [taken, median] = [taken, median].map(words::duration);
            progress.warn(format!(
                "it ran far {how} than usual: {taken}, where the last {} took {median} in the middle",
                words::count(usual.len(), "run")
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: [u64; 5] = [60_000, 300_000, 59_000, 61_000, 62_000];

    fn judged(anomalies: Anomalies, seconds: u64, usual: &[u64]) -> (bool, bool) {
        let taken = Duration::from_secs(seconds);
        (too_long(anomalies, taken, usual).is_some(), too_short(anomalies, taken, usual).is_some())
    }

    #[test]
    fn a_run_is_compared_with_the_median_of_those_before_it() {
        let by = |seconds| judged(Anomalies::STANDARD, seconds, &MINUTES);
        assert_eq!(
            [by(245), by(244), by(7), by(6)],
            [(true, false), (false, false), (false, false), (false, true)]
        );
        assert_eq!(
            too_long(Anomalies::STANDARD, Duration::from_hours(1), &MINUTES),
            Some(Duration::from_secs(61))
        );
    }

    #[test]
    fn few_runs_say_nothing_and_seconds_are_not_told() {
        assert_eq!(judged(Anomalies::STANDARD, 9_999, &MINUTES[..4]), (false, false));
        assert_eq!(judged(Anomalies::STANDARD, 30, &[1_000; 9]), (false, false));
        assert_eq!(judged(Anomalies::STANDARD, 32, &[1_000; 9]), (true, false));
        assert_eq!(judged(Anomalies::STANDARD, 0, &[29_000; 9]), (false, false));
    }

    #[test]
    fn what_is_unusual_can_be_said_and_nothing_need_be() {
        let anomalies = Anomalies { longer: 150, shorter: 90, ..Anomalies::STANDARD };
        assert_eq!(judged(anomalies, 930, &[600_000; 5]), (true, false));
        assert_eq!(judged(anomalies, 530, &[600_000; 5]), (false, true));
        assert_eq!(judged(Anomalies::NONE, 99_999, &[600_000; 5]), (false, false));
        assert_eq!(judged(Anomalies::NONE, 0, &[600_000; 5]), (false, false));
    }
}
