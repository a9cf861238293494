//! When a daemon last lived.
//!
//! A lock says whether one lives now; this says until when one did, however it ended. It is a file of its own and no row of
//! the history: it is written each minute, need not be on the disk at once, and must not wait for a history that is locked.

use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::{regular, state_dir};

/// The file's name in the `state_dir`. It holds milliseconds since 1970.
const FILE: &str = "daemon-alive";

/// The sign of life of the daemons of a `state_dir`.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    path: PathBuf,
}

impl Heartbeat {
    /// Of the daemons of this `state_dir`.
    pub fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join(FILE) }
    }

    /// When a daemon last lived, to a minute; nothing where none ever did, or where that cannot be read.
    pub fn last(&self) -> Option<Timestamp> {
        let mut text = String::new();
        regular::open(&self.path).ok()?.take(64).read_to_string(&mut text).ok()?;
        Timestamp::from_millisecond(text.trim().parse().ok()?).ok()
    }

    /// Says that a daemon lives now. Where that cannot be written, the time without a daemon will seem longer than it was.
    pub fn beat(&self, now: Timestamp) {
        let write = || {
            let mut file = state_dir::file(&self.path).map_err(std::io::Error::other)?;
            file.rewind()?;
            // Always as long: it is never cut and then empty.
            file.write_all(format!("{:>20}\n", now.as_millisecond()).as_bytes())
        };
        if let Err(error) = write() {
            tracing::debug!(%error, path = %self.path.display(), "the sign of life cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sign_of_life_is_read_and_none_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let heartbeat = Heartbeat::new(folder.path());
        assert_eq!(heartbeat.last(), None);
        let times =
            [1_800_000_000_123, 5, 1_800_000_060_000].map(|at| Timestamp::from_millisecond(at).unwrap());
        for time in times {
            heartbeat.beat(time);
            assert_eq!(heartbeat.last(), Some(time));
        }
    }
}
