//! The metrics in a file for the textfile collector of node_exporter, which finds all of the old or all of the new in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::blocking::blocking;
use crate::config::Config;
use crate::history::History;
use crate::prometheus::preflight::Finding;
use crate::report::metrics::{Family, Periods, Shown, classic, families};
use crate::rights;
use crate::runner::{Lock, Locks};
use crate::standing::{Listings, Standing, StateStanding, View};
use crate::store::{Store, atomic};
use crate::words;

/// node_exporter is another user.
const MODE: u32 = 0o644;

/// The metrics cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("Cannot write the metrics to {}", path.display())]
pub struct TextfileError {
    path: PathBuf,
    source: io::Error,
}

impl TextfileError {
    /// Whether trying again may help: somebody has to make the folder, or to give the right.
    pub fn is_transient(&self) -> bool {
        false
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        hint(&self.source, folder(&self.path))
    }
}

fn hint(error: &io::Error, folder: &Path) -> Option<String> {
    let shown = folder.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Some(format!("make the folder {shown} for whom runs this, and have node_exporter read it"))
        }
        _ => rights::hint(error, &shown.to_string()),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Why the file that the configuration names could not be written by this user; nothing is written.
pub fn lacks_of_textfile(config: &Config) -> Option<Finding> {
    let path = config.metrics.textfile.as_deref()?;
    let folder = folder(path);
    let usable = match fs::metadata(folder) {
        Ok(found) if found.is_dir() => rights::may_write(folder),
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        Err(error) => Err(error),
    };
    let error = usable.err()?;
    let text =
        format!("this user may not write to the folder {}: {}", folder.display(), words::chain(&error));
    let text = if error.kind() == io::ErrorKind::NotFound {
        format!("there is no folder {}", folder.display())
    } else {
        text
    };
    Some(Finding::problem(text, hint(&error, folder)))
}

fn write(path: &Path, families: &[Family]) -> Result<(), TextfileError> {
    atomic::replace(path, classic(families).as_bytes(), MODE)
        .map_err(|source| TextfileError { path: path.to_owned(), source })
}

/// Writes the file where the configuration names one and no daemon runs, which would write it itself. Whoever has changed how
/// something stands calls this.
pub fn write_textfile(
    config: &Config,
    history: Option<&History>,
    store: Option<&Store>,
    now: Timestamp,
) -> Result<(), TextfileError> {
    let Some(path) = &config.metrics.textfile else { return Ok(()) };
    if Locks::new(&config.state_dir).is_held(&Lock::Daemon) {
        return Ok(());
    }
    let view = View { config, history, store, now };
    let (standing, state) = (Standing::of(view, &mut Listings::default()), StateStanding::of(view));
    let standing = standing.inspect_err(|error| {
        tracing::warn!(error = words::chain(error), "how the jobs stand is not in the metrics");
    });
    let (periods, standing) = (Periods::of(config, now), standing.ok());
    let standing = standing.as_ref();
    let (periods, state) = (&periods, &state);
    let shown = Shown { config, periods, standing, state, at: now, is_running: false, daemon: None };
    write(path, &families(shown))
}

/// The file of a daemon, which may be told another one.
#[derive(Debug, Default)]
pub(super) struct Textfile {
    path: Option<PathBuf>,
    /// What was told of it.
    told: Option<String>,
}

impl Textfile {
    /// Goes on with this one. The one before would say for ever what was so once: it is removed.
    pub(super) async fn keep_to(&mut self, path: Option<PathBuf>) {
        if self.path == path {
            return;
        }
        self.told = None;
        let Some(old) = std::mem::replace(&mut self.path, path) else { return };
        let gone = old.clone();
        match blocking(move || atomic::remove_if_there(&gone)).await {
            Ok(_) => tracing::info!("no metrics are written to {} any more: it was removed", old.display()),
            Err(error) => {
                tracing::warn!(error = words::chain(&error), "{} has old metrics: remove it", old.display());
            }
        }
    }

    /// Writes it. What goes wrong is told once, and again when it is something else.
    pub(super) async fn write(&mut self, families: Arc<Vec<Family>>) {
        let Some(path) = self.path.clone() else { return };
        let shown = path.display().to_string();
        match blocking(move || write(&path, &families)).await {
            Ok(()) if self.told.take().is_some() => {
                tracing::info!("the metrics are written to {shown} again");
            }

            Ok(()) => {}
            Err(error) => {
                let text = words::chain(&error);
                if self.told.as_ref() != Some(&text) {
                    tracing::error!(
                        hint = error.hint().unwrap_or_default(),
                        "{text}: what the file says is OLD"
                    );
                }
                self.told = Some(text);
            }
        }
    }
}
