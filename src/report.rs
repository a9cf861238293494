//! The one place that words an outcome: what a run did, for a person. (For a program it is the JSON of [`RunReport`].)
//!
//! What was not verified is said as plainly as what was: silence must not be read as proof.

pub mod metrics;
pub mod notify;

use std::fmt::Write;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::history::{HookRun, RunReport};
use crate::jobs::{CheckResult, Outcome};
use crate::progress::Step;
use crate::words::{count, duration, rate, size, time};

/// Why a run was not done; of one that needs a look, what it warned of.
pub fn reason(reason: Option<&str>, warnings: &[String]) -> Option<String> {
    let more = warnings.len().saturating_sub(1);
    let more = if more > 0 { format!(" (and {} more)", count(more, "warning")) } else { String::new() };
    let warning = warnings.first().map(|warning| format!("{warning}{more}"));
    reason.map(str::to_owned).or(warning)
}

/// A run as a person reads it: some lines, the first of which begins with the outcome.
pub fn text(report: &RunReport, zone: &TimeZone) -> String {
    let mut out = String::new();
    head(&mut out, report, zone);
    steps(&mut out, &report.steps);
    list(&mut out, "warnings", &report.warnings);
    out + &result(report, zone)
}

/// The same without the steps and warnings, for a person who has just watched them.
pub fn without_steps(report: &RunReport, zone: &TimeZone) -> String {
    let mut out = String::new();
    head(&mut out, report, zone);
    out + &result(report, zone)
}

/// The same without its first line, and with the warnings: for a message that has said the first line in its own words.
pub fn details(report: &RunReport, zone: &TimeZone) -> String {
    let mut out = String::new();
    fields(&mut out, report, zone);
    list(&mut out, "warnings", &report.warnings);
    out + &result(report, zone)
}

/// What was proven by a run, what was not, and what to do next.
fn result(report: &RunReport, zone: &TimeZone) -> String {
    let mut out = String::new();
    let output = report.output.as_ref();
    list(&mut out, "holds", output.map_or(&[], |output| &output.facts));
    let checks: Vec<String> = output.map_or(&[][..], |output| &output.checks).iter().map(check).collect();
    list(&mut out, "checks", &checks);
    list(&mut out, "printed", output.map_or(&[], |output| &output.printed));
    list(&mut out, "verified", output.map_or(&[], |output| &output.verified));
    list(&mut out, "not verified", output.map_or(&[], |output| &output.unverified));
    if report.attempts.len() > 1 {
        let lines: Vec<_> = report.attempts.iter().map(|one| attempt(one, zone)).collect();
        list(&mut out, "attempts", &lines);
    }
    let hooks: Vec<String> = report.hooks.iter().map(hook).collect();
    list(&mut out, "hooks", &hooks);
    list(&mut out, "next", &next(report));
    out
}

/// A hook in one line, and one for each line it said.
fn hook(hook: &HookRun) -> String {
    let ended = hook.error.as_deref().map_or("ok", |_| "FAILED");
    let why = hook.error.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let printed: Vec<String> = hook.printed.iter().map(|line| format!("\n  {line}")).collect();
    let printed = printed.concat();
    let took = milliseconds(hook.millis);
    format!("{ended:6}  {}: {}{why} ({took}){printed}", hook.hook, hook.program)
}

/// The log lines of a run, oldest first.
pub fn log(report: &RunReport, zone: &TimeZone) -> String {
    let line = |line: &crate::history::LogLine| {
        let at = line.at.to_zoned_datetime(zone.clone()).strftime("%H:%M:%S%.3f");
        format!("{at} {:5} {}", line.level, line.text)
    };
    let mut out = String::new();
    list(&mut out, "log", &report.log.iter().map(line).collect::<Vec<_>>());
    out
}

fn head(out: &mut String, report: &RunReport, zone: &TimeZone) {
    let outcome = report.outcome.map_or("running", Outcome::word);
    let output = report.output.as_ref();
    let what =
        report.reason.as_deref().or(output.map(|output| output.summary.as_str())).unwrap_or("under way");
    line(out, &format!("{outcome}: {}: {what}", report.job));
    fields(out, report, zone);
}

