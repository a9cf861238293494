//! Restores of files that fail, or are taken back, where something can only be read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::watchkeeper::{Output, Watchkeeper, files_job};

/// One job called `conf` that backs up a folder.
struct Scene {
    folder: TempDir,
    watchkeeper: Watchkeeper,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let watchkeeper = Watchkeeper::with_config(&files_job(3, &[folder.path()]));
        Self { folder, watchkeeper }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn restore(&self, arguments: &[&str]) -> Output {
        self.watchkeeper.run(&[&["restore", "conf", "--yes"], arguments].concat())
    }

    /// The same while something is mounted on a file.
    fn restore_mounted_on(&self, file: &Path) -> Output {
        let script = "mount --bind \"$FOLDER\" \"$FOLDER\"; $WATCHKEEPER restore conf --yes";
        self.watchkeeper.run_in_mounts(file, script)
    }

    /// The same while a folder can only be read.
    fn restore_read_only(&self, folder: &Path, arguments: &str) -> Output {
        self.watchkeeper.run_read_only(folder, &format!("restore conf {arguments} --yes"))
    }
}

#[test]
fn files_are_restored_from_a_backup_folder_that_can_only_be_read_and_the_restore_is_taken_back() {
    let scene = Scene::new();
    scene.write("a", "1");
    scene.watchkeeper.run(&["run-now", "conf"]).expect(0);
    scene.write("a", "2");
    let backups = scene.watchkeeper.folder().join("backups");
    scene.restore_read_only(&backups, "").expect(0);
    assert_eq!(scene.read("a"), "1");
    scene.restore_read_only(&backups, "--undo").expect(0);
    assert_eq!(scene.read("a"), "2");
}

#[test]
fn restores_are_taken_back_in_turn_whether_the_backup_folder_could_be_written_to_or_not() {
    let scene = Scene::new();
    let backups = scene.watchkeeper.folder().join("backups");
    scene.write("a", "as backed up");
    scene.watchkeeper.run(&["run-now", "conf"]).expect(0);
    scene.write("a", "edit 1");
    scene.restore(&[]).expect(0);
    scene.write("a", "edit 2");
    scene.restore_read_only(&backups, "").expect(0);
    scene.write("a", "edit 3");
    // The newest is in the one store, and the one before it in the other.
    scene.restore_read_only(&backups, "--undo").expect(0);
    assert_eq!(scene.read("a"), "edit 2");
    // What it could not note is told.
    let undone = scene.restore_read_only(&backups, "--undo").expect(3);
    assert!(undone.stdout.contains("could not be removed"), "{undone:?}");
    assert_eq!(scene.read("a"), "edit 1");
    let nothing = scene.restore(&["--undo"]).expect(0);
    assert!(nothing.stdout.contains("nothing to undo: all is as it was"), "{nothing:?}");
    scene.restore(&["--undo"]).expect(1);
}

#[test]
fn a_restore_that_fails_in_the_middle_tells_what_it_has_written_and_is_taken_back() {
    let scene = Scene::new();
    let locked = scene.path("locked");
    fs::create_dir(&locked).unwrap();
    scene.write("a", "as backed up");
    scene.write("locked/b", "as backed up");
    scene.watchkeeper.run(&["run-now", "conf"]).expect(0);
    scene.write("a", "edited");
    scene.write("locked/b", "edited");
    // What can be told before is: nothing is written then.
    let refused = scene.restore_read_only(&locked, "").expect(1);
    assert!(refused.stderr.contains("Read-only file system"), "{refused:?}");
    assert_eq!(scene.read("a"), "edited");
    // What is mounted on a file does not let it be replaced.
    let failed = scene.restore_mounted_on(&scene.path("locked/b")).expect(1);
    let (said, a) = (format!("{}{}", failed.stdout, failed.stderr), scene.path("a"));
    for told in [
        "The restore failed after 1 change",
        &format!("written: {}", a.display()),
        "resource busy",
        "`watchkeeper restore conf --undo` takes back what was written",
    ] {
        assert!(said.contains(told), "{told:?} is not in {said}");
    }
    assert_eq!((scene.read("a").as_str(), scene.read("locked/b").as_str()), ("as backed up", "edited"));
    let status = scene.watchkeeper.run(&["status"]).expect(1).stdout;
    assert!(status.contains("the last restore failed"), "{status}");

    let undone = scene.restore(&["--undo"]).expect(0);
    assert!(undone.stdout.contains("1 file, folder or link as it was before"), "{undone:?}");
    assert_eq!(scene.read("a"), "edited");

    // What fails at its first change has nothing that could be taken back.
    scene.write("a", "as backed up");
    let failed = scene.restore_mounted_on(&scene.path("locked/b")).expect(1);
    assert!(failed.stdout.contains("The restore failed at its first change"), "{failed:?}");
    let nothing = scene.restore(&["--undo"]).expect(0);
    assert!(nothing.stdout.contains("nothing to undo: all is as it was"), "{nothing:?}");
    assert_eq!(scene.read("locked/b"), "edited");
}

#[test]
fn what_a_restore_created_and_somebody_has_changed_is_told_to_be_left() {
    let scene = Scene::new();
    scene.write("a", "as backed up");
    scene.watchkeeper.run(&["run-now", "conf"]).expect(0);
    fs::remove_file(scene.path("a")).unwrap();
    scene.restore(&[]).expect(0);
    scene.write("a", "mine now");
    let undone = scene.restore(&["--undo"]).expect(0);
    let left =
        format!("left as it is, because it was changed since the restore: {}", scene.path("a").display());
    assert!(undone.stdout.contains("nothing to undo: what") && undone.stdout.contains(&left), "{undone:?}");
    assert_eq!(scene.read("a"), "mine now");
}

#[test]
fn a_file_that_cannot_be_read_is_not_replaced() {
    let scene = Scene::new();
    scene.write("a", "as backed up");
    scene.watchkeeper.run(&["run-now", "conf"]).expect(0);
    scene.write("a", "somebody's own");
    std::os::unix::fs::chown(scene.path("a"), Some(65534), Some(65534)).unwrap();
    fs::set_permissions(scene.path("a"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // A root that may read and write only what is its own: it can replace the file all the same.
    let caps = "-dac_override,-dac_read_search";
    let program = scene.watchkeeper.command(&["restore", "conf", "--yes"]);
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--bounding-set", caps, "--inh-caps", caps]).arg(program.get_program());
    let refused = Output::from(setpriv.args(program.get_args()).output().unwrap()).expect(1);
    let told = format!("{}: it cannot be read", scene.path("a").display());
    assert!(refused.stdout.contains("Nothing was changed") && refused.stdout.contains(&told), "{refused:?}");
    assert_eq!(scene.read("a"), "somebody's own");
}

#[test]
fn an_undo_with_nothing_to_take_back_is_no_failed_restore() {
    let scene = Scene::new();
    scene.write("a", "1");
    scene.watchkeeper.run(&["run-now", "conf"]).expect(0);
    let refused = scene.restore(&["--undo"]).expect(1);
    assert!(refused.stdout.contains("There is no restore of conf to take back"), "{refused:?}");
    let status = scene.watchkeeper.run_json(&["status"]).expect(0).json();
    assert!(status["jobs"][0]["restore"].is_null(), "{status}");
    let history = scene.watchkeeper.run_json(&["history", "-n", "1"]).expect(0).json();
    assert_eq!(history["runs"][0]["outcome"], "skipped", "{history}");
}
