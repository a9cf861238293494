//! What was found right after restores, where that is not what they had sent: later versions write dashboards anew, which
//! nobody takes for an edit of people; and what they had planned and not written, which no undo touches.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Site, Written};
use crate::grafana::object::ObjectId;
use crate::jobs::RunContext;
use crate::regular;
use crate::store::{BackupId, atomic, owner};
use crate::words;

/// Of so many restores it is known: who takes back an older one is told of more edits than there were.
const KNOWN: usize = 20;

/// What a restore has left.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Left {
    /// What was found, of what it wrote, and is not what it sent.
    pub(super) written: Vec<Written>,
    /// What it had planned, and has not written: somebody had changed it meanwhile, Grafana turned it away, or its turn
    /// never came.
    pub(super) untouched: Vec<ObjectId>,
}

/// A file on this host. Losing it costs that an undo keeps what it could have removed.
pub(super) struct Found {
    path: PathBuf,
}

impl Found {
    pub(super) fn at(site: &Site, context: &RunContext) -> Self {
        Self { path: context.state_dir.join(format!("grafana-found.{}.json", site.target)) }
    }

    /// After the restore before which this was kept.
    pub(super) fn after(&self, before: &BackupId) -> Left {
        self.read().remove(before).unwrap_or_default()
    }

    pub(super) fn note(&self, before: &BackupId, found: &Left) {
        if found.written.is_empty() && found.untouched.is_empty() {
            return;
        }
        let mut all = self.read();
        all.insert(before.clone(), found.clone());
        while all.len() > KNOWN {
            all.pop_first();
        }
        self.replace(&all);
    }

    pub(super) fn forget(&self, before: &[BackupId]) {
        let mut all = self.read();
        let known = all.len();
        all.retain(|id, _| !before.contains(id));
        if all.len() < known {
            self.replace(&all);
        }
    }

    fn read(&self) -> BTreeMap<BackupId, Left> {
        let read = regular::read(&self.path, regular::NOTE)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        read.unwrap_or_default()
    }

    /// No restore fails for it.
    fn replace(&self, all: &BTreeMap<BackupId, Left>) {
        let bytes = serde_json::to_vec(all).unwrap_or_default();
        if let Err(error) = atomic::replace(&self.path, &bytes, owner::FILE_MODE) {
            tracing::warn!(
                path = %self.path.display(),
                error = words::chain(&error),
                "what a restore has left could not be noted: its undo may take some of it for edits of people"
            );
        }
    }
}
