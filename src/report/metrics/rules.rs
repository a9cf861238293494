//! Alerting rules for Prometheus, from the configured jobs.
//!
//! Each job has a group of its own, so that Prometheus shows which job an error in one is of. A rule measures silence by the
//! metric of the job's own period, and so goes on being right when its schedule changes. A job that is disabled has no rules;
//! one that is paused, or disabled later, alerts nobody.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::config::notify::Event;
use crate::config::{Config, JobConfig};

/// What is looked at again each day may be so for a day.
const A_DAY: Duration = Duration::from_hours(24);
/// A daemon looks each half of a minute, and says it is late long before that.
const STALE: Duration = Duration::from_mins(10);

/// A group of rules, which are evaluated together.
#[derive(Debug, Clone, Serialize)]
pub struct RuleGroup {
    /// Its name; no other group has it.
    pub name: String,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    /// The alert: `WatchkeeperJobOverdue`.
    pub alert: &'static str,
    /// What has results while something is wrong, in PromQL.
    pub expr: String,
    /// How long it must have: `5m`.
    #[serde(rename = "for")]
    pub hold: String,
    /// `severity`: `critical` or `warning`.
    pub labels: BTreeMap<&'static str, String>,
    /// `summary` and `description`, as templates.
    pub annotations: BTreeMap<&'static str, String>,
}

/// How the metrics come to the Prometheus that evaluates the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// It scrapes the daemon.
    Scrape {
        /// The `job_name` of its `scrape_configs`.
        job: String,
    },
    /// By the textfile collector of node_exporter.
    Textfile,
}

/// What rules are to be like.
#[derive(Debug, Clone)]
pub struct RuleOptions {
    /// How long something must be wrong until an alert fires.
    pub hold: Duration,
    /// How the metrics come.
    pub watch: Watch,
}

/// The rules of the program and of each job that is enabled.
pub fn rules(config: &Config, options: &RuleOptions) -> Vec<RuleGroup> {
    let jobs = config.jobs.iter().filter(|job| job.enabled);
    let mut own = RuleGroup { name: "watchkeeper".to_owned(), rules: of_program(options) };
    own.rules.push(without_rules(config, options));
    let of_job = |job: &JobConfig| RuleGroup {
        name: format!("watchkeeper-job-{}", job.name),
        rules: JobRules { job, options, rules: Vec::new() }.all(),
    };
    std::iter::once(own).chain(jobs.map(of_job)).collect()
}

