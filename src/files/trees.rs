//! The trees that the paths of a backup lie in: how what lies there is reached while others may exchange it.
//!
//! A tree begins above the outermost of what was named, and above what a link that was named leads to. On the way there a
//! link is followed where it is root's or of the user who runs this, and below it none is: see [`Tree`].

use std::collections::BTreeSet;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use crate::regular::{Folder, Found, Node, Tree};

/// The outermost of some paths.
#[derive(Debug, Clone, Default)]
pub(super) struct Tops(BTreeSet<PathBuf>);

impl Tops {
    /// Of these paths.
    pub(super) fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut paths: Vec<PathBuf> = paths.into_iter().collect();
        // What lies in a folder comes right behind it.
        paths.sort();
        let mut outermost: Vec<PathBuf> = Vec::new();
        for path in paths {
            if !outermost.last().is_some_and(|last| path.starts_with(last)) {
                outermost.push(path);
            }
        }
        Self(outermost.into_iter().collect())
    }

    /// They themselves.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.iter()
    }

    /// The folder above the one that a path is, or lies in.
    fn base(&self, path: &Path) -> PathBuf {
        // Between what lies in one and that itself there is none.
        let before = self.0.range::<Path, _>((Bound::Unbounded, Bound::Included(path))).next_back();
        let top = before.map(PathBuf::as_path).filter(|top| path.starts_with(top)).unwrap_or(path);
        top.parent().unwrap_or(top).to_owned()
    }
}

/// The trees below some paths, of which the last is held open.
#[derive(Debug)]
pub(super) struct Trees {
    tops: Tops,
    last: Option<Tree>,
}

impl Trees {
    /// Those below these paths.
    pub(super) const fn of(tops: Tops) -> Self {
        Self { tops, last: None }
    }

    /// The one that a path lies in.
    pub(super) fn tree(&mut self, path: &Path) -> io::Result<&mut Tree> {
        let base = self.tops.base(path);
        self.tree_at(&base, Tree::open)
    }

    /// What lies at a path.
    pub(super) fn look(&mut self, path: &Path) -> io::Result<Found> {
        self.tree(path)?.look(path)
    }

    /// Holds open what lies at a path, whatever it is.
    pub(super) fn node(&mut self, path: &Path) -> io::Result<Node> {
        self.tree(path)?.node(path)
    }

    /// The folder that a path lies in, and its name in there.
    pub(super) fn place<'p>(&mut self, path: &'p Path) -> io::Result<(&Folder, &'p Path)> {
        self.tree(path)?.place(path)
    }

    /// The same, with the folder made where it is missing.
    pub(super) fn make_place<'p>(&mut self, path: &'p Path) -> io::Result<(&Folder, &'p Path)> {
        let base = self.tops.base(path);
        self.tree_at(&base, Tree::make)?.make_place(path)
    }

    /// The nearest folder above a path that is there, and where that is.
    pub(super) fn nearest<'p>(&mut self, path: &'p Path) -> io::Result<(&Folder, &'p Path)> {
        let base = self.tops.base(path);
        for above in path.ancestors().skip(1) {
            let base = if above.starts_with(&base) { base.as_path() } else { above };
            let reached = self.tree_at(base, Tree::open).and_then(|tree| tree.folder(above).map(drop));
            match reached {
                Ok(()) => return Ok((self.tree_at(base, Tree::open)?.folder(above)?, above)),
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn tree_at(&mut self, base: &Path, open: fn(&Path) -> io::Result<Tree>) -> io::Result<&mut Tree> {
        let tree = match self.last.take() {
            Some(last) if last.base() == base => last,
            _ => open(base)?,
        };
        Ok(self.last.insert(tree))
    }
}

/// Nothing is there, or something else is where a folder above it would be.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_above_the_outermost_that_holds_it() {
        let paths = ["/etc/prom/rules", "/etc/prom", "/etc/prom-old/a", "/srv"];
        let tops = Tops::of(paths.map(PathBuf::from));
        let base = |path: &str| tops.base(Path::new(path)).display().to_string();
        assert_eq!(base("/etc/prom/rules/a"), "/etc");
        assert_eq!(base("/etc/prom-old/a"), "/etc/prom-old");
        assert_eq!(base("/srv/a"), "/");
        // One that lies in none stands for itself.
        assert_eq!(base("/var/a/b"), "/var/a");
        assert_eq!(tops.paths().count(), 3);
    }
}
