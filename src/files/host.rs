//! Walking named files and folders of this host. Links are kept as links, and only one that is named itself is followed.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use super::backup::Collector;
use super::spool::{Failed, Spooled, Stamp};
use super::{FileEntry, FilePath, FilesError, What};

/// How often a file is read that changes while it is read.
const READINGS: usize = 3;

/// So much is read of a file that says it is shorter.
const LEAST_READ: u64 = 1 << 20;

/// Why a path that is, or lies in, a folder of the program itself is not taken.
const OWN: &str =
    "it is where the backups lie, and a backup of them would grow with each run: take it out of \"paths\"";

/// So many links may lead from one to the next.
const MOST_LINKS: usize = 40;

/// Takes what a path that somebody named stands for: where it is a link, that and what it leads to.
pub(super) fn take_root(path: &Path, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    let named = FilePath::from(path);
    let mut path = collector.beyond_links(path);
    for _ in 0..MOST_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() && !collector.is_excluded(&path) => {
                link(&path, &metadata, collector)?;
                match leads_to(&path) {
                    Ok(next) => path = collector.beyond_links(&next),
                    Err(error) => {
                        collector.lacks(&named, &format!("where it leads is unknown: {}", reason(&error)));
                        return Ok(());
                    }
                }
            }
            Ok(metadata) if collector.is_in_own(&path) || collector.leaves_out(&path, &metadata) => {
                collector.lacks(&named, OWN);
                return Ok(());
            }
            Ok(metadata) if is_content(&metadata) && !collector.is_excluded(&path) => {
                return take(&path, collector);
            }
            Ok(metadata) => {
                collector.lacks(&named, refused(&metadata));
                return Ok(());
            }
            Err(error) => {
                let link = if named.as_path() == path {
                    String::new()
                } else {
                    format!("it leads to {}: ", path.display())
                };
                collector.lacks(&named, &format!("{link}{}", reason(&error)));
                return Ok(());
            }
        }
    }
    collector.lacks(&named, "its links lead to each other");
    Ok(())
}

/// Where a link leads. A `..` is one of the folder that the path before it stands for, through all links.
fn leads_to(link: &Path) -> io::Result<PathBuf> {
    let to = link.parent().unwrap_or(Path::new("/")).join(fs::read_link(link)?);
    if !to.components().any(|part| part == Component::ParentDir) {
        return Ok(to.components().collect());
    }
    match (to.parent(), to.file_name()) {
        (Some(above), Some(name)) => Ok(fs::canonicalize(above)?.join(name)),
        _ => fs::canonicalize(&to),
    }
}

fn is_content(metadata: &Metadata) -> bool {
    metadata.is_file() || metadata.is_dir() || metadata.is_symlink()
}

/// Why something that was named and is there is not taken.
fn refused(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = metadata.file_type();
    match () {
        () if kind.is_fifo() => "it is a pipe, which holds nothing to back up: take it out of \"paths\"",
        () if kind.is_socket() => "it is a socket, which holds nothing to back up: take it out of \"paths\"",
        () if is_content(metadata) => "\"exclude\" leaves it out: take it out of \"paths\", too",
        () => "it is a device, which is no configuration: take it out of \"paths\"",
    }
}

/// Takes what lies at a place, and everything below. On a stack of its own: whoever may write there can make a tree that
/// is deeper than a thread's.
pub(super) fn take(path: &Path, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    let mut to_take = vec![path.to_owned()];
    while let Some(path) = to_take.pop() {
        if take_alone(&path, collector)? {
            let names = below(&path, collector);
            to_take.extend(names.iter().rev().map(|name| path.join(name)));
        }
    }
    Ok(())
}

/// Takes what lies at a place; of a folder only itself. Says whether that is what was taken.
pub(super) fn take_alone(path: &Path, collector: &mut Collector<'_>) -> Result<bool, FilesError> {
    if collector.is_excluded(path) {
        return Ok(false);
    }
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            collector.lacks(&path.into(), &reason(&error));
            return Ok(false);
        }
    };
    let kind = metadata.file_type();
    if kind.is_dir() && collector.leaves_out(path, &metadata) {
        return Ok(false);
    }
    if kind.is_dir() {
        collector.add(entry(path, &metadata, What::Folder), None)?;
    } else if kind.is_file() {
        file(path, &metadata, collector)?;
    } else if kind.is_symlink() {
        link(path, &metadata, collector)?;
    }
    // A socket or a pipe is made by whoever uses it.
    Ok(kind.is_dir())
}

/// The names in a folder, sorted.
fn below(path: &Path, collector: &mut Collector<'_>) -> Vec<OsString> {
    let mut names = Vec::new();
    match fs::read_dir(path) {
        Ok(entries) => {
            for entry in entries {
                match entry {
                    Ok(entry) => names.push(entry.file_name()),
                    Err(error) => collector.lacks(&path.into(), &reason(&error)),
                }
            }
        }
        Err(error) => collector.lacks(&path.into(), &reason(&error)),
    }
    names.sort();
    names
}

fn link(path: &Path, metadata: &Metadata, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    match fs::read_link(path) {
        Ok(target) => {
            collector.add(entry(path, metadata, What::Link { target: FilePath::from(&target) }), None)
        }
        Err(error) => {
            collector.lacks(&path.into(), &reason(&error));
            Ok(())
        }
    }
}

fn file(path: &Path, metadata: &Metadata, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    let mut read = None;
    for _ in 0..READINGS {
        match read_once(path, collector) {
            Ok((spooled, stable)) => {
                read = Some((spooled, stable));
                if stable {
                    break;
                }
            }
            Err(_) if collector.cancel.is_cancelled() => return Err(FilesError::Cancelled),
            Err(Failed::Files(error)) => return Err(error),
            Err(Failed::Read(error)) => {
                collector.lacks(&path.into(), &reason(&error));
                return Ok(());
            }
        }
    }
    let Some((spooled, stable)) = read else { return Ok(()) };
    if !stable {
        let reason =
            format!("it changed each of the {READINGS} times it was read: exclude it, or make it rest");
        collector.doubts(&path.into(), &reason);
    }
    let what = What::File { size: spooled.size, sha256: spooled.sha256.clone() };
    collector.add(entry(path, metadata, what), Some(spooled))
}

/// Reads a file, and says whether nothing had changed by the end.
fn read_once(path: &Path, collector: &Collector<'_>) -> Result<(Spooled, bool), Failed> {
    // Somebody may have put a link in its place since it was looked at, or a pipe, whose opening waits for a writer.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let before = Stamp::of(&file)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file any more").into());
    }
    // A file that grows as fast as it is read would never end; one of /proc says that it is empty.
    let most = metadata.len().max(LEAST_READ);
    let spooled = Spooled::read(&mut (&file).take(most), collector.spool, collector.cancel)?;
    // Of the file that was read: one that was replaced by another meanwhile was whole.
    Ok((spooled, before.is_same(&Stamp::of(&file)?)))
}

fn entry(path: &Path, metadata: &Metadata, what: What) -> FileEntry {
    FileEntry {
        path: path.into(),
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
