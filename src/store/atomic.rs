//! Publishing files so that a reader, and a crash at any point, finds all of the old or all of the new.
//!
//! Write beside the target, fsync the file, read it back, rename, fsync the folder. A failed fsync is a failure: the kernel may
//! have dropped the pages, and asking again would be told a lie.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::digest::sha256;
use super::owner;
use crate::regular;

/// How names of files begin that are being written here. Those of dead processes may be removed.
pub const TEMP_PREFIX: &str = ".tmp-";

/// Puts `bytes` at `path`, in place of what was there.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    written(path, bytes, mode)?.persist(path).map_err(|e| e.error)?;
    sync_folder(owner::parent(path))
}

/// As [`replace`], for a path that only one process writes to at a time: what a killed one has half written beside it has a
/// name of its own, so that the next one, or [`remove_alone`], takes it away.
pub fn replace_alone(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut temp = written_beside(path)?;
    owner::settle_file(temp.as_file(), path, mode)?;
    fill(&mut temp, bytes)?;
    temp.persist(path).map_err(|e| e.error)?;
    sync_folder(owner::parent(path))
}

/// A new file at [`beside`], in place of what a killed process may have left there.
pub fn written_beside(path: &Path) -> io::Result<NamedTempFile> {
    let beside = beside(path);
    remove_if_there(&beside)?;
    let name = beside.file_name().unwrap_or_default();
    temp_in(tempfile::Builder::new().prefix(name).rand_bytes(0), owner::parent(path))
}

/// Removes what [`replace_alone`] has written, and what it was killed over. Says whether there was a file at `path`.
pub fn remove_alone(path: &Path) -> io::Result<bool> {
    remove_if_there(&beside(path))?;
    remove_if_there(path)
}

/// Where a file is written before it gets its name. Short enough for every name, and the same one each time.
pub fn beside(path: &Path) -> PathBuf {
    owner::parent(path).join(name_beside(path.file_name().unwrap_or_default()))
}

/// The name of it, for one that will have this name.
pub fn name_beside(name: &OsStr) -> String {
    format!("{TEMP_PREFIX}{}", &sha256(name.as_bytes())[..16])
}

/// Puts `bytes` at `path`; an error of kind `AlreadyExists` if something is there.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    written(path, bytes, mode)?.persist_noclobber(path).map_err(|e| e.error)?;
    sync_folder(owner::parent(path))
}

/// Renames a file; an error of kind `AlreadyExists` if something is at `to`. Both folders are on disk after it.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        // The file system cannot do it in one step (NFS). Callers hold the lock of the folder.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            if fs::symlink_metadata(to).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)?;
        }
        Err(e) => return Err(e.into()),
    }
    sync_folder(owner::parent(to))?;
    sync_folder(owner::parent(from))
}

/// Removes a file if it is there. The folder is not on disk yet: [`sync_folder`].
pub fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Brings the names in a folder to disk.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    regular::open_folder(path)?.sync_all()
}

fn written(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let mut temp = temp_in(tempfile::Builder::new().prefix(TEMP_PREFIX), owner::parent(path))?;
    owner::settle_file(temp.as_file(), path, mode)?;
    fill(&mut temp, bytes)?;
    Ok(temp)
}

/// A new file, for its owner alone. An error does not name it: nobody has asked for one of that name.
fn temp_in(builder: &mut tempfile::Builder<'_, '_>, folder: &Path) -> io::Result<NamedTempFile> {
    let open = |path: &Path| File::options().read(true).write(true).create_new(true).mode(0o600).open(path);
    let (file, path) = builder.make_in(folder, open)?.into_parts();
    Ok(NamedTempFile::from_parts(file, path))
}

/// Writes all of it to disk, and reads it back: a disk that is broken may take less than it says.
fn fill(temp: &mut NamedTempFile, bytes: &[u8]) -> io::Result<()> {
    temp.write_all(bytes)?;
    temp.as_file().sync_all()?;
    if regular::read(temp.path(), bytes.len() as u64)? == bytes {
        return Ok(());
    }
    Err(io::Error::other("it does not read back as it was written: check this disk (`dmesg`)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn replace_swaps_the_content_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        replace(&path, b"old", 0o640).unwrap();
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_there_is_never_overwritten_by_create_or_rename() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        create(&a, b"a", 0o640).unwrap();
        create(&b, b"b", 0o640).unwrap();
        assert_eq!(create(&a, b"c", 0o640).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(rename_new(&a, &b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&a).unwrap(), fs::read(&b).unwrap()), (b"a".to_vec(), b"b".to_vec()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_a_killed_writer_has_left_beside_goes_with_the_next_write_and_the_removal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x".repeat(255));
        replace(&beside(&path), b"half", 0o600).unwrap();
        replace_alone(&path, b"whole", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        replace(&beside(&path), b"half", 0o600).unwrap();
        assert!(remove_alone(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        assert!(replace(&folder, b"x", 0o640).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
