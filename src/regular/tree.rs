//! Folders below a folder, while others may exchange them: they are opened step by step, and no step follows a symbolic
//! link.
//!
//! On the way to the folder that it begins in links are the operator's, where they are root's or of the user who runs
//! this. Below it none is: whoever may write there could put one where a folder was, and lead root elsewhere.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::{Folder, Found, Node};

/// So many folders below the first are held open. Of a tree that is deeper, those above them are opened again.
const MOST_OPEN: usize = 64;
/// A path is not longer, as the system has it.
const LONGEST: usize = 4096;
/// So many links may lead from one to the next, as the system has it.
const MOST_LINKS: usize = 40;

/// So often is a step tried again where somebody exchanges folders meanwhile.
const MOST_TRIES: usize = 16;

/// A symbolic link stands where a folder has to be, and is not followed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{} is a symbolic link of the user {owner}, and is not followed", in_one_line(path))]
pub(crate) struct NotFollowed {
    /// The link.
    pub(crate) path: PathBuf,
    /// Its owner's user ID.
    pub(crate) owner: u32,
}

impl NotFollowed {
    /// What to do about it.
    pub(crate) const HINT: &'static str = "put the folder itself there; a link above the paths of the job, or that is one of them, is followed where it is \
         root's or of the user who runs this (`chown -h`)";

    /// Whether this is what went wrong.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<NotFollowed> for io::Error {
    fn from(link: NotFollowed) -> Self {
        Self::other(link)
    }
}

/// What is done about folders that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Fail,
    Make,
}

/// The folders below a folder.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The path by which the first is named, and those below begin.
    base: PathBuf,
    /// The same past all links.
    real: PathBuf,
    /// Device and inode of the first and of those that it lies in.
    inodes: Vec<(u64, u64)>,
    /// The first, and those on the way to the one that was asked for last: the next is most often near it.
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: OsString,
    /// The first is always open, and of the others those at the end.
    folder: Option<Folder>,
}

/// What is next on a way.
enum Onward {
    /// A folder, by device and inode.
    Folder((u64, u64)),
    /// A link that may be followed, and where it leads.
    Link(PathBuf),
}

impl Tree {
    /// Below the folder at an absolute path.
    pub(crate) fn open(base: &Path) -> io::Result<Self> {
        Self::resolve(base, Missing::Fail)
    }

    /// The same, and it is made with those above it where it is missing.
    pub(crate) fn make(base: &Path) -> io::Result<Self> {
        Self::resolve(base, Missing::Make)
    }

    /// The path that it was opened by.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Where it begins past all links.
    pub(crate) fn real(&self) -> &Path {
        &self.real
    }

    /// It begins in one of these folders, or below, given by device and inode.
    pub(crate) fn begins_in(&self, folders: &[(u64, u64)]) -> bool {
        self.inodes.iter().any(|inode| folders.contains(inode))
    }

    /// The folder at a path.
    pub(crate) fn folder(&mut self, path: &Path) -> io::Result<&Folder> {
        self.reach(path, Missing::Fail)
    }

    /// The same, made with those above it where it is missing.
    pub(crate) fn make_folder(&mut self, path: &Path) -> io::Result<&Folder> {
        self.reach(path, Missing::Make)
    }

