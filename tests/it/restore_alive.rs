//! The container of a Prometheus that goes, or stands still, while a restore waits for its answers: the first ends the restore at
//! once, the second is told while somebody can do something about it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::docker::docker;
use crate::support::prometheus::{Builder, Past, Prometheus};
use crate::support::wait_until;
use crate::support::watchkeeper::{JOB, Watchkeeper};

const RESTORE: [&str; 3] = ["restore", JOB, "--yes"];
/// Much longer than it takes to look at a container, and much shorter than the limits of a restore, which are minutes.
const SOON: Duration = Duration::from_secs(30);
const COMING: Duration = Duration::from_mins(2);

fn scene() -> Option<(Prometheus, Watchkeeper)> {
    let prometheus = Prometheus::container(Builder::default())?;
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    watchkeeper.back_up();
    Some((prometheus, watchkeeper))
}

/// The new data are in place, and somebody serves them: they are being proven.
fn is_being_proven(prometheus: &Prometheus) -> bool {
    is_swapped(&prometheus.data_dir()) && prometheus.is_ready()
}

fn is_swapped(data: &Path) -> bool {
    let work = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let mut work =
        work.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(".watchkeeper-restore-"));
    let journal = work.next().and_then(|work| fs::read(work.join("journal.json")).ok());
    let journal = journal.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    journal.is_some_and(|journal| journal["phase"] == "swapped")
}

#[test]
fn a_container_that_is_removed_while_the_restore_is_proven_ends_it_at_once() {
    let Some((prometheus, watchkeeper)) = scene() else { return };
    let name = prometheus.container_name().unwrap();
    let child = watchkeeper.spawn(&RESTORE);
    wait_until("it is being proven", COMING, || is_being_proven(&prometheus));
    docker(["rm", "-f", name]);
    let since = Instant::now();
    let output = watchkeeper.wait(child, &RESTORE);
    assert!(since.elapsed() < SOON, "{:?}: {output:?}", since.elapsed());
    assert!(matches!(output.code, 1 | 4), "{output:?}");
    assert!(output.stdout.contains(&format!("There is no container \"{name}\"")), "{output:?}");
    prometheus.make_again();
    prometheus.start();
    prometheus.wait_ready();
    if output.code == 4 {
        watchkeeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
    }
    watchkeeper.back_up();
}

#[test]
fn a_container_that_is_paused_while_the_restore_is_proven_is_told_and_proven_when_it_runs_on() {
    let Some((prometheus, watchkeeper)) = scene() else { return };
    let (name, past) = (prometheus.container_name().unwrap(), Past::until_now());
    let before = prometheus.digest(past);
    prometheus.lose_everything();
    let mut child = watchkeeper.spawn(&RESTORE);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    wait_until("it is being proven", COMING, || is_being_proven(&prometheus));
    docker(["pause", name]);
    let since = Instant::now();
    let told = said.find(|line| line.as_ref().unwrap().contains(&format!("its container {name} is paused")));
    assert!(told.unwrap().unwrap().contains(&format!("docker unpause {name}")));
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    docker(["unpause", name]);
    let rest = std::thread::spawn(move || said.map(Result::unwrap).collect::<Vec<_>>());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?} {:?}", rest.join().unwrap());
    assert_eq!(prometheus.digest(past), before);
}
