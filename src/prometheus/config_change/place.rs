//! A file that a Prometheus reads, and how it is written so that the server sees it.
//!
//! On this host it gets its name by a rename. A file that is mounted into a container by itself keeps its inode: after a
//! rename the container would go on with the old one. What lies in a container alone goes there through the Docker engine.
//! Through which of these the file is reached is not believed before the container shows the same bytes.

mod here;
mod inside;

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use here::{look_here, read_here};
use inside::Inside;

use super::error::ChangeError;
use crate::blocking::blocking;
use crate::docker::{Container, Docker, DockerError, MountKind};
use crate::store::atomic;

/// How long the engine may send or take nothing.
const IDLE: Duration = Duration::from_mins(1);
/// No configuration comes near it.
const LARGEST: u64 = 16 << 20;

/// A file, or where one may be.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its path as the server sees it.
    pub(super) seen: String,
    way: Way,
    inside: Option<Inside>,
    /// Beside which file of this host it is written first, where not beside itself.
    staged: Option<PathBuf>,
}

/// How it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// On this host, by a rename.
    Rename(PathBuf),
    /// On this host, into the file that is there.
    InPlace(PathBuf),
    /// Through the Docker engine.
    Docker,
}

/// What a file holds, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) owner: Owner,
}

/// Whose a file is, and who may do what with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Owner {
    /// Root's, and everybody reads it.
    pub(super) const PUBLIC: Self = Self { uid: 0, gid: 0, mode: 0o644 };
}

impl Place {
    /// A file on this host. Where the name is a link, the file it leads to.
    pub(super) fn on_host(seen: &str) -> Self {
        let path = fs::canonicalize(seen).unwrap_or_else(|_| PathBuf::from(seen));
        Self { seen: seen.to_owned(), way: Way::Rename(path), inside: None, staged: None }
    }

    /// A file that a container sees.
    pub(super) async fn in_container(docker: &Docker, name: &str, seen: &str) -> Result<Self, ChangeError> {
        let container = docker.container(name).await?;
        let path = match container.stat(seen).await {
            Ok(stat) => stat.leads_to.unwrap_or_else(|| seen.to_owned()),
            Err(DockerError::NoPath { .. }) => seen.to_owned(),
            Err(error) => return Err(error.into()),
        };
        let way = way(docker, &container, &path).await?;
        let inside = Inside { docker: docker.clone(), container: name.to_owned(), path };
        Ok(Self { seen: seen.to_owned(), way, inside: Some(inside), staged: None })
    }

    /// Another file in the same folder, reached in the same way. Beside one that is mounted by itself, the container does
    /// not see it.
    pub(super) fn beside(&self, name: &str) -> Self {
        let there = |path: &Path| path.with_file_name(name);
        let text = |path: &str| there(Path::new(path)).to_string_lossy().into_owned();
        let inside = self.inside.as_ref().map(|inside| Inside { path: text(&inside.path), ..inside.clone() });
        let (seen, way, inside) = match &self.way {
            Way::Rename(path) => (text(&self.seen), Way::Rename(there(path)), inside),
            Way::InPlace(path) => {
                let path = there(path);
                (path.to_string_lossy().into_owned(), Way::Rename(path), None)
            }
            Way::Docker => (text(&self.seen), Way::Docker, inside),
        };
        Self { seen, way, inside, staged: None }
    }

    /// The same, written first where `is_loaded` says that the server does not load it from: beside itself, in the folder
    /// above, or in that of `other`.
    pub(super) fn staged(self, other: &Self, is_loaded: impl Fn(&str) -> bool) -> Self {
        let staged = self.stage(other, is_loaded);
        Self { staged, ..self }
    }

    fn stage(&self, other: &Self, is_loaded: impl Fn(&str) -> bool) -> Option<PathBuf> {
        let Way::Rename(path) = &self.way else { return None };
        let (folder, name) = (path.parent()?, path.file_name()?);
        let first = atomic::beside(path);
        let is_free = |folder: Option<&Path>| {
            let first = first.file_name().unwrap_or_default();
            folder.is_some_and(|folder| !is_loaded(&folder.join(first).to_string_lossy()))
        };
        let (seen, seen_other) = (Path::new(&self.seen), Path::new(&other.seen));
        if is_free(seen.parent()) && is_free(Some(folder)) {
            return None;
        }
        let above = folder.parent().filter(|_| is_free(seen.parent().and_then(Path::parent)));
        let of_other = other.here().and_then(Path::parent).filter(|_| is_free(seen_other.parent()));
        let mut places = [above, of_other].into_iter().flatten();
        let found = places.find(|place| is_free(Some(place)) && here::are_on_one_device(place, folder));
        found.map(|place| place.join(name))
    }

    /// What a write that was cut leaves on this host.
    pub(super) fn temporary(&self) -> Option<PathBuf> {
        let Way::Rename(path) = &self.way else { return None };
        Some(atomic::beside(self.staged.as_ref().unwrap_or(path)))
    }

    /// When it was last changed, in seconds since 1970, where that can be told.
    pub(super) async fn changed_at(&self) -> Option<f64> {
        if let Some(path) = self.here() {
            return here::changed_at(path);
        }
        let inside = self.inside.as_ref()?;
        let container = inside.docker.container(&inside.container).await.ok()?;
        let modified: Timestamp = container.stat(&inside.path).await.ok()?.modified?.parse().ok()?;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds are enough")]
        Some(modified.as_millisecond() as f64 / 1000.0)
    }

    /// The folder that it is in is there.
    pub(super) async fn has_folder(&self) -> Result<bool, ChangeError> {
        match (self.here(), &self.inside) {
            (Some(path), _) => Ok(path.parent().is_some_and(Path::is_dir)),
            (None, Some(inside)) => inside.has_folder().await,
            (None, None) => Ok(false),
        }
    }

