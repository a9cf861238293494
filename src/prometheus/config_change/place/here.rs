//! A file of this host.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use super::{Held, Owner, bounded};
use crate::regular;
use crate::rights;
use crate::store::atomic::{sync_folder, written_beside};

/// How long a list of the names of attributes is looked through.
const ATTRIBUTES: usize = 4096;

/// What is at a path of this host: nothing at all where the folder is not here or may not be looked into.
#[expect(clippy::option_option, reason = "a file that is not there is not one that cannot be looked at")]
pub(super) fn look_here(path: &Path) -> Option<Option<Vec<u8>>> {
    match read_here(path) {
        Ok(Some(held)) => Some(Some(held.bytes)),
        Ok(None) => path.parent().filter(|above| above.is_dir()).map(|_| None),
        Err(_) => None,
    }
}

pub(super) fn read_here(path: &Path) -> io::Result<Option<Held>> {
    let file = match regular::open_named(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let meta = file.metadata()?;
    let owner = Owner { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() & 0o7777 };
    Ok(Some(Held { bytes: bounded(file)?, owner }))
}

/// Written to a file beside `staged`, on disk before it gets its name, with the owner of what was there. Where another file
/// could not be all that the one there is (its owner and rights, its access control list), that one is written into: whom it
/// was readable to must read it again.
pub(super) fn renamed(path: &Path, staged: &Path, bytes: &[u8], owner: Option<Owner>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut temp = written_beside(staged)?;
    io::Write::write_all(&mut temp, bytes)?;
    settle(temp.as_file(), owner, folder)?;
    if !is_alike(temp.as_file(), path)? {
        drop(temp);
        return in_place(path, bytes);
    }
    temp.as_file().sync_all()?;
    match temp.persist(path) {
        Ok(_) => sync_folder(folder),
        // Something is mounted there.
        Err(error) if error.error.kind() == io::ErrorKind::ResourceBusy => in_place(path, bytes),
        Err(error) => Err(error.error),
    }
}

fn settle(file: &File, owner: Option<Owner>, folder: &Path) -> io::Result<()> {
    let wanted = if let Some(owner) = owner {
        owner
    } else {
        let above = fs::metadata(folder)?;
        Owner { uid: above.uid(), gid: above.gid(), mode: 0o644 }
    };
    let is = file.metadata()?;
    if (is.uid(), is.gid()) != (wanted.uid, wanted.gid) && rights::may_give_away() {
        fchown(file, Some(wanted.uid), Some(wanted.gid))?;
    }
    file.set_permissions(fs::Permissions::from_mode(wanted.mode))
}

/// Whether `new` may take the place of what is at `path`, as far as who may read and write it goes.
fn is_alike(new: &File, path: &Path) -> io::Result<bool> {
    let old = match regular::open_named(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        old => old?,
    };
    let rights = |meta: fs::Metadata| (meta.uid(), meta.gid(), meta.mode());
    Ok(rights(new.metadata()?) == rights(old.metadata()?) && !has_attributes(&old))
}

/// Whether it has an access control list or another extended attribute, but for the label that every new file is given.
fn has_attributes(file: &File) -> bool {
    let mut names = [0_u8; ATTRIBUTES];
    match rustix::fs::flistxattr(file, &mut names) {
        Ok(length) => {
            let mut names = names[..length].split(|byte| *byte == 0);
            names.any(|name| !name.is_empty() && name != b"security.selinux")
        }
        // They do not even fit.
        Err(error) => error == rustix::io::Errno::RANGE,
    }
}

/// What is there keeps its inode. Nobody reads a half of it: the server is only told to read it afterwards.
pub(super) fn in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = regular::Folder::open(path.parent().unwrap_or(Path::new("/")))?;
    let file = folder.change(Path::new(path.file_name().unwrap_or_default()))?;
    file.write_all_at(bytes, 0)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

/// Takes it away, where it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(path.parent().unwrap_or(Path::new("/"))),
        // Where nothing can be written, that is said first.
        Err(error) => match fs::symlink_metadata(path) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        },
    }
}

/// When what is there was last changed, moved or linked, in seconds since 1970; nothing where it is not there.
#[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
pub(super) fn changed_at(path: &Path) -> Option<f64> {
    let at = |meta: fs::Metadata| meta.ctime() as f64 + meta.ctime_nsec() as f64 / 1e9;
    let (own, real) = (fs::symlink_metadata(path).ok().map(at)?, fs::metadata(path).ok().map(at)?);
    Some(own.max(real))
}

/// Whether both are on one file system: what is written in one can be renamed into the other.
pub(super) fn are_on_one_device(a: &Path, b: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).ok().map(|meta| meta.dev());
    device(a).is_some() && device(a) == device(b)
}
