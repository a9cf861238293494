//! When each shared file was read back, and what came of it: one small file for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{FOLDER, is_shared};
use crate::regular;
use crate::store::error::{At as _, StoreError};
use crate::store::{JobStore, Verified, atomic, owner, sealed};

/// The last field of the state of all shared files.
const SEAL: &str = "state_sha256";

/// When shared files were read back, by name, and what came of it.
pub(in crate::store) type Checks = BTreeMap<String, Verified>;

#[derive(Default, Serialize, Deserialize)]
struct SharedState {
    #[serde(default)]
    verified: Checks,
}

impl JobStore {
    /// When each shared file was read back. Nothing where that was lost.
    pub(in crate::store) fn shared_checks(&self) -> Checks {
        self.read_checks().0
    }

    /// The same, and what is wrong with the file that holds it, if so.
    pub(in crate::store) fn read_checks(&self) -> (Checks, Option<String>) {
        let path = self.shared_state_path();
        let bytes = match regular::read(&path, regular::NOTE) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return (Checks::new(), None),
            Err(e) => return (Checks::new(), Some(lost(&path, &e))),
        };
        let parsed = sealed::check(&bytes, SEAL).map_err(|e| e.to_string());
        let parsed = parsed.and_then(|()| serde_json::from_slice(&bytes).map_err(|e| e.to_string()));
        match parsed {
            Ok(SharedState { verified }) => (verified, None),
            Err(problem) => (Checks::new(), Some(lost(&path, &problem))),
        }
    }

    /// What is wrong where there is no such file: it is there before any backup names a shared file.
    pub(in crate::store) fn missing_checks(&self, claimed: &BTreeSet<String>) -> Option<String> {
        let path = self.shared_state_path();
        let is_lost = claimed.iter().any(|name| is_shared(name)) && !path.exists();
        is_lost.then(|| lost(&path, &"it is missing"))
    }

    /// Notes what came of reading shared files back.
    pub(in crate::store) fn note_shared(&self, checked: Checks) -> Result<(), StoreError> {
        if checked.is_empty() {
            return Ok(());
        }
        let _names = self.lock_names()?;
        self.rewrite_checks(|checks| checks.extend(checked))
    }

    /// Forgets files that are gone.
    pub(in crate::store) fn forget_shared(&self, gone: &[&str]) -> Result<(), StoreError> {
        let _names = self.lock_names()?;
        if self.shared_checks().keys().any(|name| gone.contains(&name.as_str())) {
            self.rewrite_checks(|checks| checks.retain(|name, _| !gone.contains(&name.as_str())))?;
        }
        Ok(())
    }

    /// Changes what is noted. The caller holds the lock of the names.
    pub(super) fn rewrite_checks(&self, change: impl FnOnce(&mut Checks)) -> Result<(), StoreError> {
        let mut state = SharedState { verified: self.shared_checks() };
        change(&mut state.verified);
        let path = self.shared_state_path();
        let bytes = sealed::seal(&state, SEAL).map_err(io::Error::from).at("write", &path)?;
        atomic::replace(&path, &bytes, owner::FILE_MODE).at("write", &path)
    }

    pub(super) fn shared_state_path(&self) -> PathBuf {
        self.folder.join(FOLDER).join("state.json")
    }
}

fn lost(path: &Path, problem: &dyn Display) -> String {
    format!("{}: {problem}; when the shared files were read back is not known", path.display())
}