    /// It could be taken away again.
    pub(super) async fn is_removable(&self) -> bool {
        match (self.here(), &self.inside) {
            (None, Some(inside)) => inside.has_rm().await,
            _ => true,
        }
    }

    /// Where it is on this host, where it is there.
    pub(super) fn here(&self) -> Option<&Path> {
        match &self.way {
            Way::Rename(path) | Way::InPlace(path) => Some(path),
            Way::Docker => None,
        }
    }

    /// How it is written, as a person reads it.
    pub(super) const fn how(&self) -> &'static str {
        match self.way {
            Way::Rename(_) => "by a rename on this host",
            Way::InPlace(_) => "into the file on this host that is mounted into the container",
            Way::Docker => "into the container, through Docker",
        }
    }

    /// Where it is, as a person finds it: `PATH` on this host, or `CONTAINER:PATH` as `docker cp` takes it.
    pub(super) fn shown(&self) -> String {
        match (self.here(), &self.inside) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(inside)) => format!("{}:{}", inside.container, inside.path),
            (None, None) => self.seen.clone(),
        }
    }

    /// What is in it; nothing where it is not there.
    pub(super) async fn read(&self) -> Result<Option<Held>, ChangeError> {
        match (&self.way, &self.inside) {
            (Way::Rename(path) | Way::InPlace(path), _) => {
                let (path, failed) = (path.clone(), self.failed("read"));
                blocking(move || read_here(&path)).await.map_err(failed)
            }
            (Way::Docker, Some(inside)) => inside.read().await,
            (Way::Docker, None) => Ok(None),
        }
    }

    /// Puts `bytes` there, in place of what is there, and reads them back as the server does.
    pub(super) async fn write(&self, bytes: &[u8], owner: Option<Owner>) -> Result<(), ChangeError> {
        let failed = self.failed("write");
        let content = bytes.to_vec();
        match (&self.way, &self.inside) {
            (Way::Rename(path), _) => {
                let path = path.clone();
                let staged = self.staged.clone().unwrap_or_else(|| path.clone());
                blocking(move || here::renamed(&path, &staged, &content, owner)).await.map_err(failed)?;
            }
            (Way::InPlace(path), _) => {
                let path = path.clone();
                blocking(move || here::in_place(&path, &content)).await.map_err(failed)?;
            }
            (Way::Docker, Some(inside)) => inside.write(content, owner).await?,
            (Way::Docker, None) => {}
        }
        let seen = match &self.inside {
            Some(inside) => inside.read().await?,
            None => self.read().await?,
        };
        if seen.is_some_and(|seen| seen.bytes == bytes) {
            return Ok(());
        }
        Err(ChangeError::NotSeen { path: self.shown(), seen: self.seen.clone() })
    }

    /// Takes it away, where it is there.
    pub(super) async fn remove(&self) -> Result<(), ChangeError> {
        match (&self.way, &self.inside) {
            (Way::Rename(path) | Way::InPlace(path), _) => {
                let (path, failed) = (path.clone(), self.failed("remove"));
                blocking(move || here::remove(&path)).await.map_err(failed)
            }
            (Way::Docker, Some(inside)) => inside.remove().await,
            (Way::Docker, None) => Ok(()),
        }
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> ChangeError + use<> {
        let path = self.shown();
        move |source| ChangeError::File { doing, path: path.clone(), source }
    }
}

/// How a path of a container is reached.
async fn way(docker: &Docker, container: &Container, path: &str) -> Result<Way, ChangeError> {
    let info = container.info();
    let mount = info.mount_of(path).filter(|mount| !matches!(mount.kind, MountKind::Other(_)));
    let Some(mount) = mount else { return Ok(Way::Docker) };
    let below = Path::new(path).strip_prefix(&mount.destination).unwrap_or(Path::new(""));
    let alone = below.as_os_str().is_empty();
    // Joining nothing would add a slash.
    let here = if alone { PathBuf::from(&mount.source) } else { Path::new(&mount.source).join(below) };
    let inside = Inside { docker: docker.clone(), container: info.name.clone(), path: path.to_owned() };
    let there = inside.read().await?.map(|held| held.bytes);
    let ours = if docker.is_local() { look_here(&here) } else { None };
    let same = ours.as_ref() == Some(&there);
    match (alone, same) {
        (true, true) if is_stale(container, path, &here) => {
            Err(ChangeError::StaleMount { container: info.name.clone(), path: path.to_owned(), here })
        }
        (true, true) => Ok(Way::InPlace(here)),
        (false, true) => Ok(Way::Rename(here)),
        (true, false) => {
            let (container, path) = (info.name.clone(), path.to_owned());
            Err(ChangeError::MountedAlone { container, path, here })
        }
        (false, false) => Ok(Way::Docker),
    }
}

/// Another file was renamed over the one that is mounted. The engine shows what is at the source now, and not what the
/// container's processes see: that is asked of them, where that is allowed.
fn is_stale(container: &Container, path: &str, here: &Path) -> bool {
    let Some(pid) = container.info().life.pid else { return false };
    let seen = fs::metadata(format!("/proc/{pid}/root{path}"));
    let file = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let (Ok(seen), Ok(here)) = (seen, fs::metadata(here)) else { return false };
    file(seen) != file(here)
}

fn bounded(reader: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if reader.take(LARGEST + 1).read_to_end(&mut bytes)? as u64 > LARGEST {
        return Err(io::Error::other("it is far too large for a configuration"));
    }
    Ok(bytes)
}
