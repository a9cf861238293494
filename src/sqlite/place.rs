//! Where a database lies, and how it is reached: on this host, through what is mounted into its container, or only
//! inside it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::SqliteError;
use crate::docker::{Container, Docker, DockerError, MountKind};

/// A file that is in use changes between two looks at it: so often they are made.
const LOOKS: usize = 20;

/// So many links are followed, as the kernel does.
const LINKS: usize = 40;

/// Where a database is reached.
#[derive(Debug, Clone)]
pub enum Place {
    /// By a path on this host.
    Host {
        /// The file itself, without symbolic links.
        path: PathBuf,
    },
    /// Only by what runs in its container.
    Inside {
        /// The engine.
        docker: Docker,
        /// The container.
        container: String,
        /// The path in there.
        path: String,
        /// Where it lies on this host, where only this user may not go there: others, such as root, use it by that path.
        closed: Option<PathBuf>,
    },
}

impl Place {
    /// By which path on this host somebody may use it.
    pub fn on_host(&self) -> Option<&Path> {
        match self {
            Self::Host { path } => Some(path),
            Self::Inside { closed, .. } => closed.as_deref(),
        }
    }
}

/// A database and where it is.
#[derive(Debug, Clone)]
pub struct Database {
    /// The path as its application sees it.
    pub shown: String,
    /// The container it is in, if it is in one.
    pub container: Option<String>,
    /// The image of that.
    pub image: Option<String>,
    /// Where it is reached.
    pub place: Place,
}

impl std::fmt::Display for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.container {
            Some(container) => write!(f, "{} in container {container}", self.shown),
            None => f.write_str(&self.shown),
        }
    }
}

impl Database {
    /// A database of this host. Where there is none its folder must be there: a restore brings it back.
    pub fn on_host(path: &Path) -> Result<Self, SqliteError> {
        let real = real(path)?;
        let shown = path.display().to_string();
        Ok(Self { shown, container: None, image: None, place: Place::Host { path: real } })
    }

    /// A database in a container. It may be missing there.
    pub async fn in_container(docker: &Docker, name: &str, path: &Path) -> Result<Self, SqliteError> {
        let container = docker.container(name).await?;
        let shown = path.display().to_string();
        let place = match on_this_host(docker, &container, &shown).await? {
            Some(path) => Place::Host { path },
            None => Place::Inside {
                docker: docker.clone(),
                container: name.to_owned(),
                path: shown.clone(),
                closed: closed(docker, &container, &shown),
            },
        };
        let image = Some(container.info().image.clone());
        Ok(Self { shown, container: Some(name.to_owned()), image, place })
    }
}

/// The path without symbolic links. There may be no file: then it is where the last link leads, or where the path itself
/// says.
fn real(path: &Path) -> Result<PathBuf, SqliteError> {
    if let Ok(real) = std::fs::canonicalize(path) {
        return Ok(real);
    }
    let missing = || SqliteError::Missing { path: path.to_owned() };
    let end = end_of_links(path);
    // It is there, and cannot be reached: a ring of links, or a folder that is closed to us.
    if std::fs::symlink_metadata(&end).is_ok() {
        return Err(missing());
    }
    let (Some(folder), Some(name)) = (end.parent(), end.file_name()) else { return Err(missing()) };
    match std::fs::canonicalize(folder) {
        Ok(folder) => Ok(folder.join(name)),
        Err(_) if end == path => Err(missing()),
        Err(_) => Err(SqliteError::LeadsNowhere { path: path.to_owned(), target: end }),
    }
}

/// Where the links lead that stand at the end of a path, one after the other.
fn end_of_links(path: &Path) -> PathBuf {
    let mut end = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = std::fs::read_link(&end) else { break };
        end = end.parent().unwrap_or(Path::new("/")).join(target);
    }
    end
}

/// Where the database lies here, if SQLite here and SQLite there would use the very same files and locks.
async fn on_this_host(
    docker: &Docker,
    container: &Container,
    path: &str,
) -> Result<Option<PathBuf>, SqliteError> {
    let Some(mount) = container.info().mount_of(path) else { return Ok(None) };
    if matches!(mount.kind, MountKind::Other(_)) || !docker.is_local() {
        return Ok(None);
    }
    let inside = Path::new(path).strip_prefix(&mount.destination).unwrap_or(Path::new(""));
    // The file alone is mounted: what SQLite keeps beside it is in the container's own layer, and not here.
    if inside.as_os_str().is_empty() {
        return Ok(None);
    }
    let (source, here) = (Path::new(&mount.source), Path::new(&mount.source).join(inside));
    // A symbolic link means something else in there.
    let plain = std::fs::canonicalize(source).ok().map(|source| source.join(inside));
    let Some(real) = real(&here).ok().filter(|real| Some(real) == plain.as_ref()) else { return Ok(None) };
    Ok(is_same(container, path, &real).await?.then_some(real))
}

/// Where the database lies on this host, where this user may not go there: a volume of Docker's is only root's.
fn closed(docker: &Docker, container: &Container, path: &str) -> Option<PathBuf> {
    let mount = container.info().mount_of(path)?;
    let inside = Path::new(path).strip_prefix(&mount.destination).ok()?;
    if matches!(mount.kind, MountKind::Other(_)) || !docker.is_local() || inside.as_os_str().is_empty() {
        return None;
    }
    let here = Path::new(&mount.source).join(inside);
    let error = std::fs::metadata(&here).err()?;
    (error.kind() == std::io::ErrorKind::PermissionDenied).then_some(here)
}

/// What lies here is what the container sees: the engine may run in a virtual machine, or this process in a container,
/// where the same path is something else.
async fn is_same(container: &Container, path: &str, here: &Path) -> Result<bool, SqliteError> {
    for _ in 0..LOOKS {
        let before = modified(here);
        let there = match container.stat(path).await {
            Ok(stat) => stat.modified.and_then(|text| text.parse::<Timestamp>().ok()),
            // There is none: then the folders are compared.
            Err(DockerError::NoPath { .. }) => return is_same_folder(container, path, here).await,
            Err(other) => return Err(other.into()),
        };
        let after = modified(here);
        if there.is_some() && (there == before || there == after) {
            return Ok(true);
        }
        // It moved between the looks: that says nothing.
        if before == after {
            return Ok(false);
        }
    }
    Ok(false)
}

async fn is_same_folder(container: &Container, path: &str, here: &Path) -> Result<bool, SqliteError> {
    let (Some(there), Some(here)) = (Path::new(path).parent().and_then(Path::to_str), here.parent()) else {
        return Ok(false);
    };
    match container.stat(there).await {
        Ok(stat) => {
            let modified_there = stat.modified.and_then(|text| text.parse::<Timestamp>().ok());
            Ok(modified_there.is_some() && modified_there == modified(here))
        }
        Err(DockerError::NoPath { .. }) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

fn modified(path: &Path) -> Option<Timestamp> {
    let meta = std::fs::metadata(path).ok()?;
    Timestamp::new(meta.mtime(), i32::try_from(meta.mtime_nsec()).ok()?).ok()
}
