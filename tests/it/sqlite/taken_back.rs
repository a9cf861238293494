//! A restore that took itself back: nothing that was written meanwhile is lost, and there is nothing to undo.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

use super::cut::{send, waits_for_health};
use super::{names, restored};
use crate::support::application::{Application, Data};
use crate::support::database::number;
use crate::support::{scratch, wait_until};

const LONG: Duration = Duration::from_mins(1);

/// What was restored and is not live any more.
fn failed(application: &Application) -> Option<PathBuf> {
    let names = names(&application.data()).into_iter();
    names
        .map(|name| application.data().join(name))
        .find(|path| path.display().to_string().contains(".failed-"))
}

fn pairs(application: &Application) -> i64 {
    number(&application.database(), "SELECT count(*) FROM pairs")
}

fn keeps_what_was_written(application: &Application) {
    let (watchkeeper, child) = waits_for_health(application);
    let since = pairs(application);
    wait_until("it writes into the restored one", LONG, || pairs(application) > since + 2);
    send("INT", &child);
    let ended = watchkeeper.wait(child, &["restore"]).expect(130);
    let kept = failed(application).expect("the rows are gone");
    let told = format!("what was written to the restored one meanwhile is in {}", kept.display());
    assert!(ended.stdout.contains(&told), "{}", ended.stdout);
    assert!(number(&kept, "SELECT count(*) FROM pairs") > since + 2);
    fs::remove_file(application.data().join("sick")).unwrap();
    application.wait_well();

    let live = fs::metadata(application.database()).unwrap();
    let refused = watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(1);
    assert!(refused.stdout.contains("There is nothing to undo: the restore of db/"), "{}", refused.stdout);
    assert_eq!(fs::metadata(application.database()).unwrap().ino(), live.ino());
    watchkeeper.run(&["restore", "db", "--discard-old", "--yes"]).expect(0);
    assert_eq!(failed(application), None);
}

#[test]
fn what_an_application_writes_while_its_health_is_waited_for_is_kept() {
    let Some(application) = Application::host() else { return };
    keeps_what_was_written(&application);
}

#[test]
fn what_an_application_writes_in_a_volume_while_its_health_is_waited_for_is_kept() {
    let Some(application) = Application::container(Data::Volume, &["sqlite3"]) else { return };
    application.wait_well();
    keeps_what_was_written(&application);
}

#[test]
fn what_nobody_has_written_to_is_not_kept() {
    let Some(application) = Application::host() else { return };
    let database = Connection::open(application.database()).unwrap();
    database.busy_timeout(LONG).unwrap();
    // Now it writes nothing.
    database.execute_batch("DROP TABLE pairs").unwrap();
    drop(database);
    let (watchkeeper, child) = waits_for_health(&application);
    send("INT", &child);
    let ended = watchkeeper.wait(child, &["restore"]).expect(130);
    assert!(ended.stdout.contains("the old database is in its place: "), "{}", ended.stdout);
    assert_eq!(failed(&application), None);
}

#[test]
fn an_undo_after_a_restore_that_took_itself_back_leaves_older_ones_alone() {
    let Some(application) = Application::host() else { return };
    let (watchkeeper, child) = {
        // An older restore, undone and redone, as anybody may have done.
        let watchkeeper = crate::support::watchkeeper::Watchkeeper::with_config(&application.config());
        watchkeeper.run(&["run-now", "db"]).expect(0);
        watchkeeper.run(&["restore", "db", "--yes"]).expect(0);
        fs::write(application.data().join("sick"), "").unwrap();
        let child = watchkeeper.spawn(&["restore", "db", "--yes"]);
        wait_until("the new database is in place", LONG, || {
            let is_aside = |name: &&String| {
                name.contains(".before-") && !name.ends_with("-wal") && !name.ends_with("-shm")
            };
            names(&application.data()).iter().filter(is_aside).count() > 1
        });
        wait_until("the application is up", LONG, || application.health().is_some());
        (watchkeeper, child)
    };
    send("INT", &child);
    watchkeeper.wait(child, &["restore"]).expect(130);
    fs::remove_file(application.data().join("sick")).unwrap();
    application.wait_well();
    let before = names(&application.data());
    let refused = watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(1);
    for told in ["There is nothing to undo", "took itself back", ".before-"] {
        assert!(refused.stdout.contains(told), "{told}: {}", refused.stdout);
    }
    let aside = |names: &[String]| names.iter().filter(|name| name.contains(".before-")).count();
    assert_eq!(aside(&names(&application.data())), aside(&before));
    // A later one that works can be taken back.
    watchkeeper.run(&["restore", "db", "--yes"]).expect(0);
    watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(0);
}

#[test]
fn an_undo_that_is_undone_over_and_over_is_told_in_the_same_few_words() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    let watchkeeper = restored(&path);
    for time in 0..4 {
        let undone = watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(0);
        let told = if time % 2 == 0 {
            "the database of before the restore of db/"
        } else {
            "had brought is live again, as before the undo of "
        };
        assert!(undone.stdout.contains(told), "{time}: {}", undone.stdout);
        assert_eq!(undone.stdout.matches("the restore of").count(), 1, "{time}: {}", undone.stdout);
    }
}
