//! What can go wrong with a restore, and what it leaves behind.

use std::io;
use std::path::PathBuf;

use super::Account;
use super::door::WriteError;
use super::secrets::SecretsError;
use crate::grafana::GrafanaError;
use crate::grafana::bundle::BundleError;
use crate::store::{ArchiveError, BackupId, StoreError};
use crate::words;

/// A Grafana could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The server did not give or take what it was to, before anything was written.
    #[error(transparent)]
    Grafana(#[from] GrafanaError),
    /// The file of secrets cannot be used.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// It is a backup of something else.
    #[error("{title} is a {kind} backup, not an export of a Grafana")]
    OtherKind {
        /// The backup.
        title: String,
        /// Its kind.
        kind: String,
    },
    /// What was named is not in the backup.
    #[error("{option} {selector} fits nothing in {title}: nothing was written")]
    FitsNothing {
        /// The option.
        option: &'static str,
        /// What stands there.
        selector: String,
        /// The backup.
        title: String,
        /// What may have been meant: `dashboards/overview (Overview)`.
        near: Vec<String>,
    },
    /// The plan says that it cannot be done.
    #[error("The restore cannot be done, and nothing was written: {refusal}")]
    Refused {
        /// Why.
        refusal: String,
    },
    /// The server is not as it was when the plan was shown.
    #[error("Grafana at {url} was changed since the plan was made: nothing was written")]
    Changed {
        /// The server's base URL.
        url: String,
    },
    /// Some objects were not restored, and the others were.
    #[error("{} {} not restored: {}; {written} of the others {} written", failed.len(), if failed.len() == 1 { "object was" } else { "objects were" }, first_few(failed), if *written == 1 { "was" } else { "were" })]
    Incomplete {
        /// How many were written as they were to be.
        written: usize,
        /// Something was sent that the server has not turned away.
        touched: bool,
        /// Those that were not, and why.
        failed: Vec<String>,
    },
    /// The server as a whole gave up in between.
    #[error("The restore stopped {}", so_far(*written, *touched))]
    Stopped {
        /// How many certainly were.
        written: usize,
        /// Something may have been written.
        touched: bool,
        /// What went wrong.
        source: Box<GrafanaError>,
    },
    /// Whoever ran it told it to stop.
    #[error("The restore was told to stop {}", so_far(*written, *touched))]
    Cut {
        /// How many certainly were written.
        written: usize,
        /// Something may have been written.
        touched: bool,
    },
    /// There is no restore to take back.
    #[error("There is no restore of {job} to take back")]
    NothingToUndo {
        /// The job.
        job: String,
    },
    /// What was there before the first of the restores that belong together is no longer kept.
    #[error(
        "What was there before the restore was kept as {id}, which is not there any more: nothing was taken back"
    )]
    Forgotten {
        /// What was kept.
        id: BackupId,
    },
    /// What was kept before the newest restore cannot be read: an older one is not taken for it.
    #[error(
        "What was kept before the newest restore is damaged: {}: {problem}: nothing was taken back", path.display()
    )]
    DamagedKept {
        /// The manifest, or the archive that has none.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// All files of it, and of those between it and the newest that can be read.
        files: Vec<PathBuf>,
    },
    /// The name of the Grafana is that of another server by now.
    #[error("The restore was one of {was}, and [grafana.{target}] is {is} now: nothing was taken back")]
    AnotherServer {
        /// What was kept before it: `JOB/ID`.
        kept: String,
        /// The name in the configuration.
        target: String,
        /// The base URL of then.
        was: String,
        /// The base URL of now.
        is: String,
    },
    /// There is another server at the URL by now, or the same with a new database.
    #[error(
        "The restore was one of another Grafana at {url}: its user {} was made {}, and that of now {}: nothing was taken back", accounts[0].login, accounts[0].created, accounts[1].created
    )]
    AnotherDatabase {
        /// What was kept before it: `JOB/ID`.
        kept: String,
        /// The name in the configuration.
        target: String,
        /// The base URL.
        url: String,
        /// Who restored there, and who asks here.
        accounts: Box<[Account; 2]>,
    },
    /// Some objects were not taken back, and the others were.
    #[error("{} not as before the restore: {}; {} written", words::count(failed.len(), "object"), first_few(failed), words::count(*written, "other"))]
    UndoIncomplete {
        /// How many were written as they were to be.
        written: usize,
        /// Something was sent that the server has not turned away.
        touched: bool,
        /// Those that were not, and why.
        failed: Vec<String>,
    },
    /// The server as a whole gave up while a restore was taken back.
    #[error("Taking the restore back stopped {}", so_far(*written, *touched))]
    UndoStopped {
        /// How many certainly were.
        written: usize,
        /// Something may have been written.
        touched: bool,
        /// What went wrong.
        source: Box<GrafanaError>,
    },
    /// Whoever took a restore back told it to stop.
    #[error("Taking the restore back was told to stop {}", so_far(*written, *touched))]
    UndoCut {
        /// How many certainly were written.
        written: usize,
        /// Something may have been written.
        touched: bool,
    },
    /// A folder has no manifest in it, or there is nothing at all.
    #[error("There is no {} {}", if path.is_dir() { "backup in" } else { "file" }, path.display())]
    NoBackup {
        /// The folder, or what is not there.
        path: PathBuf,
    },
    /// A file of this host could not be written or read.
    #[error("Could not {doing} {}", path.display())]
    Place {
        /// A verb.
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// So many of those that failed are named; the log of the run has more.
const NAMED: usize = 5;

const AGAIN: &str = "run the restore again: it writes only what still differs";

/// What a person types to take back the newest restore of the Grafana that `command` restores to. Nothing else words it:
/// a command that leaves out the Grafana would be one of another Grafana.
pub fn undo_command(command: &str) -> String {
    format!("`{command} --undo`")
}

fn first_few(failed: &[String]) -> String {
    let first = failed[..NAMED.min(failed.len())].join("; ");
    match failed.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first}; and {} more", words::grouped(u64::try_from(more).unwrap_or_default())),
    }
}

