//! A job has a good backup that is not too old.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Terms, Verdict, Wrong};
use crate::config::values::Subject;
use crate::store::{Backup, JobStore};
use crate::words;

/// Two clocks that are kept right may differ by so much.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(5);

/// Looks into the store.
#[derive(Debug, Clone)]
pub struct BackupCheck {
    /// The backups of the job.
    pub store: JobStore,
    /// The job.
    pub job: String,
    /// What it backs up: only backups of that count.
    pub subject: Option<Subject>,
    /// Not older than this.
    pub max_age: Duration,
}

impl BackupCheck {
    pub(super) async fn look(&self, terms: Terms) -> Verdict {
        let store = self.store.clone();
        let listed = tokio::task::spawn_blocking(move || store.list()).await;
        let listed = listed.map_err(|error| Wrong::new(format!("cannot list the backups: {error}")))?;
        let listing = listed.map_err(|error| Wrong::of(&error, error.hint()))?;
        let is_own = |backup: &Backup| {
            self.subject.as_ref().is_none_or(|subject| backup.manifest.subject().is_same(subject))
        };
        let newest = listing.backups.iter().rev().find(|backup| backup.is_good() && is_own(backup));
        let bad = listing.backups.iter().filter(|backup| is_own(backup)).count() + listing.broken.len();
        let Some(newest) = newest else {
            let text = match bad {
                0 if listing.backups.is_empty() => "there is no backup".to_owned(),
                0 => "there is no backup but of another source than the job has now".to_owned(),
                bad => format!("none of {bad} backups is good"),
            };
            return Err(Wrong::new(text).hint(format!("`watchkeeper run-now {}` makes one", self.job)));
        };
        judge(newest, self.max_age, terms.now, &self.job)
    }
}

fn judge(newest: &Backup, max_age: Duration, now: Timestamp, job: &str) -> Verdict {
    let created = newest.manifest.created;
    if created.duration_since(now) > CLOCKS_APART {
        let text = format!(
            "the newest good backup, {job}/{}, is dated {created}, which is yet to come",
            newest.id()
        );
        return Err(
            Wrong::new(text).hint("the clock was wrong then, or is wrong now: how old it is cannot be told")
        );
    }
    let age = Duration::try_from(now.duration_since(created)).unwrap_or_default();
    let text = format!("the newest good backup, {job}/{}, is {} old", newest.id(), words::duration(age));
    if age <= max_age {
        return Ok(text);
    }
    let wrong = Wrong::new(format!("{text}, more than {}", words::duration(max_age)));
    Err(wrong.hint(format!("`watchkeeper explain {job}` tells why there is no newer one")))
}
