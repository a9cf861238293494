//! What is noted of a program while it runs on this host: another user may read that, and not its environment.
//!
//! A mark in an environment is seen by its owner and by root. Of a run of root's whose own process was killed the service
//! would see nothing, and begin the job a second time beside it. So whoever starts a program notes its process group, which
//! everybody can look for.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::marked::{self, Stat};
use super::user;
use crate::config::values::JobName;
use crate::regular;
use crate::state_dir;

/// The folder of the notes, in the `state_dir`.
const FOLDER: &str = "begun";

/// For which run of which job a program is run, and where that is noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noting {
    /// The program's own folder.
    pub state_dir: PathBuf,
    /// The job.
    pub job: JobName,
    /// The run.
    pub run: Ulid,
}

/// A program that a run has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The job.
    job: JobName,
    /// The run.
    pub run: Ulid,
    /// Its first process, which gives its group the number.
    group: i32,
    /// When that began, in ticks of the clock since the boot.
    began: u64,
    /// Which boot that was.
    boot: String,
}

/// A process that runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    /// Its number.
    pub pid: i32,
    /// Whose it is, by name where that is known.
    pub user: String,
    /// The run that has begun it.
    pub run: Ulid,
}

/// A note, until it is dropped.
pub(super) struct Note(PathBuf);

impl Drop for Note {
    fn drop(&mut self) {
        // What is left says nothing: its group is gone then.
        let _ = fs::remove_file(&self.0);
    }
}

impl Noting {
    /// Notes the group. Where that is not possible the run goes on without.
    pub(super) fn note(&self, group: i32) -> Option<Note> {
        let since = marked::stat(group)?.began;
        let noted = Begun { job: self.job.clone(), run: self.run, group, began: since, boot: boot()? };
        let folder = self.state_dir.join(FOLDER);
        let path = folder.join(format!("{}.json", self.run));
        let text = serde_json::to_vec(&noted).ok()?;
        let write = || -> std::io::Result<()> {
            state_dir::folder(&folder).map_err(std::io::Error::other)?;
            let file = state_dir::file(&path).map_err(std::io::Error::other)?;
            file.set_len(0)?;
            std::os::unix::fs::FileExt::write_all_at(&file, &text, 0)
        };
        let note = Note(path.clone());
        if let Err(error) = write() {
            tracing::debug!(%error, "what the run has begun is not noted");
            return None;
        }
        Some(note)
    }
}

/// What runs of the job have begun that is not known to have ended. For who has the job's lock.
pub fn begun(state_dir: &Path, job: &JobName) -> Vec<Begun> {
    let entries = fs::read_dir(state_dir.join(FOLDER)).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.path()) {
        let begun = regular::read(&path, regular::NOTE)
            .ok()
            .and_then(|text| serde_json::from_slice::<Begun>(&text).ok());
        let Some(begun) = begun.filter(|begun| begun.job == *job) else { continue };
        if begun.alive().is_some() {
            found.push(begun);
        } else {
            drop(Note(path));
        }
    }
    found
}

impl Begun {
    /// A process of it that lives.
    pub fn alive(&self) -> Option<Alive> {
        let first = marked::stat(self.group);
        let is_another = first.is_some_and(|first| first.began != self.began);
        if is_another || boot().as_ref() != Some(&self.boot) {
            return None;
        }
        let is_of_it = |stat: &Stat| stat.group == self.group && stat.began >= self.began && !stat.is_dead;
        let pid = marked::numbers().find(|pid| marked::stat(*pid).as_ref().is_some_and(is_of_it))?;
        let owner = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
        Some(Alive { pid, user: user::name(owner), run: self.run })
    }
}

fn boot() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_holds_while_its_group_lives_and_not_for_another_of_its_number() {
        use std::os::unix::process::CommandExt as _;
        let dir = tempfile::tempdir().unwrap();
        let job: JobName = "j".parse().unwrap();
        let noting = Noting { state_dir: dir.path().to_owned(), job: job.clone(), run: Ulid(1) };
        let mut child = std::process::Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        std::mem::forget(noting.note(pid).unwrap());
        let found = begun(dir.path(), &job);
        assert_eq!(found[0].alive().map(|alive| (alive.pid, alive.run)), Some((pid, Ulid(1))));
        assert_eq!(Begun { began: found[0].began + 1, ..found[0].clone() }.alive(), None);
        assert_eq!(Begun { boot: "another".into(), ..found[0].clone() }.alive(), None);
        assert!(begun(dir.path(), &"other".parse().unwrap()).is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(begun(dir.path(), &job).is_empty());
        assert_eq!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 0);
    }
}
