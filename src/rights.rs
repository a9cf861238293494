//! What this process may do with what belongs to others, and what gives it what it lacks.
//!
//! The service runs as a user that owns nothing but its own folders. Whatever it may not do is said in the same words
//! everywhere, with the drop-in that the package ships for it. It is asked before anything is begun, so that nothing stays
//! half done.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Where the drop-ins are explained.
const README: &str = "(README, \"Who runs it\")";
/// `CAP_CHOWN` and `CAP_SETUID`, as the kernel numbers them.
const CHOWN: u32 = 0;
const SETUID: u32 = 7;

/// From now on a crash leaves nothing of this process's memory on the disk: the secrets of its targets may be in it. What
/// it starts begins with the same, and may raise it again.
pub fn leave_no_core() {
    let limit = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    // Whoever may not even lower it can do without.
    let _ = setrlimit(Resource::Core, limit);
}

/// From now on what is written beyond the limit on the size of files fails as it does on a full disk, where the system's
/// signal would end the program without a word, and nothing would be tidied up. What it starts is still ended by it: a
/// handler is not inherited.
pub fn outlive_file_limit() {
    // A handler that was once installed stays, also without the runtime.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let _within = runtime.enter();
    let _ = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
}

/// A file would become larger than the system lets this process, or the file system any, write one.
pub fn file_limit_hint() -> String {
    "no file may become so large: raise the limit for who runs this (`ulimit -f`, LimitFSIZE= of the service), or use a \
     file system that takes larger ones"
        .to_owned()
}

/// The Docker engine may not be used.
pub fn docker_hint() -> String {
    format!(
        "run it as root, or give the user who runs this the group docker: for the service the drop-in docker.conf does {README}"
    )
}

/// Files of `whose` may not be read or changed.
pub fn files_hint(whose: &str) -> String {
    format!(
        "run it as root, or as the owner of {whose}; the service gets the right by the drop-in host.conf {README}"
    )
}

/// Files may not be given to a group that this user is not in.
pub fn group_hint(gid: u32) -> String {
    format!(
        "run it as root, or make the user who runs this a member of the group {gid}; the service gets the right by the drop-in host.conf {README}"
    )
}

/// A place is mounted read-only, as all is for the service that its unit does not name.
pub fn read_only_hint() -> String {
    format!(
        "it is mounted read-only; to the service all is that no ReadWritePaths= names: the drop-in host.conf has a line for it {README}"
    )
}

/// A unit may not be stopped or started.
pub fn unit_hint(unit: &str) -> String {
    format!(
        "run it as root, or let the user who runs this control {unit}: the polkit rule 50-watchkeeper.rules does, with that unit in it {README}"
    )
}

/// No other user may be become.
pub fn user_hint(user: &str) -> String {
    format!(
        "only root may become {user:?}: take \"user\" out of the job, or run the job as root, `watchkeeper run-now JOB`, from root's own timer {README}"
    )
}

/// A program may not be run.
pub fn run_hint(program: &Path) -> String {
    format!(
        "it must be executable for the user who runs this, and its folders open to him: `chmod a+x {}`; or run the job as root, `watchkeeper run-now JOB`, from root's own timer {README}",
        program.display()
    )
}

/// The symbolic link on the way to `path` that is of somebody who could lead us elsewhere with it: not root, not the user
/// who runs this, and not the owner of the folder that it lies in, who could put anything there.
pub fn foreign_link(path: &Path) -> io::Result<Option<PathBuf>> {
    let own = rustix::process::geteuid().as_raw();
    let mut step = PathBuf::new();
    for part in path.components() {
        let folder = step.clone();
        step.push(part);
        let meta = match fs::symlink_metadata(&step) {
            // Whoever goes there is told so.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            meta => meta?,
        };
        if !meta.is_symlink() || [0, own].contains(&meta.uid()) {
            continue;
        }
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
        if fs::metadata(folder)?.uid() != meta.uid() {
            return Ok(Some(step));
        }
    }
    Ok(None)
}

/// What to do about an error of the system about files of `whose`, where it is one of rights.
pub fn hint(error: &io::Error, whose: &str) -> Option<String> {
    match error.kind() {
        io::ErrorKind::PermissionDenied if is_locked(error) => Some(locked_hint(whose)),
        io::ErrorKind::PermissionDenied => Some(files_hint(whose)),
        io::ErrorKind::ReadOnlyFilesystem => Some(read_only_hint()),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some(format!("the disk is full: free some space where {whose} are"))
        }
        io::ErrorKind::FileTooLarge => Some(file_limit_hint()),
        _ => None,
    }
}

/// Root, too, may not write what `chattr +i` or `+a` has locked.
fn is_locked(error: &io::Error) -> bool {
    let is_not_permitted = error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error());
    is_not_permitted && rustix::process::geteuid().is_root()
}

fn locked_hint(whose: &str) -> String {
    format!("is {whose} locked, or its folder? `lsattr` shows it, `chattr -i` or `chattr -a` unlocks it")
}

/// Whether the file or folder can be read: of a folder also what is in it.
pub fn may_read(path: &Path) -> io::Result<()> {
    let list = if path.is_dir() { Access::EXEC_OK } else { Access::empty() };
    may(path, Access::READ_OK | list)
}

/// Whether the program can be run.
pub fn may_run(program: &Path) -> io::Result<()> {
    may(program, Access::EXEC_OK)
}

/// Whether the folder can be worked in.
pub fn may_enter(folder: &Path) -> io::Result<()> {
    may(folder, Access::EXEC_OK)
}

/// Whether the file can be written to: of a folder, whether something can be made, renamed and removed in it.
pub fn may_write(path: &Path) -> io::Result<()> {
    let enter = if path.is_dir() { Access::EXEC_OK } else { Access::empty() };
    may(path, Access::WRITE_OK | enter)
}

/// Whether something can be made, renamed and removed in a folder that is held open.
pub fn may_write_in(folder: impl AsFd) -> io::Result<()> {
    Ok(accessat(folder, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// With what this process may do now: `access` alone would leave out the capabilities that a unit gives to a user.
fn may(path: &Path, what: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, what, AtFlags::EACCESS)?)
}

/// Whether files may be given to another user.
pub fn may_give_away() -> bool {
    has(CHOWN)
}

/// Whether something may be run as another user.
pub fn may_become_others() -> bool {
    has(SETUID)
}

fn has(capability: u32) -> bool {
    rustix::process::geteuid().is_root() || effective_capabilities() & (1 << capability) != 0
}

/// Nothing where the kernel does not tell.
fn effective_capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_told_apart_from_what_is_forbidden() {
        let folder = tempfile::tempdir().unwrap();
        may_write(folder.path()).unwrap();
        may_read(folder.path()).unwrap();
        let missing = may_read(&folder.path().join("nothing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(hint(&missing, "it"), None);
    }

    #[test]
    fn each_hint_names_what_the_package_ships() {
        let drop_ins = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/drop-ins");
        for (hint, file) in [
            (docker_hint(), "docker.conf"),
            (files_hint("it"), "host.conf"),
            (group_hint(1), "host.conf"),
            (read_only_hint(), "host.conf"),
            (unit_hint("a.service"), "50-watchkeeper.rules"),
        ] {
            assert!(hint.contains(file), "{hint}");
            assert!(Path::new(drop_ins).join(file).exists(), "{file}");
        }
    }
}
