//! Another program's database in the place of the history is somebody's data.

use super::*;
use crate::support::wait_until;
use crate::support::watchkeeper::files_job;

const SAID: &str = "is not a history, but a database of another program";

/// It is as it was, and nothing stands beside it.
fn is_untouched(watchkeeper: &Watchkeeper, bytes: &[u8]) {
    assert_eq!(fs::read(file(watchkeeper)).unwrap(), bytes);
    let names = fs::read_dir(watchkeeper.state()).unwrap().map(|entry| entry.unwrap().file_name());
    let beside: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("history.db")).collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
}

#[test]
fn every_command_and_the_daemon_refuse_it_and_leave_it_as_it_is() {
    let watchkeeper = Watchkeeper::with_config("");
    let source = watchkeeper.folder().join("source");
    fs::write(&source, "as it was").unwrap();
    watchkeeper.configure(&files_job(5, &[&source]));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    fs::write(&source, "as it is").unwrap();
    precious(&watchkeeper);
    let bytes = fs::read(file(&watchkeeper)).unwrap();
    let commands: [&[&str]; 11] = [
        &["status"],
        &["history"],
        &["show", "conf"],
        &["explain", "conf"],
        &["next"],
        &["incidents"],
        &["run-now", "conf"],
        &["restore", "conf", "--yes"],
        &["pause", "conf"],
        &["check"],
        &["run"],
    ];
    for command in commands {
        let output = watchkeeper.run(command).expect(1);
        let said = output.stdout + &output.stderr;
        assert!(said.contains(SAID) && said.contains("nothing is changed in it"), "{command:?}: {said}");
        is_untouched(&watchkeeper, &bytes);
    }
    // What needs no history works.
    for command in ["backups", "verify"] {
        watchkeeper.run(&[command]).expect(0);
    }
    fs::rename(file(&watchkeeper), watchkeeper.folder().join("precious.db")).unwrap();
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    watchkeeper.run(&["check"]).expect(0);
    assert_eq!(causes(&runs(&watchkeeper)), ["manual", "rebuilt"]);
}

#[test]
fn under_the_daemon_it_is_not_touched_and_jobs_run_on_until_it_is_away() {
    let watchkeeper = Watchkeeper::with_config("");
    let ran = watchkeeper.folder().join("ran");
    let command = format!("command = [\"sh\", \"-c\", \"echo >>{}\"]", ran.display());
    let tick =
        format!("[[job]]\nname = \"tick\"\nkind = \"command\"\n{command}\nschedule = \"* * * * * *\"\n");
    watchkeeper.configure(&(tick + &files_job(5, &[&watchkeeper.config()])));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let daemon = watchkeeper.spawn(&["run"]);
    let length = || fs::metadata(&ran).map(|ran| ran.len()).unwrap_or_default();
    wait_until("the job runs", SOON, || length() > 1);
    // Whoever puts one there puts it there whole.
    let (other, aside) = (Watchkeeper::with_config(""), watchkeeper.folder().join("precious.db"));
    precious(&other);
    fs::rename(file(&other), &aside).unwrap();
    fs::rename(&aside, file(&watchkeeper)).unwrap();
    let refused = || watchkeeper.run(&["status"]).stderr.contains(SAID);
    assert!(refused());
    let before = length();
    wait_until("it has been looked at, and jobs run on", SOON, || length() > before + 20);
    let rows = || history(&watchkeeper).query_row("SELECT count(*) FROM precious", [], |row| row.get(0));
    assert_eq!(rows(), Ok(1_i64));
    fs::rename(file(&watchkeeper), &aside).unwrap();
    let known = "SELECT count(*) FROM run WHERE job = 'tick'";
    wait_until("what ran is written down", SOON, || count(&watchkeeper, known) > 20);
    let said = stop(&watchkeeper, daemon);
    assert!(said.contains(SAID), "{said}");
    assert_eq!(count(&watchkeeper, "SELECT count(*) FROM run WHERE cause = 'rebuilt'"), 1);
    let watched = "SELECT count(*) FROM watched WHERE job = 'tick'";
    assert_eq!(count(&watchkeeper, watched), 1, "its slots are watched again");
}
