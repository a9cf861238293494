//! The kinds of job, what a run of one is given, and what comes out of it.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::blocking::blocking;
use crate::config::values::JobName;
use crate::progress::Progress;
use crate::store::{Backup, BackupId, Draft, Pending, StoreError};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything was done and checked.
    Done,
    /// It was done, but something needs a look.
    Warned,
    /// It was not done.
    Failed,
    /// It was not begun, with a reason.
    Skipped,
    /// It was begun and cut off.
    Interrupted,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Done, Self::Warned, Self::Failed, Self::Skipped, Self::Interrupted];

    /// The word it is stored and shown as.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Warned => "warned",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
        }
    }

    /// The inverse of [`Outcome::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.word() == word)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// What a run is given. Nothing below the runner knows what triggered it.
#[derive(Clone)]
pub struct RunContext {
    /// The run's identity.
    pub run: Ulid,
    /// The job.
    pub job: JobName,
    /// When the run began. The one clock reading that a run's decisions are based on.
    pub now: Timestamp,
    /// Cancelled at timeout, at the daemon's end and at Ctrl-C.
    pub cancel: CancellationToken,
    /// Where steps and warnings are told.
    pub progress: Progress,
    /// The program's own folder.
    pub state_dir: PathBuf,
    /// Where backups go.
    pub backup_dir: PathBuf,
    /// Runs of the job that were cut off since it was last done: what they have left elsewhere than on this host is to be
    /// ended before anything is begun there.
    pub cut_off: Vec<Ulid>,
}

impl RunContext {
    /// Reads an archive back and publishes the backup, as a step of the run.
    pub async fn publish(&self, pending: Pending, draft: Draft) -> Result<Backup, StoreError> {
        let step = self.progress.step("read the archive back and publish it", pending.size());
        let cancel = self.cancel.clone();
        blocking(move || {
            let backup = pending.publish(draft, &step, &cancel)?;
            step.finish(backup.id().to_string());
            Ok(backup)
        })
        .await
    }
}

/// What a run that was not a failure brought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOutput {
    /// One line for people: `8 blocks, 3 840 000 samples, 12.1 MiB`.
    pub summary: String,
    /// The backup that was published.
    pub backup: Option<BackupId>,
    /// Its stored size in bytes, with what it shares with others.
    pub bytes: Option<u64>,
    /// Bytes of it that no earlier backup had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_bytes: Option<u64>,
    /// What else is worth knowing about it, one line each: `time covered: …`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<String>,
    /// What was verified, one line each: `every stored byte was read back and matches its SHA-256`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<String>,
    /// What nobody looked at, one line each: a reader should not take it for verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<String>,
    /// What can be done next, one line each: `` `watchkeeper restore JOB --undo` brings back what was live before ``.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
    /// What was looked at, where that is what the job does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckResult>,
    /// The end of what a program said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub printed: Vec<String>,
}

/// One thing that a `verify-deployment` looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check.
    pub name: String,
    /// It is as it should be.
    pub passed: bool,
    /// What was found, in one line.
    pub text: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How long it took, in milliseconds.
    pub millis: u64,
}
