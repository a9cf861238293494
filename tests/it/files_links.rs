//! A `files-backup` of a tree whose user puts links in the way: neither is root's secret taken in, nor is anything written
//! where only root may.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::watchkeeper::{Output, Watchkeeper, files_job};
use crate::support::{run, scratch};

const NOBODY: u32 = 65534;
pub(crate) const SECRET: &str = "what only root may read";

/// `user/app/conf` is a user's, and a job called `conf` backs it up; `victim` is root's.
pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) watchkeeper: Watchkeeper,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = scratch::folder("links");
        let conf = folder.path().join("user/app/conf");
        let watchkeeper = Watchkeeper::with_config(&files_job(999, &[&conf]));
        let scene = Self { folder, watchkeeper };
        fs::create_dir_all(scene.conf().join("sub")).unwrap();
        fs::write(scene.conf().join("a"), "a").unwrap();
        fs::write(scene.conf().join("sub/precious"), "the user's").unwrap();
        symlink("sub/precious", scene.conf().join("link")).unwrap();
        scene.make_victim();
        give(&scene.path("user"));
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn conf(&self) -> PathBuf {
        self.path("user/app/conf")
    }

    fn make_victim(&self) {
        let victim = self.path("victim");
        fs::create_dir_all(victim.join("conf")).unwrap();
        fs::write(victim.join("precious"), SECRET).unwrap();
        fs::set_permissions(victim.join("precious"), Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o700)).unwrap();
    }

    pub(crate) fn run(&self, words: &[&str], code: i32) -> String {
        let Output { stdout, stderr, .. } = self.watchkeeper.run(words).expect(code);
        stdout + &stderr
    }

    /// Nothing of the folder that is root's was read or changed.
    #[track_caller]
    fn victim_is_untouched(&self) {
        let victim = self.path("victim");
        let mut found = Vec::new();
        for path in [victim.clone(), victim.join("conf"), victim.join("precious")] {
            let meta = path.symlink_metadata().unwrap();
            let own = rustix::process::geteuid().as_raw();
            assert_eq!(meta.uid(), own, "{} was given away", path.display());
            found.push(meta.mode() & 0o777);
        }
        assert_eq!((found[0], found[2]), (0o700, 0o600));
        assert_eq!(fs::read_to_string(victim.join("precious")).unwrap(), SECRET);
        let files: Vec<PathBuf> = scratch::files_below(&victim);
        assert_eq!(files, [PathBuf::from("precious")], "something was written there");
        self.archives_hold_no_secret();
    }

    #[track_caller]
    pub(crate) fn archives_hold_no_secret(&self) {
        for archive in scratch::files_below(&self.watchkeeper.backups_folder()) {
            if !archive.to_string_lossy().ends_with(".tar.gz") {
                continue;
            }
            let archive = self.watchkeeper.backups_folder().join(archive);
            let content = run(Command::new("tar").arg("-xzOf").arg(&archive));
            assert!(!content.contains(SECRET), "{} holds the secret", archive.display());
        }
    }
}

/// All below is the user's, links too.
pub(crate) fn give(path: &Path) {
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").args(["-hR", "65534:65534"]).arg(path));
    }
}

/// The user puts a link to a folder in place of one, and moves that away.
fn replace(path: &Path, with: &Path) {
    fs::rename(path, path.with_extension("away")).unwrap();
    symlink(with, path).unwrap();
    give(path);
}

#[test]
fn a_folder_above_the_paths_that_is_a_link_of_its_user_now_is_refused_by_backup_and_restore() {
    if !rustix::process::geteuid().is_root() {
        return; // only root makes links of others
    }
    let scene = Scene::new();
    scene.run(&["run-now", "conf"], 0);
    let app = scene.path("user/app");
    replace(&app, &scene.path("victim"));
    let told = format!("{} is a symbolic link of the user {NOBODY}, and is not followed", app.display());
    for (words, code) in [
        (&["restore", "conf", "--dry-run"][..], 1),
        (&["restore", "conf", "--yes"], 1),
        (&["run-now", "conf"], 1),
        (&["check"], 1),
    ] {
        let said = scene.run(words, code);
        assert!(said.contains(&told) && said.contains("chown -h"), "{words:?}: {said}");
    }
    scene.victim_is_untouched();
    // Of the one who runs this, it is the operator's.
    let elsewhere = scene.path("elsewhere");
    fs::rename(app.with_extension("away"), &elsewhere).unwrap();
    fs::remove_file(&app).unwrap();
    symlink(&elsewhere, &app).unwrap();
    fs::remove_file(elsewhere.join("conf/a")).unwrap();
    scene.run(&["restore", "conf", "--yes"], 0);
    assert_eq!(fs::read_to_string(elsewhere.join("conf/a")).unwrap(), "a");
    scene.run(&["restore", "conf", "--undo", "--yes"], 0);
    assert!(!elsewhere.join("conf/a").exists());
    scene.run(&["run-now", "conf"], 0);
}

