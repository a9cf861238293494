//! A disk of this host has room.

use std::io;
use std::path::{Path, PathBuf};

use super::{Verdict, Wrong};
use crate::config::checks::Free;
use crate::rights;
use crate::room::Room;
use crate::words;

/// Asks the file system.
#[derive(Debug, Clone)]
pub struct DiskCheck {
    /// A path on it.
    pub path: PathBuf,
    /// So much at the least.
    pub free: Free,
}

impl DiskCheck {
    pub(super) async fn look(&self) -> Verdict {
        let path = self.path.clone();
        // A network file system may take its time, or hang.
        let read = tokio::task::spawn_blocking(move || room(&path)).await;
        let room = read.unwrap_or_else(|error| Err(io::Error::other(error)));
        let (free, total) = room.map_err(|error| Wrong {
            hint: rights::hint(&error, "that folder"),
            ..Wrong::new(format!("cannot ask for the room at {}: {error}", self.path.display()))
        })?;
        judge(self.free, free, total)
    }
}

/// What an ordinary user may still write, and the size, in bytes.
fn room(path: &Path) -> io::Result<(u64, u64)> {
    let Room { free, total } = Room::at(path)?;
    Ok((free, total))
}

fn judge(wanted: Free, free: u64, total: u64) -> Verdict {
    let percent = u128::from(free) * 100 / u128::from(total.max(1));
    let text = format!("{} of {} free ({percent} %)", words::size(free), words::size(total));
    let (enough, wanted) = match wanted {
        Free::Percent(least) => (percent >= u128::from(least), format!("{least} %")),
        Free::Bytes(least) => (free >= least, words::size(least)),
    };
    if enough { Ok(text) } else { Err(Wrong::new(format!("{text}, less than {wanted}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_compared_as_share_and_as_bytes() {
        assert_eq!(judge(Free::Percent(10), 10, 100).unwrap(), "10 B of 100 B free (10 %)");
        assert!(judge(Free::Percent(11), 10, 100).unwrap_err().text.ends_with("less than 11 %"));
        assert!(judge(Free::Bytes(10), 10, 100).is_ok());
        assert!(judge(Free::Bytes(1 << 30), 10, 100).unwrap_err().text.ends_with("less than 1.0 GiB"));
    }

    #[tokio::test]
    async fn a_real_disk_has_a_size_and_a_path_that_is_not_there_is_told() {
        let look = |path: &str, free| {
            let check = DiskCheck { path: path.into(), free };
            async move { check.look().await }
        };
        assert!(look("/", Free::Bytes(1)).await.unwrap().contains("free"));
        assert!(look("/", Free::Bytes(1 << 60)).await.is_err());
        assert!(look("/not/there", Free::Percent(1)).await.unwrap_err().text.contains("/not/there"));
    }
}