/// How far it came.
fn so_far(written: usize, touched: bool) -> String {
    match (written, touched) {
        (0, false) => "before anything was written".to_owned(),
        (0, true) => "in the middle: whether its first object was written is not known".to_owned(),
        _ => format!(
            "in the middle, after {} {} written",
            words::count(written, "object"),
            if written == 1 { "was" } else { "were" }
        ),
    }
}

impl RestoreError {
    /// The same, where a restore is taken back: what is to be done next is something else.
    pub(super) fn of_undo(self) -> Self {
        match self {
            Self::Incomplete { written, touched, failed } => {
                Self::UndoIncomplete { written, touched, failed }
            }
            Self::Stopped { written, touched, source } => Self::UndoStopped { written, touched, source },
            Self::Cut { written, touched } => Self::UndoCut { written, touched },
            other => other,
        }
    }

    /// Something was written, and it is neither the old nor the new.
    pub fn data_not_back(&self) -> bool {
        matches!(
            self,
            Self::Incomplete { touched: true, .. }
                | Self::Stopped { touched: true, .. }
                | Self::Cut { touched: true, .. }
                | Self::UndoIncomplete { touched: true, .. }
                | Self::UndoStopped { touched: true, .. }
                | Self::UndoCut { touched: true, .. }
        )
    }

