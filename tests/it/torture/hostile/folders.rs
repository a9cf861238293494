//! Other users of the host.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::process::Command;

use crate::support::run;
use crate::support::watchkeeper::{Watchkeeper, files_job};

const STRANGER: u32 = 4321;

#[test]
fn a_link_of_another_user_in_place_of_the_folders_is_not_followed_and_one_of_our_own_is() {
    if !rustix::process::geteuid().is_root() {
        return; // only root makes files of others
    }
    for folder in ["backups", "state"] {
        let watchkeeper = Watchkeeper::with_config("");
        watchkeeper.configure(&files_job(3, &[watchkeeper.config().as_path()]));
        let (place, elsewhere) =
            (watchkeeper.folder().join(folder), watchkeeper.folder().join(format!("{folder}-elsewhere")));
        fs::rename(&place, &elsewhere).unwrap();
        symlink(&elsewhere, &place).unwrap();
        watchkeeper.run(&["run-now", "conf"]).expect(0);
        fs::remove_dir_all(&elsewhere).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        lchown(&place, Some(STRANGER), Some(STRANGER)).unwrap();
        let refused = watchkeeper.run(&["run-now", "conf"]).expect(1);
        assert!(refused.stderr.contains("symbolic link of another user"), "{refused:?}");
        assert_eq!(elsewhere.read_dir().unwrap().count(), 0, "{folder}: something was written there");
    }
}

#[test]
fn nobody_else_may_read_what_is_kept() {
    let watchkeeper = Watchkeeper::with_config("");
    watchkeeper.configure(&files_job(3, &[watchkeeper.config().as_path()]));
    // As careless as a shell may be.
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh", crate::support::program(), "--config"]);
    run(command.arg(watchkeeper.config()).args(["run-now", "conf"]));
    watchkeeper
        .run(&["export", "conf/latest", watchkeeper.folder().join("x.tar.gz").to_str().unwrap()])
        .expect(0);
    let mut find = Command::new("find");
    find.args([watchkeeper.state(), watchkeeper.backups_folder(), watchkeeper.folder().join("x.tar.gz")]);
    let found = run(find.args(["-mindepth", "1", "-perm", "/077", "-not", "-type", "l"]));
    assert_eq!(found, "", "others may read these");
    let exported = watchkeeper.folder().join("x.tar.gz").metadata().unwrap().permissions().mode();
    assert_eq!(exported & 0o077, 0);
}
