//! What a killed process leaves in somebody's own folder: nothing of an export, and of what was being unpacked a note that it is
//! only a part.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::support::prometheus::{Builder, Prometheus};
use crate::support::scratch;
use crate::support::watchkeeper::{JOB, Watchkeeper, files_job};

/// More than is written before anybody has looked.
const SIZE: u64 = 64 << 20;
const COMING: Duration = Duration::from_mins(1);
/// What takes milliseconds may be over before anybody has looked.
const TRIES: usize = 20;

/// A job called `conf` with a backup of a large file that cannot be compressed, and a folder for this test.
fn large(folder: &Path) -> Watchkeeper {
    let file = folder.join("large");
    let random = fs::File::open("/dev/urandom").unwrap();
    let mut written = fs::File::create(&file).unwrap();
    std::io::copy(&mut std::io::Read::take(random, SIZE), &mut written).unwrap();
    let watchkeeper = Watchkeeper::with_config(&files_job(3, &[&file]));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    watchkeeper
}

/// Kills it when it has come so far; false where it has ended before.
fn kill_when(mut child: Child, mut has_come: impl FnMut(u32) -> bool) -> bool {
    let start = Instant::now();
    while !has_come(child.id()) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(start.elapsed() < COMING, "it did not come so far");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

/// It has a file of this folder open, whether that has a name or not.
fn has_open(process: u32, folder: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file.starts_with(folder))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn of_a_killed_export_nothing_stays_where_it_was_to_be() {
    let folder = scratch::folder("halfway");
    let watchkeeper = large(folder.path());
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let file = out.join("conf.tar");
    let words = ["export", "conf/latest", file.to_str().unwrap()];
    assert!(
        kill_when(watchkeeper.spawn(&words), |process| has_open(process, &out)),
        "it was not killed in time"
    );
    assert_eq!(names(&out), [""; 0]);
    watchkeeper.run(&words).expect(0);
    assert_eq!(names(&out), ["conf.tar"]);
}

const NOTE: &str = "watchkeeper-incomplete.txt";

#[test]
fn what_is_left_of_killed_unpacking_says_that_it_is_a_part() {
    let folder = scratch::folder("halfway");
    let watchkeeper = large(folder.path());
    let into = folder.path().join("into");
    let words = ["restore", "conf", "--into", into.to_str().unwrap()];
    let large = into.join(folder.path().strip_prefix("/").unwrap()).join("large");
    assert!(kill_when(watchkeeper.spawn(&words), |_| large.exists()), "it was not killed in time");
    assert!(names(&into).contains(&NOTE.to_owned()), "{:?}", names(&into));
    assert!(fs::read_to_string(into.join(NOTE)).unwrap().contains("conf/"), "it does not say of what");
    let refused = watchkeeper.run(&words).expect(1);
    assert!(refused.stderr.contains("whose unpacking was cut"), "{refused:?}");
    fs::remove_dir_all(&into).unwrap();
    watchkeeper.run(&words).expect(0);
    assert!(!names(&into).contains(&NOTE.to_owned()));
    assert_eq!(fs::read(&large).unwrap(), fs::read(folder.path().join("large")).unwrap());
}

#[test]
fn what_is_left_of_killed_unpacking_of_a_prometheus_is_not_restored() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    watchkeeper.back_up();
    let into: PathBuf = watchkeeper.folder().join("into");
    let words = ["restore", JOB, "--into", into.to_str().unwrap()];
    let has_begun = |_| names(&into).iter().any(|name| name.starts_with("01"));
    let was_cut = (0..TRIES).any(|_| {
        let _ = fs::remove_dir_all(&into);
        kill_when(watchkeeper.spawn(&words), has_begun) && names(&into).contains(&NOTE.to_owned())
    });
    assert!(was_cut, "it was never killed in time");
    let from = ["restore", "--from", into.to_str().unwrap(), "--prometheus", "main", "--yes"];
    let refused = watchkeeper.run(&from).expect(1);
    assert!(
        refused.stderr.contains("only a part of a backup") && refused.stderr.contains(NOTE),
        "{refused:?}"
    );
    fs::remove_dir_all(&into).unwrap();
    watchkeeper.run(&words).expect(0);
    watchkeeper.run(&[&from[..5], &["--dry-run"]].concat()).expect(0);
}
