//! Finding the data folder, and a way to it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

use super::{Clues, FolderError, FolderPlace};
use crate::config::values::{Access, Place, PrometheusTarget};
use crate::docker::{Container, ContainerInfo, Docker, MountKind};

/// The flag that says where the data are.
const FLAG: &str = "storage.tsdb.path";
/// What that flag is where nobody gives it, relative to the working directory.
const DEFAULT: &str = "data";

/// A path, and who says so.
struct Said {
    path: String,
    origin: &'static str,
}

pub(super) async fn place(
    target: &PrometheusTarget,
    clues: &Clues<'_>,
    docker: Option<&Docker>,
) -> Result<FolderPlace, FolderError> {
    match &target.place {
        Place::Host { data_dir, .. } => on_host(target, data_dir.as_deref(), clues),
        Place::Container { name, data_dir } => {
            let docker = docker.ok_or_else(|| FolderError::NoDocker { name: name.clone() })?;
            let container = docker.container(name).await?;
            let said = in_container(data_dir.as_deref(), clues, container.info());
            let said = said.ok_or_else(|| unknown(target, "no path that was found is absolute"))?;
            reach_into(target, docker, &container, said, clues.access).await
        }
    }
}

fn on_host(
    target: &PrometheusTarget,
    data_dir: Option<&Path>,
    clues: &Clues<'_>,
) -> Result<FolderPlace, FolderError> {
    let configured = data_dir.and_then(Path::to_str).and_then(|path| absolute(path, None));
    let said = configured
        .map(|path| Said { path, origin: "the configuration says" })
        .or_else(|| from_clues(clues, clues.cwd));
    let said = said.ok_or_else(|| {
        unknown(
            target,
            "data_dir is not configured, the server was not asked for its flags, and no backup says",
        )
    })?;
    let path = PathBuf::from(&said.path);
    match std::fs::read_dir(&path) {
        Ok(_) => Ok(FolderPlace::Host { path }),
        Err(error) if is_absent(&error) => Err(not_there(target, said)),
        Err(source) => Err(FolderError::Unusable { path, source }),
    }
}

/// From the surest to what is only usual.
fn in_container(data_dir: Option<&str>, clues: &Clues<'_>, info: &ContainerInfo) -> Option<Said> {
    let working_dir = Some(info.working_dir.as_str());
    let said = |path: Option<String>, origin| path.map(|path| Said { path, origin });
    let command = flag_of(&info.command);
    said(data_dir.and_then(|path| absolute(path, working_dir)), "the configuration says")
        .or_else(|| from_clues(clues, clues.cwd.or(working_dir)))
        .or_else(|| {
            said(command.and_then(|path| absolute(path, working_dir)), "the container's command says")
        })
        .or_else(|| said(absolute(DEFAULT, working_dir), "is Prometheus's default there"))
}

fn from_clues(clues: &Clues<'_>, cwd: Option<&str>) -> Option<Said> {
    let flag = clues.flags.and_then(|flags: &BTreeMap<String, String>| flags.get(FLAG));
    let flag = flag.and_then(|path| absolute(path, cwd));
    let known = clues.known.and_then(|path| absolute(path, None));
    flag.map(|path| Said { path, origin: "the server's flags say" })
        .or_else(|| known.map(|path| Said { path, origin: "the backup says" }))
}

/// The value of the flag in a command line: `--flag=value` or `--flag value`; the last one counts.
fn flag_of(command: &[String]) -> Option<&str> {
    let flag = format!("--{FLAG}");
    let mut found = None;
    for (index, word) in command.iter().enumerate() {
        if let Some(value) = word.strip_prefix(&flag).and_then(|rest| rest.strip_prefix('=')) {
            found = Some(value);
        } else if *word == flag {
            found = command.get(index + 1).map(String::as_str);
        }
    }
    found
}

