//! The note of what a recovery has told to stop and not started again yet, so that what one that was killed has left is
//! found: written before each stop and after each start.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::Part;
use crate::blocking::blocking;
use crate::config::values::JobName;
use crate::docker::DockerError;
use crate::jobs::RunContext;
use crate::service::{Service, ServiceError, ServiceState};
use crate::store::{atomic, owner};
use crate::{regular, state_dir, words};

/// The folder of the notes, in the `state_dir`.
const FOLDER: &str = "recoveries";
/// What an engine or systemd may take beyond the time that a part has to stop: they kill it then, and that takes a moment.
const KILL_GRACE: Duration = Duration::from_secs(20);

/// What the recoveries of a target have stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What was to be brought back: `application/app`.
    pub target: String,
    /// The name that its recoveries have in the history.
    pub job: JobName,
    /// The last of them has ended by itself and has told what it left stopped, and why: nobody starts that in its place.
    pub has_ended: bool,
    /// In the order in which they were told to stop.
    pub stopped: Vec<Stopped>,
}

/// A part that was told to stop, and not started since by whoever stopped it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// As messages name it: `application/app`, or `container db`.
    pub part: String,
    /// The run that stopped it.
    pub run: Ulid,
    /// When.
    pub at: Timestamp,
    /// How long it may take until it is killed.
    pub patience_seconds: u64,
    /// Its container, where it is one. Else it is the target of that name.
    pub container: Option<StoppedContainer>,
}

/// A container that was told to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedContainer {
    /// Its name.
    pub name: String,
    /// Its ID: another one of the same name is not it.
    pub id: String,
    /// When it had been started. One that was started since was not stopped by that run.
    pub started: Option<Timestamp>,
}

/// What has become of a part that was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is as it was left.
    Down,
    /// It runs, and may still be about to end: whoever was told to stop it goes on when the run is killed.
    Ending,
    /// Somebody has started or removed it.
    Settled,
    /// That cannot be told, and why.
    Unknown(String),
}

impl Stopped {
    /// Whether it is this part.
    pub fn is(&self, part: &Part) -> bool {
        match (&self.container, &part.service) {
            (Some(container), Service::Container { name, .. }) => container.name == *name,
            (None, Service::Container { .. }) | (Some(_), _) => false,
            (None, _) => self.part == part.name,
        }
    }

    /// What has become of it, by what it runs as: a container by its ID.
    pub async fn fate(&self, service: &Service, now: Timestamp) -> Fate {
        match self.state(service).await {
            Ok(Some(ServiceState::Stopped)) => Fate::Down,
            Ok(Some(ServiceState::Unknown)) => Fate::Unknown("whether it runs cannot be told".to_owned()),
            Ok(Some(ServiceState::Running | ServiceState::Restarting)) if self.may_end(now) => Fate::Ending,
            Ok(Some(ServiceState::Running | ServiceState::Restarting) | None) => Fate::Settled,
            Err(error) => Fate::Unknown(words::chain(&error)),
        }
    }

    /// Nothing where it is gone, or was started since.
    async fn state(&self, service: &Service) -> Result<Option<ServiceState>, ServiceError> {
        if let (Service::Container { docker, name }, Some(stopped)) = (service, &self.container) {
            match docker.container(name).await {
                Ok(found) if found.info().started != stopped.started => return Ok(None),
                Err(DockerError::NoContainer { .. }) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
        }
        service.state().await.map(Some)
    }

    fn may_end(&self, now: Timestamp) -> bool {
        let patience = Duration::from_secs(self.patience_seconds).saturating_add(KILL_GRACE);
        now.duration_since(self.at).unsigned_abs() < patience
    }
}

/// Where the note of a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// That of the target whose recoveries have this name.
    pub fn of(state_dir: &Path, job: &JobName) -> Self {
        Self { path: state_dir.join(FOLDER).join(format!("{job}.json")) }
    }

