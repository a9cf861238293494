//! Files and folders: their backup, their restore, and its undo.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::sweep::{Kept, Scene, Stage, clean, kill};
use crate::support::scratch;
use crate::support::watchkeeper::{Watchkeeper, files_job};

pub(super) const BACKUP: [&str; 2] = ["run-now", "conf"];
pub(super) const RESTORE: [&str; 3] = ["restore", "conf", "--yes"];
const UNDO: [&str; 4] = ["restore", "conf", "--undo", "--yes"];

type Tree = BTreeMap<PathBuf, String>;

pub(super) struct Conf {
    folder: TempDir,
    watchkeeper: Watchkeeper,
    before: Kept,
    /// As it was backed up, and as it is before the restore.
    new: Tree,
    old: Tree,
    words: Vec<&'static str>,
}

impl Conf {
    pub(super) fn new(words: &[&'static str]) -> Self {
        let folder = scratch::folder("conf");
        let conf = folder.path().join("conf");
        fs::create_dir_all(conf.join("rules/deep")).unwrap();
        for name in ["a.yml", "b.yml", "rules/c.yml", "rules/deep/d.yml"] {
            fs::write(conf.join(name), format!("as backed up: {name}\n").repeat(2_000)).unwrap();
        }
        std::os::unix::fs::symlink("a.yml", conf.join("current")).unwrap();
        let watchkeeper = Watchkeeper::with_config(&files_job(2, &[&conf]));
        watchkeeper.run(&BACKUP).expect(0);
        watchkeeper.run(&BACKUP).expect(0);
        let new = tree(&conf);
        fs::remove_dir_all(conf.join("rules/deep")).unwrap();
        fs::write(conf.join("a.yml"), "mine: a line of it\n".repeat(9_000)).unwrap();
        fs::write(conf.join("rules/own.yml"), "mine").unwrap();
        fs::remove_file(conf.join("current")).unwrap();
        let old = tree(&conf);
        if words == UNDO {
            watchkeeper.run(&RESTORE).expect(0);
        }
        let before =
            Kept::new(&watchkeeper, "before", &[&watchkeeper.state(), &watchkeeper.backups_folder(), &conf]);
        Self { folder, watchkeeper, before, new, old, words: words.to_vec() }
    }

    fn conf(&self) -> PathBuf {
        self.folder.path().join("conf")
    }

    /// Each file is the old or the new one, whole.
    fn is_of_both(&self) {
        for (path, content) in &tree(&self.conf()) {
            // Nobody reads what is not in place yet.
            if is_half_written(path) {
                continue;
            }
            let known = self.new.get(path) == Some(content) || self.old.get(path) == Some(content);
            assert!(known, "{}: {} bytes of neither", path.display(), content.len());
        }
    }

    /// What a restore gives: what was backed up, and beside it what else was there.
    fn restored(&self) -> Tree {
        self.old.clone().into_iter().chain(self.new.clone()).collect()
    }
}

fn is_half_written(path: &std::path::Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".tmp-"))
}

fn tree(folder: &std::path::Path) -> Tree {
    let content = |path: PathBuf| {
        let whole = folder.join(&path);
        let content = fs::read_link(&whole)
            .map_or_else(|_| fs::read_to_string(&whole).unwrap(), |to| to.display().to_string());
        (path, content)
    };
    scratch::files_below(folder).into_iter().map(content).collect()
}

impl Scene for Conf {
    fn stage(&self) -> Stage<'_> {
        Stage { watchkeeper: &self.watchkeeper, words: &self.words, data: (self.conf(), "conf") }
    }

    fn reset(&self) {
        self.before.put_back();
    }

    fn holds(&self) {
        self.watchkeeper.run(&["verify"]).expect(0);
        if self.words == BACKUP {
            self.watchkeeper.run(&BACKUP).expect(0);
            return clean(&self.watchkeeper);
        }
        self.is_of_both();
        let cut = Kept::new(
            &self.watchkeeper,
            "cut",
            &[&self.watchkeeper.state(), &self.watchkeeper.backups_folder(), &self.conf()],
        );
        // Taken back at once.
        let undone = self.watchkeeper.run(&UNDO);
        assert!(undone.code == 0 || tree(&self.conf()) == self.old, "{undone:?}");
        assert!(tree(&self.conf()) == self.old, "{undone:?}: {:?}", scratch::files_below(&self.conf()));
        // Or restored again, and then taken back.
        cut.put_back();
        self.watchkeeper.run(&RESTORE).expect(0);
        let mut restored = tree(&self.conf());
        // Where there was nothing to do, what was half written goes with the undo.
        restored.retain(|path, _| !is_half_written(path));
        assert!(restored == self.restored(), "{:?}", scratch::files_below(&self.conf()));
        // One after the other is taken back: this one, and the one before it that was cut.
        for _ in 0..2 {
            if tree(&self.conf()) != self.old {
                self.watchkeeper.run(&UNDO).expect(0);
            }
        }
        assert!(tree(&self.conf()) == self.old, "{:?}", scratch::files_below(&self.conf()));
        self.watchkeeper.run(&BACKUP).expect(0);
        clean(&self.watchkeeper);
    }
}

#[test]
fn a_backup_of_files_is_killed() {
    kill("files: backup", &Conf::new(&BACKUP), 4, 70);
}

#[test]
fn a_restore_of_files_is_killed() {
    kill("files: restore", &Conf::new(&RESTORE), 6, 90);
}

#[test]
fn an_undo_of_files_is_killed() {
    kill("files: undo", &Conf::new(&UNDO), 6, 90);
}
