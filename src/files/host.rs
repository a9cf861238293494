//! Walking named files and folders of this host. Links are kept as links, and never followed.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::backup::Collector;
use super::spool::{Spooled, Stamp};
use super::{FileEntry, FilesError, What};

/// How often a file is read that changes while it is read.
const READINGS: usize = 3;

/// Where a container's path lies on this host; the same on the host itself.
pub(super) struct Place {
    /// As it is named in the backup.
    pub(super) path: String,
    /// As it is reached here.
    pub(super) real: PathBuf,
}

/// Takes what lies at a place, and everything below.
pub(super) fn take(place: &Place, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    take_one(place, true, collector)
}

/// Takes what lies at a place; of a folder only itself.
pub(super) fn take_alone(place: &Place, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    take_one(place, false, collector)
}

fn take_one(place: &Place, with_below: bool, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    if collector.is_excluded(&place.path) {
        return Ok(());
    }
    let metadata = match fs::symlink_metadata(&place.real) {
        Ok(metadata) => metadata,
        Err(error) => {
            collector.problem(&place.path, &reason(&error));
            return Ok(());
        }
    };
    let kind = metadata.file_type();
    if kind.is_dir() {
        collector.add(entry(place, &metadata, What::Folder), None)?;
        if with_below { below(place, collector) } else { Ok(()) }
    } else if kind.is_file() {
        file(place, &metadata, collector)
    } else if kind.is_symlink() {
        link(place, &metadata, collector)
    } else {
        // A socket or a pipe is made by whoever uses it.
        Ok(())
    }
}

fn below(place: &Place, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    let mut names = Vec::new();
    match fs::read_dir(&place.real) {
        Ok(entries) => {
            for entry in entries {
                match entry.map(|entry| entry.file_name().into_string()) {
                    Ok(Ok(name)) => names.push(name),
                    Ok(Err(name)) => {
                        collector
                            .problem(&place.path, &format!("the name {} in it is not UTF-8", name.display()));
                    }
                    Err(error) => collector.problem(&place.path, &reason(&error)),
                }
            }
        }
        Err(error) => collector.problem(&place.path, &reason(&error)),
    }
    names.sort();
    for name in names {
        let path = format!("{}/{name}", place.path.trim_end_matches('/'));
        take(&Place { path, real: place.real.join(&name) }, collector)?;
    }
    Ok(())
}

fn link(place: &Place, metadata: &Metadata, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    match fs::read_link(&place.real).map(|target| target.into_os_string().into_string()) {
        Ok(Ok(target)) => collector.add(entry(place, metadata, What::Link { target }), None),
        Ok(Err(_)) => {
            collector.problem(&place.path, "where the link leads is not UTF-8");
            Ok(())
        }
        Err(error) => {
            collector.problem(&place.path, &reason(&error));
            Ok(())
        }
    }
}

fn file(place: &Place, metadata: &Metadata, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    let mut read = None;
    for _ in 0..READINGS {
        match read_once(&place.real, collector) {
            Ok((spooled, stable)) => {
                read = Some((spooled, stable));
                if stable {
                    break;
                }
            }
            Err(_) if collector.cancel.is_cancelled() => return Err(FilesError::Cancelled),
            Err(error) => {
                collector.problem(&place.path, &reason(&error));
                return Ok(());
            }
        }
    }
    let Some((spooled, stable)) = read else { return Ok(()) };
    if !stable {
        let problem =
            format!("it changed each of the {READINGS} times it was read: exclude it, or make it rest");
        collector.problem(&place.path, &problem);
    }
    let what = What::File { size: spooled.size, sha256: spooled.sha256.clone() };
    collector.add(entry(place, metadata, what), Some(spooled))
}

/// Reads a file, and says whether nothing had changed by the end.
fn read_once(path: &Path, collector: &Collector<'_>) -> io::Result<(Spooled, bool)> {
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut file = File::options().read(true).custom_flags(nofollow).open(path)?;
    let before = Stamp::of(&file)?;
    let spooled = Spooled::read(&mut file, collector.spool, collector.cancel)?;
    // By its name: a file that was replaced is another one.
    let after = Stamp::of(&File::options().read(true).custom_flags(nofollow).open(path)?)?;
    Ok((spooled, before == after))
}

fn entry(place: &Place, metadata: &Metadata, what: What) -> FileEntry {
    FileEntry {
        path: place.path.clone(),
        what,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mode: metadata.mode() & 0o7777,
        mtime: metadata.mtime(),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}