    /// Every one that there is.
    pub fn all(state_dir: &Path) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(state_dir.join(FOLDER)) else { return Vec::new() };
        let is_note = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
        let mut all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_note).collect();
        all.sort();
        all.into_iter().map(|path| Self { path }).collect()
    }

    /// The note; nothing where all that was stopped was started again.
    pub fn read(&self) -> io::Result<Option<Note>> {
        match regular::read(&self.path, regular::LARGE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => Ok(Some(serde_json::from_slice(&bytes?)?)),
        }
    }

    /// Writes it, or removes it where nothing is stopped; it is on disk then.
    pub fn write(&self, note: &Note) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        if note.stopped.is_empty() {
            return if atomic::remove_alone(&self.path)? { atomic::sync_folder(folder) } else { Ok(()) };
        }
        state_dir::folder(folder).map_err(state_dir::StateDirError::into_io)?;
        atomic::replace_alone(&self.path, &serde_json::to_vec_pretty(note)?, owner::FILE_MODE)
    }
}

/// The note of a recovery that is under way.
#[derive(Debug)]
pub struct Ledger {
    journal: Journal,
    note: Note,
    clock: fn() -> Timestamp,
}

impl Ledger {
    /// Goes on with what is noted of earlier ones.
    pub fn new(journal: Journal, note: Note, clock: fn() -> Timestamp) -> Self {
        Self { journal, note: Note { has_ended: false, ..note }, clock }
    }

    /// It is about to be told to stop. What does not run is not stopped by anybody.
    pub(super) async fn stops(&mut self, part: &Part, patience: Duration, context: &RunContext) {
        if !part.ran {
            return;
        }
        let container = match &part.service {
            Service::Container { docker, name } => match docker.container(name).await {
                Ok(found) => Some(StoppedContainer {
                    name: name.clone(),
                    id: found.info().id.clone(),
                    started: found.info().started,
                }),
                // It cannot be told to stop either.
                Err(_) => return,
            },
            _ => None,
        };
        let (part_name, patience_seconds) = (part.name.clone(), patience.as_secs());
        let (run, at) = (context.run, (self.clock)());
        self.note.stopped.retain(|stopped| !stopped.is(part));
        self.note.stopped.push(Stopped { part: part_name, run, at, patience_seconds, container });
        self.write(context).await;
    }

    /// It runs again.
    pub(super) async fn started(&mut self, part: &Part, context: &RunContext) {
        let before = self.note.stopped.len();
        self.note.stopped.retain(|stopped| !stopped.is(part));
        if self.note.stopped.len() < before {
            self.write(context).await;
        }
    }

    /// The recovery ends by itself, and tells what is not back.
    pub(super) async fn ended(&mut self, context: &RunContext) {
        if !self.note.stopped.is_empty() {
            self.note.has_ended = true;
            self.write(context).await;
        }
    }

    /// A disk that is full may be why all is down: that keeps nobody from bringing it back.
    async fn write(&self, context: &RunContext) {
        let (journal, note) = (self.journal.clone(), self.note.clone());
        if let Err(error) = blocking(move || journal.write(&note)).await {
            context.progress.warn(format!(
                "{} cannot be written, so that nobody would know what was stopped if this were killed: {}",
                self.journal.path.display(),
                words::chain(&error)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_is_gone_when_nothing_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let job: JobName = "recover-application-app".parse().unwrap();
        let journal = Journal::of(dir.path(), &job);
        assert_eq!((journal.read().unwrap(), Journal::all(dir.path())), (None, Vec::new()));
        let started = Some("2026-11-26T16:00:00.123456789Z".parse().unwrap());
        let stopped = Stopped {
            part: "application/app".to_owned(),
            run: Ulid::from_parts(1, 2),
            at: Timestamp::UNIX_EPOCH,
            patience_seconds: 10,
            container: Some(StoppedContainer { name: "app".into(), id: "ab".into(), started }),
        };
        let target = "application/app".to_owned();
        let mut note = Note { target, job, has_ended: false, stopped: vec![stopped] };
        journal.write(&note).unwrap();
        assert_eq!(journal.read().unwrap().as_ref(), Some(&note));
        assert_eq!(Journal::all(dir.path()), std::slice::from_ref(&journal));
        note.stopped.clear();
        journal.write(&note).unwrap();
        assert_eq!((journal.read().unwrap(), Journal::all(dir.path())), (None, Vec::new()));
        journal.write(&note).unwrap();
    }
}