/// Which run it is, when it was, and what it made.
fn fields(out: &mut String, report: &RunReport, zone: &TimeZone) {
    let output = report.output.as_ref();
    let took = report.millis().map_or(String::new(), |millis| format!(", took {}", milliseconds(millis)));
    let slot = report.cause.slot().map_or(String::new(), |slot| format!(" for {}", time(slot, zone)));
    let incident = report.cause.incident().map_or(String::new(), |number| format!(" {number}"));
    field(out, "run", &format!("{} ({}, {}{slot}{incident})", report.run, report.kind, report.cause));
    field(out, "began", &format!("{}{took}", time(report.started, zone)));
    if let Some(backup) = output.and_then(|output| output.backup.as_ref()) {
        let bytes = output.and_then(|output| output.bytes).map(|bytes| format!(", {}", size(bytes)));
        let new = output.and_then(|output| output.new_bytes);
        let new = new.map(|new| format!(", of which {} are new", size(new)));
        let (bytes, new) = (bytes.unwrap_or_default(), new.unwrap_or_default());
        field(out, "backup", &format!("{}/{backup}{bytes}{new}", report.job));
    }
}

fn steps(out: &mut String, steps: &[Step]) {
    if steps.is_empty() {
        return;
    }
    line(out, "  steps");
    let cells: Vec<[String; 5]> = steps.iter().map(cells).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [name, took, bytes, rate] = [width(0), width(1), width(2), width(3)];
    for row in &cells {
        let mut text = format!("    {:name$}  {:>took$}", row[0], row[1]);
        if bytes > 0 {
            let _ = write!(text, "  {:>bytes$}", row[2]);
        }
        if rate > 0 {
            let _ = write!(text, "  {:>rate$}", row[3]);
        }
        line(out, &format!("{text}  {}", row[4]));
    }
}

/// One finished step in one line, as it is told while a run goes on.
pub fn step(step: &Step) -> String {
    let [name, took, bytes, rate, detail] = cells(step);
    let rest = [took, bytes, rate].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
    if detail.is_empty() { format!("{name}: {rest}") } else { format!("{name}: {detail} ({rest})") }
}

fn cells(step: &Step) -> [String; 5] {
    [
        step.name.clone(),
        milliseconds(step.millis),
        if step.bytes > 0 { size(step.bytes) } else { String::new() },
        rate(step.bytes, step.millis).unwrap_or_default(),
        step.detail.clone().unwrap_or_default(),
    ]
}

/// One check in one line, and one for what to do.
pub fn check(check: &CheckResult) -> String {
    let mark = if check.passed { "ok    " } else { "FAILED" };
    let hint = check.hint.as_ref().map_or(String::new(), |hint| format!("\n          {hint}"));
    format!("{mark}  {}: {} ({}){hint}", check.name, check.text, milliseconds(check.millis))
}

fn attempt(attempt: &crate::history::Attempt, zone: &TimeZone) -> String {
    let what = attempt.error.as_deref().unwrap_or("it worked");
    let resumed =
        attempt.resumed.map(|at| format!("begun at {}, after a restart of the daemon; ", time(at, zone)));
    format!(
        "{}. {}after {}: {what}",
        attempt.number,
        resumed.unwrap_or_default(),
        milliseconds(attempt.millis)
    )
}

fn next(report: &RunReport) -> Vec<String> {
    let mut next: Vec<String> = report.hint.iter().cloned().collect();
    // A restore of a Grafana names its own undo in its hint: it may be of another Grafana than the job's. What is no restore
    // has none.
    let has_undo = report.kind.ends_with("-restore") && report.kind != "grafana-restore";
    if report.data_not_back && has_undo {
        let job = &report.job;
        // No other kind goes on with a restore that was cut.
        let resume = if report.kind == "prometheus-restore" { ", `--resume` goes on" } else { "" };
        next.push(format!("`watchkeeper restore {job} --undo` brings the old data back{resume}"));
    }
    match report.outcome {
        Some(Outcome::Done | Outcome::Warned) => {
            next.extend(report.output.iter().flat_map(|output| output.next.iter().cloned()));
            if let Some(backup) = report.output.as_ref().and_then(|output| output.backup.as_ref()) {
                let job = &report.job;
                next.push(format!(
                    "`watchkeeper restore {job}/{backup} --dry-run` shows what a restore of it would do"
                ));
            }
        }
        Some(Outcome::Failed | Outcome::Interrupted) => {
            next.push(format!("`watchkeeper show {}` shows its log", report.run));
        }
        Some(Outcome::Skipped) | None => {}
    }
    next
}

fn list(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    line(out, &format!("  {title}"));
    for text in lines {
        line(out, &format!("    {}", text.replace('\n', "\n    ")));
    }
}

