//! The generated rules: promtool finds nothing wrong with them, each alert fires when it should and not otherwise, and a real
//! Prometheus that scrapes the daemon fires them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;
use crate::support::prometheus::{Builder, Prometheus};

/// With a job that backs up, and one that is disabled.
fn keeper(metrics: &str) -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config("");
    let jobs = backup(&watchkeeper, "conf", "schedule = \"@every 2h\"")
        + &command("off", "true", "schedule = \"@every 2h\"\nenabled = false");
    watchkeeper.configure(&(metrics.to_owned() + &jobs));
    watchkeeper
}

/// The series of a daemon that is well and whose job is, by the ends of their names. A minute is between two samples.
fn well() -> BTreeMap<&'static str, &'static str> {
    const NOW: &str = "0+60x1700";
    const ZERO: &str = "0x1700";
    const ONE: &str = "1x1700";
    [
        ("up", ONE),
        ("daemon_running", ONE),
        ("history_readable", ONE),
        ("history_writable", ONE),
        ("store_available", ONE),
        ("last_look_timestamp_seconds", NOW),
        ("daemon_last_alive_timestamp_seconds", NOW),
        ("job_enabled", ONE),
        ("job_paused", ZERO),
        ("job_period_seconds", "7200x1700"),
        ("job_watched_since_timestamp_seconds", ZERO),
        ("job_last_success_timestamp_seconds", NOW),
        ("job_consecutive_failures", ZERO),
        ("job_overdue", ZERO),
        ("job_restore_failed", ZERO),
        ("job_missed_slots_total", "2x1700"),
        ("job_last_missed_slot_timestamp_seconds", ZERO),
        ("job_verify_within_seconds", "3600x1700"),
        ("job_verified_timestamp_seconds", NOW),
        ("job_backups", "5x1700"),
        ("job_broken_backups", ZERO),
        ("job_bad_backups", ZERO),
        ("job_retention_held", ZERO),
    ]
    .into()
}

