//! The Debian package, by dpkg: installed, upgraded, removed and purged in another root than this host's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{program, project};
use crate::support::{installed, missing, run, scratch};

fn build(tool: &str, folder: &Path) -> PathBuf {
    let path = run(Command::new(project().join("scripts/deb.sh"))
        .arg(folder)
        .env("DEB_TOOL", tool)
        .env("BINARY", program())
        .env("DPKG_DEB_COMPRESSOR_TYPE", "none"));
    PathBuf::from(path)
}

/// A root that knows of no package.
fn bare(root: &Path) {
    for folder in ["etc", "usr", "var/backups", "var/lib/dpkg/updates", "var/lib/dpkg/info"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
}

/// Its maintainer scripts run here, told by `DPKG_ROOT` where. What it depends on is not in that root.
fn dpkg(root: &Path, arguments: &[&str]) -> Output {
    let output = Command::new("dpkg")
        .arg(format!("--root={}", root.display()))
        .args(["--force-not-root", "--force-script-chrootless", "--force-depends"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "dpkg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn it_installs_upgrades_and_purges_and_leaves_nothing_but_backups() {
    if !installed("dpkg-deb") || !installed("systemd-sysusers") {
        return missing("dpkg-deb or systemd-sysusers");
    }
    for script in ["postinst", "prerm", "postrm"] {
        run(Command::new("sh").arg("-n").arg(project().join("packaging/deb").join(script)));
    }
    goes_and_comes("dpkg-deb");
    if installed("cargo-deb") {
        goes_and_comes("cargo-deb");
    }
}

fn goes_and_comes(tool: &str) {
    let scratch = scratch::folder("package");
    let root = scratch.path().join("root");
    bare(&root);
    let package = build(tool, &scratch.path().join("out"));
    let package = package.to_str().unwrap();
    let field = |name: &str| run(Command::new("dpkg-deb").args(["-f", package, name]));
    assert_eq!(
        (field("Package"), field("Version")),
        ("watchkeeper".into(), env!("CARGO_PKG_VERSION").into())
    );
    assert!(field("Depends").contains("libc6"), "{}", field("Depends"));
    assert_eq!(
        run(Command::new("dpkg-deb").args(["-I", package, "conffiles"])),
        "/etc/watchkeeper/jobs.toml"
    );

    dpkg(&root, &["-i", package]);
    let jobs = root.join("etc/watchkeeper/jobs.toml");
    let passwd = || fs::read_to_string(root.join("etc/passwd")).unwrap();
    assert!(jobs.exists() && root.join("usr/lib/systemd/system/watchkeeper.service").exists());
    // Not root, it leaves the user to the next boot of that root.
    let is_root = run(Command::new("id").arg("-u")) == "0";
    assert!(!is_root || passwd().contains("watchkeeper:x:"), "{}", passwd());
    assert!(!root.join("etc/systemd").exists(), "nothing is enabled: a host's own configuration comes first");
    run(Command::new(root.join("usr/bin/watchkeeper")).arg("--config").arg(&jobs).arg("next"));

    // An upgrade keeps what was written, and asks nothing.
    fs::write(&jobs, "# mine\n").unwrap();
    let backup = root.join("var/backups/watchkeeper/backup");
    // Only root may give the folder to the new user; the package leaves it to the next boot otherwise.
    fs::create_dir_all(backup.parent().unwrap()).unwrap();
    fs::write(&backup, "").unwrap();
    dpkg(&root, &["-i", package]);
    assert_eq!(fs::read_to_string(&jobs).unwrap(), "# mine\n");

    dpkg(&root, &["--remove", "watchkeeper"]);
    assert!(jobs.exists() && !root.join("usr/bin/watchkeeper").exists());
    let output = dpkg(&root, &["--purge", "watchkeeper"]);
    assert!(!root.join("etc/watchkeeper").exists());
    assert!(backup.exists() && String::from_utf8_lossy(&output.stderr).contains("is left as it is"));
    let known = run(Command::new("dpkg").arg(format!("--root={}", root.display())).arg("-l"));
    assert!(!known.contains("watchkeeper"), "{known}");
}
