//! The lock that a reader of SQLite has, held by this program itself.
//!
//! While it is held nobody writes to a database that has a rollback journal, nobody changes the journal mode, and nobody
//! removes the log of one in WAL mode: the last who closes it would need it for himself alone. It belongs to the open
//! file, not to the process: one of the process falls when any descriptor of the file is closed.

use std::fs::File;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::PATIENCE;
use crate::regular;
use crate::sqlite::SqliteError;
use crate::sqlite::error::file;

/// Where SQLite has its locks in a file: <https://www.sqlite.org/src/doc/trunk/src/os.h>.
const PENDING: (libc::off_t, libc::off_t) = (0x4000_0000, 1);
const SHARED: (libc::off_t, libc::off_t) = (0x4000_0002, 510);

/// The lock; it ends with its `Drop`.
pub(super) struct Guard {
    _file: File,
}

impl Guard {
    /// Takes it as SQLite does: not before a writer who waits for readers to go. Nothing where the file system has no
    /// locks.
    pub(super) fn hold(path: &Path) -> Result<Option<Self>, SqliteError> {
        let opened = regular::open_named(path).map_err(file("open", path))?;
        let set = |kind: libc::c_int, (start, length): (libc::off_t, libc::off_t)| match fcntl(
            &opened,
            FcntlArg::F_OFD_SETLK(&range(kind, start, length)),
        ) {
            Ok(_) => Ok(true),
            Err(Errno::ENOLCK | Errno::ENOSYS | Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(false),
            Err(Errno::EAGAIN | Errno::EACCES) => {
                Err(SqliteError::Locked { path: path.to_owned(), waited: PATIENCE.as_secs() })
            }
            Err(errno) => Err(file("lock", path)(errno.into())),
        };
        let held =
            set(libc::F_RDLCK, PENDING)? && set(libc::F_RDLCK, SHARED)? && set(libc::F_UNLCK, PENDING)?;
        Ok(held.then_some(Self { _file: opened }))
    }
}

fn range(kind: libc::c_int, start: libc::off_t, length: libc::off_t) -> libc::flock {
    libc::flock {
        l_type: libc::c_short::try_from(kind).unwrap_or_default(),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}
