//! Files of this host that shrink or grow in the middle of their reading. The program is stopped there by a signal, when
//! the kernel says that it has read a part.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::reliability::{figure, in_full};
use crate::support::run;
use crate::support::watchkeeper::{Watchkeeper, files_job};
use crate::torture::sweep::Dice;

const SIZE: u64 = 8 << 20;
const RUN: [&str; 2] = ["run-now", "conf"];

fn signal(child: &Child, name: &str) {
    run(Command::new("kill").args([name, &child.id().to_string()]));
}

/// How far a process has read a file; nothing while it does not have it open.
fn position(child: &Child, file: &Path) -> Option<u64> {
    let folder = PathBuf::from(format!("/proc/{}", child.id()));
    let fds = fs::read_dir(folder.join("fd")).ok()?.flatten();
    let fd = fds.into_iter().find(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == file))?;
    let info = fs::read_to_string(folder.join("fdinfo").join(fd.file_name())).ok()?;
    info.lines().next()?.split_whitespace().nth(1)?.parse().ok()
}

/// A backup that is stopped while it has read a part of the file; nothing where it was faster.
fn stopped_in_the_middle(watchkeeper: &Watchkeeper, file: &Path) -> Option<Child> {
    let mut child = watchkeeper.spawn(&RUN);
    let size = fs::metadata(file).unwrap().len();
    let within = |at: u64| at > 0 && at < size;
    loop {
        if position(&child, file).is_some_and(within) {
            signal(&child, "-STOP");
            if position(&child, file).is_some_and(within) {
                return Some(child);
            }
            signal(&child, "-CONT");
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
    }
}

struct Scene {
    folder: tempfile::TempDir,
    watchkeeper: Watchkeeper,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let watchkeeper = Watchkeeper::with_config("");
        watchkeeper.configure(&files_job(500, &[folder.path()]));
        let this = Self { folder, watchkeeper };
        this.fill();
        this.watchkeeper.run(&RUN).expect(0);
        this.is_whole("what nobody changed");
        this
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("big")
    }

    fn fill(&self) {
        let random = File::open("/dev/urandom").unwrap();
        let mut file = File::create(self.file()).unwrap();
        std::io::copy(&mut std::io::Read::take(random, SIZE), &mut file).unwrap();
    }

    /// The newest backup holds the file as it is.
    #[track_caller]
    fn is_whole(&self, what: &str) {
        let into = self.watchkeeper.folder().join("into");
        let _ = fs::remove_dir_all(&into);
        let backups = self.watchkeeper.run_json(&["backups"]).expect(0).json();
        let newest =
            backups["backups"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
        // By its name: far less than before is in doubt.
        let newest = format!("conf/{newest}");
        let restored = self.watchkeeper.run(&["restore", &newest, "--into", into.to_str().unwrap()]);
        assert!(matches!(restored.code, 0 | 3), "{restored:?}");
        let restored = into.join(self.file().strip_prefix("/").unwrap());
        assert!(fs::read(restored).unwrap() == fs::read(self.file()).unwrap(), "{what}");
    }

    /// Changes the file in the middle of its reading: the backup has to hold what it is then.
    fn changed_in_the_middle(&self, what: &str, change: impl Fn(&File)) -> bool {
        self.fill();
        let Some(child) = stopped_in_the_middle(&self.watchkeeper, &self.file()) else { return false };
        change(&OpenOptions::new().append(true).open(self.file()).unwrap());
        signal(&child, "-CONT");
        let output = self.watchkeeper.wait(child, &RUN);
        assert!(matches!(output.code, 0 | 3), "{output:?}");
        assert!(
            !output.stdout.contains("while it was read") && !output.stdout.contains("times it was read"),
            "{output:?}"
        );
        self.is_whole(what);
        true
    }
}

#[test]
fn a_file_that_shrinks_or_grows_while_it_is_read_is_read_again() {
    let (scene, mut dice) = (Scene::new(), Dice::new());
    let times = if in_full() { 100 } else { 4 };
    let mut noticed = [0; 2];
    for _ in 0..times * 4 {
        let length = dice.roll(usize::try_from(SIZE).unwrap());
        let changes: [&dyn Fn(&File); 2] =
            [&|file| file.set_len(u64::try_from(length).unwrap()).unwrap(), &|mut file| {
                file.write_all(&vec![7; length / 4 + 1]).unwrap();
            }];
        for (change, noticed) in changes.iter().zip(&mut noticed) {
            if *noticed < times && scene.changed_in_the_middle("what was changed", change) {
                *noticed += 1;
            }
        }
    }
    assert_eq!(noticed, [times; 2], "it was hardly ever met in the middle");
    let told = format!("{times} of {times} noticed, and read again until it was whole");
    figure("a file of this host shrinks while it is read", &told);
    figure("a file of this host grows while it is read", &told);
}

#[test]
fn a_file_that_never_rests_is_backed_up_with_a_warning() {
    let scene = Scene::new();
    let file = OpenOptions::new().append(true).open(scene.file()).unwrap();
    let mut child = scene.watchkeeper.spawn(&RUN);
    while child.try_wait().unwrap().is_none() {
        (&file).write_all(b"one more line\n").unwrap();
        std::thread::yield_now();
    }
    let output = scene.watchkeeper.wait(child, &RUN).expect(3);
    assert!(output.stdout.contains("changed each of the 3 times it was read"), "{output:?}");
}
