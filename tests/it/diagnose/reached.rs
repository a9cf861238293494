//! What is reached: an application that answers, its port and its sessions, a Prometheus, and a server that says nothing.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::{has, said};
use crate::support::application::{Application, Data};
use crate::support::docker::docker;
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::scratch;
use crate::support::wait_until;
use crate::support::watchkeeper::Watchkeeper;

#[test]
fn an_application_that_is_well_is_said_to_be_and_its_port_and_its_sessions_are_seen() {
    let Some(app) = Application::container(Data::Volume, &["sqlite3"]) else { return };
    let folder = scratch::folder("metrics");
    let metrics = folder.path().join("metrics");
    fs::write(&metrics, "a_total 1\n").unwrap();
    app.put(&metrics, "/app/www/metrics");
    app.wait_well();
    let watchkeeper = Watchkeeper::with_config(&app.config());
    let document = watchkeeper.run_json(&["diagnose", "ServiceDown"]);
    // The disks of whoever runs this may be nearly full, and others may have been killed.
    assert!([0, 3].contains(&document.code), "{}", document.stdout);
    let document = document.json();
    let name = app.container_name();
    has(
        &said(&document, "container"),
        &[&format!("good container {name} runs for "), "it has no health check"],
    );
    has(&said(&document, "probe"), &["good health: ", "answers 200", "good metrics: 1 series, in "]);
    has(&said(&document, "port"), &[&format!("good port 8080 in {name}: "), " by busybox ("]);
    has(&said(&document, "stats"), &["good CPU ", "good memory ", "processes and threads"]);
    has(&said(&document, "disk"), &["/app/data of ", "files more"]);

    // Somebody has left sessions open.
    app.sqlite("INSERT INTO work_sessions VALUES (2, 'stuck', '2026-01-02 09:00:00', NULL), (3, 'odd', '12:30', NULL)");
    let document = watchkeeper.run_json(&["diagnose", "TooManyActiveSessions"]).expect(1).json();
    has(
        &said(&document, "sessions"),
        &[
            "bad 1 session open for longer than 8 h 00 m; 0 for less",
            "caution of 1 session",
            "2 (stuck): open for ",
        ],
    );
    has(&document["recommends"].to_string(), &["close-stale-sessions"]);

    // The program that listened is gone, the container is not.
    docker(["exec", name, "/bin/busybox", "killall", "-9", "busybox"]);
    wait_until("nobody answers", Duration::from_secs(20), || app.health().is_none());
    let document = watchkeeper.run_json(&["diagnose", "ServiceDown"]).expect(1).json();
    has(&said(&document, "port"), &[&format!("bad nobody listens on port 8080 in {name}")]);
    has(&said(&document, "probe"), &["bad health: "]);
}

#[test]
fn values_of_a_prometheus_are_judged_and_drawn() {
    let Some(prometheus) = Prometheus::host(Builder::default().without_blocks()) else { return };
    let steps = "[[response]]\nalert = \"Many\"\nsteps = []\n\
        [[response.step]]\nkind = \"query\"\nname = \"up\"\nquery = \"sum(up)\"\nbad_below = 100\n\
        [[response.step]]\nkind = \"query\"\nname = \"fine\"\nquery = \"max(up)\"\nbad_above = 1\n\
        [[response.step]]\nkind = \"query\"\nname = \"wrong\"\nquery = \"sum(\"\n\
        [[response.step]]\nkind = \"quantile\"\nname = \"p95\"\nmetric = \"no_such_seconds\"\nbad_above = 30\n";
    let watchkeeper = Watchkeeper::with_config(&format!("{}\n{steps}", prometheus.target()));
    let document = watchkeeper.run_json(&["diagnose", "Many", "--last", "5m"]).expect(1).json();
    assert_eq!(document["target"], "prometheus.main");
    let up = said(&document, "up");
    has(&up, &["bad up: 2, which is below 100", "last 5 m 00 s ", "█", " to 2"]);
    has(&said(&document, "fine"), &["good fine: 1"]);
    has(
        &said(&document, "p95"),
        &[
            "caution p95: no result",
            "histogram_quantile(0.95, sum by (le) (rate(no_such_seconds_bucket[300s])))",
        ],
    );
    has(&said(&document, "wrong"), &["parse error"]);
    // One that is down is told with why it cannot be asked.
    prometheus.stop();
    let document = watchkeeper.run_json(&["diagnose", "Many"]).expect(3).json();
    has(&said(&document, "up"), &["is Prometheus running"]);
}

#[test]
fn a_server_that_takes_the_connection_and_says_nothing_ends_at_the_limit_of_its_step() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[application.app]\nurl = \"http://127.0.0.1:{port}\"\n[[response]]\nalert = \"ServiceDown\"\nsteps = [\"disk\"]\n\
         [[response.step]]\nkind = \"probe\"\ntimeout = \"2s\"\n"
    ));
    let since = Instant::now();
    let document = watchkeeper.run_json(&["diagnose", "ServiceDown"]).expect(1).json();
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    has(&said(&document, "probe"), &["bad health: ", "did not answer within", "bad metrics: "]);
    has(&said(&document, "disk"), &["free ("]);
}
