//! Disks that are full, nearly full, or gone: real ones, each a small tmpfs in a mount namespace of its own.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::watchkeeper::{Output, Watchkeeper, files_job};
use crate::support::{scratch, wait_until};

const MIB: usize = 1 << 20;
/// Tells what of a killed or failed run is left in `$FOLDER`.
const LEFT: &str =
    "find $FOLDER \\( -name '.partial*' -o -name '.tmp*' -o -name '.removed*' \\) -printf 'LEFT %p\\n'";

/// Bytes that no compressor makes fewer.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    noise
}

/// A folder with so many MiB in it, and a program whose job `conf` backs it up.
fn conf(mib: usize, keys: &str) -> (TempDir, PathBuf, Watchkeeper) {
    let folder = scratch::folder("conf");
    let conf = folder.path().join("conf");
    fs::create_dir(&conf).unwrap();
    fs::write(conf.join("large"), noise(mib * MIB)).unwrap();
    let watchkeeper = Watchkeeper::with_config(&format!("{keys}\n{}", files_job(5, &[&conf])));
    (folder, conf, watchkeeper)
}

/// Runs a script on a tmpfs of so many MiB in place of the folder. `run NAME ARGUMENTS` tells the exit code as `NAME=1`.
fn on_tmpfs(watchkeeper: &Watchkeeper, folder: &Path, mib: usize, script: &str) -> Output {
    let run = "run() { name=$1; shift; code=0; $WATCHKEEPER \"$@\" 2>&1 || code=$?; echo \"$name=$code\"; }";
    let mount = format!("mount -t tmpfs -o size={mib}m tmpfs \"$FOLDER\"");
    watchkeeper.run_in_mounts(folder, &format!("{run}\n{mount}\n{script}")).expect(0)
}

/// The tmpfs is gone with the store in it, and that is right.
fn another_store(watchkeeper: &Watchkeeper) {
    fs::remove_file(watchkeeper.state().join("store-id")).unwrap();
}

#[track_caller]
fn says(output: &Output, all: &[&str]) {
    for text in all {
        assert!(output.stdout.contains(text), "{text:?} is not in it:\n{}{}", output.stdout, output.stderr);
    }
}

/// What was said between the end of one run and that of another.
fn between<'o>(output: &'o Output, from: &str, to: &str) -> &'o str {
    let (_, rest) = output.stdout.split_once(from).unwrap();
    rest.split_once(to).unwrap().0
}

#[test]
fn a_backup_without_room_is_refused_before_it_begins_and_check_tells_it() {
    let (_folder, _, watchkeeper) = conf(8, "");
    let script = format!(
        "run first run-now conf; run second run-now conf; run check check; {LEFT}; run verify verify; \
         mount -o remount,size=60m $FOLDER; run roomy run-now conf; run healthy check; run history history"
    );
    let output = on_tmpfs(&watchkeeper, &watchkeeper.backups_folder(), 20, &script);
    says(&output, &["first=0", "second=1", "check=1", "verify=0", "roomy=0", "healthy=0", "history=0"]);
    for refused in [between(&output, "first=0", "second=1"), between(&output, "second=1", "check=1")] {
        assert!(refused.contains("no space: needs 16.0 MiB, ") && refused.contains(" free"), "{refused}");
        assert!(refused.contains("the disk is full: free some space, keep fewer backups"), "{refused}");
    }
    // It was not even read what is to be backed up.
    assert!(!output.stdout.contains("LEFT"), "{output:?}");
    let history = between(&output, "healthy=0", "history=0");
    assert_eq!((history.matches("done").count(), history.matches("failed").count()), (2, 1), "{history}");
}

#[test]
fn a_backup_ends_while_it_is_written_before_the_disk_is_full() {
    let (_folder, conf, watchkeeper) = conf(24, "");
    // A backup of this alone would be good, and lack the other.
    fs::write(conf.join("small"), "small").unwrap();
    // Nothing is known of what it needs. First the copy of the large file does not fit, then the archive beside it.
    let script = format!(
        "run first run-now conf; {LEFT}; mount -o remount,size=60m $FOLDER; run again run-now conf; run history history"
    );
    for mib in [16, 40] {
        let output = on_tmpfs(&watchkeeper, &watchkeeper.backups_folder(), mib, &script);
        another_store(&watchkeeper);
        says(
            &output,
            &["first=1", "no space: needs ", "left alone", "keep fewer backups", "again=0", "history=0"],
        );
        assert!(!output.stdout.contains("LEFT") && !output.stdout.contains("cannot be read"), "{output:?}");
    }
}

