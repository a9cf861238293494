//! What a backup is a backup of. Two backups with the same subject take each other's place; others never do.
//!
//! It is what a configuration names, and not where that lies: a target's name, else the paths. So a server may move to
//! another URL or host, and a host may be set up anew from the same jobs.toml, and the backups of before are still those of
//! the job; the host is told, and nothing follows from it. Two databases in two places are two, and so are two kinds.

use std::fmt;
use std::path::Path;

use serde::Serialize;

/// What a backup is a backup of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The kind of the backup: `sqlite-backup`.
    pub kind: String,
    /// The target's name in the configuration, where it is one: then the rest says nothing.
    pub target: Option<String>,
    /// The container that the paths are in.
    pub container: Option<String>,
    /// Files and folders; empty where they are not known.
    pub paths: Vec<String>,
}

impl Subject {
    /// A target of the configuration.
    pub fn target(kind: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), target: Some(name.to_owned()), container: None, paths: Vec::new() }
    }

    /// Paths of this host, or in a container.
    pub fn paths(kind: &str, container: Option<&str>, paths: Vec<String>) -> Self {
        Self { kind: kind.to_owned(), target: None, container: container.map(str::to_owned), paths }
    }

    /// Both are of the same thing. Lists of paths may grow and shrink: as long as they have something in common they are
    /// one, and what is not known of an old backup is not held against it.
    pub fn is_same(&self, other: &Self) -> bool {
        if self.kind != other.kind || self.target != other.target {
            return false;
        }
        let unknown = self.paths.is_empty() || other.paths.is_empty();
        let overlap = |one: &String| other.paths.iter().any(|two| overlap(Path::new(one), Path::new(two)));
        self.target.is_some()
            || (self.container == other.container && (unknown || self.paths.iter().any(overlap)))
    }
}

fn overlap(one: &Path, two: &Path) -> bool {
    one.starts_with(two) || two.starts_with(one)
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        match &self.target {
            Some(target) => write!(f, " of {target}")?,
            None if self.paths.is_empty() => {}
            None => write!(f, " of {}", self.paths.join(", "))?,
        }
        self.container.as_ref().map_or(Ok(()), |container| write!(f, " in container {container}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Subject {
        Subject::paths("files-backup", None, paths.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn two_kinds_targets_and_places_are_two_subjects_and_a_longer_list_of_paths_is_not() {
        let database = |path: &str| Subject::paths("sqlite-backup", None, vec![path.to_owned()]);
        assert!(database("/a/app.db").is_same(&database("/a/app.db")));
        assert!(!database("/a/app.db").is_same(&database("/b/app.db")));
        assert!(!database("/a").is_same(&files(&["/a"])));
        assert!(!Subject::target("k", "main").is_same(&Subject::target("k", "other")));
        assert!(files(&["/etc/a", "/etc/b"]).is_same(&files(&["/etc/b", "/etc/c"])));
        assert!(files(&["/etc"]).is_same(&files(&["/etc/b"])));
        assert!(!files(&["/etc/a"]).is_same(&files(&["/etc/ab"])));
        let inside = Subject { container: Some("app".into()), ..files(&["/etc"]) };
        assert!(!inside.is_same(&files(&["/etc"])));
        assert_eq!(inside.to_string(), "files-backup of /etc in container app");
    }

    #[test]
    fn an_old_backup_that_does_not_tell_its_paths_is_one_of_its_job() {
        assert!(files(&[]).is_same(&files(&["/etc"])));
    }
}