fn of_program(options: &RuleOptions) -> Vec<Rule> {
    let on = "on {{ $labels.instance }}";
    let (hold, mut rules) = (options.hold, Vec::new());
    let of = match &options.watch {
        Watch::Scrape { job } => {
            let up = format!("up{{job={job:?}}}");
            rules.push(rule(
                ("WatchkeeperAbsent", "critical"),
                (format!("absent({up}) or {up} == 0"), hold),
                "No daemon of Watchkeeper answers".to_owned(),
                format!(
                    "No job runs on schedule, and nobody tells of failures. Is the service up: `systemctl status watchkeeper`, \
                     `watchkeeper status`? Does Prometheus have a scrape job {job:?}?"
                ),
            ));
            format!("{{job={job:?}}}")
        }
        Watch::Textfile => {
            rules.push(rule(
                ("WatchkeeperAbsent", "critical"),
                ("absent(watchkeeper_last_look_timestamp_seconds)".to_owned(), hold),
                "There are no metrics of Watchkeeper".to_owned(),
                "Nobody would tell of failures. Is there the file that [metrics] textfile names, and does node_exporter read its \
                 folder: `--collector.textfile.directory`?"
                    .to_owned(),
            ));
            rules.push(rule(
                ("WatchkeeperDaemonStopped", "critical"),
                (
                    "watchkeeper_daemon_running == 0 and watchkeeper_daemon_last_alive_timestamp_seconds > 0"
                        .to_owned(),
                    hold,
                ),
                format!("The daemon of Watchkeeper has stopped {on}"),
                "No job runs on schedule. Start it: `systemctl start watchkeeper`.".to_owned(),
            ));
            String::new()
        }
    };
    let stale = STALE.as_secs();
    rules.push(rule(
        ("WatchkeeperStale", "critical"),
        (
            format!("time() - watchkeeper_last_look_timestamp_seconds{of} > {stale} and watchkeeper_daemon_running{of} == 1"),
            hold,
        ),
        format!("The metrics of Watchkeeper are old {on}"),
        "What they say of jobs is not so any more. Did the daemon die, or does it hang: `systemctl status watchkeeper`, \
         `watchkeeper status`."
            .to_owned(),
    ));
    rules.push(rule(
        ("WatchkeeperHistoryUnreadable", "critical"),
        (format!("watchkeeper_history_readable{of} == 0"), hold),
        format!("Watchkeeper cannot read its history or its backups {on}"),
        "Until then nothing is known of the jobs, and no other alert of theirs fires. `watchkeeper status` says why.".to_owned(),
    ));
    rules.push(rule(
        ("WatchkeeperHistoryUnwritable", "critical"),
        (format!("watchkeeper_history_writable{of} == 0"), hold),
        format!("Watchkeeper cannot note what runs {on}"),
        "Jobs run, but what came of them only the daemon knows: no other alert of theirs fires. Is the disk of state_dir full or \
         read-only? `watchkeeper status` says why."
            .to_owned(),
    ));
    rules.push(rule(
        ("WatchkeeperStoreAway", Event::Failed.severity()),
        (format!("watchkeeper_store_available{of} == 0"), hold),
        format!("The backups of Watchkeeper are not where they were made {on}"),
        "Another folder is in the place of the store: is its disk not mounted? No job makes a backup until it is back. \
         `watchkeeper status` says what is expected where."
            .to_owned(),
    ));
    rules.push(rule(
        ("WatchkeeperHistorySetAside", Event::Failed.severity()),
        (format!("watchkeeper_history_set_aside_timestamp_seconds{of} > 0"), Duration::ZERO),
        format!("The history of Watchkeeper was damaged, and was begun anew {on}"),
        "Runs, missed slots and pauses from before are forgotten. `watchkeeper status` says where the old one is; the alert ends \
         when that file is moved away, or after 7 days."
            .to_owned(),
    ));
    rules
}

/// A job of which these rules know nothing, for it is newer.
fn without_rules(config: &Config, options: &RuleOptions) -> Rule {
    // No name of a job has a character that means something in a pattern.
    let known: Vec<&str> =
        config.jobs.iter().filter(|job| job.enabled).map(|job| job.name.as_str()).collect();
    let scraped = match &options.watch {
        Watch::Scrape { job } => format!("job={job:?},"),
        Watch::Textfile => String::new(),
    };
    rule(
        ("WatchkeeperJobWithoutRules", "warning"),
        (format!("watchkeeper_job_enabled{{{scraped}job_name!~\"{}\"}} == 1", known.join("|")), options.hold),
        "Job {{ $labels.job_name }} on {{ $labels.instance }}: no rule is about it".to_owned(),
        "If it fails or does not start, no other alert fires. Write the rules anew, `watchkeeper alert-rules`, and reload Prometheus."
            .to_owned(),
    )
}

fn rule(
    (alert, severity): (&'static str, &'static str),
    (expr, hold): (String, Duration),
    summary: String,
    description: String,
) -> Rule {
    Rule {
        alert,
        expr,
        hold: promql_duration(hold),
        labels: BTreeMap::from([("severity", severity.to_owned())]),
        annotations: BTreeMap::from([("summary", summary), ("description", description)]),
    }
}

/// With the job in its labels, by which no two rules are the same, and by which it is routed.
fn of_job(rule: Rule, job: &JobConfig) -> Rule {
    let mut labels = rule.labels;
    labels.insert("job_name", job.name.to_string());
    Rule { labels, ..rule }
}

