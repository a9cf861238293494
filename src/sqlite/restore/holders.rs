//! Who has a file open, on this host and in its containers: the kernel knows it by device and inode.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The processes that have the file open, as `name (pid N)`. Those of other users are seen by root alone.
pub(super) fn holders(path: &Path) -> Vec<String> {
    let Ok(wanted) = fs::metadata(path) else { return Vec::new() };
    let wanted = (wanted.dev(), wanted.ino());
    let own = std::process::id().to_string();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().map(str::to_owned) else { continue };
        if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { continue };
        let is_it = |fd: &Path| fs::metadata(fd).is_ok_and(|meta| (meta.dev(), meta.ino()) == wanted);
        if open.flatten().any(|fd| is_it(&fd.path())) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.push(format!("{} (pid {pid})", name.trim()));
        }
    }
    found
}