#[test]
fn a_backup_of_a_database_needs_room_for_its_copy_too() {
    let folder = scratch::folder("database");
    let path = folder.path().join("app.db");
    let database = Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE t (x)").unwrap();
    database.execute("INSERT INTO t VALUES (?1)", [noise(4 * MIB)]).unwrap();
    drop(database);
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\ndatabase = \"{}\"\nkeep = {{ last = 3 }}\n",
        path.display()
    ));
    let script = format!(
        "run first run-now db; run second run-now db; run check check; {LEFT}; \
         mount -o remount,size=40m $FOLDER; run roomy run-now db"
    );
    let output = on_tmpfs(&watchkeeper, &watchkeeper.backups_folder(), 10, &script);
    says(
        &output,
        &["first=0", "second=1", "check=1", "roomy=0", "no space: needs 8.0 MiB", "the disk is full"],
    );
    assert!(!output.stdout.contains("LEFT"), "{output:?}");

    another_store(&watchkeeper);
    // And the restore, of which the old database stays beside the new one.
    watchkeeper.run(&["run-now", "db"]).expect(3);
    let script = "cp $FOLDER/../copy.db $FOLDER/app.db; run restore restore db --yes; ls -a $FOLDER; \
                  mount -o remount,size=20m $FOLDER; run roomy restore db --yes";
    fs::copy(&path, folder.path().with_extension("db")).unwrap();
    let script = script.replace("$FOLDER/../copy.db", folder.path().with_extension("db").to_str().unwrap());
    let output = on_tmpfs(&watchkeeper, folder.path(), 6, &script);
    fs::remove_file(folder.path().with_extension("db")).unwrap();
    says(&output, &["restore=1", "no space: needs 4.0 MiB", "roomy=0"]);
    let files = between(&output, "restore=1", "roomy=0");
    assert!(files.contains("app.db") && !files.contains(".restore") && !files.contains(".tmp"), "{files}");
}

#[test]
fn a_restore_of_files_without_room_writes_nothing() {
    let (_folder, conf, watchkeeper) = conf(8, "");
    fs::write(conf.join("a-small"), "small").unwrap();
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let script = "run restore restore conf --yes; find $FOLDER -type f -printf 'IS %f\\n'; \
                  mount -o remount,size=20m $FOLDER; run roomy restore conf --yes";
    let output = on_tmpfs(&watchkeeper, &conf, 4, script);
    says(&output, &["restore=1", "no space: needs 16.0 MiB", "free some space there", "roomy=0"]);
    assert!(!output.stdout.contains("IS "), "{output:?}");
}

#[test]
fn runs_stay_in_the_history_on_a_full_disk_by_the_reserve_which_comes_back() {
    let (_folder, _, watchkeeper) = conf(1, "");
    let script = "reserve() { [ -e $FOLDER/reserve ] && stat -c \"$1 %s in %b\" $FOLDER/reserve || echo \"$1 none\"; }; \
                  fill() { cat /dev/zero > $FOLDER/fill 2>/dev/null || true; }; \
                  run first run-now conf; reserve kept; fill; \
                  run full -v run-now conf; reserve freed; run status status; run check check; run history history; \
                  rm $FOLDER/fill; run roomy run-now conf; reserve again; run well status; run calm check";
    let output = on_tmpfs(&watchkeeper, &watchkeeper.state(), 24, script);
    says(&output, &["first=0", "kept 16777216 in 32768", "full=3", "freed none", "status=0", "history=0"]);
    let full = between(&output, "kept ", "full=3");
    assert!(full.contains("the reserve of 16.0 MiB was freed"), "{full}");
    assert!(
        full.contains("has no room for its reserve of 16.0 MiB") && full.contains("free some space"),
        "{full}"
    );
    says(&output, &["check=3", "roomy=0", "again 16777216 in 32768", "well=0", "calm=0"]);
    assert!(between(&output, "freed none", "status=0").contains("CAUTION: "), "{output:?}");
    assert!(!between(&output, "again 1", "well=0").contains("CAUTION: "), "{output:?}");
    let history = between(&output, "check=3", "history=0");
    assert!(history.contains("done") && history.contains("warned"), "{history}");
}