/// What is otherwise than well, at which minute it is looked, and the alerts that fire then. An empty value: no such series;
/// `job_` and `*` are all of them.
type Case = (&'static [(&'static str, &'static str)], u32, &'static [&'static str]);

const COMMON: &[Case] = &[
    (&[], 300, &[]),
    (&[], 1_600, &[]),
    (&[("job_overdue", "1x1700")], 300, &["WatchkeeperJobOverdue"]),
    (&[("job_overdue", "0x297 1x4")], 300, &[]),
    (&[("job_overdue", "1x1700"), ("job_paused", "1x1700")], 300, &[]),
    (&[("job_overdue", "1x1700"), ("job_enabled", "0x1700")], 300, &[]),
    (&[("job_consecutive_failures", "2x1700")], 300, &["WatchkeeperJobFailed"]),
    (&[("job_consecutive_failures", "2x1700"), ("job_paused", "1x1700")], 300, &[]),
    // One and a half periods are three hours.
    (&[("job_last_success_timestamp_seconds", "0x1700")], 170, &[]),
    (&[("job_last_success_timestamp_seconds", "0x1700")], 190, &["WatchkeeperJobNoSuccess"]),
    (&[("job_last_success_timestamp_seconds", "0x1700"), ("job_period_seconds", "14400x1700")], 350, &[]),
    (
        &[("job_last_success_timestamp_seconds", "0x1700"), ("job_period_seconds", "14400x1700")],
        370,
        &["WatchkeeperJobNoSuccess"],
    ),
    (&[("job_last_success_timestamp_seconds", "0x1700"), ("job_paused", "1x1700")], 300, &[]),
    (&[("job_last_success_timestamp_seconds", "")], 190, &["WatchkeeperJobNoSuccess"]),
    (
        &[("job_last_success_timestamp_seconds", ""), ("job_watched_since_timestamp_seconds", "9000x1700")],
        190,
        &[],
    ),
    // It was paused, or off, or had another schedule until then: the later of the two counts.
    (
        &[
            ("job_last_success_timestamp_seconds", "0x1700"),
            ("job_watched_since_timestamp_seconds", "9000x1700"),
        ],
        320,
        &[],
    ),
    (
        &[
            ("job_last_success_timestamp_seconds", "0x1700"),
            ("job_watched_since_timestamp_seconds", "9000x1700"),
        ],
        345,
        &["WatchkeeperJobNoSuccess"],
    ),
    (&[("job_missed_slots_total", "2x200 3x300")], 210, &["WatchkeeperJobMissedSlots"]),
    (&[("job_missed_slots_total", "2x200 3x300")], 300, &[]),
    (&[("job_missed_slots_total", "3x200 2x300")], 210, &[]),
    (&[("job_last_missed_slot_timestamp_seconds", "20000x1700")], 300, &["WatchkeeperJobMissedSlots"]),
    (&[("job_bad_backups", "1x1700")], 300, &["WatchkeeperJobBadBackups"]),
    (&[("job_broken_backups", "1x1700")], 300, &["WatchkeeperJobBadBackups"]),
    (&[("job_restore_failed", "1x1700")], 300, &["WatchkeeperJobRestoreFailed"]),
    (&[("job_verified_timestamp_seconds", "0x1700")], 230, &[]),
    (&[("job_verified_timestamp_seconds", "0x1700")], 260, &["WatchkeeperJobVerificationOld"]),
    (&[("job_verified_timestamp_seconds", "")], 1_400, &[]),
    (&[("job_verified_timestamp_seconds", "")], 1_500, &["WatchkeeperJobNeverVerified"]),
    (&[("job_retention_held", "1x1700")], 1_400, &[]),
    (&[("job_retention_held", "1x1700")], 1_500, &["WatchkeeperJobRetentionHeld"]),
    (&[("job_", "")], 300, &["WatchkeeperJobUnknown"]),
    (
        &[("job_", ""), ("job_enabled", "1x1700"), ("history_readable", "0x1700")],
        300,
        &["WatchkeeperHistoryUnreadable"],
    ),
    (&[("history_writable", "0x1700")], 300, &["WatchkeeperHistoryUnwritable"]),
    (&[("store_available", "0x1700")], 300, &["WatchkeeperStoreAway"]),
    (&[("history_set_aside_timestamp_seconds", "60x1700")], 300, &["WatchkeeperHistorySetAside"]),
    (&[("new:job_enabled", "1x1700")], 300, &["WatchkeeperJobWithoutRules"]),
    (&[("new:job_enabled", "0x1700")], 300, &[]),
    (&[("last_look_timestamp_seconds", "0x1700")], 300, &["WatchkeeperStale"]),
    (&[("*", "")], 300, &["WatchkeeperAbsent"]),
];

const SCRAPED: &[Case] = &[
    (&[("*", ""), ("up", "0x1700")], 300, &["WatchkeeperAbsent"]),
    // Of a daemon that has just been stopped nothing more is known.
    (&[("*", ""), ("up", "1x290 0x20")], 293, &[]),
];

const BY_FILE: &[Case] = &[
    (&[("daemon_running", "0x1700")], 300, &["WatchkeeperDaemonStopped"]),
    // Timers of systemd keep the time where no daemon ever ran.
    (&[("daemon_running", "0x1700"), ("daemon_last_alive_timestamp_seconds", "")], 300, &[]),
];

fn series(changed: &[(&'static str, &'static str)]) -> Vec<serde_json::Value> {
    let mut all = well();
    for (name, values) in changed {
        if values.is_empty() {
            all.retain(|other, _| {
                *name != "*" && other != name && !(*name == "job_" && other.starts_with(name))
            });
        } else {
            all.insert(name, values);
        }
    }
    let of = |(name, values): (&str, &str)| {
        let labels = "instance=\"host:9469\",job=\"watchkeeper\"";
        let series = match name {
            "up" => format!("up{{{labels}}}"),
            job if job.starts_with("job_") => {
                format!("watchkeeper_{job}{{{labels},job_name=\"conf\",kind=\"files-backup\",target=\"\"}}")
            }
            "new:job_enabled" => format!("watchkeeper_job_enabled{{{labels},job_name=\"new\"}}"),
            other => format!("watchkeeper_{other}{{{labels}}}"),
        };
        json!({ "series": series, "values": values })
    };
    all.into_iter().map(of).collect()
}

/// Each case is a test of promtool: exactly these alerts fire.
fn tests(cases: &[&[Case]]) -> serde_json::Value {
    let test = |(changed, minute, alerts): &Case| {
        let samples: Vec<_> = alerts
            .iter()
            .map(|alert| json!({ "labels": format!("{{alertname=\"{alert}\"}}"), "value": 1 }))
            .collect();
        json!({
            "interval": "1m",
            "input_series": series(changed),
            "promql_expr_test": [{
                "expr": "group by (alertname) (ALERTS{alertstate=\"firing\"})",
                "eval_time": format!("{minute}m"),
                "exp_samples": samples,
            }],
        })
    };
    let tests: Vec<_> = cases.iter().flat_map(|cases| cases.iter()).map(test).collect();
    json!({ "rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests })
}

fn promtool(watchkeeper: &Watchkeeper, arguments: &[&str]) -> String {
    run(Command::new("promtool").args(arguments).current_dir(watchkeeper.folder()))
}

fn each_alert_fires_when_it_should(watchkeeper: &Watchkeeper, cases: &[&[Case]]) {
    let file = watchkeeper.folder().join("rules.yml");
    watchkeeper.run(&["alert-rules", "--file", file.to_str().unwrap()]).expect(0);
    let checked = promtool(watchkeeper, &["check", "rules", "--lint-fatal", "rules.yml"]);
    assert!(checked.contains("SUCCESS: "), "{checked}");
    fs::write(watchkeeper.folder().join("tests.yml"), tests(cases).to_string()).unwrap();
    promtool(watchkeeper, &["test", "rules", "tests.yml"]);
    let groups = watchkeeper.run_json(&["alert-rules"]).expect(0).json();
    let rules =
        groups["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let mut there = BTreeSet::new();
    for rule in rules {
        there.insert(rule["alert"].as_str().unwrap().to_owned());
        let text = &rule["annotations"];
        assert!(
            text["summary"].as_str().unwrap().len() > 10
                && text["description"].as_str().unwrap().contains('`'),
            "{rule}"
        );
    }
    let fired: BTreeSet<String> = cases
        .iter()
        .flat_map(|cases| cases.iter())
        .flat_map(|case| case.2)
        .map(|alert| (*alert).to_owned())
        .collect();
    assert_eq!(fired, there);
    assert!(!groups.to_string().contains("\\\"off\\\""), "a job that is disabled has no rules: {groups}");
}

#[test]
fn each_alert_of_a_scraped_daemon_fires_when_it_should_and_not_otherwise() {
    if promtool_is_here() {
        each_alert_fires_when_it_should(&keeper(&listening(9469)), &[COMMON, SCRAPED]);
    }
}

#[test]
fn each_alert_by_file_fires_when_it_should_and_not_otherwise() {
    if promtool_is_here() {
        each_alert_fires_when_it_should(
            &keeper("[metrics]\ntextfile = \"/x/watchkeeper.prom\"\n"),
            &[COMMON, BY_FILE],
        );
    }
}

#[test]
fn the_rules_of_several_jobs_are_no_duplicates_and_each_alert_names_its_job() {
    if !promtool_is_here() {
        return;
    }
    let watchkeeper = Watchkeeper::with_config(
        &(listening(9469)
            + &command("a", "true", "schedule = \"@daily\"")
            + &command("b", "true", "after = [\"a\"]")),
    );
    let file = watchkeeper.folder().join("rules.yml");
    watchkeeper.run(&["alert-rules", "--file", file.to_str().unwrap()]).expect(0);
    let mut command = Command::new("promtool");
    let checked = command.args(["check", "rules"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.contains("SUCCESS") && !said.contains("duplicate"), "{said}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("job_name: a") && text.contains("job_name: b"), "{text}");
}

#[test]
fn what_is_asked_for_is_in_the_rules_and_the_document_names_each_alert() {
    let watchkeeper = keeper(&listening(9469));
    let text = watchkeeper.run(&["alert-rules", "--for", "90s", "--scrape-job", "keeper"]).expect(0).stdout;
    assert!(
        text.contains("for: 90s") && text.contains("up{job=\\\"keeper\\\"}") && !text.contains("for: 5m"),
        "{text}"
    );
    let by_file = watchkeeper.run(&["alert-rules", "--textfile"]).expect(0).stdout;
    assert!(!by_file.contains("up{") && by_file.contains("WatchkeeperDaemonStopped"), "{by_file}");
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md")).unwrap();
    let rows = document.lines().filter(|line| line.starts_with("| `Watchkeeper"));
    let told: BTreeSet<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    let both = text + &by_file;
    let alerts = both.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    assert_eq!(alerts.collect::<BTreeSet<_>>(), told);
    let nobody = Watchkeeper::with_config(&command("a", "true", "")).run(&["alert-rules"]).expect(0);
    assert!(nobody.stderr.contains("no [metrics]"), "{nobody:?}");
}

#[test]
fn a_real_prometheus_fires_when_a_job_is_overdue_and_again_when_the_daemon_is_gone() {
    let Some(prometheus) = Prometheus::host(Builder::default().without_blocks()) else { return };
    let port = free_port();
    let watchkeeper = Watchkeeper::with_config("");
    let job = backup(&watchkeeper, "nightly", "schedule = \"@every 24h\"\non_missed = \"skip\"");
    watchkeeper.configure(&(listening(port) + &job));
    introduce(&watchkeeper, 1);
    watchkeeper.run(&["run-now", "nightly"]).expect(0);
    let rules = watchkeeper.run(&["alert-rules", "--for", "2s"]).expect(0).stdout;
    let daemon = start(&watchkeeper);
    prometheus.scrape_also("watchkeeper", port);
    prometheus.load_rules(&rules);
    let fires = |alert: &str| {
        let alerts = format!("ALERTS{{alertname=\"Watchkeeper{alert}\",alertstate=\"firing\"}}");
        prometheus.query(&alerts)["value"][1] == "1"
    };
    wait_until("the daemon is scraped", SOON, || {
        prometheus.query("watchkeeper_job_enabled{job=\"watchkeeper\",job_name=\"nightly\"}")["value"][1]
            == "1"
    });
    prometheus.wait_for_scrapes(5);
    let any = prometheus.query("ALERTS{alertstate=\"firing\"}");
    assert!(any.is_null(), "all is well: {any}");

    // As if nobody had run it for two days and more.
    stop(&watchkeeper, daemon);
    set_back(&watchkeeper, 60);
    let daemon = start(&watchkeeper);
    wait_until("it is overdue", SOON, || fires("JobOverdue") && fires("JobNoSuccess"));
    watchkeeper.run(&["run-now", "nightly"]).expect(0);
    wait_until("it is overdue no more", SOON, || !fires("JobOverdue") && !fires("JobNoSuccess"));
    assert!(!fires("Absent"));

    stop(&watchkeeper, daemon);
    wait_until("the daemon is gone", SOON, || fires("Absent"));
    let daemon = start(&watchkeeper);
    wait_until("the daemon is back", SOON, || !fires("Absent"));
    stop(&watchkeeper, daemon);
}

#[test]
fn a_prometheus_that_is_restarted_scrapes_on_and_its_alerts_are_right() {
    let Some(prometheus) = Prometheus::host(Builder::default().without_blocks()) else { return };
    let port = free_port();
    let watchkeeper = Watchkeeper::with_config("");
    let flag = watchkeeper.folder().join("flag");
    let bad = format!(
        "[[job]]\nname = \"bad\"\nkind = \"command\"\nretries = {{ max = 0 }}\ncommand = [\"test\", \"-e\", {flag:?}]\n"
    );
    watchkeeper.configure(&(listening(port) + &bad + &command("good", "true", "")));
    watchkeeper.run(&["run-now", "bad"]).expect(1);
    let rules = watchkeeper.run(&["alert-rules", "--for", "2s"]).expect(0).stdout;
    let daemon = start(&watchkeeper);
    prometheus.scrape_also("watchkeeper", port);
    prometheus.load_rules(&rules);
    let firing = || prometheus.query("count(ALERTS{alertstate=\"firing\"})")["value"][1].clone();
    let failed = || {
        let alerts = "ALERTS{alertname=\"WatchkeeperJobFailed\",alertstate=\"firing\",job_name=\"bad\"}";
        prometheus.query(alerts)["value"][1] == "1"
    };
    let scrapes = |of: &str| -> u64 {
        let seen = prometheus.query(&format!("count_over_time(up{{job=\"watchkeeper\"}}[{of}])"));
        seen["value"][1].as_str().map_or(0, |count| count.parse().unwrap())
    };
    wait_until("the alert fires", SOON, &failed);
    for ends in [Prometheus::stop, Prometheus::kill] {
        ends(&prometheus);
        // What it had open is of no use any more, and the daemon answers who asks meanwhile.
        assert!(value(&metrics(port), "watchkeeper_job_consecutive_failures{job_name=\"bad\"").is_some());
        prometheus.start();
        prometheus.wait_ready();
        let before = scrapes("1h");
        wait_until("it scrapes on", SOON, || scrapes("1h") >= before + 3);
        assert_eq!(prometheus.query("up{job=\"watchkeeper\"}")["value"][1], "1");
        wait_until("the alert fires again", SOON, &failed);
        assert_eq!(firing(), "1", "and no other does");
    }
    fs::write(&flag, "").unwrap();
    prometheus.stop();
    watchkeeper.run(&["run-now", "bad"]).expect(0);
    prometheus.start();
    prometheus.wait_ready();
    let before = scrapes("1h");
    wait_until("it scrapes on", SOON, || scrapes("1h") >= before + 3);
    wait_until("the alert that has ended meanwhile is over", SOON, || firing().is_null());
    assert!(!log(&watchkeeper).contains("ERROR"), "{}", log(&watchkeeper));
    stop(&watchkeeper, daemon);
}
