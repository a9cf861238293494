//! Walking named files and folders of this host. Links are kept as links, and only one that is named itself is followed, if
//! it is root's or of the user who runs this: the archive holds nothing that somebody else has led us to.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::FileType;

use super::backup::Collector;
use super::spool::{Failed, Spooled, Stamp};
use super::trees::Trees;
use super::{FileEntry, FilePath, FilesError, What};
use crate::regular::{Found, Node, NotFollowed, Tree};

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
        let (mut tree, found) = match found_at(&path) {
            Ok(found) => found,
            Err(error) => {
                let link = if named.as_path() == path {
                    String::new()
                } else {
                    format!("it leads to {}: ", path.display())
                };
                collector.lacks(&named, &format!("{link}{}", reason(&error)));
                return Ok(());
            }
        };
        if collector.is_excluded(&path) || !is_content(found.kind) {
            collector.lacks(&named, refused(found.kind));
            return Ok(());
        }
        if found.kind.is_symlink() {
            match follow(&mut tree, &path, collector)? {
                Ok(next) => path = collector.beyond_links(&next),
                Err(error) => {
                    collector.lacks(&named, &format!("where it leads is unknown: {}", reason(&error)));
                    return Ok(());
                }
            }
        } else if tree.begins_in(collector.own()) || collector.leaves_out(&path, found.inode) {
            collector.lacks(&named, OWN);
            return Ok(());
        } else {
            return take(&mut tree, &path, collector);
        }
    }
    collector.lacks(&named, "its links lead to each other");
    Ok(())
}

/// The link of another user because of which what a path stands for is not taken.
pub(crate) fn not_followed(path: &Path) -> Option<NotFollowed> {
    let looked = found_at(path).and_then(|(mut tree, found)| match found.kind {
        FileType::Symlink => tree.node(path)?.target_to_follow(path).map(drop),
        _ => Ok(()),
    });
    NotFollowed::of(&looked.err()?).cloned()
}

/// What lies at a path, and the tree that begins in the folder above it.
fn found_at(path: &Path) -> io::Result<(Tree, Found)> {
    let mut tree = Tree::open(path.parent().unwrap_or(path))?;
    let found = tree.look(path)?;
    Ok((tree, found))
}

/// Takes a link, and says where it leads.
fn follow(
    tree: &mut Tree,
    path: &Path,
    collector: &mut Collector<'_>,
) -> Result<io::Result<PathBuf>, FilesError> {
    let node = match tree.node(path) {
        Ok(node) => node,
        Err(error) => return Ok(Err(error)),
    };
    link(path, &node, collector)?;
    Ok(node.target_to_follow(path).and_then(|target| leads_to(path, &target)))
}

/// Where a link leads. A `..` is one of the folder that the path before it stands for, through all links.
fn leads_to(link: &Path, target: &Path) -> io::Result<PathBuf> {
    let to = link.parent().unwrap_or(Path::new("/")).join(target);
    if !to.components().any(|part| part == Component::ParentDir) {
        return Ok(to.components().collect());
    }
    match (to.parent(), to.file_name()) {
        (Some(above), Some(name)) => Ok(Tree::open(above)?.real().join(name)),
        _ => Ok(Tree::open(&to)?.real().to_owned()),
    }
}

fn is_content(kind: FileType) -> bool {
    kind.is_file() || kind.is_dir() || kind.is_symlink()
}

/// Why something that was named and is there is not taken.
fn refused(kind: FileType) -> &'static str {
    match () {
        () if kind.is_fifo() => "it is a pipe, which holds nothing to back up: take it out of \"paths\"",
        () if kind.is_socket() => "it is a socket, which holds nothing to back up: take it out of \"paths\"",
        () if is_content(kind) => "\"exclude\" leaves it out: take it out of \"paths\", too",
        () => "it is a device, which is no configuration: take it out of \"paths\"",
    }
}

/// Takes what lies at a place, and everything below. On a stack of its own: whoever may write there can make a tree that
/// is deeper than a thread's.
fn take(tree: &mut Tree, path: &Path, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    let mut to_take = vec![path.to_owned()];
    while let Some(path) = to_take.pop() {
        if take_alone(tree, &path, collector)? {
            let names = below(tree, &path, collector);
            to_take.extend(names.iter().rev().map(|name| path.join(name)));
        }
    }
    Ok(())
}

