//! Locks whose files are removed while they are held.
//!
//! The kernel's lock is on the file, and who removes that takes the lock from where others look for it. So whoever holds
//! locks looks each second whether their files are there, and makes them anew.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use super::guard::{Held, HeldLock};
use crate::words;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

impl Held {
    /// Keeps the locks where others look for them. Never ends.
    pub async fn keep(&self) {
        let mut is_told = false;
        loop {
            tokio::time::sleep(LOOK).await;
            match self.make_anew() {
                Ok(0) => {}
                Ok(_) => tracing::warn!(
                    "the files of locks were removed while they were held; they are there again"
                ),
                Err(problem) if !is_told => {
                    is_told = true;
                    tracing::error!(
                        "locks were taken away while they were held, and cannot be had again: {problem}"
                    );
                }
                Err(_) => {}
            }
        }
    }

    /// Makes the files anew that are gone, and says how many.
    fn make_anew(&self) -> Result<usize, String> {
        let mut held = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut made = 0;
        for held in held.iter_mut().filter(|held| !is_there(held)) {
            let anew = self.locks.take_one(&held.lock, &self.holder);
            *held = anew.map_err(|error| words::chain(&error))?;
            made += 1;
        }
        Ok(made)
    }
}

fn is_there(held: &HeldLock) -> bool {
    is_at(&held.file, &held.path)
}

/// Whether this file stands there.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(own), Ok(found)) = (file.metadata(), fs::metadata(path)) else { return false };
    (own.dev(), own.ino()) == (found.dev(), found.ino())
}