fn field(out: &mut String, name: &str, value: &str) {
    line(out, &format!("  {name:7}  {value}"));
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

fn milliseconds(millis: u64) -> String {
    duration(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Attempt, Cause, NewRun};
    use crate::jobs::JobOutput;

    fn zone() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn report() -> RunReport {
        RunReport::begun(&NewRun {
            run: ulid::Ulid::from_parts(1, 2),
            job: "prometheus-snapshot".parse().unwrap(),
            kind: "prometheus-snapshot".into(),
            cause: Cause::Scheduled("2026-11-24T01:00:00Z".parse().unwrap()),
            started: "2026-11-24T01:00:01Z".parse().unwrap(),
        })
    }

    fn step_of(name: &str, millis: u64, bytes: u64, detail: Option<&str>) -> Step {
        Step { name: name.into(), millis, bytes, detail: detail.map(Into::into) }
    }

    #[test]
    fn a_run_that_was_done_says_what_was_verified_and_what_was_not() {
        let mut report = report();
        report.finished = Some("2026-11-24T01:01:04Z".parse().unwrap());
        report.outcome = Some(Outcome::Warned);
        report.output = Some(JobOutput {
            summary: "8 blocks, 3 840 000 samples, 12.1 MiB".into(),
            backup: serde_json::from_str("\"20261124T010001Z\"").unwrap(),
            bytes: Some(12_700_000),
            new_bytes: Some(1_200_000),
            facts: vec!["time covered: all of it".into()],
            verified: vec!["every block was read and checked".into()],
            unverified: vec!["that a Prometheus starts on it".into()],
            ..JobOutput::default()
        });
        report.steps = vec![
            step_of("snapshot", 412, 0, None),
            step_of("read and check the blocks", 52_345, 1_288_490_189, Some("8 blocks")),
            step_of("read the archive back", 9_960, 12_700_000, None),
        ];
        report.warnings = vec!["backup_dir is on the device\nof the data".into()];
        let expected = "\
warned: prometheus-snapshot: 8 blocks, 3 840 000 samples, 12.1 MiB
  run      00000000010000000000000002 (prometheus-snapshot, scheduled for 2026-11-24 02:00:00 +01:00)
  began    2026-11-24 02:00:01 +01:00, took 1 m 03 s
  backup   prometheus-snapshot/20261124T010001Z, 12.1 MiB, of which 1.1 MiB are new
  steps
    snapshot                   0.4 s
    read and check the blocks   52 s   1.2 GiB  23.5 MiB/s  8 blocks
    read the archive back       10 s  12.1 MiB   1.2 MiB/s
  warnings
    backup_dir is on the device
    of the data
  holds
    time covered: all of it
  verified
    every block was read and checked
  not verified
    that a Prometheus starts on it
  next
    `watchkeeper restore prometheus-snapshot/20261124T010001Z --dry-run` shows what a restore of it would do
";
        assert_eq!(text(&report, &zone()), expected);
    }

    #[test]
    fn a_run_that_failed_says_why_and_what_to_do() {
        let mut report = report();
        report.finished = Some("2026-11-24T01:00:31Z".parse().unwrap());
        report.outcome = Some(Outcome::Failed);
        report.reason = Some("Cannot reach http://localhost:9090: connection refused".into());
        report.hint = Some("is Prometheus running?".into());
        report.attempts = vec![
            Attempt { number: 1, millis: 12, error: Some("connection refused".into()), resumed: None },
            Attempt { number: 2, millis: 30, error: Some("connection refused".into()), resumed: None },
        ];
        let expected = "\
failed: prometheus-snapshot: Cannot reach http://localhost:9090: connection refused
  run      00000000010000000000000002 (prometheus-snapshot, scheduled for 2026-11-24 02:00:00 +01:00)
  began    2026-11-24 02:00:01 +01:00, took 30 s
  attempts
    1. after 12 ms: connection refused
    2. after 30 ms: connection refused
  next
    is Prometheus running?
    `watchkeeper show 00000000010000000000000002` shows its log
";
        assert_eq!(text(&report, &zone()), expected);
    }

    #[test]
    fn a_run_under_way_has_no_end() {
        let expected = "\
running: prometheus-snapshot: under way
  run      00000000010000000000000002 (prometheus-snapshot, scheduled for 2026-11-24 02:00:00 +01:00)
  began    2026-11-24 02:00:01 +01:00
";
        assert_eq!(text(&report(), &zone()), expected);
    }

    #[test]
    fn the_json_names_cause_and_slot_and_reads_back() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["cause"], "scheduled");
        assert_eq!(json["slot"], "2026-11-24T01:00:00Z");
        assert_eq!(serde_json::from_value::<RunReport>(json).unwrap(), report());
    }
}