#[test]
fn without_a_reserve_a_run_on_a_full_disk_is_done_and_said_not_to_be_noted() {
    let (_folder, _, watchkeeper) = conf(1, "reserve = \"0\"\n");
    let script = "run first run-now conf; ls -a $FOLDER; cat /dev/zero > $FOLDER/fill 2>/dev/null || true; \
                  run full run-now conf; rm $FOLDER/fill; run history history";
    let output = on_tmpfs(&watchkeeper, &watchkeeper.state(), 24, script);
    says(&output, &["first=0", "full=3", "this run will not be in it", "history=0"]);
    assert!(!output.stdout.contains("\nreserve\n"), "{output:?}");
    assert_eq!(between(&output, "full=3", "history=0").matches("conf").count(), 1, "{output:?}");
}

#[test]
fn folders_that_can_only_be_read_are_told_and_the_next_run_is_well() {
    let (_folder, conf, watchkeeper) = conf(1, "");
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    for (folder, code, hint) in
        [(watchkeeper.backups_folder(), 1, "backup_dir"), (watchkeeper.state(), 3, "history")]
    {
        let output = watchkeeper.run_read_only(&folder, "run-now conf");
        let said = format!("{}{}", output.stdout, output.stderr).replace("Read-only", "read-only");
        assert_eq!(output.code, code, "{said}");
        assert!(said.contains("read-only") || said.contains("readonly"), "{said}");
        assert!(said.contains(hint), "{said}");
    }
    fs::write(conf.join("large"), "another").unwrap();
    let output = watchkeeper.run_read_only(&conf, "restore conf --yes");
    assert_eq!(output.code, 1, "{output:?}");
    assert!(format!("{output:?}").contains("read-only"), "{output:?}");
    assert_eq!(fs::read(conf.join("large")).unwrap(), b"another");
    watchkeeper.run(&["restore", "conf", "--yes"]).expect(0);
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    watchkeeper.run(&["verify"]).expect(0);
}

#[test]
fn a_backup_whose_folder_is_removed_while_it_is_written_fails_and_the_next_one_is_well() {
    let (_folder, _, watchkeeper) = conf(48, "[defaults]\nretries = { max = 0 }\n");
    let store = watchkeeper.store_of("conf");
    let child = watchkeeper.spawn(&["run-now", "conf"]);
    let is_written = |path: &PathBuf| {
        path.ends_with("archive.tar.gz") && fs::metadata(store.join(path)).is_ok_and(|meta| meta.len() > 0)
    };
    wait_until("the archive is being written", Duration::from_mins(1), || {
        store.exists() && scratch::files_below(&store).iter().any(is_written)
    });
    let gone = watchkeeper.folder().join("gone");
    fs::rename(watchkeeper.backups_folder(), &gone).unwrap();
    let output = watchkeeper.wait(child, &["run-now", "conf"]).expect(1);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains("No such file or directory") && said.contains("backups/conf"), "{said}");
    let history = watchkeeper.run_json(&["history"]).expect(0).json();
    assert_eq!(history["runs"][0]["outcome"], "failed", "{history}");
    let refused = watchkeeper.run(&["run-now", "conf"]).expect(1);
    assert!(refused.stdout.contains("is not there") && !watchkeeper.backups_folder().exists(), "{refused:?}");
    fs::rename(gone, watchkeeper.backups_folder()).unwrap();
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    watchkeeper.run(&["verify"]).expect(0);
}

#[test]
fn a_run_whose_state_folder_is_removed_meanwhile_is_done_and_the_next_one_is_well() {
    let (_folder, conf, watchkeeper) = conf(1, "");
    let (state, gone) = (watchkeeper.state(), watchkeeper.folder().join("gone"));
    let hooks = format!("hooks = {{ before = [\"mv\", \"{}\", \"{}\"] }}\n", state.display(), gone.display());
    watchkeeper.configure(&format!("{}{hooks}", files_job(5, &[&conf])));
    let output = watchkeeper.run(&["run-now", "conf"]);
    assert!(matches!(output.code, 0 | 3), "{output:?}");
    watchkeeper.run(&["verify"]).expect(0);
    watchkeeper.configure(&files_job(5, &[&conf]));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let history = watchkeeper.run_json(&["history"]).expect(0).json();
    assert_eq!(history["runs"][0]["outcome"], "done", "{history}");
}