/// Takes what lies at one path of those that a restore is about to change; of a folder only itself.
pub(super) fn take_kept(
    trees: &mut Trees,
    path: &Path,
    collector: &mut Collector<'_>,
) -> Result<(), FilesError> {
    match trees.tree(path) {
        Ok(tree) => take_alone(tree, path, collector).map(drop),
        Err(error) => {
            collector.lacks(&path.into(), &reason(&error));
            Ok(())
        }
    }
}

/// Takes what lies at a place; of a folder only itself. Says whether that is what was taken.
fn take_alone(tree: &mut Tree, path: &Path, collector: &mut Collector<'_>) -> Result<bool, FilesError> {
    if collector.is_excluded(path) {
        return Ok(false);
    }
    // Somebody may exchange it for something else meanwhile: what is said of it is said of what was opened.
    let taken = tree.look(path).and_then(|found| match found.kind {
        FileType::Directory => Ok(Taken::Folder(tree.folder(path)?.found()?)),
        FileType::Symlink => Ok(Taken::Link(tree.node(path)?)),
        FileType::RegularFile => Ok(Taken::File),
        // A socket or a pipe is made by whoever uses it.
        _ => Ok(Taken::Nothing),
    });
    match taken {
        Ok(Taken::Folder(found)) => {
            if collector.leaves_out(path, found.inode) {
                return Ok(false);
            }
            collector.add(entry(path, &found, What::Folder), None)?;
            return Ok(true);
        }
        Ok(Taken::Link(node)) => link(path, &node, collector)?,
        Ok(Taken::File) => file(tree, path, collector)?,
        Ok(Taken::Nothing) => {}
        Err(error) => collector.lacks(&path.into(), &reason(&error)),
    }
    Ok(false)
}

enum Taken {
    Folder(Found),
    Link(Node),
    File,
    Nothing,
}

/// The names in a folder, sorted.
fn below(tree: &mut Tree, path: &Path, collector: &mut Collector<'_>) -> Vec<OsString> {
    let mut names = Vec::new();
    if let Err(error) = tree.folder(path).and_then(|folder| folder.list(&mut names)) {
        collector.lacks(&path.into(), &reason(&error));
    }
    names.sort();
    names
}

fn link(path: &Path, node: &Node, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    match node.target() {
        Ok(target) => {
            collector.add(entry(path, node.found(), What::Link { target: FilePath::from(&target) }), None)
        }
        Err(error) => {
            collector.lacks(&path.into(), &reason(&error));
            Ok(())
        }
    }
}

fn file(tree: &mut Tree, path: &Path, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    let mut read = None;
    for _ in 0..READINGS {
        match read_once(tree, path, collector) {
            Ok(once) => {
                let stable = once.stable;
                read = Some(once);
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
    let Some(Once { found, content, stable }) = read else { return Ok(()) };
    if !stable {
        let reason =
            format!("it changed each of the {READINGS} times it was read: exclude it, or make it rest");
        collector.doubts(&path.into(), &reason);
    }
    let what = What::File { size: content.size, sha256: content.sha256.clone() };
    collector.add(entry(path, &found, what), Some(content))
}

/// A file that was read.
struct Once {
    /// Of the file that was read, and not of what had its name before or after.
    found: Found,
    content: Spooled,
    /// Nothing had changed by the end.
    stable: bool,
}

fn read_once(tree: &mut Tree, path: &Path, collector: &Collector<'_>) -> Result<Once, Failed> {
    let (folder, name) = tree.place(path)?;
    let file: File = folder.read(name)?;
    let before = Stamp::of(&file)?;
    let found = Found::of_open(&file)?;
    // A file that grows as fast as it is read would never end; one of /proc says that it is empty.
    let most = found.size.max(LEAST_READ);
    let content = Spooled::read(&mut (&file).take(most), collector.spool, collector.cancel)?;
    // Of the file that was read: one that was replaced by another meanwhile was whole.
    let stable = before.is_same(&Stamp::of(&file)?);
    Ok(Once { found, content, stable })
}

fn entry(path: &Path, found: &Found, what: What) -> FileEntry {
    let Found { uid, gid, mode, mtime, .. } = *found;
    FileEntry { path: path.into(), what, uid, gid, mode, mtime }
}

fn reason(error: &io::Error) -> String {
    match NotFollowed::of(error) {
        Some(link) => format!("{link}: {}", NotFollowed::HINT),
        None if error.kind() == io::ErrorKind::NotFound => "it is not there".to_owned(),
        None => format!("it cannot be read: {error}"),
    }
}
