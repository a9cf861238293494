//! Unpacked exports lie in `state_dir` while a restore runs: with secrets in the clear, where the export has such.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::grafana::{Fault, Grafana, SECRET, Version, What};
use crate::support::grafana_keeper::{ADMIN, COMING, JOB, export, keeper_of, lose_hosts, sample};
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{scratch, wait_until};

fn left(keeper: &Watchkeeper) -> Vec<PathBuf> {
    let all = fs::read_dir(keeper.state()).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(".grafana-")).collect()
}

/// A restore that was killed in the middle, and has left what it had unpacked.
fn killed(keeper: &Watchkeeper, grafana: &Grafana) {
    lose_hosts(grafana);
    grafana.forget_requests();
    grafana.inject(Fault::new(What::Slow(Duration::from_mins(1))).on("POST", "/api/dashboards/db"));
    let mut cut = keeper.spawn(&["restore", JOB, "--yes"]);
    wait_until("the restore writes", COMING, || grafana.count("POST", "/api/dashboards/db") > 0);
    for path in left(keeper) {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700, "{}", path.display());
    }
    cut.kill().unwrap();
    cut.wait().unwrap();
    grafana.heal();
    let files = left(keeper)
        .into_iter()
        .flat_map(|folder| scratch::files_below(&folder).into_iter().map(move |file| folder.join(file)));
    let with_secret = files.filter(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(SECRET)));
    assert!(with_secret.count() > 0, "nothing is left that could be swept: the test shows nothing");
}

#[test]
fn what_killed_restores_have_left_unpacked_goes_with_the_next_one_and_when_the_daemon_starts() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper_of(&[("main", grafana.url(), ADMIN)], "include = [\"contact-point-secrets\"]");
    export(&keeper);
    killed(&keeper, &grafana);
    keeper.run(&["restore", JOB, "--dry-run"]).expect(0);
    assert!(left(&keeper).is_empty(), "{:?}", left(&keeper));
    killed(&keeper, &grafana);
    let mut daemon = keeper.spawn(&["run"]);
    wait_until("the daemon has swept", COMING, || left(&keeper).is_empty());
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}