/// The rules of a job.
struct JobRules<'a> {
    job: &'a JobConfig,
    options: &'a RuleOptions,
    rules: Vec<Rule>,
}

impl JobRules<'_> {
    fn all(mut self) -> Vec<Rule> {
        self.of_runs();
        self.of_slots();
        if self.job.kind.verify_within().is_some() {
            self.of_backups();
        }
        self.unknown();
        self.rules
    }

    /// `watchkeeper_job_overdue` of this job.
    fn metric(&self, name: &str) -> String {
        format!("watchkeeper_job_{name}{{job_name=\"{}\"}}", self.job.name)
    }

    /// One more. `what` is wrong with the job, which it tells with what to do.
    fn add(
        &mut self,
        which: (&'static str, &'static str),
        (expr, hold): (String, Duration),
        what: &str,
        next: &str,
    ) {
        let quiet = format!("unless {} == 1 unless {} == 0", self.metric("paused"), self.metric("enabled"));
        let summary = format!("Job {} on {{{{ $labels.instance }}}}: {what}", self.job.name);
        let next = next.replace("JOB", self.job.name.as_str());
        let rule = rule(which, (format!("({expr}) {quiet}"), hold), summary, next);
        self.rules.push(of_job(rule, self.job));
    }

    fn has_period(&self) -> bool {
        self.job.schedule.is_some() || self.job.after.is_some()
    }

    fn of_runs(&mut self) {
        let hold = self.options.hold;
        if self.has_period() {
            let since = (
                self.metric("last_success_timestamp_seconds"),
                self.metric("watched_since_timestamp_seconds"),
            );
            let (success, watched) = since;
            let period = self.metric("period_seconds");
            // The later of the two: a success of long ago says nothing of a job that was paused, or off, until now.
            let since = format!("{success} > {watched} or {watched} or {success}");
            let expr = format!("time() - ({since}) > 1.5 * {period}");
            self.add(
                ("WatchkeeperJobNoSuccess", "critical"),
                (expr, hold),
                "no success within one and a half of its periods",
                "It did not run, or it failed each time. `watchkeeper explain JOB` says why, `watchkeeper run-now JOB` runs it now.",
            );
        }
        self.add(
            ("WatchkeeperJobFailed", Event::Failed.severity()),
            (format!("{} > 0", self.metric("consecutive_failures")), hold),
            "the last run failed or was interrupted",
            "Failed in a row: {{ $value }}. `watchkeeper history JOB --failed` lists these runs, `watchkeeper show RUN` has the log \
             of one.",
        );
    }

    fn of_slots(&mut self) {
        if self.job.schedule.is_none() {
            return;
        }
        let hold = self.options.hold;
        self.add(
            ("WatchkeeperJobOverdue", Event::Overdue.severity()),
            (format!("{} == 1", self.metric("overdue")), hold),
            "it is due and has not begun",
            "`watchkeeper explain JOB` says what it waits for, `watchkeeper run-now JOB` runs it now.",
        );
        let (missed, last) =
            (self.metric("missed_slots_total"), self.metric("last_missed_slot_timestamp_seconds"));
        let success = self.metric("last_success_timestamp_seconds");
        self.add(
            ("WatchkeeperJobMissedSlots", Event::Missed.severity()),
            // The count falls when the history forgets, so that increase() would see slots that were none.
            (format!("{missed} > {missed} offset 1h or {last} > {success}"), hold),
            "slots were missed",
            "`watchkeeper explain JOB` says which and why; \"on_missed\" of the job says what becomes of them.",
        );
    }

    fn of_backups(&mut self) {
        let hold = self.options.hold;
        self.add(
            ("WatchkeeperJobBadBackups", Event::Failed.severity()),
            (format!("{} + {} > 0", self.metric("bad_backups"), self.metric("broken_backups")), hold),
            "backups are damaged",
            "`watchkeeper backups JOB` lists them, `watchkeeper verify JOB` reads them again. The next run stores anew what the \
             source still has.",
        );
        self.add(
            ("WatchkeeperJobRestoreFailed", Event::Failed.severity()),
            (format!("{} == 1", self.metric("restore_failed")), hold),
            "its last restore failed",
            "`watchkeeper status` says whether the old data are back; `watchkeeper restore JOB --resume` finishes it, `--undo` takes \
             it back.",
        );
        let (verified, within) =
            (self.metric("verified_timestamp_seconds"), self.metric("verify_within_seconds"));
        // It is its runs that verify: the last share of them may be one period late.
        let late = if self.has_period() {
            format!(" + 1.5 * {}", self.metric("period_seconds"))
        } else {
            String::new()
        };
        self.add(
            ("WatchkeeperJobVerificationOld", "warning"),
            (format!("time() - {verified} > {within}{late}"), hold),
            "a backup was not verified for too long",
            "Nobody knows whether it can be restored. `watchkeeper verify JOB` reads all of them back.",
        );
        self.add(
            ("WatchkeeperJobNeverVerified", "warning"),
            (format!("{} > 0 unless {verified}", self.metric("backups")), hold.max(A_DAY)),
            "a backup was never verified",
            "Nobody knows whether it can be restored. `watchkeeper verify JOB` reads all of them back.",
        );
        self.add(
            ("WatchkeeperJobRetentionHeld", "warning"),
            (format!("{} == 1", self.metric("retention_held")), hold.max(A_DAY)),
            "no old backup is deleted, for the newest one is suspicious",
            "`watchkeeper explain JOB` says why; `watchkeeper accept JOB/latest` says that it is right, and lets retention go on.",
        );
    }

    /// It is in the configuration that the rules are from, and the daemon does not know it.
    fn unknown(&mut self) {
        let is_there = match &self.options.watch {
            Watch::Scrape { job } => format!("up{{job={job:?}}} == 1"),
            Watch::Textfile => "watchkeeper_last_look_timestamp_seconds".to_owned(),
        };
        let name = &self.job.name;
        let rule = rule(
            ("WatchkeeperJobUnknown", "warning"),
            (format!("absent({}) and on () {is_there}", self.metric("enabled")), self.options.hold),
            format!("Job {name}: no metrics tell of it"),
            format!(
                "Does the daemon have another configuration: `systemctl reload watchkeeper`? If {name} was removed, write these rules \
                 anew: `watchkeeper alert-rules`."
            ),
        );
        self.rules.push(of_job(rule, self.job));
    }
}

