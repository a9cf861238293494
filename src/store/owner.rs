//! Who owns what we create.
//!
//! Root by hand and the service's user work on the same folders. Whatever root creates gets the owner of the
//! folder it lies in, so that the service can still read, verify and prune it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::regular::{self, Folder};

/// Mode of files in the store. Backups hold what the servers keep from others, so nobody but the owner reads them; root
/// and the service get along because what root creates is the service's.
pub const FILE_MODE: u32 = 0o600;
/// Mode of folders in the store.
pub const FOLDER_MODE: u32 = 0o700;

/// Gives an open file the mode, and the owner of the folder it lies in where we may do that.
pub fn settle_file(file: &File, path: &Path, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))?;
    regular::give(file, &fs::metadata(parent(path))?)
}

/// Creates a folder with the mode and the owner of the folder it lies in. One that is there is left as it is.
pub fn create_folder(path: &Path, mode: u32) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            return Folder::open(path).map(drop);
        }
        Err(e) => return Err(e),
    }
    if !rustix::process::geteuid().is_root() {
        // A umask may have left us no right to open it.
        return fs::set_permissions(path, Permissions::from_mode(mode));
    }
    let folder = Folder::open(path)?.itself()?;
    folder.set_permissions(Permissions::from_mode(mode))?;
    regular::give(&folder, &fs::metadata(parent(path))?)
}

/// The folder a path lies in; `.` for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, chown};

    use super::*;

    #[test]
    fn what_root_creates_belongs_to_the_owner_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        if !rustix::process::geteuid().is_root() {
            return; // only root can give files away
        }
        chown(dir.path(), Some(4321), Some(4322)).unwrap();
        let folder = dir.path().join("job");
        create_folder(&folder, FOLDER_MODE).unwrap();
        let path = folder.join("file");
        settle_file(&File::create(&path).unwrap(), &path, FILE_MODE).unwrap();
        for path in [folder, path] {
            let meta = fs::metadata(&path).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (4321, 4322), "{}", path.display());
        }
    }

    #[test]
    fn modes_do_not_depend_on_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("job");
        create_folder(&folder, FOLDER_MODE).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, FOLDER_MODE);
    }
}
