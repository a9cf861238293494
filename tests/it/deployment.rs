//! The kind `verify-deployment` against a real Prometheus, Alertmanager, container and HTTPS server.

use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::alertmanager::Alertmanager;
use crate::support::docker;
use crate::support::exporter::Exporter;
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::watchkeeper::{Watchkeeper, files_job};
use crate::support::{http, missing, run, scratch, wait_until};

const JOB: &str = "[[job]]\nname = \"verify\"\nkind = \"verify-deployment\"\n";

fn watchkeeper(targets: &str, checks: &str) -> Watchkeeper {
    Watchkeeper::with_config(&format!("{targets}{JOB}{checks}"))
}

/// The checks of the one run of `--json`, by name.
fn checks(document: &Value) -> Vec<(String, bool, String)> {
    let checks = document["runs"][0]["output"]["checks"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    checks.iter().map(|c| (text(&c["name"]), c["passed"].as_bool().unwrap(), text(&c["text"]))).collect()
}

fn check(document: &Value, name: &str) -> (bool, String) {
    let found = checks(document).into_iter().find(|check| check.0 == name);
    let (_, passed, text) = found.unwrap_or_else(|| panic!("no check {name:?} in {document}"));
    (passed, text)
}

#[test]
fn the_six_of_the_runbook_are_made_over_the_targets_and_one_that_is_down_fails_the_run() {
    let Some(prometheus) = Prometheus::host(Builder::default().without_blocks()) else { return };
    let Some(alertmanager) = Alertmanager::start() else { return };
    wait_until("Alertmanager answers", Duration::from_secs(30), || alertmanager.is_up());
    let exporter = Exporter::start();
    let nobody = scratch::free_port();
    let targets = format!(
        "[grafana.main]\nurl = \"http://127.0.0.1:{nobody}\"\n\
         [application.app]\nurl = \"http://127.0.0.1:{}\"\nexpect_metric = \"wk_live_scrapes_total\"\n{}{}",
        exporter.port(),
        prometheus.target(),
        alertmanager.target()
    );
    let watchkeeper = watchkeeper(&targets, "");
    let junit = watchkeeper.folder().join("junit.xml");
    let failed =
        watchkeeper.run_json(&["run-now", "verify", "--junit", junit.to_str().unwrap()]).expect(1).json();
    let names: Vec<String> = checks(&failed).into_iter().map(|check| check.0).collect();
    assert_eq!(
        names,
        [
            "application.app /health",
            "application.app metrics of wk_live_scrapes_total",
            "prometheus.main targets",
            "grafana.main health",
            "alertmanager.main health",
            "prometheus.main rules"
        ]
    );
    assert!(check(&failed, "application.app /health").0);
    assert_eq!(
        check(&failed, "application.app metrics of wk_live_scrapes_total").1,
        "20 series of wk_live_scrapes_total"
    );
    assert_eq!(check(&failed, "prometheus.main targets"), (true, "2 of 2 targets up".to_owned()));
    let (passed, text) = check(&failed, "alertmanager.main health");
    assert!(passed && text.contains("is ready, cluster ready"), "{text}");
    // Nobody is there, and no rule is loaded, which the runbook's script stumbled over.
    assert!(check(&failed, "grafana.main health").1.starts_with("Cannot reach"));
    assert!(check(&failed, "prometheus.main rules").1.starts_with("0 rules loaded"));
    let junit = fs::read_to_string(junit).unwrap();
    assert!(junit.contains("tests=\"6\" failures=\"2\""), "{junit}");

    // The record of the run keeps them.
    let run = failed["runs"][0]["run"].as_str().unwrap();
    let shown = watchkeeper.run(&["show", run]).expect(0).stdout;
    assert!(
        shown.contains("FAILED  grafana.main health") && shown.contains("ok      application.app /health"),
        "{shown}"
    );
    let dry = watchkeeper.run(&["run-now", "verify", "--dry-run"]).expect(0).stdout;
    assert!(dry.contains("would check: prometheus.main rules"), "{dry}");
}

#[test]
fn a_page_to_log_in_is_not_the_health_of_an_application_and_text_and_json_are() {
    let html = "200 OK\r\nContent-Type: text/html; charset=utf-8";
    let answers = [
        ("page", html, "<!DOCTYPE html>\n<title>Log in</title>", "200 with an HTML page"),
        (
            "bare",
            html,
            "<head><meta http-equiv=refresh content='0;url=/login'></head>",
            "200 with an HTML page",
        ),
        ("away", "302 Found\r\nLocation: https://sso.example/login", "", "answers 302"),
        ("json", "200 OK\r\nContent-Type: application/json", "{\"status\":\"ok\"}", ""),
        ("text", "200 OK\r\nContent-Type: text/plain", "OK", ""),
        // As many a framework calls any text.
        ("called", html, "OK", ""),
        ("empty", "200 OK", "", ""),
    ];
    let target = |(name, head, body, _): &(&str, &'static str, &'static str, &str)| {
        format!("[application.{name}]\nurl = \"http://127.0.0.1:{}\"\n", http::canned(head, body))
    };
    let targets: Vec<String> = answers.iter().map(target).collect();
    let report = watchkeeper(&targets.concat(), "").run_json(&["run-now", "verify"]).expect(1).json();
    for (name, _, _, wrong) in answers {
        let (passed, text) = check(&report, &format!("application.{name} /health"));
        assert_eq!(passed, wrong.is_empty(), "{name}: {text}");
        assert!(text.contains(wrong), "{name}: {text}");
    }
    // One who asks for a page gets one.
    let port = http::canned(html, "<html>hello");
    let asked = format!("[[job.check]]\ntype = \"http\"\nurl = \"http://127.0.0.1:{port}\"\n");
    watchkeeper("", &asked).run(&["run-now", "verify"]).expect(0);
}

#[test]
fn the_empty_list_after_a_start_is_waited_for_and_a_target_that_is_down_is_named_with_its_error() {
    let Some(prometheus) = Prometheus::host(Builder::default().without_blocks()) else { return };
    let job = "[[job.check]]\ntype = \"targets\"\nprometheus = \"main\"\nat_least = 2\n";
    let watchkeeper = watchkeeper(&prometheus.target(), job);
    prometheus.stop();
    prometheus.start();
    prometheus.wait_ready();
    let passed = watchkeeper.run_json(&["run-now", "verify"]).expect(0).json();
    assert_eq!(check(&passed, "prometheus.main targets").1, "2 of 2 targets up");

    prometheus.lose_a_target();
    let failed = watchkeeper.run_json(&["run-now", "verify"]).expect(1).json();
    let (_, text) = check(&failed, "prometheus.main targets");
    assert!(
        text.starts_with("1 of 2 targets up; not up: http://") && text.contains("connection refused"),
        "{text}"
    );
}

#[test]
fn rules_promql_and_http_are_checked_against_a_real_server() {
    let Some(prometheus) = Prometheus::host(Builder::default().without_blocks()) else { return };
    prometheus.load_rules(
        "groups: [ { name: g, interval: 1s, rules: [ { record: 'wk:up', expr: 'sum(up)' }, \
         { record: 'wk:bad', expr: 'up + ignoring(job, instance) group_left() up' } ] } ]",
    );
    let target = |text: &str| format!("[[job.check]]\nprometheus = \"main\"\n{text}\n");
    let checks = [
        target("name = \"all\"\ntype = \"promql\"\nquery = \"count(up)\"\nequals = 2"),
        target("name = \"few\"\ntype = \"promql\"\nquery = \"up\"\nabove = 1"),
        target("name = \"none\"\ntype = \"promql\"\nquery = \"absent_metric\"\nabove = 1"),
        target("name = \"wrong\"\ntype = \"promql\"\nquery = \"up +\"\nabove = 1"),
        target("name = \"scalar\"\ntype = \"promql\"\nquery = \"1\"\nabove = 0"),
        target(
            "name = \"json\"\ntype = \"http\"\npath = \"/api/v1/status/runtimeinfo\"\njson = { pointer = \"/data/reloadConfigSuccess\", equals = true }",
        ),
        target("name = \"page\"\ntype = \"http\"\npath = \"/metrics\"\njson = { pointer = \"/data\" }"),
        target("name = \"lost\"\ntype = \"http\"\npath = \"/nowhere\""),
        target("name = \"metric\"\ntype = \"metric\"\nmetric = \"prometheus_build_info\""),
        target("name = \"no metric\"\ntype = \"metric\"\nmetric = \"prometheus_build\""),
        target("type = \"rules\""),
    ];
    let watchkeeper = watchkeeper(&prometheus.target(), &checks.concat());
    // A rule is healthy or not only once it was evaluated.
    wait_until("the rules are evaluated", Duration::from_secs(30), || {
        prometheus.query("count(wk:up)")["value"][1] == "1"
    });
    let report = watchkeeper.run_json(&["run-now", "verify"]).expect(1).json();
    let wrong = |name: &str| {
        let (passed, text) = check(&report, name);
        assert!(!passed, "{name} passed: {text}");
        text
    };
    for name in ["all", "json", "metric"] {
        assert!(check(&report, name).0, "{report}");
    }
    assert!(wrong("few").contains("up should be above 1, but is 1 {"));
    assert_eq!(wrong("none"), "absent_metric has no result");
    assert!(wrong("wrong").contains("parse error"));
    assert!(wrong("scalar").contains("not a vector"));
    assert!(wrong("page").contains("is no JSON"));
    assert!(wrong("lost").contains("answers 404"));
    assert!(wrong("no metric").contains("does not have prometheus_build"));
    let rules = wrong("prometheus.main rules");
    assert!(rules.starts_with("1 of 2 rules failing: wk:bad: "), "{rules}");
}

#[test]
fn a_wait_ends_when_everything_passes_and_else_when_it_is_over() {
    let port = scratch::free_port();
    let job = format!("[[job.check]]\ntype = \"http\"\nurl = \"http://127.0.0.1:{port}\"\n");
    let watchkeeper = watchkeeper("", &job);
    let since = Instant::now();
    watchkeeper.run(&["run-now", "verify", "--wait", "3s"]).expect(1);
    assert!(since.elapsed() >= Duration::from_secs(2), "it did not wait");

    let waiting = watchkeeper.spawn(&["run-now", "verify", "--wait", "60s"]);
    wait_until("a first look", Duration::from_secs(10), || since.elapsed() > Duration::from_secs(4));
    let mut server = Command::new("busybox")
        .args(["httpd", "-f", "-p", &format!("127.0.0.1:{port}"), "-h"])
        .arg(served())
        .spawn()
        .unwrap();
    watchkeeper.wait(waiting, &[]).expect(0);
    server.kill().unwrap();
    server.wait().unwrap();

    let other = Watchkeeper::with_config("[[job]]\nname = \"c\"\nkind = \"command\"\ncommand = [\"true\"]\n");
    other.run(&["run-now", "c", "--wait", "3s"]).expect(2);
}

/// A folder with a page.
fn served() -> std::path::PathBuf {
    let folder = scratch::folder("served").keep();
    fs::write(folder.join("index.html"), "<html>hello").unwrap();
    folder
}

#[test]
fn a_disk_and_the_age_of_a_backup_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), "x").unwrap();
    let backup = files_job(3, &[folder.path()]);
    let checks = "[[job.check]]\ntype = \"backup\"\njob = \"conf\"\nmax_age = \"1h\"\n\
                  [[job.check]]\nname = \"old\"\ntype = \"backup\"\njob = \"conf\"\nmax_age = \"1s\"\n\
                  [[job.check]]\nname = \"room\"\ntype = \"disk\"\npath = \"/\"\nfree = \"1KiB\"\n\
                  [[job.check]]\nname = \"full\"\ntype = \"disk\"\npath = \"/\"\nfree = \"900000TiB\"\n\
                  [[job.check]]\nname = \"gone\"\ntype = \"disk\"\npath = \"/not/there\"\nfree = \"1%\"\n";
    let watchkeeper = watchkeeper(&backup, checks);
    let before = watchkeeper.run_json(&["run-now", "verify"]).expect(1).json();
    assert_eq!(check(&before, "backup by conf").1, "there is no backup");
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let made = Instant::now();
    wait_until("the backup ages", Duration::from_secs(10), || made.elapsed() > Duration::from_secs(2));
    let after = watchkeeper.run_json(&["run-now", "verify"]).expect(1).json();
    assert!(check(&after, "backup by conf").0, "{after}");
    assert!(check(&after, "old").1.contains("more than 1.0 s"));
    assert!(check(&after, "room").0 && !check(&after, "full").0 && !check(&after, "gone").0, "{after}");
}

