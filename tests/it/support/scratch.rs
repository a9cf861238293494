//! Folders of this test process, and ports.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

/// Where cargo lets integration tests keep files.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// A new folder, removed again by its `Drop`.
pub(crate) fn folder(name: &str) -> TempDir {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(sweep);
    let mine = root().join(format!("wk-it-{}", std::process::id()));
    fs::create_dir_all(&mine).unwrap();
    tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(mine).unwrap()
}

/// Is this process still there?
pub(crate) fn is_alive(pid: &str) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // Where nobody reaps orphans a dead one stays as a zombie.
    stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z'))
}

/// Removes what test processes that are gone have left: their folders, and the servers started in them.
fn sweep() {
    for entry in fs::read_dir(root()).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some(pid) = name.strip_prefix("wk-it-") else { continue };
        if !is_alive(pid) {
            kill_servers_of(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Kills every process that was started with something of this folder among its arguments.
pub(crate) fn kill_all_of(folder: &Path) {
    let folder = format!("{}/", folder.display());
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&folder)
            && let Ok(pid) = entry.file_name().into_string()
        {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
    }
}

fn kill_servers_of(folder: &Path) {
    for case in fs::read_dir(folder).into_iter().flatten().flatten() {
        kill_recorded(&case.path().join("prometheus.pid"), &case.path());
    }
}

/// Kills the process whose ID is in the file, if it is one that was started in the folder.
pub(crate) fn kill_recorded(pid_file: &Path, folder: &Path) {
    let Ok(pid) = fs::read_to_string(pid_file) else { return };
    let pid = pid.trim();
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if line.contains(&folder.display().to_string()) {
        let _ = Command::new("kill").args(["-KILL", pid]).status();
    }
}

/// A port nobody listens on, below those the kernel gives to outgoing connections, so that it is still free
/// when a stopped server comes back to it.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (start + step) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// All regular files below a folder, as paths relative to it.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}