    /// Nothing was begun, as things are or because there is nothing to do it with.
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Secrets(_)
                | Self::OtherKind { .. }
                | Self::FitsNothing { .. }
                | Self::Refused { .. }
                | Self::Changed { .. }
                | Self::NothingToUndo { .. }
                | Self::AnotherServer { .. }
                | Self::AnotherDatabase { .. }
                | Self::NoBackup { .. }
        )
    }

    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Grafana(error) => error.is_transient(),
            Self::Stopped { source, .. } | Self::UndoStopped { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// Whoever ran it told it to stop.
    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::Cut { .. } | Self::UndoCut { .. } | Self::Grafana(GrafanaError::Cancelled))
    }

    /// What to do about it, where something may have been written. `command` is what a person types to restore to this
    /// Grafana: without it an undo could be one of another Grafana.
    pub fn hint_after(&self, command: &str) -> Option<String> {
        let undo = undo_command(command);
        let next = match self {
            Self::Incomplete { touched: true, .. } => format!(
                "{AGAIN}; {undo} takes it back; `--exclude TYPE/UID` leaves out what cannot be restored"
            ),
            Self::Stopped { touched: true, .. } | Self::Cut { touched: true, .. } => {
                format!("{AGAIN}; or {undo} takes it back")
            }
            Self::Stopped { .. } | Self::Cut { .. } => "run the restore again".to_owned(),
            Self::UndoIncomplete { .. } | Self::UndoCut { .. } | Self::UndoStopped { .. } => {
                format!("run {undo} again: it writes only what is not yet as it was")
            }
            _ => return self.hint(),
        };
        match self {
            Self::Stopped { source, .. } | Self::UndoStopped { source, .. } => match source.hint() {
                Some(hint) => Some(format!("{hint}; then {next}")),
                None => Some(next),
            },
            _ => Some(next),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Grafana(error) => return error.hint(),
            Self::Secrets(error) => return error.hint(),
            Self::OtherKind { .. } => "name a backup of a grafana-export job".to_owned(),
            Self::FitsNothing { near, .. } if near.is_empty() => {
                "`--dry-run` without it lists all that is in the backup".to_owned()
            }
            Self::FitsNothing { near, .. } => format!("did you mean {}?", near.join(", or ")),
            Self::Changed { .. } => "look at it again, with --dry-run, and restore then".to_owned(),
            Self::Incomplete { touched: false, .. } => {
                "nothing was written; what stands in the way is said above".to_owned()
            }
            Self::Incomplete { .. } | Self::Stopped { .. } | Self::Cut { .. } => AGAIN.to_owned(),
            Self::UndoIncomplete { .. } | Self::UndoCut { .. } | Self::UndoStopped { .. } => {
                "take the restore back again: it writes only what is not yet as it was".to_owned()
            }
            Self::DamagedKept { files, .. } => {
                let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
                format!(
                    "once {} {} moved away, --undo takes back the restore before that one; `watchkeeper backups` lists what else is kept",
                    files.join(", "),
                    if files.len() == 1 { "is" } else { "are" }
                )
            }
            Self::AnotherServer { kept, target, was, .. } => format!(
                "set url of [grafana.{target}] back to {was}; or, if it is the same Grafana at a new address, `watchkeeper restore {kept} --grafana {target} --dry-run` shows what bringing back its state of then would do"
            ),
            Self::AnotherDatabase { kept, target, .. } => format!(
                "what was there before belongs to that one; if it is to be here, too, `watchkeeper restore {kept} --grafana {target} --dry-run` shows what bringing it here would do"
            ),
            Self::NoBackup { .. } => "name its manifest, or its archive".to_owned(),
            Self::Forgotten { .. } => {
                "restore the export that shows what you want; `watchkeeper backups` lists all, those from before restores too"
                    .to_owned()
            }
            Self::Refused { .. } | Self::NothingToUndo { .. } | Self::Place { .. } => return None,
        })
    }
}

impl From<BundleError> for RestoreError {
    fn from(error: BundleError) -> Self {
        Self::Grafana(error.into())
    }
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        Self::Grafana(error.into())
    }
}

impl From<ArchiveError> for RestoreError {
    fn from(error: ArchiveError) -> Self {
        Self::Grafana(error.into())
    }
}

/// Before anything is written, a refusal of the server is one of the whole restore.
impl From<WriteError> for RestoreError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(refusal) | WriteError::Wrong(refusal) => Self::Refused { refusal },
            WriteError::Server(error) => error.into(),
        }
    }
}
