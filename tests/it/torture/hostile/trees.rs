//! A user who exchanges folders of his tree with links to root's, while root backs it up and restores it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::files_links::{SECRET, Scene, give};
use crate::reliability::{figure, in_full};
use crate::support::scratch;

/// So many folders are exchanged with links in turn, and so many files are in each: what takes long is hit more often.
const FOLDERS: usize = 3;
const FILES: usize = 60;

/// Exchanges these, one pair after the other and each back again, while something is done.
fn while_exchanged(pairs: &[(PathBuf, PathBuf)], work: impl Fn()) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (one, other) in pairs.iter().cycle() {
                for _ in 0..2 {
                    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
                }
                if ended.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        let done = catch_unwind(AssertUnwindSafe(work));
        ended.store(true, Ordering::SeqCst);
        done.unwrap();
    });
}

/// The folders with a link for each that leads to root's, all of them the user's.
fn folders_and_links(scene: &Scene) -> Vec<(PathBuf, PathBuf)> {
    let pair = |number| (scene.conf().join(format!("d{number}")), scene.path(&format!("user/l{number}")));
    let pairs: Vec<(PathBuf, PathBuf)> = (0..FOLDERS).map(pair).collect();
    for (_, link) in &pairs {
        if link.symlink_metadata().is_err() {
            symlink(scene.path("victim/secrets"), link).unwrap();
        }
    }
    give(&scene.path("user"));
    pairs
}

/// Each of the folders that are exchanged holds files, or none; there are files of the same names that are root's.
fn fill(scene: &Scene, is_there: bool) {
    let fill = |folder: PathBuf, content: Option<&str>| {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (number, content) in (0..FILES).zip(content.into_iter().cycle()) {
            fs::write(folder.join(format!("f{number}")), content).unwrap();
        }
    };
    for number in 0..FOLDERS {
        fill(scene.conf().join(format!("d{number}")), is_there.then_some("the user's"));
    }
    fill(scene.path("victim/secrets"), Some(SECRET));
}

/// Root's folder is as it was.
fn secrets_are_untouched(scene: &Scene) {
    let folder = scene.path("victim/secrets");
    let own = rustix::process::geteuid().as_raw();
    for number in 0..FILES {
        let file = folder.join(format!("f{number}"));
        assert_eq!(fs::read_to_string(&file).unwrap(), SECRET);
        assert_eq!(file.symlink_metadata().unwrap().uid(), own, "{} was given away", file.display());
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), FILES, "something was written there");
    assert_eq!(folder.metadata().unwrap().uid(), own, "it was given away");
    scene.archives_hold_no_secret();
}

#[test]
fn folders_that_are_exchanged_with_links_while_a_backup_reads_bring_no_secret_into_it() {
    let scene = Scene::new();
    let times = if in_full() { 200 } else { 16 };
    fill(&scene, true);
    while_exchanged(&folders_and_links(&scene), || {
        for _ in 0..times {
            let output = scene.watchkeeper.run(&["run-now", "conf"]);
            assert!([0, 3].contains(&output.code), "{output:?}");
        }
    });
    secrets_are_untouched(&scene);
    figure(
        "a backup by root while folders are exchanged with links to a secret",
        &format!("{times} runs, none held it"),
    );
}

#[test]
fn folders_that_are_exchanged_with_links_while_a_restore_writes_bring_nothing_into_roots_folder() {
    let scene = Scene::new();
    fill(&scene, true);
    scene.run(&["run-now", "conf"], 0);
    let times = if in_full() { 400 } else { 32 };
    for _ in 0..times {
        fill(&scene, false);
        while_exchanged(&folders_and_links(&scene), || {
            for words in [&["restore", "conf", "--yes"][..], &["restore", "conf", "--undo", "--yes"]] {
                let output = scene.watchkeeper.run(words);
                assert!([0, 1, 3].contains(&output.code), "{output:?}");
            }
        });
        secrets_are_untouched(&scene);
    }
    // With rest it comes back, and nothing half written stays.
    scene.run(&["restore", "conf", "--yes"], 0);
    for number in 0..FOLDERS {
        let names: Vec<_> = fs::read_dir(scene.conf().join(format!("d{number}"))).unwrap().collect();
        assert_eq!(names.len(), FILES, "{names:?}");
    }
    let told = format!("{times} of each, none wrote or gave anything away there");
    figure("a restore and its undo by root while folders are exchanged with links to one of root's", &told);
}

#[test]
fn a_file_of_roots_that_is_exchanged_with_one_of_the_users_stays_roots_in_the_backup() {
    let scene = Scene::new();
    let pair = |number| (scene.conf().join(format!("f{number}")), scene.conf().join(format!("s{number}")));
    let pairs: Vec<(PathBuf, PathBuf)> = (0..2).map(pair).collect();
    for (open, secret) in &pairs {
        fs::write(open, "the user's").unwrap();
        fs::set_permissions(open, Permissions::from_mode(0o644)).unwrap();
        fs::write(secret, SECRET).unwrap();
        fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
    }
    let times = if in_full() { 200 } else { 16 };
    while_exchanged(&pairs, || {
        for _ in 0..times {
            scene.watchkeeper.run(&["run-now", "conf"]);
        }
    });
    let store = scene.watchkeeper.store_of("conf");
    let mut secrets = 0;
    for name in scratch::files_below(&store) {
        let name = name.to_str().unwrap().to_owned();
        if !name.ends_with("Z.json") {
            continue;
        }
        let manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(store.join(&name)).unwrap()).unwrap();
        for entry in manifest["contents"]["entries"].as_array().unwrap() {
            if entry["size"] == SECRET.len() {
                secrets += 1;
                assert_eq!(entry["mode"], 0o600, "{name}: {entry}");
            }
        }
    }
    assert!(secrets > 0);
}
