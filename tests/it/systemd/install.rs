//! `make install` and `make uninstall`, below another root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{everything_below, make};
use crate::support::scratch;

#[test]
fn what_is_installed_is_taken_away_again_and_the_configuration_stays() {
    let root = scratch::folder("install");
    let below = |path: &str| root.path().join(path);
    // Somebody else's, beside ours.
    fs::create_dir_all(below("usr/local/share/man/man1")).unwrap();
    fs::write(below("usr/local/share/man/man1/other.1"), "").unwrap();
    make("install", root.path(), "/usr/local");
    let mode = |path: &str| fs::metadata(below(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("usr/local/bin/watchkeeper"), 0o755);
    for path in [
        "usr/local/lib/systemd/system/watchkeeper.service",
        "usr/local/lib/systemd/system/watchkeeper-job@.service",
        "usr/local/lib/sysusers.d/watchkeeper.conf",
        "usr/local/lib/tmpfiles.d/watchkeeper.conf",
        "usr/local/share/man/man1/watchkeeper.1",
        "usr/local/share/man/man1/watchkeeper-run-now.1",
        "usr/local/share/bash-completion/completions/watchkeeper",
        "usr/local/share/doc/watchkeeper/drop-ins/docker.conf",
        "etc/watchkeeper/jobs.toml",
    ] {
        assert_eq!(mode(path), 0o644, "{path}");
    }
    let unit = fs::read_to_string(below("usr/local/lib/systemd/system/watchkeeper.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/watchkeeper --config /etc/watchkeeper/jobs.toml run"));

    fs::write(below("etc/watchkeeper/jobs.toml"), "# mine\n").unwrap();
    make("install", root.path(), "/usr/local");
    assert_eq!(fs::read_to_string(below("etc/watchkeeper/jobs.toml")).unwrap(), "# mine\n");
    make("uninstall", root.path(), "/usr/local");
    let left = everything_below(root.path());
    let wanted = [
        "etc",
        "etc/watchkeeper",
        "etc/watchkeeper/jobs.toml",
        "usr",
        "usr/local",
        "usr/local/share",
        "usr/local/share/man",
        "usr/local/share/man/man1",
        "usr/local/share/man/man1/other.1",
    ];
    assert_eq!(left, wanted);
}
