//! What the program ships for systemd, against the real systemd: units, timers, and the installation.

mod booted;
mod calendars;
mod install;
mod package;
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{run, scratch};

/// The project's folder.
fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `make TARGET` into another root, with the program under test.
fn make(target: &str, root: &Path, prefix: &str) -> String {
    run(Command::new(project().join("scripts/install.sh"))
        .args((target == "uninstall").then_some("--remove"))
        .env("BINARY", program())
        .env("DESTDIR", root)
        .env("PREFIX", prefix))
}

/// The program under test without its debug symbols, which are most of it.
fn program() -> &'static Path {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| {
        let path = scratch::folder("stripped").keep().join("watchkeeper");
        let built = Path::new(crate::support::program());
        run(Command::new("strip").arg("-o").arg(&path).arg(built));
        path
    })
}

/// What is below a folder, folders too, relative to it.
fn everything_below(folder: &Path) -> Vec<String> {
    let text = run(Command::new("find").args([".", "-mindepth", "1"]).current_dir(folder));
    let mut all: Vec<String> = text.lines().map(|line| line.trim_start_matches("./").to_owned()).collect();
    all.sort();
    all
}
