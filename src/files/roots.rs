//! Named paths that have lost what they held. An unmounted volume is an empty folder, and reading it is no error: what
//! tells of it is the last good backup. Such a path counts as lacking, as one does that cannot be read, so that it is
//! told in each run and the backup that has it is kept, until it has it again or somebody says that this is right.

use std::collections::BTreeMap;

use super::links::Links;
use super::{FilePath, FilesContents, Held, Lack, What};
use crate::store::{Backup, BackupId, JobStore};
use crate::words;

/// Of fewer files it is nothing strange that most of them go.
const MANY: usize = 10;

/// Adds to what a new backup lacks: the paths that held files in the last good one of the same job that does not lack
/// them itself, and now hold none, far fewer, or are something else. A backup that somebody has accepted is one to
/// compare with, whatever it lacks.
pub(super) fn compare(contents: &mut FilesContents, store: &JobStore) {
    // That older ones cannot be looked at is told before each backup.
    let mut earlier = Earlier::of(store);
    let untold = |root: &&FilePath| !contents.lacks.iter().any(|lack| root.is_within(&lack.path));
    let lost: Vec<Lack> = (contents.roots.iter().filter(untold))
        .filter_map(|root| {
            let (title, was) = earlier.root(root)?;
            let (held, what) = Root::of(contents, root)?.lost(&was, &title)?;
            let job = store.job();
            let reason = format!(
                "{what}: bring it back; where this is right, `watchkeeper accept {job}/latest` says so once, or take the \
                 path out of \"paths\""
            );
            Some(Lack { path: root.clone(), reason, held })
        })
        .collect();
    contents.lacks.extend(lost);
}

/// The good backups of the job so far.
struct Earlier {
    /// Newest first.
    good: Vec<Backup>,
    /// What was read of them; nothing where that could not be.
    read: BTreeMap<BackupId, Option<FilesContents>>,
}

impl Earlier {
    fn of(store: &JobStore) -> Self {
        let backups = store.list().unwrap_or_default().backups.into_iter().rev();
        Self { good: backups.filter(Backup::is_good).collect(), read: BTreeMap::new() }
    }

    /// What a path was when it was last as it should be, and the title of the backup that has it so.
    fn root(&mut self, path: &FilePath) -> Option<(String, Root)> {
        let text = path.text();
        for backup in &self.good {
            if !backup.state.accepted && backup.manifest.lacks_at(&text) {
                continue;
            }
            let read = self.read.entry(backup.id().clone()).or_insert_with(|| backup.contents().ok());
            if let Some(contents) = read {
                let title = format!("{}/{}", backup.manifest.job, backup.id());
                return Root::of(contents, path).map(|root| (title, root));
            }
        }
        None
    }
}

/// What a named path is in a backup.
struct Root {
    kind: &'static str,
    /// Files and links in what it stands for, itself included.
    files: usize,
}

impl Root {
    fn of(contents: &FilesContents, named: &FilePath) -> Option<Self> {
        let links = Links::of(&contents.entries);
        let path = links.beyond(named.as_path());
        let kind = match contents.entries.iter().find(|entry| entry.path.as_path() == path)?.what {
            What::File { .. } => "a file",
            What::Folder => "a folder",
            What::Link { .. } => "a link",
        };
        let end = links.end_of(&path);
        let inside = contents.entries.iter().filter(|entry| entry.path.as_path().starts_with(&end));
        Some(Self { kind, files: inside.filter(|entry| entry.what != What::Folder).count() })
    }

    /// What is lost of what it was in the backup `title`, if something is.
    fn lost(&self, was: &Self, title: &str) -> Option<(Held, String)> {
        let files = |number| words::count(number, "file");
        if was.files == 0 {
            None
        } else if self.kind != was.kind {
            Some((Held::Doubtful, format!("it is {}, and {title} has {} there", self.kind, was.kind)))
        } else if self.files == 0 {
            Some((Held::Doubtful, format!("it holds no files, and {title} has {}", files(was.files))))
        } else if was.files >= MANY && self.files * 2 < was.files {
            let what = format!("it holds {} only, and {title} has {}", files(self.files), files(was.files));
            Some((Held::Part, what))
        } else {
            None
        }
    }
}
