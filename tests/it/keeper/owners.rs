//! Root by hand and the service's user work on the same folders: whatever root runs leaves nothing in them that the other
//! cannot read, verify and prune.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::support::grafana::{Grafana, Version};
use crate::support::grafana_keeper::{ADMIN, target};
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::watchkeeper::files_job;
use crate::support::{database, run, scratch, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// Everything in both folders is the user's, and he may read it and write to it. What comes and goes beside a daemon may be
/// gone.
#[track_caller]
fn all_is_the_users(keeper: &Keeper, after: &str) {
    for top in [keeper.watchkeeper.state(), keeper.watchkeeper.backups_folder()] {
        let found = Command::new("find").arg(&top).args(["-printf", "%U:%G %m %y %p\n"]).output().unwrap();
        for line in String::from_utf8(found.stdout).unwrap().lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let needed = if words[2] == "d" { 0o700 } else { 0o400 };
            let mode = u32::from_str_radix(words[1], 8).unwrap();
            let is_his = words[0] == format!("{USER}:{USER}") && mode & needed == needed;
            assert!(is_his, "after `{after}`: {line}");
        }
    }
}

/// The jobs of all kinds, and what they are about.
struct Stack {
    prometheus: Prometheus,
    grafana: Grafana,
    folder: tempfile::TempDir,
}

impl Stack {
    fn start() -> Option<Self> {
        let prometheus = Prometheus::host(Builder::default())?;
        let folder = scratch::folder("owners");
        fs::write(folder.path().join("a.yml"), "a: 1\n").unwrap();
        let stuck = "INSERT INTO work_sessions VALUES (2, 'stuck', '2026-01-02 09:00:00', NULL)";
        database::create(&folder.path().join("memory.db")).execute_batch(stuck).unwrap();
        Some(Self { prometheus, grafana: Grafana::start(Version::V7_5), folder })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("a.yml")
    }

    fn config(&self) -> String {
        let path = self.folder.path().join("memory.db").display().to_string();
        let on_database = |name: &str, kind: &str| {
            format!(
                "[[job]]\nname = \"{name}\"\nkind = \"{kind}\"\nkeep = {{ last = 2 }}\ndatabase = \"{path}\"\n"
            )
        };
        let of_prometheus = "[[job]]\nname = \"p\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\nschedule = \"@daily\"\n\
             keep = { last = 2 }\n[[job]]\nname = \"c\"\nkind = \"block-cleanup\"\nprometheus = \"main\"\nolder_than = \"9h\"\n";
        [
            self.prometheus.target(),
            target("main", &self.grafana.url(), ADMIN),
            ONCE.to_owned(),
            of_prometheus.to_owned(),
            "[[job]]\nname = \"g\"\nkind = \"grafana-export\"\ngrafana = \"main\"\nkeep = { last = 2 }\n"
                .to_owned(),
            on_database("db", "sqlite-backup"),
            on_database("stale", "close-stale-sessions"),
            files_job(2, &[&self.file()]),
            "[[job]]\nname = \"beat\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"* * * * * *\"\n".to_owned(),
            "[[job]]\nname = \"tick\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"@hourly\"\n"
                .to_owned(),
        ]
        .concat()
    }
}

#[test]
fn whatever_root_runs_beside_the_daemon_or_without_one_stays_the_users() {
    let Some(stack) = Stack::start() else { return };
    let Some(keeper) = Keeper::new(&stack.config()) else { return };
    let root = |arguments: &[&str]| {
        let output = keeper.as_root(arguments);
        assert!(matches!(output.code, 0 | 3), "{arguments:?}: {output:?}");
        all_is_the_users(&keeper, &arguments.join(" "));
    };
    let jobs = ["p", "c", "g", "db", "stale", "conf", "tick"];
    // Root comes first, and makes all there is: the history and its log, locks, ledgers.
    for job in jobs {
        root(&["run-now", job]);
    }
    let daemon = keeper.watchkeeper.command_by(USER, &[], &["run"]).spawn().unwrap();
    let runs = || {
        let history = keeper.as_root(&["--json", "history", "beat"]).json();
        history["runs"].as_array().unwrap().iter().any(|run| run["cause"] == "scheduled")
    };
    wait_until("the daemon runs", SOON, runs);
    all_is_the_users(&keeper, "run");
    for job in jobs {
        root(&["run-now", job]);
    }
    fs::write(stack.file(), "a: 2\n").unwrap();
    for job in ["g", "db", "conf", "p"] {
        let into = stack.folder.path().join(format!("into-{job}"));
        root(&["restore", job, "--dry-run"]);
        root(&["restore", job, "--yes"]);
        root(&["restore", job, "--into", into.to_str().unwrap()]);
    }
    for job in ["db", "conf", "p"] {
        root(&["restore", job, "--undo", "--yes"]);
    }
    root(&["restore", "stale", "--undo", "--yes"]);
    root(&["restore", "p", "--discard-old", "--yes"]);
    let file = stack.folder.path().join("export.tar.gz");
    for arguments in [
        &["verify", "--deep"][..],
        &["pin", "p/latest"],
        &["unpin", "p/latest"],
        &["accept", "p/latest"],
        &["pause", "tick"],
        &["resume", "tick"],
        &["export", "p/latest", file.to_str().unwrap()],
        &["check", "--online"],
        &["explain", "p"],
        &["prune"],
    ] {
        root(arguments);
    }
    // The user goes on with it.
    for arguments in
        [&["verify", "--deep"][..], &["run-now", "g"], &["pin", "p/latest"], &["unpin", "p/latest"]]
    {
        keeper.run(arguments).expect(0);
    }
    run(Command::new("kill").arg(daemon.id().to_string()));
    keeper.watchkeeper.wait(daemon, &["run"]).expect(0);
    keeper.watchkeeper.configure(&stack.config().replace("last = 2", "last = 1"));
    let pruned = keeper.run(&["prune"]).expect(0);
    assert!(pruned.stdout.contains("1 deleted"), "{}", pruned.stdout);
    all_is_the_users(&keeper, "prune as the user");
}

#[test]
fn what_a_killed_run_of_root_has_left_the_user_sweeps() {
    let Some(stack) = Stack::start() else { return };
    let Some(keeper) = Keeper::new(&stack.config()) else { return };
    let mut child = keeper.watchkeeper.spawn(&["run-now", "p"]);
    let partial = || {
        let store = keeper.watchkeeper.store_of("p");
        let names = fs::read_dir(store).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.into_iter().any(|name| name.to_string_lossy().starts_with(".partial-"))
    };
    wait_until("the backup is begun", SOON, || partial() || child.try_wait().unwrap().is_some());
    let _ = child.kill();
    child.wait().unwrap();
    all_is_the_users(&keeper, "run-now, killed");
    mode(stack.prometheus.data_dir().parent().unwrap(), 0o755);
    keeper.run(&["run-now", "tick"]).expect(0);
    keeper.run(&["verify"]).expect(0);
    keeper.as_root(&["run-now", "p"]).expect(0);
    assert!(!partial(), "a leftover stays");
}
