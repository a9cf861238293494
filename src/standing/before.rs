//! What keeps a job from running that runs after others: one of those is paused.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::config::values::JobName;
use crate::config::{Config, JobConfig};
use crate::history::{History, HistoryError, Pause};

/// A paused job that another runs after, itself or through others: as long as it does not run, neither does that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PausedBefore {
    /// The paused job.
    pub job: JobName,
    /// Its pause.
    pub pause: Pause,
}

impl PausedBefore {
    /// Those that a job waits for; none where it has a schedule of its own, or is disabled.
    pub fn of(config: &Config, history: &History, job: &JobConfig) -> Result<Vec<Self>, HistoryError> {
        let (mut paused, mut seen) = (Vec::new(), BTreeSet::new());
        let mut to_see = names_before(job);
        to_see.reverse();
        while let Some(name) = to_see.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            match history.pause_of(&name)? {
                Some(pause) => paused.push(Self { job: name, pause }),
                None => to_see.extend(config.job(name.as_str()).map(names_before).unwrap_or_default()),
            }
        }
        Ok(paused)
    }

    /// `it waits for a, which is paused since 2026-11-24 02:00:00 +01:00: the disk is changed`
    pub fn words(&self, zone: &TimeZone) -> String {
        format!("it waits for {}, which is {}", self.job, self.pause.words(zone))
    }
}

fn names_before(job: &JobConfig) -> Vec<JobName> {
    let after = job.after.as_ref().filter(|_| job.enabled);
    after.map(|after| after.jobs.clone()).unwrap_or_default()
}
