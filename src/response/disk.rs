//! Room on the disks, in bytes and in files: that of this host, those of the folders that are mounted into the container,
//! and that of the container's own layer.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::proc::Pid;
use super::seen::Seen;
use super::{Context, Severity, Unable};
use crate::blocking::blocking;
use crate::config::checks::Free;
use crate::config::response::{DiskStep, Step};
use crate::docker::{Docker, MountKind};
use crate::room::{Inodes, Room};
use crate::words;

/// With less than this part left, in per cent, a disk is as good as full.
const FULL: u64 = 2;

/// A folder that is looked at.
#[derive(Debug)]
struct Place {
    shown: String,
    path: PathBuf,
}

pub(super) async fn look(disk: &DiskStep, step: &Step, context: &Context) -> Result<Seen, Unable> {
    let mut seen = Seen::default();
    let of_host =
        disk.paths.iter().map(|path| Place { shown: path.display().to_string(), path: path.clone() });
    let mut places: Vec<Place> = of_host.collect();
    if let Some(name) = context.container(step) {
        match context.docker() {
            Ok(docker) => places.extend(of_container(docker, name, &mut seen).await),
            Err(unable) => seen.evidence(format!("what is mounted into {name} is not known: {unable}")),
        }
    }
    let database = context.application.as_ref().filter(|application| application.container.is_none());
    if let Some(folder) =
        database.and_then(|application| application.database.as_ref()?.parent().map(Path::to_owned))
    {
        places.push(Place { shown: folder.display().to_string(), path: folder });
    }
    places.push(Place { shown: "/".to_owned(), path: "/".into() });
    // A network file system may take its time, or hang.
    for (place, room) in blocking(move || measure(places)).await {
        judge(&place, room, disk.free, &mut seen);
    }
    if seen.findings.iter().any(|finding| finding.severity > Severity::Good) {
        seen.recommend(
            Severity::Bad,
            "free some space: `docker system df`, `du -xh --max-depth=2 / | sort -h | tail`",
        );
    }
    Ok(seen)
}

/// What is mounted into a container, and its own layer.
async fn of_container(docker: &Docker, name: &str, seen: &mut Seen) -> Vec<Place> {
    let container = match docker.container(name).await {
        Ok(container) => container,
        Err(error) => {
            seen.evidence(format!("what is mounted into {name} is not known: {}", words::chain(&error)));
            return Vec::new();
        }
    };
    let info = container.info();
    if !docker.is_local() {
        seen.evidence("the disks of the engine's machine cannot be seen from here");
        return Vec::new();
    }
    let mounted = info.mounts.iter().filter(|mount| !matches!(mount.kind, MountKind::Other(_)));
    let mut places: Vec<Place> = mounted
        .map(|mount| Place {
            shown: format!("{} of {name}", mount.destination),
            path: mount.source.clone().into(),
        })
        .collect();
    match Pid::of(docker, info) {
        Some(pid) => places.push(Place { shown: format!("/ of {name}"), path: pid.path("root/") }),
        None => seen.evidence(format!(
            "the layer of {name} itself is seen only while it runs, and on its own machine"
        )),
    }
    places
}

/// Each disk once, by the first of its folders.
fn measure(places: Vec<Place>) -> Vec<(String, io::Result<(Room, Inodes)>)> {
    let mut known = BTreeSet::new();
    let mut measured = Vec::new();
    for Place { shown, path } in places {
        let found =
            fs::metadata(&path).and_then(|meta| Ok((meta.dev(), Room::at(&path)?, Inodes::at(&path)?)));
        match found {
            Ok((device, room, inodes)) => {
                if known.insert(device) {
                    measured.push((shown, Ok((room, inodes))));
                }
            }
            Err(error) => measured.push((shown, Err(error))),
        }
    }
    measured
}

fn judge(place: &str, found: io::Result<(Room, Inodes)>, wanted: Free, seen: &mut Seen) {
    let (room, inodes) = match found {
        Ok(found) => found,
        Err(error) => return seen.evidence(format!("{place} cannot be asked for its room: {error}")),
    };
    let Room { free, total } = room;
    let percent = |free: u64, total: u64| free.saturating_mul(100).checked_div(total);
    // A file system of the kernel's own has no size.
    let Some(share) = percent(free, total) else { return };
    let text = format!("{place}: {} of {} free ({share} %)", words::size(free), words::size(total));
    let is_little = match wanted {
        Free::Percent(wanted) => share < u64::from(wanted),
        Free::Bytes(wanted) => free < wanted,
    };
    seen.find(severity(share, is_little), text);
    if let Some(share) = percent(inodes.free, inodes.total) {
        let of = format!("{} of {} files", words::grouped(inodes.free), words::grouped(inodes.total));
        let little = matches!(wanted, Free::Percent(wanted) if share < u64::from(wanted));
        match severity(share, little) {
            Severity::Good => seen.evidence(format!("{place}: room for {of} more ({share} %)")),
            bad => seen.find(bad, format!("{place}: room for only {of} more ({share} %)")),
        }
    }
}

fn severity(share: u64, is_little: bool) -> Severity {
    match (share < FULL, is_little) {
        (true, _) => Severity::Bad,
        (false, true) => Severity::Caution,
        (false, false) => Severity::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(free: u64, files: u64) -> Vec<(Severity, String)> {
        let mut seen = Seen::default();
        let found = Ok((Room { free, total: 1000 }, Inodes { free: files, total: 1000 }));
        judge("/d", found, Free::Percent(10), &mut seen);
        seen.findings.into_iter().map(|finding| (finding.severity, finding.text)).collect()
    }

    #[test]
    fn room_is_judged_in_bytes_and_in_files() {
        assert_eq!(judged(500, 500), [(Severity::Good, "/d: 500 B of 1000 B free (50 %)".to_owned())]);
        assert_eq!(judged(90, 500)[0].0, Severity::Caution);
        assert_eq!(judged(10, 500)[0].0, Severity::Bad);
        let no_files = (Severity::Bad, "/d: room for only 1 of 1000 files more (0 %)".to_owned());
        assert_eq!(judged(500, 1)[1], no_files);
    }

    #[test]
    fn each_disk_is_told_once_and_one_that_is_not_there_says_so() {
        let places = ["/", "/", "/no/such"].map(|path| Place { shown: path.to_owned(), path: path.into() });
        let measured = measure(places.into());
        assert_eq!(measured.len(), 2);
        assert!(measured[1].1.is_err());
    }
}