#[test]
fn a_container_that_is_stopped_missing_or_of_another_image_is_told() {
    let Some(prometheus) = Prometheus::container(Builder::default().without_blocks()) else { return };
    let name = prometheus.container_name().unwrap();
    let image = run(Command::new("docker").args(["inspect", "-f", "{{.Image}}", name]));
    let container = |rest: &str| format!("[[job.check]]\ntype = \"container\"\n{rest}\n");
    let checks = [
        container(&format!("container = \"{name}\"")),
        container(&format!("name = \"same\"\ncontainer = \"{name}\"\nimage = \"{image}\"")),
        container(&format!("name = \"other\"\ncontainer = \"{name}\"\nimage = \"sha256:0000\"")),
        container("name = \"gone\"\ncontainer = \"no-such-container\""),
    ];
    let watchkeeper = watchkeeper("", &checks.concat());
    let report = watchkeeper.run_json(&["run-now", "verify"]).expect(1).json();
    assert_eq!(
        check(&report, &format!("container {name}")),
        (true, "it runs; it has no health check".to_owned())
    );
    assert!(check(&report, "same").0);
    assert!(check(&report, "other").1.contains("not sha256:0000"));
    assert_eq!(check(&report, "gone"), (false, "There is no container \"no-such-container\"".to_owned()));
    prometheus.stop();
    let report = watchkeeper.run_json(&["run-now", "verify"]).expect(1).json();
    assert!(check(&report, &format!("container {name}")).1.contains("does not run: it is Exited"));
}

