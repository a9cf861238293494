//! Whether the program can work in its own folders at all. They are only looked at, and nothing is made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::history::{self, History};
use crate::identity;
use crate::prometheus::preflight::Finding;
use crate::rights;
use crate::state_dir::StateDirError;
use crate::store::StoreError;
use crate::words;

/// By `state_dir PATH` and `backup_dir PATH`: why neither the daemon nor a job can begin as this user. Empty where they can.
pub fn unusable_folders(config: &Config) -> Vec<(String, Vec<Finding>)> {
    let (state, backups) = (&config.state_dir, &config.backup_dir);
    let of_state = look_at_state(state).map(|error| Finding::problem(words::chain(&error), error.hint()));
    let foreign = || History::must_not_be_foreign(state).err();
    let foreign = || foreign().map(|error| Finding::problem(words::chain(&error), error.hint()));
    let of_state = of_state.or_else(foreign);
    let of_backups = look_at_backups(backups).err();
    let of_backups = of_backups.map(|error| Finding::problem(words::chain(&error), error.hint()));
    let of_backups = another_store(config).or(of_backups);
    let found = [("state_dir", state, of_state), ("backup_dir", backups, of_backups)];
    let told = |(name, path, finding): (&str, &PathBuf, Option<Finding>)| {
        Some((format!("{name} {}", path.display()), vec![finding?]))
    };
    found.into_iter().filter_map(told).collect()
}

/// It is made with what it lies in; what is in it is read and written.
fn look_at_state(folder: &Path) -> Option<StateDirError> {
    let unmade = |source| StateDirError::Folder { path: folder.to_owned(), source };
    match rights::foreign_link(folder) {
        Ok(None) => {}
        Ok(Some(link)) => return Some(StateDirError::ForeignLink { path: folder.to_owned(), link }),
        Err(error) => return Some(unmade(error)),
    }
    let unopened = |path: &Path, source| StateDirError::File { path: path.to_owned(), source };
    match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = folder.ancestors().skip(1).find(|above| above.exists())?;
            return rights::may_write(above).err().map(unmade);
        }
        Err(error) => return Some(unmade(error)),
        Ok(found) if !found.is_dir() => return Some(unmade(io::ErrorKind::NotADirectory.into())),
        Ok(_) => {}
    }
    // SQLite makes files beside the history.
    if let Err(source) = rights::may_write(folder) {
        return Some(unopened(folder, source));
    }
    own_files(folder).find_map(|path| {
        let denied = rights::may_read(&path).and_then(|()| rights::may_write(&path)).err()?;
        (denied.kind() != io::ErrorKind::NotFound).then(|| unopened(&path, denied))
    })
}

/// The history with what SQLite keeps beside it, and the locks.
fn own_files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let history = ["", "-wal", "-shm"].map(|end| folder.join(format!("{}{end}", history::FILE)));
    let locks = folder.join("locks");
    let each = fs::read_dir(&locks).into_iter().flatten().flatten().map(|entry| entry.path());
    history.into_iter().chain([locks]).chain(each)
}

/// The one that backups were made in is away.
fn another_store(config: &Config) -> Option<Finding> {
    let error = identity::check(config).err()?;
    Some(Finding::problem(words::chain(&error), error.hint()))
}

/// Only the folder itself is made.
fn look_at_backups(folder: &Path) -> Result<(), StoreError> {
    let unusable = |problem| StoreError::Unusable { path: folder.to_owned(), problem };
    let unmade =
        |source| StoreError::Io { doing: "create the backup folder", path: folder.to_owned(), source };
    if let Some(link) = rights::foreign_link(folder).map_err(unmade)? {
        return Err(StoreError::ForeignLink { path: folder.to_owned(), link });
    }
    match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match folder.parent() {
            Some(above) if above.exists() => rights::may_write(above).map_err(unmade),
            _ => Err(unusable("the folder it should lie in does not exist")),
        },
        Err(error) if error.kind() != io::ErrorKind::NotADirectory => Err(unmade(error)),
        Ok(found) if found.is_dir() => {
            let denied = |_| unusable("this user may not write to it, or it is mounted read-only");
            rights::may_read(folder).and_then(|()| rights::may_write(folder)).map_err(denied)
        }
        Ok(_) | Err(_) => Err(unusable("it is not a folder")),
    }
}