/// The path without `.`, `..` and doubled slashes, joined to `cwd` where it is relative. `None` where that
/// leaves no absolute path.
pub(in crate::prometheus) fn absolute(path: &str, cwd: Option<&str>) -> Option<String> {
    let joined = Path::new(cwd.unwrap_or_default()).join(path);
    let mut clean = PathBuf::new();
    for part in joined.components() {
        match part {
            Component::CurDir => (),
            Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    let usable = !path.is_empty() && clean.is_absolute();
    usable.then(|| clean.to_str().map(str::to_owned)).flatten()
}

async fn reach_into(
    target: &PrometheusTarget,
    docker: &Docker,
    container: &Container,
    said: Said,
    access: Access,
) -> Result<FolderPlace, FolderError> {
    use crate::docker::DockerError;
    let name = container.info().name.clone();
    let path = said.path.clone();
    let mount = container.info().mount_of(&path);
    let Some(mount) = mount.filter(|mount| !matches!(mount.kind, MountKind::Other(_))) else {
        return Err(FolderError::NoVolume { name, path });
    };
    match container.stat(&path).await {
        Ok(stat) if stat.is_folder => (),
        Ok(_) | Err(DockerError::NoPath { .. }) => return Err(not_there(target, said)),
        Err(other) => return Err(other.into()),
    }
    let inside = Path::new(&path).strip_prefix(&mount.destination).unwrap_or(Path::new(""));
    let here = Path::new(&mount.source).join(inside);
    let direct = match access {
        // Something mounted below it is in the container's view of the folder, but not in the mount's source.
        _ if holds_mounts(container.info(), &path) && access != Access::Host => None,
        Access::Auto if docker.is_local() && is_ours(&here) => same_folder(container, &path, here).await,
        Access::Auto | Access::Docker => None,
        Access::Host => match same_folder(container, &path, here).await {
            Some(here) => Some(here),
            None => return Err(FolderError::NotOnHost { name, path }),
        },
    };
    Ok(FolderPlace::Container { docker: docker.clone(), name, path, direct })
}

fn holds_mounts(info: &ContainerInfo, path: &str) -> bool {
    let below = |destination: &str| destination != path && Path::new(destination).starts_with(path);
    info.mounts.iter().any(|mount| below(mount.destination.trim_end_matches('/')))
}

/// Everything in it can be changed by this process, owners included where it is root.
fn is_ours(path: &Path) -> bool {
    let user = rustix::process::geteuid().as_raw();
    let readable = std::fs::read_dir(path).is_ok();
    readable && (user == 0 || std::fs::metadata(path).is_ok_and(|meta| meta.uid() == user))
}

/// The path here, if what lies there is what the container sees: the engine may run in a virtual machine, or
/// this process in a container, where the same path is something else.
async fn same_folder(container: &Container, path: &str, here: PathBuf) -> Option<PathBuf> {
    // Twice, because a folder in use may change between the two looks.
    for _ in 0..2 {
        let there = container.stat(path).await.ok()?;
        let there: Timestamp = there.modified?.parse().ok()?;
        let meta = std::fs::metadata(&here).ok().filter(std::fs::Metadata::is_dir)?;
        let nanoseconds = i32::try_from(meta.mtime_nsec()).ok()?;
        if Timestamp::new(meta.mtime(), nanoseconds).ok() == Some(there) {
            return std::fs::read_dir(&here).is_ok().then_some(here);
        }
    }
    None
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn unknown(target: &PrometheusTarget, tried: &str) -> FolderError {
    FolderError::Unknown { target: target.name.to_string(), tried: tried.to_owned() }
}

fn not_there(target: &PrometheusTarget, said: Said) -> FolderError {
    FolderError::NotThere { target: target.name.to_string(), path: said.path, origin: said.origin }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::{Bounds, ContainerState, Life, Stopping};

    fn container(command: &[&str]) -> ContainerInfo {
        ContainerInfo {
            id: String::new(),
            name: "p".to_owned(),
            image_id: String::new(),
            image: String::new(),
            state: ContainerState::Running,
            health: None,
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            working_dir: "/prometheus".to_owned(),
            user: String::new(),
            mounts: Vec::new(),
            restarts: 0,
            started: None,
            removed_at_end: false,
            restart_policy: "no".to_owned(),
            labels: BTreeMap::new(),
            life: Life::default(),
            bounds: Bounds::default(),
            stopping: Stopping::default(),
        }
    }

    fn found(data_dir: Option<&str>, clues: &Clues<'_>, command: &[&str]) -> String {
        in_container(data_dir, clues, &container(command)).unwrap().path
    }

    #[test]
    fn what_is_said_more_surely_wins() {
        let flags = BTreeMap::from([(FLAG.to_owned(), "data/".to_owned())]);
        let nothing = Clues::default();
        let all = Clues { flags: Some(&flags), cwd: Some("/srv"), known: Some("/old"), ..nothing };
        let command = ["prometheus", "--storage.tsdb.path=/cmd/"];
        assert_eq!(found(Some("/conf"), &all, &command), "/conf");
        assert_eq!(found(None, &all, &command), "/srv/data");
        assert_eq!(found(None, &Clues { flags: None, ..all }, &command), "/old");
        assert_eq!(found(None, &nothing, &command), "/cmd");
        assert_eq!(found(None, &nothing, &["prometheus"]), "/prometheus/data");
    }

    #[test]
    fn the_flag_is_found_in_both_spellings_and_the_last_one_counts() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(flag_of(&words(&["p", "--storage.tsdb.path", "a"])), Some("a"));
        assert_eq!(flag_of(&words(&["--storage.tsdb.path=a", "--storage.tsdb.path=b"])), Some("b"));
        assert_eq!(flag_of(&words(&["--storage.tsdb.path.other=a", "--storage.tsdb.path"])), None);
    }

    #[test]
    fn paths_are_made_plain() {
        assert_eq!(absolute("./data//x/..", Some("/a")).as_deref(), Some("/a/data"));
        assert_eq!(absolute("data", None), None);
        assert_eq!(absolute("", Some("/a")), None);
        assert_eq!(absolute("../../x", Some("/a")).as_deref(), Some("/x"));
    }
}
