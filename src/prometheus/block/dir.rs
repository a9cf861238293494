//! The check of a block that lies in a folder here.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{BlockCheck, BlockReport, Damage};
use crate::regular;

const BUFFER: usize = 256 << 10;

/// A block could not be checked, whatever state it is in.
#[derive(Debug, thiserror::Error)]
pub enum CheckDirError {
    /// The folder cannot be listed.
    #[error("Cannot list the block folder {}", path.display())]
    List {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file that keeps the index meanwhile failed.
    #[error("Cannot keep an index in {} while it is checked", path.display())]
    Spool {
        /// The folder.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// It was told to stop.
    #[error("The check of the block {} was stopped", path.display())]
    Cancelled {
        /// Which.
        path: PathBuf,
    },
}

/// Checks the block in the folder `path`, whose name is its own. A file that cannot be read is damage.
pub fn check_dir(
    path: &Path,
    spool: &Path,
    cancel: &CancellationToken,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<BlockReport, CheckDirError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut check = BlockCheck::new(&name, spool);
    let listed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| CheckDirError::List { path, source }
    };
    let spooled = |source| CheckDirError::Spool { path: spool.to_path_buf(), source };
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(listed(path))? {
        let entry = entry.map_err(listed(path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "chunks" && entry.path().is_dir() {
            for segment in entry.path().read_dir().map_err(listed(&entry.path()))? {
                let segment = segment.map_err(listed(&entry.path()))?;
                files.push(format!("chunks/{}", segment.file_name().to_string_lossy()));
            }
        } else if !entry.path().is_dir() {
            files.push(name);
        }
    }
    files.sort();
    let mut buf = vec![0; BUFFER];
    for file in files {
        let full = path.join(&file);
        let opened = regular::open_named(&full).and_then(|f| Ok((f.metadata()?.len(), f)));
        let (size, mut content) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                check.damaged(unreadable(&file, &e));
                continue;
            }
        };
        let mut out = check.begin_file(&file, size);
        let failed = loop {
            if cancel.is_cancelled() {
                return Err(CheckDirError::Cancelled { path: path.to_path_buf() });
            }
            match content.read(&mut buf) {
                Ok(0) => break None,
                Ok(n) => {
                    out.write_all(&buf[..n]).map_err(spooled)?;
                    on_bytes(n as u64);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Some(e),
            }
        };
        if let Some(e) = failed {
            check.damaged(unreadable(&file, &e));
        }
    }
    check.finish().map_err(spooled)
}

fn unreadable(file: &str, error: &io::Error) -> Damage {
    Damage {
        file: file.to_owned(),
        problem: format!("it cannot be read: {error}"),
        keeps_prometheus_down: true,
    }
}
