//! Finds the backup that somebody means.

use super::{Backup, BackupId, JobStore, Store, StoreError};
use crate::config::values::JobName;

/// A backup and the job that it belongs to.
#[derive(Debug, Clone)]
pub struct Found {
    /// The job.
    pub job: JobStore,
    /// The backup.
    pub backup: Backup,
}

/// Finds what `JOB/ID`, `ID`, `JOB/latest` or `latest` means. The latest is the newest good one.
pub fn resolve(store: &Store, spec: &str) -> Result<Found, StoreError> {
    resolve_by(store, spec, JobStore::get)
}

/// The same, also one of whose files some are missing or have another size: who uses it looks at each.
pub fn resolve_damaged(store: &Store, spec: &str) -> Result<Found, StoreError> {
    resolve_by(store, spec, JobStore::get_damaged)
}

/// Looks up a backup by its ID.
type Get = fn(&JobStore, &BackupId) -> Result<Backup, StoreError>;

fn resolve_by(store: &Store, spec: &str, get: Get) -> Result<Found, StoreError> {
    let bad = || StoreError::BadSpec { spec: spec.to_owned() };
    let (job, what) = match spec.split_once('/') {
        Some((job, what)) => (Some(job.parse::<JobName>().map_err(|_| bad())?), what),
        None => (None, spec),
    };
    let jobs: Vec<JobStore> = match &job {
        Some(job) => vec![store.job(job)],
        None => store.jobs()?.iter().map(|job| store.job(job)).collect(),
    };
    let mut found =
        if what == "latest" { latest(&jobs)? } else { by_id(jobs, &what.parse().map_err(|_| bad())?, get)? };
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(last), false) => {
            let jobs = found.iter().chain([&last]).map(|found| found.job.job.to_string()).collect();
            Err(StoreError::Ambiguous { spec: spec.to_owned(), jobs })
        }
        (None, _) => {
            let path = job.map_or_else(|| store.root.clone(), |job| store.job(&job).folder);
            Err(match what {
                "latest" => StoreError::NoneGood { path },
                id => StoreError::NotFound { what: id.to_owned(), path },
            })
        }
    }
}

fn latest(jobs: &[JobStore]) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    for job in jobs {
        let newest = job.list()?.newest_good().cloned();
        found.extend(newest.map(|backup| Found { job: job.clone(), backup }));
    }
    Ok(found)
}

fn by_id(jobs: Vec<JobStore>, id: &BackupId, get: Get) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    for job in jobs {
        match get(&job, id) {
            Ok(backup) => found.push(Found { job, backup }),
            Err(StoreError::NotFound { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    #[test]
    fn backups_are_found_by_what_names_them_and_by_nothing_that_names_two() {
        let (_dir, store) = testing::store();
        let (a, b) = (store.job(&"a".parse().unwrap()), store.job(&"b".parse().unwrap()));
        let found = |spec: &str| resolve(&store, spec).map(|f| format!("{}/{}", f.job.job(), f.backup.id()));
        assert!(matches!(found("latest"), Err(StoreError::NoneGood { .. })));
        testing::backup(&a, 0);
        testing::backup(&a, 1);
        assert_eq!(found("latest").unwrap(), "a/20261123T020001Z");
        testing::backup(&b, 0);
        assert_eq!(found("20261123T020001Z").unwrap(), "a/20261123T020001Z");
        assert_eq!(found("b/latest").unwrap(), "b/20261123T020000Z");
        assert_eq!(found("b/20261123T020000Z").unwrap(), "b/20261123T020000Z");
        for ambiguous in ["latest", "20261123T020000Z"] {
            let error = found(ambiguous).unwrap_err().to_string();
            assert!(error.contains("a or b"), "{error}");
        }
        assert!(matches!(found("b/20261123T020001Z"), Err(StoreError::NotFound { .. })));
        assert!(matches!(found("none/latest"), Err(StoreError::NoneGood { .. })));
        for bad in ["", "x", "a/", "/latest", "../latest", "a/b/latest", "Latest"] {
            assert!(matches!(found(bad), Err(StoreError::BadSpec { .. })), "{bad:?}");
        }
    }
}
