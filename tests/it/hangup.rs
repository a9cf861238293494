//! A terminal that is closed, and a kill between the stop of a server and the change of its data: what was stopped runs
//! again, and what is cut is told.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::application::{Application, Data};
use crate::support::prometheus::{Builder, Past, Prometheus};
use crate::support::scratch::is_alive;
use crate::support::watchkeeper::{JOB, Watchkeeper};
use crate::support::{run, wait_until};

const LONG: Duration = Duration::from_mins(2);
const RESTORE: [&str; 3] = ["restore", JOB, "--yes"];
const UNDO: [&str; 4] = ["restore", JOB, "--undo", "--yes"];
/// Between the stop and the change there may be less time than this process sleeps.
const TRIES: usize = 8;

fn send(signal: &str, child: &Child) {
    run(Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()));
}

/// The journal of the restore that lies in a data folder.
fn journal(data: &Path) -> Option<Value> {
    let mut entries = fs::read_dir(data).ok()?.flatten().map(|entry| entry.path());
    let work = entries.find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".watchkeeper-restore-"))
    })?;
    serde_json::from_slice(&fs::read(work.join("journal.json")).ok()?).ok()
}

fn phase(prometheus: &Prometheus) -> Option<String> {
    journal(&prometheus.data_dir())?["phase"].as_str().map(str::to_owned)
}

/// A restore that was killed when it had stopped Prometheus, and before it changed anything.
fn killed_after_the_stop(prometheus: &Prometheus, watchkeeper: &Watchkeeper) {
    for _ in 0..TRIES {
        let mut child = watchkeeper.spawn(&RESTORE);
        wait_until("it is stopped", LONG, || !prometheus.is_ready() || child.try_wait().unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        if phase(prometheus).as_deref() == Some("staging") {
            // The program or the engine that was told to stop it goes on with that.
            prometheus.stop();
            return;
        }
        prometheus.start();
        prometheus.wait_ready();
        watchkeeper.run(&UNDO);
    }
    panic!("it was never killed in time");
}

fn undone_or_resumed(prometheus: Option<Prometheus>) {
    let Some(prometheus) = prometheus else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    let past = Past::until_now();
    let before = prometheus.digest(past);
    watchkeeper.back_up();

    killed_after_the_stop(&prometheus, &watchkeeper);
    let undone = watchkeeper.run(&UNDO).expect(0);
    assert!(undone.stdout.contains("which it had stopped, was started and is ready"), "{undone:?}");
    assert!(prometheus.is_ready());
    assert_eq!(prometheus.digest(past), before);

    killed_after_the_stop(&prometheus, &watchkeeper);
    let resumed = watchkeeper.run(&["restore", JOB, "--resume"]).expect(0);
    assert!(prometheus.is_ready(), "{resumed:?}");
    assert_eq!(prometheus.digest(past), before);
}

#[test]
fn a_restore_that_is_killed_after_the_stop_is_undone_and_resumed_with_a_server_that_runs() {
    undone_or_resumed(Prometheus::host(Builder::default()));
}

#[test]
fn a_restore_that_is_killed_after_the_stop_of_a_container_is_undone_and_resumed_with_one_that_runs() {
    undone_or_resumed(Prometheus::container(Builder::default()));
}

#[test]
fn a_restore_whose_terminal_is_closed_takes_itself_back() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    let past = Past::until_now();
    let before = prometheus.digest(past);
    watchkeeper.back_up();
    let child = watchkeeper.spawn_at_a_terminal(&RESTORE);
    wait_until("it is stopped", LONG, || !prometheus.is_ready());
    send("HUP", &child);
    let ended = watchkeeper.wait(child, &RESTORE).expect(130);
    assert!(prometheus.is_ready(), "{ended:?}");
    assert_eq!(prometheus.digest(past), before);
    let history = watchkeeper.run_json(&["history", "-n", "1"]).expect(0).json();
    assert_eq!(history["runs"][0]["outcome"], "interrupted");
}

#[test]
fn an_undo_that_was_cut_before_the_start_starts_when_it_is_run_again() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    watchkeeper.back_up();
    watchkeeper.run(&RESTORE).expect(0);
    // As a kill after the old data are back leaves it.
    watchkeeper.run(&UNDO).expect(0);
    prometheus.stop();
    let cut = "sed -i 's/\"down\": false/\"down\": true/' .watchkeeper-restore-*/journal.json";
    prometheus.in_data(cut);
    assert_eq!(journal(&prometheus.data_dir()).unwrap()["down"], true);
    let again = watchkeeper.run(&UNDO).expect(0);
    assert!(prometheus.is_ready(), "{again:?}");
    let nothing = watchkeeper.run(&UNDO).expect(1);
    assert!(nothing.stdout.contains("There is no restore to undo"), "{nothing:?}");
}

