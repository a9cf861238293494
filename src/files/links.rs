//! The links that are in a backup, and where a path lies once they are followed.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::{FileEntry, What};

/// Links by where they lie, and where each leads.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeMap<PathBuf, PathBuf>);

impl Links {
    /// Those among some entries.
    pub(super) fn of(entries: &[FileEntry]) -> Self {
        let mut links = Self::default();
        for entry in entries {
            links.add(entry);
        }
        links
    }

    /// Takes an entry in, if it is a link.
    pub(super) fn add(&mut self, entry: &FileEntry) {
        if let What::Link { target } = &entry.what {
            let above = entry.path.as_path().parent().unwrap_or(Path::new("/"));
            self.0.insert(entry.path.as_path().to_owned(), plain(&above.join(target.as_path())));
        }
    }

    /// Where a link leads.
    pub(super) fn target_of(&self, link: &Path) -> Option<&Path> {
        self.0.get(link).map(PathBuf::as_path)
    }

    /// The same path, past the links above it: nothing is ever below a link in a backup.
    pub(super) fn beyond(&self, path: &Path) -> PathBuf {
        let mut path = path.to_owned();
        for _ in 0..self.0.len() {
            let above = path.ancestors().skip(1);
            let Some((link, target)) = above.filter_map(|above| self.0.get_key_value(above)).last() else {
                break;
            };
            path = target.join(path.strip_prefix(link).unwrap_or(&path));
        }
        path
    }

    /// Where a path ends that is a link, to a link, and so on.
    pub(super) fn end_of(&self, path: &Path) -> PathBuf {
        let mut path = self.beyond(path);
        for _ in 0..self.0.len() {
            let Some(target) = self.target_of(&path) else { break };
            path = self.beyond(target);
        }
        path
    }
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}
