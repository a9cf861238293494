//! Its own folders: without them nothing can begin, and `check` says so.

use super::*;
use crate::support::scratch;
use crate::support::watchkeeper::files_job;

const BEAT: &str = "[[job]]\nname = \"beat\"\nkind = \"command\"\ncommand = [\"true\"]\n";

/// Nothing can begin, and both kinds of `check` say why.
#[track_caller]
fn found(keeper: &Keeper, said: &[&str]) {
    keeper.run(&["run-now", "beat"]).expect(1);
    for arguments in [&["check"][..], &["check", "--online"]] {
        let text = keeper.run(arguments).expect(1).stdout;
        for said in said.iter().chain(&["1 job, 1 problem\n", "PROBLEM"]) {
            assert!(text.contains(said), "{arguments:?}: no {said:?} in {text}");
        }
    }
}

fn roots(path: &Path, bits: u32) {
    chown(path, Some(0), Some(0)).unwrap();
    mode(path, bits);
}

#[test]
fn check_finds_that_a_folder_of_its_own_cannot_be_used_or_made() {
    let Some(keeper) = Keeper::new(BEAT) else { return };
    keeper.run(&["run-now", "beat"]).expect(0);
    let (state, backups) = (keeper.watchkeeper.state(), keeper.watchkeeper.backups_folder());
    for (name, folder) in [("state_dir", &state), ("backup_dir", &backups)] {
        let away = folder.with_extension("away");
        fs::rename(folder, &away).unwrap();
        found(&keeper, &[&format!("{name} {}", folder.display()), "run it as root"]);
        assert!(!folder.exists(), "check has made it");
        fs::write(folder, "").unwrap();
        found(&keeper, &[name, "folder"]);
        fs::remove_file(folder).unwrap();
        fs::rename(&away, folder).unwrap();

        roots(folder, 0o755);
        found(&keeper, &[name, "folder"]);
        assert!(keeper.as_root(&["check"]).expect(0).stdout.contains("no errors"));
        chown(folder, Some(USER), Some(USER)).unwrap();
    }
    keeper.run(&["check"]).expect(0);
}

#[test]
fn a_history_that_this_user_may_not_open_is_found_and_told_with_what_to_do() {
    let Some(keeper) = Keeper::new(BEAT) else { return };
    keeper.run(&["run-now", "beat"]).expect(0);
    let state = keeper.watchkeeper.state();
    let history = state.join("history.db");
    let told = |hint: &str| {
        let said = keeper.run(&["history"]).expect(1).stderr;
        assert!(said.contains(hint), "{said}");
    };
    for bits in [0o644, 0o600] {
        roots(&history, bits);
        found(&keeper, &[&format!("Cannot open {}", history.display()), "run it as root"]);
    }
    told("hint: run it as root or as the user whose history it is");
    chown(&history, Some(USER), Some(USER)).unwrap();
    roots(&state, 0o700);
    told("hint: run it as root or as the service's user");
}

#[test]
fn an_archive_that_root_exports_into_a_folder_of_its_own_is_the_users() {
    let folder = scratch::folder("exported");
    let file = folder.path().join("a.yml");
    fs::write(&file, "a: 1\n").unwrap();
    let Some(keeper) = Keeper::new(&files_job(3, &[&file])) else { return };
    keeper.as_root(&["run-now", "conf"]).expect(0);
    let export = |to: &Path| {
        let archive = to.join("conf.tar.gz");
        keeper.as_root(&["export", "conf/latest", archive.to_str().unwrap()]).expect(0);
        let metadata = fs::metadata(archive).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o777)
    };
    let wk = &keeper.watchkeeper;
    for own in [wk.backups_folder(), wk.store_of("conf"), wk.state()] {
        assert_eq!(export(&own), (USER, USER, 0o600), "{}", own.display());
    }
    // What is somebody else's is not given away.
    chown(folder.path(), Some(4711), Some(4711)).unwrap();
    assert_eq!(export(folder.path()), (0, 0, 0o600));
}
