//! The daemon as a process: it runs what is due, is alone on its state, and leaves nothing behind when it is told
//! to stop.

use std::process::{Child, Command};
use std::time::Duration;

use crate::support::prometheus::{Builder, Prometheus};
use crate::support::watchkeeper::{JOB, Watchkeeper};
use crate::support::{run, wait_until};

const SOON: Duration = Duration::from_mins(1);

/// With a job that is due every other second.
fn every_other_second(prometheus: &Prometheus) -> Watchkeeper {
    Watchkeeper::with_config(&format!(
        "{}\n[[job]]\nname = \"{JOB}\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\n\
         schedule = \"*/2 * * * * *\"\nkeep = {{ last = 5 }}\n",
        prometheus.target()
    ))
}

fn terminate(child: &Child) {
    run(Command::new("kill").args(["-TERM", &child.id().to_string()]));
}

fn runs(watchkeeper: &Watchkeeper) -> Vec<serde_json::Value> {
    let history = watchkeeper.run_json(&["history"]).expect(0).json();
    history["runs"].as_array().unwrap().clone()
}

#[test]
fn it_runs_what_is_due_is_alone_and_stopped_in_a_run_leaves_no_snapshot() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = every_other_second(&prometheus);
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("two scheduled runs are done", SOON, || {
        runs(&watchkeeper).iter().filter(|run| run["outcome"] == "done").count() >= 2
    });
    assert!(runs(&watchkeeper).iter().all(|run| run["cause"] == "scheduled"));
    let second = watchkeeper.run(&["run"]).expect(75);
    assert!(second.stderr.contains("A daemon already runs") && second.stderr.contains("pid"), "{second:?}");

    let snapshots = prometheus.data_dir().join("snapshots");
    let taken = || std::fs::read_dir(&snapshots).is_ok_and(|mut entries| entries.next().is_some());
    let start = std::time::Instant::now();
    // No pause: a snapshot is there for some milliseconds.
    while !taken() {
        assert!(start.elapsed() < SOON, "no snapshot was taken");
        std::thread::yield_now();
    }
    terminate(&daemon);
    let output = watchkeeper.wait(daemon, &["run"]).expect(0);
    assert!(output.stderr.contains("the daemon has stopped"), "{output:?}");
    assert!(prometheus.snapshots().is_empty());
    let left = runs(&watchkeeper);
    assert!(left.iter().all(|run| run["outcome"] == "done"), "a run that could end was cut: {left:?}");
    // Nobody holds anything any more.
    watchkeeper.run(&["run-now", JOB]).expect(0);
}

#[test]
fn told_twice_it_cuts_off_what_a_frozen_server_keeps_waiting() {
    let Some(prometheus) = Prometheus::container(Builder::default()) else { return };
    let watchkeeper = every_other_second(&prometheus);
    let name = prometheus.container_name().unwrap();
    run(Command::new("docker").args(["pause", name]));
    let mut daemon = watchkeeper.spawn(&["run"]);
    wait_until("a run waits for the server", SOON, || {
        runs(&watchkeeper).iter().any(|run| run["outcome"].is_null())
    });
    // Again and again: two signals that nobody has taken yet are one.
    wait_until("the daemon ends", Duration::from_secs(20), || {
        terminate(&daemon);
        daemon.try_wait().unwrap().is_some()
    });
    watchkeeper.wait(daemon, &["run"]).expect(0);
    run(Command::new("docker").args(["unpause", name]));
    // The slots that came meanwhile were skipped.
    let ended = runs(&watchkeeper).into_iter().filter(|run| run["outcome"] != "skipped");
    let ended: Vec<_> = ended.map(|run| run["outcome"].clone()).collect();
    assert_eq!(ended, ["interrupted"], "{:?}", runs(&watchkeeper));
    prometheus.wait_ready();
    assert!(prometheus.snapshots().is_empty());
    assert!(watchkeeper.leftovers().is_empty(), "{:?}", watchkeeper.leftovers());
}
