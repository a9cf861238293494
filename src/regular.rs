//! Reading what has to be a regular file.
//!
//! Where a file is expected, somebody may have put a pipe, whose opening waits for a writer, or a device, whose reading never
//! ends: neither a limit nor a signal ends such a wait. So whatever is read by its name is opened here: what is no regular
//! file is an error at once, and what is read whole has a cap. What lies where others may put links is reached by a
//! [`Folder`] that is held open, or a [`Tree`] of them.

mod folder;
mod node;
mod tree;

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

pub(crate) use folder::Folder;
pub(crate) use node::{Found, Node};
pub(crate) use tree::{NotFollowed, Tree};

/// The most bytes that are read of a note of this program itself: a state, a ledger, a journal.
pub(crate) const NOTE: u64 = 64 << 20;
/// The most bytes that are read of a file that a person writes by hand or is given: certificates, `meta.json`.
pub(crate) const SMALL: u64 = 16 << 20;

/// The most bytes that are read of what lists as many things as there are: a manifest.
pub(crate) const LARGE: u64 = 512 << 20;

/// A path as it stands in a URI, where SQLite is to open it so.
pub(crate) fn in_a_uri(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                text.push(char::from(*byte));
            }
            byte => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

/// A link of this owner may be followed: it is root's, or this user's. That of another could lead to what only this user may
/// read or change.
fn is_ours(owner: u32) -> bool {
    [0, rustix::process::geteuid().as_raw()].contains(&owner)
}

/// Gives a file or folder that this process has made to the owner of the folder that it lies in, where this is root.
pub(crate) fn give(made: &File, folder: &Metadata) -> io::Result<()> {
    let own = made.metadata()?;
    let is_ours = own.uid() == rustix::process::geteuid().as_raw();
    if !rustix::process::geteuid().is_root() || !is_ours || own.nlink() > if own.is_dir() { 2 } else { 1 } {
        return Ok(());
    }
    if (own.uid(), own.gid()) == (folder.uid(), folder.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(made, Some(folder.uid()), Some(folder.gid()))
}

/// Opens the file at `path` to read. A symbolic link is no regular file, and an error.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    opened(path, OFlags::NOFOLLOW)
}

/// Opens the file that `path` leads to, where a person may have named a symbolic link.
pub(crate) fn open_named(path: &Path) -> io::Result<File> {
    opened(path, OFlags::empty())
}

/// All bytes of the file at `path`, of which there may be `most`. A symbolic link is an error.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    whole(&open(path)?, most)
}

/// All bytes of the file that `path` leads to, of which there may be `most`.
pub(crate) fn read_named(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    whole(&open_named(path)?, most)
}

/// All bytes of an open file, of which there may be `most`.
pub(crate) fn whole(mut file: &File, most: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    if length <= most {
        // It may grow meanwhile.
        file.by_ref().take(most + 1).read_to_end(&mut bytes)?;
    }
    let length = length.max(bytes.len() as u64);
    if length <= most {
        return Ok(bytes);
    }
    let problem = format!("it has {length} bytes, and no such file has more than {most}");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, problem))
}

/// Opens the file that `path` leads to, to write behind its end.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    must_be(&fs::metadata(path)?)?;
    let file = File::options().append(true).custom_flags(raw(flags())).open(path)?;
    must_be(&file.metadata()?)?;
    Ok(file)
}

/// Opens the folder at `path`, to lock it or to bring it to the disk.
pub(crate) fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Fails unless there is a regular file, or nothing, at `path`. A symbolic link is followed.
pub(crate) fn must_be_or_be_missing(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        found => must_be(&found?),
    }
}

/// Fails where this describes something other than a regular file.
pub(crate) fn must_be(metadata: &Metadata) -> io::Result<()> {
    must_be_a_file(FileType::from_raw_mode(metadata.mode()))
}

fn must_be_a_file(kind: FileType) -> io::Result<()> {
    let is = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => return Err(io::ErrorKind::IsADirectory.into()),
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        _ => "a device",
    };
    Err(io::Error::other(format!("it is {is}, and no regular file")))
}

/// The flags with which opening waits for nobody, and makes no terminal ours.
fn flags() -> OFlags {
    OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
}

fn raw(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or_default()
}

fn opened(path: &Path, follow: OFlags) -> io::Result<File> {
    // To open a device may already do something: it is looked at before.
    must_be(&if follow.is_empty() { fs::metadata(path)? } else { fs::symlink_metadata(path)? })?;
    let file = File::options().read(true).custom_flags(raw(flags() | follow)).open(path)?;
    // Another may have taken its place since.
    must_be(&file.metadata()?)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_pipe_is_an_error_at_once_and_so_is_a_link_unless_it_was_named() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        File::create(at("file")).and_then(|mut file| io::Write::write_all(&mut file, b"text")).unwrap();
        for (link, to) in [("to-pipe", "pipe"), ("to-file", "file"), ("to-nothing", "nothing")] {
            symlink(to, at(link)).unwrap();
        }
        let said = |error: io::Error| error.to_string();
        assert_eq!(said(open(&at("pipe")).unwrap_err()), "it is a pipe, and no regular file");
        assert_eq!(said(open_named(&at("to-pipe")).unwrap_err()), "it is a pipe, and no regular file");
        assert_eq!(said(open(&at("to-file")).unwrap_err()), "it is a symbolic link, and no regular file");
        assert_eq!(said(open(&at("to-nothing")).unwrap_err()), "it is a symbolic link, and no regular file");
        assert_eq!(open(dir.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(open(&at("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read_named(&at("to-file"), 4).unwrap(), b"text");
        assert_eq!(read(&at("file"), 4).unwrap(), b"text");
        must_be_or_be_missing(&at("nothing")).unwrap();
        assert!(must_be_or_be_missing(&at("to-pipe")).is_err());
    }

    #[test]
    fn what_is_longer_than_its_cap_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        File::create(&path).unwrap().set_len(100 << 30).unwrap();
        let error = read(&path, NOTE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("107374182400 bytes"), "{error}");
    }
}