#[test]
fn a_container_is_as_healthy_as_its_own_health_check_says() {
    if !docker::available() {
        return;
    }
    let image = docker::Image::get(docker::Shell::Busybox);
    let container = docker::Container::named("health");
    let health = ["--health-cmd", "ls /tmp/well", "--health-interval", "1s", "--health-retries", "1"];
    let program = ["--entrypoint", "/bin/sleep", &image.name, "600"];
    container.create(&[health.as_slice(), &program].concat());
    docker::docker(["start", &container.name]);
    let keys = format!("type = \"container\"\ncontainer = \"{}\"\n", container.name);
    let watchkeeper = watchkeeper("", &format!("[[job.check]]\nname = \"c\"\n{keys}"));
    // It is still starting when it is looked at first.
    let report = watchkeeper.run_json(&["run-now", "verify"]).expect(1).json();
    assert!(check(&report, "c").1.ends_with("runs, but is unhealthy"), "{report}");
    docker::docker(["exec", &container.name, "/bin/touch", "/tmp/well"]);
    let report = watchkeeper.run_json(&["run-now", "verify", "--wait", "20s"]).expect(0).json();
    assert_eq!(check(&report, "c").1, "it runs and is healthy");
}

#[test]
fn a_container_that_ends_again_and_again_is_not_well_between_two_ends() {
    if !docker::available() {
        return;
    }
    let image = docker::Image::get(docker::Shell::Busybox);
    let container = docker::Container::named("loop");
    container.create(&["--restart", "always", "--entrypoint", "/bin/sleep", &image.name, "2"]);
    docker::docker(["start", &container.name]);
    wait_until("it was started again, and runs", Duration::from_mins(1), || {
        container
            .inspect("{{.RestartCount}} {{.State.Status}}")
            .trim()
            .split_once(' ')
            .is_some_and(|(restarts, status)| restarts.parse::<u32>().unwrap() > 0 && status == "running")
    });
    let keys = format!("name = \"c\"\ntype = \"container\"\ncontainer = \"{}\"\n", container.name);
    let watchkeeper = watchkeeper("", &format!("[[job.check]]\n{keys}"));
    let report = watchkeeper.run_json(&["run-now", "verify"]).expect(1).json();
    let text = check(&report, "c").1;
    // Between two ends, or, where that comes first, while it is down.
    assert!(text.contains("was started again") || text.contains("does not run"), "{text}");
}