#[test]
fn a_folder_in_the_tree_that_is_a_link_now_is_refused_before_anything_is_changed() {
    let scene = Scene::new();
    scene.run(&["run-now", "conf"], 0);
    fs::write(scene.conf().join("a"), "changed").unwrap();
    fs::remove_file(scene.conf().join("sub/precious")).unwrap();
    let sub = scene.conf().join("sub");
    replace(&sub, &scene.path("victim"));
    for words in [&["restore", "conf", "--dry-run"][..], &["restore", "conf", "--yes"]] {
        let said = scene.run(words, 1);
        let told = format!("{} is a symbolic link of the user", sub.display());
        assert!(said.contains(&told), "{said}");
        assert_eq!(said.lines().filter(|line| line.contains("in the way")).count(), 1, "{said}");
    }
    assert_eq!(fs::read_to_string(scene.conf().join("a")).unwrap(), "changed");
    scene.victim_is_untouched();
    // A backup keeps the link as a link.
    scene.run(&["run-now", "conf"], 0);
    scene.victim_is_untouched();
}

#[test]
fn an_undo_neither_writes_nor_removes_behind_a_link_in_place_of_a_folder() {
    let scene = Scene::new();
    scene.run(&["run-now", "conf"], 0);
    let sub = scene.conf().join("sub");
    fs::remove_file(sub.join("precious")).unwrap();
    fs::write(scene.conf().join("a"), "mine").unwrap();
    scene.run(&["restore", "conf", "--yes"], 0);
    // What it created lies behind the link now, too, and is the same.
    let victim = scene.path("victim");
    fs::write(victim.join("precious"), "the user's").unwrap();
    replace(&sub, &victim);
    let said = scene.run(&["restore", "conf", "--undo", "--yes"], 0);
    assert!(said.contains("left as it is"), "{said}");
    assert_eq!(fs::read_to_string(victim.join("precious")).unwrap(), "the user's");
    assert_eq!(fs::read_to_string(scene.conf().join("a")).unwrap(), "mine");

    // One that changed something in there is not begun.
    fs::remove_file(&sub).unwrap();
    fs::rename(sub.with_extension("away"), &sub).unwrap();
    fs::write(sub.join("precious"), "changed").unwrap();
    scene.run(&["restore", "conf", "--yes"], 0);
    fs::write(victim.join("precious"), SECRET).unwrap();
    replace(&sub, &victim);
    let said = scene.run(&["restore", "conf", "--undo", "--yes"], 1);
    assert!(said.contains("is a symbolic link of the user"), "{said}");
    scene.victim_is_untouched();
}

#[test]
fn a_path_that_is_a_link_of_another_user_is_kept_as_a_link_and_not_followed() {
    if !rustix::process::geteuid().is_root() {
        return; // only root makes links of others
    }
    let scene = Scene::new();
    let current = scene.path("user/current");
    symlink(scene.path("victim"), &current).unwrap();
    give(&current);
    scene.watchkeeper.configure(&files_job(999, &[&scene.conf(), &current]));
    let said = scene.run(&["run-now", "conf"], 3);
    let told = format!("{} is a symbolic link of the user {NOBODY}", current.display());
    assert!(said.contains("where it leads is unknown") && said.contains(&told), "{said}");
    scene.victim_is_untouched();
    // Nor is one that such a link leads on to.
    let named = scene.path("named");
    symlink("user/current/../victim/precious", &named).unwrap();
    scene.watchkeeper.configure(&files_job(999, &[&scene.conf(), &named]));
    assert!(scene.run(&["run-now", "conf"], 3).contains(&told));
    scene.victim_is_untouched();
}

#[test]
fn links_in_a_tree_of_a_user_come_back_as_links_and_his() {
    let scene = Scene::new();
    symlink(scene.path("victim"), scene.conf().join("out")).unwrap();
    give(&scene.conf().join("out"));
    scene.run(&["run-now", "conf"], 0);
    let owner = scene.conf().metadata().unwrap().uid();
    fs::remove_file(scene.conf().join("out")).unwrap();
    fs::remove_file(scene.conf().join("link")).unwrap();
    symlink("a", scene.conf().join("link")).unwrap();
    scene.run(&["restore", "conf", "--yes"], 0);
    for (name, target) in [("out", scene.path("victim")), ("link", "sub/precious".into())] {
        let link = scene.conf().join(name);
        assert_eq!(fs::read_link(&link).unwrap(), target);
        assert_eq!(link.symlink_metadata().unwrap().uid(), owner);
    }
    scene.run(&["restore", "conf", "--undo", "--yes"], 0);
    assert_eq!(fs::read_link(scene.conf().join("link")).unwrap(), Path::new("a"));
    assert!(scene.conf().join("out").symlink_metadata().is_err());
    scene.victim_is_untouched();
}

#[test]
fn nothing_is_unpacked_behind_a_link_in_the_folder_it_goes_to() {
    if !rustix::process::geteuid().is_root() {
        return; // only root makes links of others
    }
    let scene = Scene::new();
    scene.run(&["run-now", "conf"], 0);
    let into = scene.path("user/into");
    symlink(scene.path("victim/conf"), &into).unwrap();
    give(&into);
    let said = scene.run(&["restore", "conf", "--into", into.join("deep").to_str().unwrap()], 1);
    assert!(said.contains("is a symbolic link of the user"), "{said}");
    assert_eq!(scene.path("victim/conf").read_dir().unwrap().count(), 0);
}