    /// The folder that a path lies in, and its name in there.
    pub(crate) fn place<'p>(&mut self, path: &'p Path) -> io::Result<(&Folder, &'p Path)> {
        let (above, name) = parts(path)?;
        Ok((self.folder(above)?, name))
    }

    /// The same, with the folder made where it is missing.
    pub(crate) fn make_place<'p>(&mut self, path: &'p Path) -> io::Result<(&Folder, &'p Path)> {
        let (above, name) = parts(path)?;
        Ok((self.make_folder(above)?, name))
    }

    /// What lies at a path.
    pub(crate) fn look(&mut self, path: &Path) -> io::Result<Found> {
        if path == self.base {
            return self.folder(path)?.found();
        }
        let (folder, name) = self.place(path)?;
        folder.look(name)
    }

    /// Holds open what lies at a path, whatever it is.
    pub(crate) fn node(&mut self, path: &Path) -> io::Result<Node> {
        if path == self.base {
            return self.folder(path)?.as_node();
        }
        let (folder, name) = self.place(path)?;
        folder.node(name)
    }

    fn root() -> io::Result<Self> {
        let folder = Folder::root()?;
        Ok(Self {
            base: "/".into(),
            real: "/".into(),
            inodes: vec![folder.found()?.inode],
            steps: vec![Step { name: OsString::new(), folder: Some(folder) }],
        })
    }

    fn resolve(base: &Path, missing: Missing) -> io::Result<Self> {
        if !base.is_absolute() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "its path is not absolute"));
        }
        let mut tree = Self::root()?;
        let (mut real, mut inodes) = (PathBuf::from("/"), tree.inodes.clone());
        let mut left = Vec::new();
        put_before(base, &mut left)?;
        let mut links = 0;
        while let Some(part) = left.pop() {
            match part.as_bytes() {
                b"." => {}
                b"/" => {
                    real = "/".into();
                    inodes.truncate(1);
                }
                b".." => {
                    if real.pop() {
                        inodes.pop();
                    }
                }
                _ => match tree.onward(&real, Path::new(&part), missing)? {
                    Onward::Folder(inode) => {
                        inodes.push(inode);
                        real.push(&part);
                    }
                    Onward::Link(_) if links == MOST_LINKS => return Err(Errno::LOOP.into()),
                    Onward::Link(target) => {
                        links += 1;
                        put_before(&target, &mut left)?;
                    }
                },
            }
        }
        // The last part may have led one up.
        tree.reach(&real, missing)?;
        let folder = tree.steps.pop().and_then(|step| step.folder);
        let steps = vec![Step { name: OsString::new(), folder }];
        Ok(Self { base: base.to_owned(), real, inodes, steps })
    }

    /// What is under a name on the way to where a tree begins. An error where it is a link that may not be followed.
    fn onward(&mut self, above: &Path, name: &Path, missing: Missing) -> io::Result<Onward> {
        let path = above.join(name);
        match self.reach(&path, missing).and_then(Folder::found) {
            Ok(found) => Ok(Onward::Folder(found.inode)),
            Err(error) if NotFollowed::of(&error).is_some() => {
                self.folder(above)?.node(name)?.target_to_follow(&path).map(Onward::Link)
            }
            Err(error) => Err(error),
        }
    }

    fn reach(&mut self, path: &Path, missing: Missing) -> io::Result<&Folder> {
        let names = self.names(path)?;
        let known =
            self.steps.iter().skip(1).zip(&names).take_while(|(step, name)| step.name == **name).count();
        self.steps.truncate(known + 1);
        self.open_again()?;
        for name in &names[known..] {
            let folder = self.step(Path::new(name), missing)?;
            self.steps.push(Step { name: (*name).to_owned(), folder: Some(folder) });
            self.close(self.steps.len() - 1);
        }
        self.last()
    }

    /// The names on the way to a path.
    fn names<'p>(&self, path: &'p Path) -> io::Result<Vec<&'p OsStr>> {
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "it leads out of its folder");
        if path.as_os_str().len() >= LONGEST {
            return Err(Errno::NAMETOOLONG.into());
        }
        let below = path.strip_prefix(&self.base).map_err(|_| outside())?;
        let name = |part| match part {
            Component::Normal(name) => Ok(name),
            _ => Err(outside()),
        };
        below.components().map(name).collect()
    }

    /// Opens a folder that lies in the last.
    fn step(&self, name: &Path, missing: Missing) -> io::Result<Folder> {
        let last = self.last()?;
        for _ in 0..MOST_TRIES {
            let error = match last.enter(name) {
                Err(error) => error,
                opened => return opened,
            };
            match last.look(name) {
                Ok(found) if found.kind.is_symlink() => {
                    let steps = self.steps.iter().skip(1);
                    let above = steps.fold(self.base.clone(), |path, step| path.join(&step.name));
                    return Err(NotFollowed { path: above.join(name), owner: found.uid }.into());
                }
                // It was a link just now, and is none any more.
                Ok(found) if found.kind.is_dir() && error.kind() != io::ErrorKind::PermissionDenied => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::Make => {
                    match last.create_folder(name, 0o777) {
                        // Somebody else has made it meanwhile.
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        made => made?,
                    }
                }
                _ => return Err(error),
            }
        }
        Err(io::Error::other("it is exchanged for something else all the time"))
    }

    /// The last of the steps, which is open.
    fn last(&self) -> io::Result<&Folder> {
        self.steps.last().and_then(|step| step.folder.as_ref()).ok_or_else(|| Errno::BADF.into())
    }

    /// Opens the last, where it was closed because others were further below.
    fn open_again(&mut self) -> io::Result<()> {
        let open = self.steps.iter().rposition(|step| step.folder.is_some()).unwrap_or_default();
        let closed = self.steps.split_off(open + 1);
        for Step { name, .. } in closed {
            let folder = self.step(Path::new(&name), Missing::Fail)?;
            self.steps.push(Step { name, folder: Some(folder) });
            self.close(self.steps.len() - 1);
        }
        Ok(())
    }

    /// Closes the one that is far enough above the one at this place.
    fn close(&mut self, last: usize) {
        if let Some(above @ 1..) = last.checked_sub(MOST_OPEN) {
            self.steps[above].folder = None;
        }
    }
}

