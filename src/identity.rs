//! Whether what lies at `backup_dir` is the store that backups were made in.
//!
//! Where the disk of the backups is not mounted, its mount point is an empty folder like that of a program that has not run
//! yet. So the store has an ID at its top, `state_dir` notes it, and from then on only that store is written to. Whoever only
//! looks, and may not read the note, is told nothing: it says that something is wrong, and not that all is well.

mod away;

use std::io;
use std::path::{Path, PathBuf};

pub use away::{Away, Seen};

use crate::config::Config;
use crate::history::History;
use crate::regular;
use crate::store::{Store, StoreError, StoreId, atomic, owner};
use crate::words;

/// The file in `state_dir` that has the ID of the store.
const NOTE: &str = "store-id";
/// It has one line, and nothing that is longer is one.
const LONGEST: u64 = 4096;

/// The store of a configuration, and what is known of it.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    config: &'a Config,
    /// Knows which backups were made; nothing where nobody does.
    history: Option<&'a History>,
}

/// The store is not there, or it cannot be said which it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Another store, or none, is in its place.
    #[error("{0}")]
    Away(Away),
    /// The store cannot be used at all.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What `state_dir` notes of it cannot be read.
    #[error("The note {} of which store is the right one cannot be used: {problem}", path.display())]
    Note {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
}

impl IdentityError {
    /// The same attempt may succeed later: disks are mounted late.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Store(error) => error.is_transient(),
            Self::Note { .. } => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Away(away) => Some(away.hint()),
            Self::Store(error) => error.hint(),
            Self::Note { path, .. } => Some(format!(
                "if the right store is there now, `rm {}`: the next run notes it anew",
                path.display()
            )),
        }
    }

    /// With what to do about it, in one line.
    pub fn told(&self) -> String {
        let hint = self.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{}{hint}", words::chain(self))
    }
}

/// As [`Identity::check`], for who has no history open: it is opened only where it has to be asked.
pub fn check(config: &Config) -> Result<(), IdentityError> {
    Identity::of(config, None).check().or_else(|error| {
        let history = History::open_existing(&config.state_dir).ok().flatten();
        history.map_or(Err(error), |history| Identity::of(config, Some(&history)).check())
    })
}

impl<'a> Identity<'a> {
    /// That of the `backup_dir` of a configuration.
    pub fn of(config: &'a Config, history: Option<&'a History>) -> Self {
        Self { config, history }
    }

    /// Fails where another store, or none, is in the place of the one that is noted. Nothing is written, and what may not be
    /// read says nothing.
    pub fn check(self) -> Result<(), IdentityError> {
        let Some(noted) = self.noted_as_far_as_is_seen()? else { return Ok(()) };
        let found = match Store::id_at(self.root()) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(());
            }
            found => found?,
        };
        match found {
            Some(found) if found == noted => Ok(()),
            None if self.has_all_that_is_known() => Ok(()),
            found => Err(IdentityError::Away(self.away(noted, found))),
        }
    }

    /// The same before the store is written to, which is marked and noted where nobody has done that yet. Says what somebody
    /// should know.
    pub fn claim(self) -> Result<Option<String>, IdentityError> {
        let Some(noted) = self.noted()? else { return self.first_claim() };
        // To open it would make it anew.
        if !self.root().exists() {
            return Err(IdentityError::Away(self.away(noted, None)));
        }
        let store = Store::open(self.root())?;
        match Store::id_at(self.root())? {
            Some(found) if found == noted => Ok(None),
            None if self.has_all_that_is_known() => self.marked_anew(&store, noted),
            found => Err(IdentityError::Away(self.away(noted, found))),
        }
    }

    /// Nothing is noted: it is a new host, or a new store, or both are older than this.
    fn first_claim(self) -> Result<Option<String>, IdentityError> {
        let store = Store::open(self.root())?;
        let found = Store::id_at(self.root())?;
        let lacks = if found.is_none() { self.lacks_all_that_is_known() } else { None };
        let path = self.note();
        let noted = store.mark(StoreId::generate(), |id| {
            atomic::replace_alone(&path, id.line().as_bytes(), owner::FILE_MODE)
        })?;
        let unnoted = noted.err().map(|error| {
            let (path, why) = (path.display(), words::chain(&error));
            format!("{path} could not be written ({why}): until it can, nobody notices when another store is in the place of this one")
        });
        Ok(lacks.or(unnoted))
    }

    /// A copy that somebody has made of the store may lack the file, and is the store all the same.
    fn marked_anew(self, store: &Store, noted: StoreId) -> Result<Option<String>, IdentityError> {
        let found = store.mark(noted, |id| id)?;
        if found != noted {
            return Err(IdentityError::Away(self.away(noted, Some(found))));
        }
        let marker = Store::marker(self.root());
        let told = "was not there and was written anew: the newest backups that are known are in this folder";
        Ok(Some(format!("{} {told}", marker.display())))
    }

    fn root(self) -> &'a Path {
        &self.config.backup_dir
    }

    fn note(self) -> PathBuf {
        self.config.state_dir.join(NOTE)
    }

    /// The ID that is noted.
    fn noted(self) -> Result<Option<StoreId>, IdentityError> {
        let path = self.note();
        let unusable = |problem: String| IdentityError::Note { path: path.clone(), problem };
        match regular::read(&path, LONGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(words::chain(&error))),
            Ok(bytes) => StoreId::of_line(&bytes).map(Some).map_err(|error| unusable(error.to_string())),
        }
    }

    /// The same for whoever need not be the one whose note it is.
    fn noted_as_far_as_is_seen(self) -> Result<Option<StoreId>, IdentityError> {
        match std::fs::symlink_metadata(self.note()) {
            Err(_) => Ok(None),
            Ok(_) if crate::rights::may_read(&self.note()).is_err() => Ok(None),
            Ok(_) => self.noted(),
        }
    }

    fn away(self, expected: StoreId, found: Option<StoreId>) -> Away {
        let (backup_dir, note) = (self.root().to_owned(), self.note());
        let seen = found.map_or_else(|| Seen::at(self.root()), Seen::Other);
        Away { backup_dir, note, expected, seen }
    }

    /// Of each job whether the newest backup that the history knows of is there; nothing of those that it knows of none.
    fn newest_are_there(self) -> Vec<bool> {
        let store = Store::absent(self.root());
        let is_there = |job| {
            let newest = self.history?.newest_backup(job).ok()??;
            Some(store.job(job).get(&newest).is_ok())
        };
        self.config.jobs.iter().filter_map(|job| is_there(&job.name)).collect()
    }

    fn has_all_that_is_known(self) -> bool {
        let newest = self.newest_are_there();
        !newest.is_empty() && newest.iter().all(|is_there| *is_there)
    }

    fn lacks_all_that_is_known(self) -> Option<String> {
        let newest = self.newest_are_there();
        if newest.is_empty() || newest.contains(&true) {
            return None;
        }
        let root = self.root().display();
        Some(format!(
            "no backup of before is in {root}, although the history knows of some: if a disk is to be mounted there, mount it \
             and `rm {}`",
            self.note().display()
        ))
    }
}
