//! Where a database comes to: through links, and into folders that cannot be written.

use std::fs;
use std::os::unix::fs::symlink;

use super::{names, watchkeeper};
use crate::support::database::{create, number};
use crate::support::scratch;

#[test]
fn a_database_that_is_named_by_a_link_comes_back_to_where_that_leads() {
    let folder = scratch::folder("sqlite");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("data")).unwrap();
    create(&at("data/real.db")).close().unwrap();
    symlink("data/real.db", at("second.db")).unwrap();
    symlink(at("second.db"), at("memory.db")).unwrap();
    let watchkeeper = watchkeeper(&at("memory.db"));
    watchkeeper.run(&["run-now", "db"]).expect(0);
    fs::remove_file(at("data/real.db")).unwrap();
    watchkeeper.run(&["run-now", "db"]).expect(1);
    assert!(!at("data/real.db").exists(), "a backup has made it");
    let plan = watchkeeper.run(&["restore", "db", "--dry-run"]).expect(0);
    assert!(plan.stdout.contains("/data/real.db"), "{}", plan.stdout);
    watchkeeper.run(&["restore", "db", "--yes"]).expect(0);
    assert_eq!(number(&at("data/real.db"), "SELECT count(*) FROM work_sessions"), 1);
    assert!(fs::symlink_metadata(at("memory.db")).unwrap().is_symlink());

    fs::remove_dir_all(at("data")).unwrap();
    let refused = watchkeeper.run(&["restore", "db", "--yes"]).expect(1);
    let told = format!("it is a link to {}", at("data/real.db").display());
    assert!(refused.stderr.contains(&told), "{}", refused.stderr);
    assert!(refused.stderr.contains("mount or make the folder"), "{}", refused.stderr);
    // A ring.
    fs::remove_file(at("second.db")).unwrap();
    symlink("memory.db", at("second.db")).unwrap();
    let refused = watchkeeper.run(&["restore", "db", "--yes"]).expect(1);
    assert!(refused.stderr.contains("There is no database"), "{}", refused.stderr);
}

#[test]
fn a_folder_that_cannot_be_written_is_named_and_the_archive_not_blamed() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    create(&path).close().unwrap();
    let watchkeeper = watchkeeper(&path);
    watchkeeper.run(&["run-now", "db"]).expect(0);
    let before = names(folder.path());
    let into = watchkeeper.folder().join("into");
    fs::create_dir(&into).unwrap();
    for (closed, arguments) in [
        (folder.path(), "restore db --yes".to_owned()),
        (folder.path(), "restore db --dry-run".to_owned()),
        (&into, format!("restore db --into {}", into.display())),
    ] {
        let failed = watchkeeper.run_read_only(closed, &arguments).expect(1);
        let said = format!("{}{}", failed.stdout, failed.stderr);
        let told = format!("Could not write to the folder {}", closed.display());
        assert!(said.contains(&told) && said.contains("mounted read-only"), "{arguments}: {said}");
        assert!(!said.contains("archive"), "{arguments}: {said}");
    }
    assert_eq!(names(folder.path()), before);
    watchkeeper.run(&["restore", "db", "--yes"]).expect(0);
}
