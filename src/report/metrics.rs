//! How everything stands, as metrics for Prometheus.
//!
//! What cannot be seen is not shown: a value that nobody knows any more has no sample, and `watchkeeper_history_readable` says
//! why. An old value under a new scrape would look like a good one.
//!
//! Labels are bounded by the configuration: `job_name`, `kind`, `target`, `outcome` and `result`. Nothing of an alert is in one. A job's name is not in a label
//! `job`, for that is what Prometheus calls whom it asks; where both clash it renames ours, and no rule finds it.

mod dashboard;
mod rules;
mod table;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::config::values::JobName;
use crate::config::{Config, JobConfig};
use crate::standing::{JobStanding, Standing, StateStanding};

pub use dashboard::dashboard;
pub use rules::{Rule, RuleGroup, RuleOptions, Watch, rules, yaml};
pub use text::{classic, open_metrics};

use table::{DAEMON, JOB, OUTCOMES};

/// All samples of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its whole name, with unit and `_total`: `watchkeeper_job_backup_bytes`.
    pub name: &'static str,
    /// What it says, without a full stop.
    pub help: &'static str,
    /// How its values come about.
    pub kind: Kind,
    /// Its samples; the families without any are left out.
    pub samples: Vec<Sample>,
}

/// How values come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Up and down.
    Gauge,
    /// Only up, as long as the process or the history lasts.
    Counter,
    /// It is always 1; what it says is in its labels.
    Info,
}

/// A value with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The labels.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: Value,
}

/// What is measured, in base units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A number of things or of bytes, or 0 and 1 for no and yes.
    Count(u64),
    /// Seconds, also since 1970.
    Seconds(f64),
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Count(u64::from(yes))
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(u64::try_from(count).unwrap_or(u64::MAX))
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Seconds(at.as_duration().as_secs_f64())
    }
}

impl From<Duration> for Value {
    fn from(length: Duration) -> Self {
        Self::Seconds(length.as_secs_f64())
    }
}

impl From<SignedDuration> for Value {
    fn from(length: SignedDuration) -> Self {
        Self::Seconds(length.as_secs_f64())
    }
}

/// How long a job may be silent, by its schedule.
#[derive(Debug, Clone, Default)]
pub struct Periods(BTreeMap<JobName, SignedDuration>);

impl Periods {
    /// Walks through the calendar from `now` on: do so once for a configuration, and not for each look.
    pub fn of(config: &Config, now: Timestamp) -> Self {
        let jobs = &config.jobs;
        Self(jobs.iter().filter_map(|job| Some((job.name.clone(), period(jobs, job, now)?))).collect())
    }

    fn get(&self, job: &JobName) -> Option<SignedDuration> {
        self.0.get(job).copied()
    }
}

/// A job that runs after others has the longest of theirs.
fn period(jobs: &[JobConfig], job: &JobConfig, now: Timestamp) -> Option<SignedDuration> {
    let Some(after) = job.after.as_ref().filter(|_| job.enabled) else {
        return job.schedule.as_ref().filter(|_| job.enabled)?.longest_gap(now);
    };
    let before = after.jobs.iter().map(|name| jobs.iter().find(|job| job.name == *name));
    let periods: Option<Vec<SignedDuration>> = before.map(|job| period(jobs, job?, now)).collect();
    periods?.into_iter().max()
}

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The jobs.
    pub config: &'a Config,
    /// Their periods.
    pub periods: &'a Periods,
    /// How all stands; nothing where that cannot be said.
    pub standing: Option<&'a Standing>,
    /// How it stands with the program's own folder.
    pub state: &'a StateStanding,
    /// When it was looked.
    pub at: Timestamp,
    /// Whether a daemon runs.
    pub is_running: bool,
    /// What that daemon says of itself, where it is the one that shows this.
    pub daemon: Option<DaemonSigns>,
}

/// What a daemon says of itself.
#[derive(Debug, Clone, Copy)]
pub struct DaemonSigns {
    /// When it was started.
    pub started: Timestamp,
    /// How often the clock leapt since then.
    pub clock_jumps: u64,
    /// So many runs are kept in memory until they can be written to the history.
    pub unwritten: usize,
    /// So many posts of Alertmanagers were kept since then.
    pub notices_taken: u64,
    /// So many were not.
    pub notices_refused: u64,
}

/// A job, for the table of its metrics.
struct SeenJob<'a> {
    config: &'a JobConfig,
    period: Option<SignedDuration>,
    /// Nothing where that cannot be said.
    stands: Option<&'a JobStanding>,
    /// The right store is there, and its backups were looked at.
    sees_backups: bool,
}

impl SeenJob<'_> {
    fn labels(&self) -> Vec<(&'static str, String)> {
        let target = self.config.kind.target().map(ToString::to_string);
        vec![
            ("job_name", self.config.name.to_string()),
            ("kind", self.config.kind.kind_name().to_owned()),
            ("target", target.unwrap_or_default()),
        ]
    }

    /// One sample for each outcome, of which one at the most is 1.
    fn outcomes(&self) -> Vec<Sample> {
        let Some(stands) = self.stands else { return Vec::new() };
        let last = stands.last.as_ref().map(|last| last.outcome);
        let of = |outcome: &&'static str| {
            let mut labels = self.labels();
            labels.push(("outcome", (*outcome).to_owned()));
            Sample { labels, value: (last == Some(*outcome)).into() }
        };
        OUTCOMES.iter().map(of).collect()
    }
}

/// All metrics that there is something to say of.
pub fn families(shown: Shown<'_>) -> Vec<Family> {
    let jobs: Vec<SeenJob<'_>> = shown.config.jobs.iter().map(|config| seen(shown, config)).collect();
    let of_daemon = DAEMON.iter().map(|metric| {
        let samples = (metric.value)(&shown).map(|value| Sample { labels: Vec::new(), value });
        metric.about.family(samples.into_iter().collect())
    });
    let of_jobs = JOB.iter().map(|metric| {
        let sample = |job: &SeenJob<'_>| Some(Sample { value: (metric.value)(job)?, labels: job.labels() });
        metric.about.family(jobs.iter().filter_map(sample).collect())
    });
    let notices = table::NOTICES.family(shown.daemon.map(notices).unwrap_or_default());
    let outcomes = table::LAST_OUTCOME.family(jobs.iter().flat_map(SeenJob::outcomes).collect());
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    let build = table::BUILD.family(vec![Sample { labels: version, value: true.into() }]);
    let all = std::iter::once(build).chain(of_daemon).chain(of_jobs).chain([outcomes, notices]);
    all.filter(|family| !family.samples.is_empty()).collect()
}

fn notices(daemon: DaemonSigns) -> Vec<Sample> {
    let counts = [("taken", daemon.notices_taken), ("refused", daemon.notices_refused)];
    counts
        .map(|(result, count)| Sample { labels: vec![("result", result.to_owned())], value: count.into() })
        .into()
}

fn seen<'a>(shown: Shown<'a>, config: &'a JobConfig) -> SeenJob<'a> {
    let stands = shown.standing.and_then(|standing| standing.jobs.iter().find(|job| job.job == config.name));
    let sees_backups = shown.standing.is_some_and(|standing| standing.store_away.is_none());
    SeenJob { config, period: shown.periods.get(&config.name), stands, sees_backups }
}
