//! Named paths of a `files-backup` that have lost what they held: that is told, and the last good copy stays.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::prometheus::{Builder, Prometheus};
use crate::support::watchkeeper::{Watchkeeper, files_job};

/// A job that keeps one backup of two paths. One holds nearly all bytes, so that what becomes of the other shows in no
/// size of a backup.
struct Scene {
    folder: TempDir,
    watchkeeper: Watchkeeper,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (volume, large) = (folder.path().join("volume"), folder.path().join("large"));
        fs::create_dir(&volume).unwrap();
        fs::write(large, vec![b'x'; 100_000]).unwrap();
        Self { watchkeeper: keeps_one(folder.path(), ""), folder }
    }

    fn volume(&self) -> PathBuf {
        self.folder.path().join("volume")
    }

    fn fill(&self, files: usize) {
        for number in 0..files {
            fs::write(self.volume().join(format!("{number}.yml")), "x").unwrap();
        }
    }

    fn empty(&self) {
        fs::remove_dir_all(self.volume()).unwrap();
        fs::create_dir(self.volume()).unwrap();
    }

    /// Runs the job, and gives what it said.
    fn run(&self, code: i32) -> String {
        self.watchkeeper.run(&["run-now", "conf"]).expect(code).stdout
    }

    fn backups(&self) -> Vec<String> {
        let backups = self.watchkeeper.run_json(&["backups", "conf"]).expect(0).json();
        let backups = backups["backups"].as_array().unwrap();
        backups.iter().map(|backup| backup["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn keeps_one(folder: &Path, keys: &str) -> Watchkeeper {
    let job = files_job(1, &[&folder.join("volume"), &folder.join("large")]);
    Watchkeeper::with_config(&format!("{job}{keys}"))
}

#[test]
fn a_path_that_is_empty_now_is_told_in_each_run_and_the_backup_that_has_it_stays() {
    let scene = Scene::new();
    scene.fill(3);
    scene.run(0);
    let full = scene.backups().remove(0);
    scene.empty();
    for _ in 0..3 {
        let said = scene.run(3);
        let told = format!("volume: it holds no files, and conf/{full} has 3 files");
        assert!(said.contains(&told) && said.contains("`watchkeeper accept conf/latest`"), "{said}");
        assert_eq!((scene.backups().len(), &scene.backups()[0]), (2, &full));
    }
    // A restore of the newest changes nothing there, and says who has it.
    scene.fill(1);
    let plan = scene.watchkeeper.run(&["restore", "conf", "--dry-run"]).expect(0).stdout;
    assert!(plan.contains("only where missing") && plan.contains(&format!("(conf/{full} has it)")), "{plan}");
    // With the volume back nothing is said any more, and one backup is enough.
    scene.fill(3);
    scene.run(0);
    assert_eq!(scene.backups().len(), 1);
}

#[test]
fn that_a_path_is_empty_is_said_to_be_right_and_it_is_told_again_only_where_it_was_filled_since() {
    let scene = Scene::new();
    scene.fill(3);
    scene.run(0);
    scene.empty();
    scene.run(3);
    scene.run(3);
    scene.watchkeeper.run(&["accept", "conf/latest"]).expect(0);
    for _ in 0..2 {
        scene.run(0);
        assert_eq!(scene.backups().len(), 1);
    }
    scene.fill(2);
    scene.run(0);
    scene.empty();
    scene.run(3);
    assert_eq!(scene.backups().len(), 2);
}

#[test]
fn a_path_that_is_named_no_more_is_missed_by_nobody() {
    let scene = Scene::new();
    scene.fill(3);
    scene.run(0);
    scene.empty();
    scene.run(3);
    scene.watchkeeper.configure(&files_job(1, &[&scene.folder.path().join("large")]));
    scene.run(0);
    assert_eq!(scene.backups().len(), 1);
}

#[test]
fn a_path_that_has_become_something_else_is_told_and_what_it_was_stays() {
    let scene = Scene::new();
    let (volume, elsewhere) = (scene.volume(), scene.folder.path().join("elsewhere"));
    scene.fill(3);
    scene.run(0);
    let full = scene.backups().remove(0);
    let told = |what: &str| {
        let said = scene.run(3);
        assert!(
            said.contains(&format!("volume: it is {what}, and conf/{full} has a folder there")),
            "{said}"
        );
        assert_eq!((scene.backups().len(), &scene.backups()[0]), (2, &full));
    };
    fs::rename(&volume, &elsewhere).unwrap();
    fs::write(&volume, "a file").unwrap();
    told("a file");
    // The folder is back: a restore of the newest neither replaces it nor is in its way.
    fs::remove_file(&volume).unwrap();
    fs::rename(&elsewhere, &volume).unwrap();
    scene.watchkeeper.run(&["restore", "conf", "--dry-run"]).expect(0);
    fs::rename(&volume, &elsewhere).unwrap();
    symlink("elsewhere", &volume).unwrap();
    told("a link");
    scene.watchkeeper.run(&["accept", "conf/latest"]).expect(0);
    scene.run(0);
    // Emptied behind the link.
    fs::remove_dir_all(&elsewhere).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    assert!(scene.run(3).contains("volume: it holds no files"));
    fs::remove_file(&volume).unwrap();
    fs::create_dir(&volume).unwrap();
    assert!(scene.run(3).contains("volume: it is a folder, and"));
}

#[test]
fn a_file_that_has_become_a_folder_is_told_and_what_it_was_stays() {
    let scene = Scene::new();
    fs::remove_dir(scene.volume()).unwrap();
    fs::write(scene.volume(), "a file").unwrap();
    scene.run(0);
    fs::remove_file(scene.volume()).unwrap();
    fs::create_dir(scene.volume()).unwrap();
    scene.fill(1);
    assert!(scene.run(3).contains("volume: it is a folder, and"));
    assert_eq!(scene.backups().len(), 2);
}

#[test]
fn a_path_with_far_fewer_files_is_told_and_those_that_are_there_are_restored() {
    let scene = Scene::new();
    scene.fill(500);
    scene.run(0);
    let full = scene.backups().remove(0);
    scene.empty();
    scene.fill(2);
    for _ in 0..2 {
        let said = scene.run(3);
        assert!(
            said.contains(&format!("volume: it holds 2 files only, and conf/{full} has 500 files")),
            "{said}"
        );
        assert_eq!((scene.backups().len(), &scene.backups()[0]), (2, &full));
    }
    fs::write(scene.volume().join("0.yml"), "changed").unwrap();
    let said = scene.watchkeeper.run(&["restore", "conf", "--yes"]).expect(3).stdout;
    assert!(said.contains("restored only in part") && said.contains("volume"), "{said}");
    assert_eq!(fs::read_to_string(scene.volume().join("0.yml")).unwrap(), "x");
    // Half of them are enough.
    scene.fill(250);
    scene.run(0);
    assert_eq!(scene.backups().len(), 1);
}

#[test]
fn in_a_container_a_path_that_is_empty_or_something_else_is_told_as_well() {
    let Some(prometheus) = Prometheus::container(Builder::default().bind_mounted()) else { return };
    let (name, data) = (prometheus.container_name().unwrap(), prometheus.data_dir());
    let conf = data.join("conf");
    fs::create_dir_all(conf.join("volume")).unwrap();
    fs::write(conf.join("volume/1.yml"), "x").unwrap();
    fs::write(conf.join("large"), vec![b'x'; 100_000]).unwrap();
    let watchkeeper = keeps_one(Path::new("/prometheus/conf"), &format!("container = \"{name}\"\n"));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    fs::remove_file(conf.join("volume/1.yml")).unwrap();
    let told = |what: &str| {
        let said = watchkeeper.run(&["run-now", "conf"]).expect(3).stdout;
        assert!(said.contains(&format!("/prometheus/conf/volume: {what}, and conf/")), "{said}");
        let backups = watchkeeper.run_json(&["backups"]).expect(0).json();
        assert_eq!(backups["backups"].as_array().unwrap().len(), 2);
    };
    told("it holds no files");
    fs::remove_dir(conf.join("volume")).unwrap();
    fs::write(conf.join("volume"), "a file").unwrap();
    told("it is a file");
    fs::remove_dir_all(&conf).unwrap();
}

#[test]
fn the_folders_of_the_program_itself_are_left_out_of_a_folder_that_holds_them() {
    let watchkeeper = Watchkeeper::with_config("");
    fs::write(watchkeeper.folder().join("data"), vec![b'x'; 100]).unwrap();
    watchkeeper.configure(&files_job(3, &[watchkeeper.folder()]));
    let told = watchkeeper.run(&["check"]).expect(3);
    for name in ["backup_dir", "state_dir"] {
        assert!(told.stdout.contains(&format!("holds {name} (")), "{told:?}");
    }
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let run = watchkeeper.run_json(&["run-now", "conf"]).expect(0).json();
        assert!(
            run.to_string().contains("backups is a folder of the program itself, and was left out"),
            "{run}"
        );
        let backups = watchkeeper.run_json(&["backups"]).expect(0).json();
        sizes.push(backups["backups"].as_array().unwrap().last().unwrap()["content_bytes"].as_u64().unwrap());
    }
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
    // A folder of backups that is named itself is none to back up, by whatever name.
    symlink(watchkeeper.store_of("conf"), watchkeeper.folder().join("link")).unwrap();
    let (data, link) = (watchkeeper.folder().join("data"), watchkeeper.folder().join("link"));
    watchkeeper.configure(&files_job(3, &[&data, &link]));
    let run = watchkeeper.run(&["run-now", "conf"]).expect(3);
    assert!(run.stdout.contains("it is where the backups lie"), "{run:?}");
}
