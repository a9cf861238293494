//! What can go wrong with the restore of a database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sqlite::SqliteError;

/// A database could not be restored, or its restore not be taken back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is a backup of something else.
    #[error("{title} is a {kind} backup, not one of a database")]
    OtherKind {
        /// The backup.
        title: String,
        /// Its kind.
        kind: String,
    },
    /// What was unpacked is not what the manifest says.
    #[error("The database in {title} is not the one that its manifest describes")]
    Differs {
        /// The backup.
        title: String,
    },
    /// It can be read in its container, but nothing can be put there.
    #[error(
        "The database {path} is in container {container} alone, in no volume and no mounted folder that can be reached here: it cannot be replaced there"
    )]
    NoPlace {
        /// The container.
        container: String,
        /// The path in there.
        path: String,
    },
    /// It can be read in its container, but this user cannot put anything there.
    #[error("The database {database} can only be replaced at {}, and this user may not go there", place.display())]
    Closed {
        /// The database.
        database: String,
        /// Where it lies on this host.
        place: PathBuf,
    },
    /// Somebody would go on writing to the old file.
    #[error("The database {} is still open in {by}", path.display())]
    Held {
        /// The database.
        path: PathBuf,
        /// Who.
        by: String,
    },
    /// The application does not work with what it got.
    #[error("The application is not well {} s after its start: {url}: {seen}{}", limit.as_secs(), last_words(words))]
    NotWell {
        /// What it was asked for.
        url: String,
        /// How long it was waited for.
        limit: Duration,
        /// What it said last.
        seen: String,
        /// The last lines of its log.
        words: Vec<String>,
    },
    /// A restore, or its taking back, could not begin.
    #[error("Nothing was changed: {}", crate::words::chain(&**why))]
    Unchanged {
        /// Why.
        why: Box<SqliteError>,
    },
    /// A restore was cut.
    #[error(
        "A restore of {} is unfinished: {source_title}, begun {began} by job {job}; until it is taken back nothing else uses the database", path.display()
    )]
    Unfinished {
        /// The database.
        path: PathBuf,
        /// The job that the restore is of.
        job: String,
        /// What was being restored.
        source_title: String,
        /// Since when.
        began: jiff::Timestamp,
    },
    /// A restore did not work, and what was there before is back.
    #[error("The restore was taken back, the old database is in its place{}: {}", kept(displaced.as_deref()), crate::words::chain(&**why))]
    TakenBack {
        /// Why.
        why: Box<SqliteError>,
        /// Where the restored one is, if something was written to it meanwhile.
        displaced: Option<PathBuf>,
    },
    /// A restore did not work, and could not be taken back.
    #[error("The restore failed ({}), and the old database is NOT back: {}; it is {}", crate::words::chain(&**why), crate::words::chain(&**back), aside.display())]
    NotBack {
        /// Why it did not work.
        why: Box<SqliteError>,
        /// Why it was not taken back.
        back: Box<SqliteError>,
        /// Where the old database is.
        aside: PathBuf,
    },
    /// There is no restore to take back.
    #[error("There is nothing of {job} to take back")]
    NothingToUndo {
        /// The job.
        job: String,
    },
    /// The newest restore took itself back.
    #[error("There is nothing to undo: the restore of {source_title}, begun {began}, took itself back")]
    TookItselfBack {
        /// What was to be restored.
        source_title: String,
        /// When.
        began: jiff::Timestamp,
        /// Where the restore before it has set the old database aside, if there was one.
        older: Option<PathBuf>,
    },
    /// What a restore had set aside is gone.
    #[error("The database of before the restore is not at {} any more: nothing was changed", path.display())]
    NotAside {
        /// Where it was set aside.
        path: PathBuf,
    },
}

impl RestoreError {
    /// Nothing was begun, as things are or because there is nothing to do it with.
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::OtherKind { .. }
                | Self::Unfinished { .. }
                | Self::NothingToUndo { .. }
                | Self::TookItselfBack { .. }
                | Self::NotAside { .. }
        )
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::TookItselfBack { older, .. } => {
                return older.as_ref().map(|aside| {
                    format!("what the restore before it has set aside is still there: {}", aside.display())
                });
            }
            Self::NotAside { .. } => {
                "put it back there, or restore the backup of that time; `watchkeeper restore JOB --discard-old` forgets this restore"
            }
            Self::Unfinished { job, .. } => {
                return Some(format!("`watchkeeper restore {job} --undo` takes it back"));
            }
            Self::TakenBack { why, .. } | Self::Unchanged { why } => return why.hint(),
            Self::NotBack { .. } => {
                "end what has the database open, then run `watchkeeper restore JOB --undo`"
            }
            Self::Held { .. } => {
                "stop it first; an application in jobs.toml is stopped by its \"container\" or \"service\""
            }
            Self::Closed { .. } => return Some(crate::rights::files_hint("the volume")),
            Self::NoPlace { .. } => {
                "keep it in a volume; until then: `watchkeeper restore JOB --into DIR`, then `docker cp` it in"
            }
            Self::NotWell { .. } => "look at its log; is \"health\" of the application in jobs.toml right?",
            Self::OtherKind { .. } | Self::Differs { .. } | Self::NothingToUndo { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

fn kept(displaced: Option<&Path>) -> String {
    displaced.map_or_else(String::new, |path| {
        format!(", and what was written to the restored one meanwhile is in {}", path.display())
    })
}

fn last_words(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!("; its log ends: {}", words.join(" / ")) }
}