#[test]
fn a_container_made_from_what_its_tag_meant_before_is_not_of_the_image_that_is_meant_now() {
    if !docker::available() {
        return;
    }
    let image = docker::Image::get(docker::Shell::Busybox);
    let container = docker::Container::named("tag");
    let tag = format!("{}:latest", container.name);
    docker::docker(["tag", &image.name, &tag]);
    container.create(&["--entrypoint", "/bin/sleep", &tag, "600"]);
    docker::docker(["start", &container.name]);
    let keys = format!("container = \"{}\"\nimage = \"{tag}\"\n", container.name);
    let watchkeeper = watchkeeper("", &format!("[[job.check]]\nname = \"c\"\ntype = \"container\"\n{keys}"));
    let report = watchkeeper.run_json(&["run-now", "verify"]).expect(0).json();
    assert!(check(&report, "c").1.ends_with(&format!("its image is {tag}")), "{report}");
    // The same content with another comment: another image under the same name.
    let newer = docker::docker(["commit", "-m", "newer", &container.name, &tag]);
    let report = watchkeeper.run_json(&["run-now", "verify"]).expect(1).json();
    let text = check(&report, "c").1;
    docker::docker(["rmi", &tag]);
    assert!(
        text.contains(&format!("is what {tag} was when it was made")) && text.contains(newer.trim()),
        "{text}"
    );
}