/// What a restore has put beside the database.
fn staged(application: &Application) -> bool {
    let entries = fs::read_dir(application.data()).unwrap().flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    let has = |part: &str| names.iter().any(|name| name.contains(part));
    has(".watchkeeper-") && !has(".before-")
}

fn database_restore_killed_after_the_stop(application: &Application) {
    let watchkeeper = Watchkeeper::with_config(&application.config());
    watchkeeper.run(&["run-now", "db"]).expect(0);
    let undo = ["restore", "db", "--undo", "--yes"];
    for _ in 0..TRIES {
        let mut child = watchkeeper.spawn(&["restore", "db", "--yes"]);
        let is_over = |child: &mut Child| child.try_wait().unwrap().is_some();
        wait_until("it is stopped", LONG, || application.health().is_none() || is_over(&mut child));
        let in_time = staged(application);
        child.kill().unwrap();
        child.wait().unwrap();
        let in_time = in_time && staged(application);
        // What was told to stop it goes on with that.
        wait_until("it is down", LONG, || !in_time || application.is_down());
        let undone = watchkeeper.run(&undo);
        if in_time {
            assert!(undone.stdout.contains("which it had stopped, was started"), "{undone:?}");
            assert!(undone.stdout.contains("answers with 200"), "{undone:?}");
            application.wait_well();
            return;
        }
    }
    panic!("it was never killed in time");
}

#[test]
fn a_restore_of_a_database_that_is_killed_after_the_stop_is_undone_with_an_application_that_runs() {
    let Some(application) = Application::host() else { return };
    database_restore_killed_after_the_stop(&application);
}

#[test]
fn a_restore_of_a_database_that_is_killed_after_the_stop_of_a_container_is_undone_with_one_that_runs() {
    let Some(application) = Application::container(Data::Volume, &["sqlite3"]) else { return };
    application.wait_well();
    database_restore_killed_after_the_stop(&application);
}

/// A job that notes its process and sleeps, with hooks that note themselves.
fn sleeper() -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config("");
    let notes = watchkeeper.folder().join("notes").display().to_string();
    watchkeeper.configure(&format!(
        "[[job]]\nname = \"j\"\nkind = \"command\"\nshell = true\nretries = {{ max = 0 }}\n\
         command = 'echo $$ >> {notes}; sleep 600'\n[job.hooks]\n\
         on_failure = {{ shell = true, command = 'echo on_failure >> {notes}' }}\n\
         finally = {{ shell = true, command = 'echo finally >> {notes}' }}\n"
    ));
    watchkeeper
}

fn notes(watchkeeper: &Watchkeeper) -> Vec<String> {
    let text = fs::read_to_string(watchkeeper.folder().join("notes")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_run_whose_terminal_is_closed_ends_what_it_has_started_and_runs_its_hooks() {
    let watchkeeper = sleeper();
    let child = watchkeeper.spawn_at_a_terminal(&["run-now", "j"]);
    wait_until("it runs", LONG, || !notes(&watchkeeper).is_empty());
    send("HUP", &child);
    watchkeeper.wait(child, &["run-now"]).expect(130);
    let noted = notes(&watchkeeper);
    assert_eq!(noted[1..], ["on_failure", "finally"]);
    assert!(!is_alive(&noted[0]));
}

#[test]
fn a_run_under_nohup_does_not_end_with_its_terminal() {
    let watchkeeper = sleeper();
    let own = watchkeeper.command(&["run-now", "j"]);
    let mut command = Command::new("nohup");
    command.arg(own.get_program()).args(own.get_args()).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("it runs", LONG, || !notes(&watchkeeper).is_empty());
    send("HUP", &child);
    // The program that it has started is ended by us: it is not interrupted, but failed.
    run(Command::new("kill").arg(&notes(&watchkeeper)[0]));
    child.wait().unwrap();
    let history = watchkeeper.run_json(&["history"]).expect(0).json();
    assert_eq!(history["runs"][0]["outcome"], "failed");
}

#[test]
fn a_terminal_that_nobody_reads_any_more_does_not_cut_a_run() {
    let watchkeeper = sleeper();
    for words in [&["run-now", "j"][..], &["-v", "run-now", "j"], &["--json", "run-now", "j"]] {
        let before = notes(&watchkeeper).len();
        let mut child = watchkeeper.spawn(words);
        // Its reader goes.
        drop((child.stdout.take(), child.stderr.take()));
        wait_until("it runs", LONG, || notes(&watchkeeper).len() > before);
        run(Command::new("kill").arg(&notes(&watchkeeper)[before]));
        assert_eq!(child.wait().unwrap().code(), Some(1), "{words:?}");
        assert_eq!(notes(&watchkeeper)[before + 1..], ["on_failure", "finally"], "{words:?}");
        let history = watchkeeper.run_json(&["history"]).expect(0).json();
        assert_eq!(history["runs"][0]["outcome"], "failed", "{words:?}");
    }
}
