//! Disks that take no more files, although they have room.

use super::*;
use crate::support::watchkeeper::files_job;

/// Fills the disk at `$FOLDER` with empty files, and tells the exit codes of what is run there.
const BEGIN: &str =
    "run() { name=$1; shift; code=0; $WATCHKEEPER \"$@\" 2>&1 || code=$?; echo \"$name=$code\"; }
    fill() { i=0; while : 2>/dev/null >\"$FOLDER/fill$i\"; do i=$((i+1)); done; }
    mount -t tmpfs -o size=100m,nr_inodes=60 tmpfs \"$FOLDER\"";

fn script(watchkeeper: &Watchkeeper, folder: &std::path::Path, script: &str) -> String {
    let script = format!("{BEGIN}\n{script}");
    watchkeeper.run_in_mounts(folder, &script).expect(0).stdout
}

/// What was said between the ends of two commands.
fn between<'o>(said: &'o str, from: &str, to: &str) -> &'o str {
    said.split_once(from).and_then(|(_, rest)| rest.split_once(to)).unwrap_or_else(|| panic!("{said}")).0
}

fn small() -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config("");
    watchkeeper.configure(&format!("reserve = \"1MiB\"\n{}", files_job(5, &[&watchkeeper.config()])));
    watchkeeper
}

#[test]
fn where_state_dir_has_none_the_reserve_keeps_the_runs_in_the_history() {
    let watchkeeper = small();
    let said = script(
        &watchkeeper,
        &watchkeeper.state(),
        "run first run-now conf; (fill) 2>/dev/null || true; run full -v run-now conf; run status status; \
         run check check; run history history; rm $FOLDER/fill*; run roomy run-now conf; run well status; run calm check",
    );
    for end in ["first=0", "full=3", "history=0", "roomy=0", "well=0", "calm=0"] {
        assert!(said.contains(end), "{end}: {said}");
    }
    let full = between(&said, "first=0", "full=3");
    assert!(full.contains("has no inodes left: the reserve of 1.0 MiB was freed"), "{full}");
    assert!(full.contains("has no inodes: needs 6, "), "{full}");
    let check = between(&said, "status=", "check=3");
    assert!(check.contains("has no inodes: needs 6, "), "{check}");
    let history = between(&said, "check=3", "history=0");
    assert!(history.contains("done") && history.contains("warned"), "{history}");
    assert!(!between(&said, "roomy=0", "well=0").contains("CAUTION"), "{said}");
}

#[test]
fn where_there_is_no_reserve_it_is_said_that_there_are_no_inodes() {
    let watchkeeper = Watchkeeper::with_config("");
    watchkeeper.configure(&format!("reserve = \"0\"\n{}", files_job(5, &[&watchkeeper.config()])));
    let said = script(
        &watchkeeper,
        &watchkeeper.state(),
        "run first run-now conf; (fill) 2>/dev/null || true; run status status; run full run-now conf",
    );
    let status = between(&said, "first=0", "status=1");
    assert!(status.contains("its disk has no inodes left: remove files there"), "{status}");
    assert!(!status.contains("as the user whose history it is"), "{status}");
    assert!(said.contains("full=3") && said.contains("this run will not be in it"), "{said}");
}

#[test]
fn where_backup_dir_has_none_check_tells_it_and_a_backup_is_not_begun() {
    let watchkeeper = small();
    let said = script(
        &watchkeeper,
        &watchkeeper.backups_folder(),
        "run first run-now conf; run calm check; (fill) 2>/dev/null || true; run check check; run full run-now conf; \
         rm $FOLDER/fill*; run roomy run-now conf; run well check",
    );
    for (from, to) in [("calm=0", "check=1"), ("check=1", "full=1")] {
        let said = between(&said, from, to);
        assert!(said.contains("no inodes: needs 10, 0 of 60 free"), "{said}");
        assert!(said.contains("the disk has no inodes left: remove files there"), "{said}");
    }
    assert!(said.contains("roomy=0") && said.contains("well=0"), "{said}");
}
