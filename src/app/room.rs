//! Whether there is room for the next backups, and for the reserve of `state_dir`. Only this host is looked at.

use crate::config::{Config, JobKind};
use crate::files;
use crate::prometheus::preflight::Finding;
use crate::state_dir::reserve::Reserve;
use crate::store::{Beside, JobStore, Store, StoreError};
use crate::words;

/// By `job NAME` and `state_dir PATH`: where there is no room. Empty where there is.
pub fn no_room(config: &Config) -> Vec<(String, Vec<Finding>)> {
    let lack = Reserve::new(&config.state_dir, config.reserve).lack();
    let of_state = lack.map(|lack| {
        let hint = "free some space on its disk, or name a smaller `reserve` in jobs.toml (\"0\" for none)";
        (format!("state_dir {}", config.state_dir.display()), vec![Finding::warning(lack, hint)])
    });
    // One that is not there yet is made at the first backup.
    let store = Some(&config.backup_dir).filter(|root| root.is_dir());
    let store = store.and_then(|root| Store::open_to_read(root).ok());
    let jobs = config.jobs.iter().filter_map(|job| {
        let folder = store.as_ref()?.job(&job.name);
        let looked = folder.require_room(beside(&job.kind, &folder)?);
        // What else is wrong with the store is told elsewhere.
        let is_of_room =
            |error: &StoreError| matches!(error, StoreError::NoRoom { .. } | StoreError::NoInodes { .. });
        let error = looked.err().filter(is_of_room)?;
        Some((format!("job {}", job.name), vec![Finding::problem(words::chain(&error), error.hint())]))
    });
    of_state.into_iter().chain(jobs).collect()
}

/// What lies beside the archive while a job of this kind makes its backup; nothing where it makes none.
fn beside(kind: &JobKind, store: &JobStore) -> Option<Beside> {
    match kind {
        JobKind::FilesBackup(_) => Some(files::backup::beside(store)),
        JobKind::PrometheusSnapshot(_) | JobKind::GrafanaExport(_) => Some(Beside::Nothing),
        JobKind::SqliteBackup(_) | JobKind::CloseStaleSessions(_) => Some(Beside::Copy),
        JobKind::Command(_) | JobKind::BlockCleanup(_) | JobKind::VerifyDeployment(_) => None,
    }
}