#[test]
fn rules_that_were_never_evaluated_are_no_proof_that_they_work() {
    let Some(prometheus) = Prometheus::host(Builder::default().without_blocks()) else { return };
    // Their first turn is within an hour, and that it has come already is one chance in hundreds.
    prometheus
        .load_rules("groups: [ { name: g, interval: 1h, rules: [ { record: 'wk:up', expr: 'sum(up)' } ] } ]");
    let watchkeeper = watchkeeper(
        &prometheus.target(),
        "[[job.check]]\nname = \"c\"\ntype = \"rules\"\nprometheus = \"main\"\ntimeout = \"3s\"\n",
    );
    wait_until("the rules are loaded", Duration::from_secs(30), || {
        let report = watchkeeper.run_json(&["run-now", "verify"]).json();
        !check(&report, "c").1.starts_with("0 rules loaded")
    });
    let report = watchkeeper.run_json(&["run-now", "verify"]).expect(1).json();
    assert_eq!(check(&report, "c"), (false, "1 of 1 rule not evaluated yet".to_owned()));
}

/// `openssl s_server` with a certificate of some days; `Drop` ends it.
struct Https {
    child: Child,
    port: u16,
}

impl Https {
    fn start(days: u32) -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            missing("no openssl");
            return None;
        }
        let folder = scratch::folder("https").keep();
        let (key, cert) = (folder.join("key.pem"), folder.join("cert.pem"));
        run(Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                "/CN=localhost",
                "-days",
                &days.to_string(),
                "-keyout",
            ])
            .arg(&key)
            .arg("-out")
            .arg(&cert));
        let port = scratch::free_port();
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-accept", &port.to_string(), "-key"])
            .arg(&key)
            .arg("-cert")
            .arg(&cert)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let this = Self { child, port };
        wait_until("openssl listens", Duration::from_secs(20), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(this)
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_days_of_a_certificate_are_counted_although_nobody_trusts_it() {
    let Some(https) = Https::start(10) else { return };
    let url = format!("https://127.0.0.1:{}", https.port);
    let checks = format!(
        "[[job.check]]\nname = \"few\"\ntype = \"certificate\"\nurl = \"{url}\"\ndays = 14\n\
         [[job.check]]\nname = \"enough\"\ntype = \"certificate\"\nurl = \"{url}\"\ndays = 9\n\
         [[job.check]]\nname = \"trust\"\ntype = \"http\"\nurl = \"{url}\"\n"
    );
    let watchkeeper = watchkeeper("", &checks);
    let report = watchkeeper.run_json(&["run-now", "verify"]).expect(1).json();
    let (passed, text) = check(&report, "few");
    let is_right = text.starts_with("9 days left, until ") || text.starts_with("10 days left, until ");
    assert!(!passed && is_right, "{text}");
    assert!(check(&report, "enough").0, "{report}");
    // Only the look at the certificate goes without trust.
    let (passed, text) = check(&report, "trust");
    assert!(!passed && text.to_lowercase().contains("certificate"), "{text}");
}

#[test]
fn a_server_that_accepts_and_says_nothing_ends_with_the_limit_of_its_check_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = std::thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            held.push(stream);
        }
    });
    let checks = format!(
        "[[job.check]]\nname = \"silent\"\ntype = \"http\"\nurl = \"http://127.0.0.1:{port}\"\ntimeout = \"2s\"\n\
         [[job.check]]\nname = \"silent too\"\ntype = \"http\"\nurl = \"http://127.0.0.1:{port}\"\ntimeout = \"2s\"\n\
         [[job.check]]\nname = \"room\"\ntype = \"disk\"\npath = \"/\"\nfree = \"1KiB\"\n"
    );
    let watchkeeper = watchkeeper("", &checks);
    let since = Instant::now();
    let report = watchkeeper.run_json(&["run-now", "verify"]).expect(1).json();
    assert!(since.elapsed() < Duration::from_millis(3900), "one after the other: {:?}", since.elapsed());
    assert!(check(&report, "silent").1.contains("within"), "{report}");
    assert!(check(&report, "room").0);
    drop(TcpStream::connect(("127.0.0.1", port)));
    silent.join().unwrap();
}
