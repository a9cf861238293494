//! Every metric, with what it says and where its value is from. docs/METRICS.md has the same table for people.

use super::{Family, Kind, Sample, SeenJob, Shown, Value};
use crate::standing::{JobStanding, WAITING};

/// What is said of a metric.
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
}

impl About {
    pub(super) fn family(&self, samples: Vec<Sample>) -> Family {
        Family { name: self.name, help: self.help, kind: self.kind, samples }
    }
}

/// A metric, and what gives its value; nothing where there is none.
pub(super) struct Metric<F> {
    pub(super) about: About,
    pub(super) value: F,
}

type OfDaemon = fn(&Shown<'_>) -> Option<Value>;
type OfJob = fn(&SeenJob<'_>) -> Option<Value>;

const fn gauge<F>(name: &'static str, help: &'static str, value: F) -> Metric<F> {
    Metric { about: About { name, help, kind: Kind::Gauge }, value }
}

const fn counter<F>(name: &'static str, help: &'static str, value: F) -> Metric<F> {
    Metric { about: About { name, help, kind: Kind::Counter }, value }
}

pub(super) const BUILD: About = About {
    name: "watchkeeper_build_info",
    help: "The version of the program, as a label; always 1",
    kind: Kind::Info,
};

pub(super) const LAST_OUTCOME: About = About {
    name: "watchkeeper_job_last_outcome",
    help: "1 for the outcome of the newest run that was not skipped, 0 for the others",
    kind: Kind::Gauge,
};

pub(super) const NOTICES: About = About {
    name: "watchkeeper_webhook_notices_total",
    help: "How many posts of Alertmanagers were kept, and how many were not, since the daemon was started",
    kind: Kind::Counter,
};

/// Those of [`LAST_OUTCOME`].
pub(super) const OUTCOMES: [&str; 6] = ["done", "warned", "failed", "interrupted", "running", WAITING];

pub(super) const DAEMON: &[Metric<OfDaemon>] = &[
    gauge("watchkeeper_daemon_running", "Whether a daemon runs", |shown| Some(shown.is_running.into())),
    gauge("watchkeeper_daemon_start_time_seconds", "When the daemon was started", |shown| {
        shown.daemon.map(|daemon| daemon.started.into())
    }),
    gauge(
        "watchkeeper_daemon_last_alive_timestamp_seconds",
        "When a daemon last lived, to a minute",
        |shown| shown.standing?.daemon.last_alive().map(Value::from),
    ),
    counter(
        "watchkeeper_clock_jumps_total",
        "How often the clock leapt, or nobody looked at it for a while, since the daemon was started",
        |shown| shown.daemon.map(|daemon| daemon.clock_jumps.into()),
    ),
    gauge(
        "watchkeeper_history_readable",
        "Whether history and backups could be read at the last look; where not, what they say of the jobs is left out",
        |shown| Some(shown.standing.is_some().into()),
    ),
    gauge(
        "watchkeeper_history_writable",
        "Whether what runs could be noted in the history at the last look",
        |shown| Some(shown.state.not_writable.is_none().into()),
    ),
    gauge(
        "watchkeeper_history_unwritten_runs",
        "How many runs only the daemon knows of, until they can be written to the history",
        |shown| shown.daemon.map(|daemon| daemon.unwritten.into()),
    ),
    gauge(
        "watchkeeper_history_set_aside_timestamp_seconds",
        "When a damaged history was set aside, for 7 days or until its file is gone",
        |shown| shown.state.set_aside.as_ref().map(|aside| aside.at.into()),
    ),
    gauge(
        "watchkeeper_store_available",
        "Whether backup_dir was the store that backups were made in at the last look; where not, what it says of backups is left out",
        |shown| Some(shown.standing?.store_away.is_none().into()),
    ),
    gauge("watchkeeper_incidents_open", "How many incidents are open", |shown| {
        shown.standing.map(|standing| standing.open_incidents.into())
    }),
    gauge(
        "watchkeeper_last_look_timestamp_seconds",
        "When it was last looked how everything stands",
        |shown| Some(shown.at.into()),
    ),
];

pub(super) const JOB: &[Metric<OfJob>] = &[
    gauge("watchkeeper_job_enabled", "Whether the job is enabled", |job| Some(job.config.enabled.into())),
    gauge("watchkeeper_job_paused", "Whether the job is paused", |job| {
        Some(job.stands?.pause.is_some().into())
    }),
    gauge(
        "watchkeeper_job_period_seconds",
        "The longest time from one slot to the next: of a job that runs after others, that of theirs",
        |job| job.period.map(Value::from),
    ),
    gauge(
        "watchkeeper_job_watched_since_timestamp_seconds",
        "Since when a daemon watches this schedule",
        |job| job.stands?.watched_since.map(Value::from),
    ),
    gauge("watchkeeper_job_next_slot_timestamp_seconds", "When the job is due next", |job| {
        job.stands?.next.map(Value::from)
    }),
    gauge("watchkeeper_job_overdue", "Whether the job did not begin although it was due", |job| {
        Some(job.stands?.overdue.is_some().into())
    }),
    gauge(
        "watchkeeper_job_last_run_timestamp_seconds",
        "When the newest run that was not skipped began",
        |job| job.stands?.last.as_ref().map(|last| last.started.into()),
    ),
    gauge(
        "watchkeeper_job_last_success_timestamp_seconds",
        "When a run last ended well, with warnings or without",
        |job| job.stands?.last_success.map(Value::from),
    ),
    gauge("watchkeeper_job_last_duration_seconds", "How long the newest run that has ended took", |job| {
        let millis = job.stands?.past.iter().rev().find_map(|run| run.millis)?;
        Some(std::time::Duration::from_millis(millis).into())
    }),
    gauge(
        "watchkeeper_job_consecutive_failures",
        "How many runs have failed or were interrupted since the last that ended well",
        |job| Some(job.stands?.failures.into()),
    ),
    gauge("watchkeeper_job_restore_failed", "Whether the newest restore of its backups failed", |job| {
        Some(job.stands?.failed_restore().is_some().into())
    }),
    counter(
        "watchkeeper_job_missed_slots_total",
        "How many slots are noted as missed, as far as the history reaches",
        |job| Some(job.stands?.missed.into()),
    ),
    gauge("watchkeeper_job_last_missed_slot_timestamp_seconds", "The newest slot that was missed", |job| {
        job.stands?.last_missed.as_ref().map(|missed| missed.last.into())
    }),
    gauge(
        "watchkeeper_job_verify_within_seconds",
        "Within which time every backup is to be verified again",
        |job| job.config.kind.verify_within().map(Value::from),
    ),
    gauge(
        "watchkeeper_job_verified_timestamp_seconds",
        "When the backup that was verified longest ago was; nothing where one never was",
        |job| backups(job)?.store.verified.map(Value::from),
    ),
    gauge("watchkeeper_job_backups", "How many backups can be used", |job| {
        Some(backups(job)?.store.backups.into())
    }),
    gauge("watchkeeper_job_broken_backups", "How many backups cannot be read", |job| {
        Some(backups(job)?.store.broken.into())
    }),
    gauge("watchkeeper_job_bad_backups", "How many backups have a stored file that was found bad", |job| {
        Some(backups(job)?.store.bad.into())
    }),
    gauge("watchkeeper_job_backup_timestamp_seconds", "When the newest good backup was made", |job| {
        backups(job)?.store.newest.as_ref().map(|newest| newest.created.into())
    }),
    gauge("watchkeeper_job_backup_bytes", "The stored size of the newest good backup", |job| {
        backups(job)?.store.newest.as_ref().map(|newest| newest.bytes.into())
    }),
    gauge(
        "watchkeeper_job_stored_bytes",
        "The stored size of all backups, what they share counted once",
        |job| Some(backups(job)?.store.stored_bytes.into()),
    ),
    gauge(
        "watchkeeper_job_retention_held",
        "Whether no backup is deleted because the newest one is suspicious",
        |job| Some(backups(job)?.store.held.is_some().into()),
    ),
];

/// Of a job that makes backups, where they are seen.
fn backups<'a>(job: &SeenJob<'a>) -> Option<&'a JobStanding> {
    job.config.kind.verify_within()?;
    job.stands.filter(|_| job.sees_backups)
}