/// As Prometheus reads it: `5m`, `90s`.
fn promql_duration(length: Duration) -> String {
    let millis = length.as_millis();
    match [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
        .into_iter()
        .find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit))
    {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

/// The rules as a file for `rule_files` of Prometheus. Every text is quoted as JSON does it, which is YAML too.
pub fn yaml(groups: &[RuleGroup]) -> String {
    let mut out =
        String::from("# By `watchkeeper alert-rules`; write it anew when the jobs change.\ngroups:\n");
    for group in groups {
        let _ = writeln!(out, "- name: {}\n  rules:", quoted(&group.name));
        for rule in &group.rules {
            let _ = writeln!(out, "  - alert: {}\n    expr: {}", rule.alert, quoted(&rule.expr));
            let _ = writeln!(out, "    for: {}\n    labels:", rule.hold);
            for (name, value) in &rule.labels {
                let _ = writeln!(out, "      {name}: {value}");
            }
            out.push_str("    annotations:\n");
            for (name, text) in &rule.annotations {
                let _ = writeln!(out, "      {name}: {}", quoted(text));
            }
        }
    }
    out
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_in_the_greatest_unit_that_holds_them() {
        let shown = |millis| promql_duration(Duration::from_millis(millis));
        assert_eq!(
            [0, 1, 1_500, 2_000, 90_000, 300_000, 86_400_000].map(shown),
            ["0ms", "1ms", "1500ms", "2s", "90s", "5m", "1d"]
        );
    }
}