/// For a person: a name with a newline in it must not look like two lines.
fn in_one_line(path: &Path) -> String {
    path.display().to_string().replace('\n', "\\n")
}

/// The folder that a path lies in, and its name in there.
fn parts(path: &Path) -> io::Result<(&Path, &Path)> {
    match (path.parent(), path.file_name()) {
        _ if path.as_os_str().len() >= LONGEST => Err(Errno::NAMETOOLONG.into()),
        (Some(above), Some(name)) => Ok((above, Path::new(name))),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no name in a folder")),
    }
}

/// Puts the parts of a path before those that are left, of which the next is the last.
fn put_before(path: &Path, left: &mut Vec<OsString>) -> io::Result<()> {
    if path.as_os_str().len() >= LONGEST {
        return Err(Errno::NAMETOOLONG.into());
    }
    left.extend(path.components().rev().map(|part| part.as_os_str().to_owned()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};

    use super::*;

    #[test]
    fn a_deep_tree_is_walked_down_and_up_again_with_few_open_folders() {
        let dir = tempfile::tempdir().unwrap();
        let depth = MOST_OPEN * 3;
        let paths: Vec<PathBuf> =
            (0..depth).map(|levels| dir.path().join("d/".repeat(levels)).components().collect()).collect();
        fs::create_dir_all(paths.last().unwrap()).unwrap();
        let inodes: Vec<_> =
            paths.iter().map(|path| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap())).collect();
        let mut tree = Tree::open(dir.path()).unwrap();
        for (path, inode) in paths.iter().zip(&inodes).chain(paths.iter().zip(&inodes).rev()) {
            assert_eq!(tree.folder(path).unwrap().found().unwrap().inode.1, *inode, "{}", path.display());
            let open = tree.steps.iter().filter(|step| step.folder.is_some()).count();
            assert!(open <= MOST_OPEN + 1, "{open} of them are open");
        }
    }

    #[test]
    fn no_link_is_followed_below_and_of_those_above_the_ones_of_this_user() {
        let dir = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(dir.join("real/base/inside")).unwrap();
        symlink("real", dir.join("link")).unwrap();
        symlink("../../link", dir.join("real/base/up")).unwrap();
        symlink("inside", dir.join("real/base/to-inside")).unwrap();
        let mut tree = Tree::open(&dir.join("link/base")).unwrap();
        assert_eq!(tree.real(), dir.join("real/base"));
        tree.folder(&dir.join("link/base/inside")).unwrap();
        for name in ["up", "to-inside", "to-inside/deeper"] {
            let error = tree.folder(&dir.join("link/base").join(name)).unwrap_err();
            assert!(NotFollowed::of(&error).is_some(), "{error}");
        }
        assert_eq!(Tree::open(&dir.join("link/base/up/../link/base")).unwrap().real(), dir.join("real/base"));
        for outside in [dir.join("link"), dir.join("link/base/../x"), "/".into()] {
            assert_eq!(tree.folder(&outside).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        symlink("circle", dir.join("circle")).unwrap();
        assert!(Tree::open(&dir.join("circle")).is_err());
        if rustix::process::geteuid().is_root() {
            lchown(dir.join("link"), Some(65534), None).unwrap();
            for path in ["link/base", "link", "real/base/up/base"] {
                let error = Tree::open(&dir.join(path)).unwrap_err();
                assert_eq!(NotFollowed::of(&error).unwrap().path, dir.join("link"), "{path}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_made_only_where_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("a/b");
        assert_eq!(Tree::open(&base).unwrap_err().kind(), io::ErrorKind::NotFound);
        let mut tree = Tree::make(&base).unwrap();
        assert_eq!(tree.folder(&base.join("c")).unwrap_err().kind(), io::ErrorKind::NotFound);
        tree.make_folder(&base.join("c/d")).unwrap();
        assert!(base.join("c/d").is_dir());
    }
}
