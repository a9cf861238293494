//! Containers that are stopped, paused, renamed or removed, and engines that go, in the middle of a stream. It is held at an
//! exact byte by a proxy before the engine's socket until that is done.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::SLACK;
use crate::support::docker::{self, Container, Image, Volume, docker};
use crate::support::proxy::{Fault, Proxy, What};
use crate::support::run;
use crate::support::watchkeeper::{Output, Watchkeeper};

/// More than lies in all buffers between the engine and the program.
pub(super) const SIZE: u64 = 8 << 20;
pub(super) const RUN: [&str; 2] = ["run-now", "conf"];

/// A container with a file that cannot be compressed, and a job that backs it up through a proxy.
pub(super) struct Scene {
    // Dropped in this order: nothing can be removed while the one before it uses it, and a stream that is held locks the
    // container.
    pub(super) proxy: Proxy,
    pub(super) container: Container,
    pub(super) volume: Volume,
    image: Image,
    pub(super) watchkeeper: Watchkeeper,
}

impl Scene {
    pub(super) fn new(keys: &str) -> Option<Self> {
        if !docker::available() {
            return None;
        }
        let (image, volume) = (Image::of_programs(&[]), Volume::create(false));
        let (container, proxy) = (Container::named("files"), Proxy::before_docker());
        let watchkeeper = Watchkeeper::with_config(&format!(
            "[[job]]\nname = \"conf\"\nkind = \"files-backup\"\ncontainer = \"{}\"\npaths = [\"/data\"]\n\
             keep = {{ last = 500 }}\nretries = {{ max = 0 }}\n{keys}\n",
            container.name
        ));
        let this = Self { proxy, container, volume, image, watchkeeper };
        this.make();
        this.write();
        this.is_whole();
        Some(this)
    }

    fn make(&self) {
        let mount = format!("{}:/data", self.volume.name);
        self.container.create(&["-v", &mount, "--network", "none", &self.image.name, "/bin/sleep", "100000"]);
        docker(["start", &self.container.name]);
    }

    pub(super) fn file(&self) -> PathBuf {
        self.volume.mountpoint().join("big")
    }

    pub(super) fn write(&self) {
        let bytes = fs::File::open("/dev/urandom").unwrap();
        let mut file = fs::File::create(self.file()).unwrap();
        std::io::copy(&mut std::io::Read::take(bytes, SIZE), &mut file).unwrap();
    }

    /// Starts a backup through the proxy.
    pub(super) fn spawn(&self) -> Child {
        through(&self.watchkeeper, &self.proxy, &RUN)
    }

    pub(super) fn wait(&self, child: Child) -> Output {
        self.watchkeeper.wait(child, &RUN)
    }

    /// A backup that is held after so many bytes of the archive.
    pub(super) fn held_after(&self, bytes: u64) -> Child {
        let archive = format!("/containers/{}/archive", self.container.name);
        self.proxy.inject(Fault::new(What::AnswerHeldAfter(bytes)).at(&archive));
        let child = self.spawn();
        self.proxy.wait_hit();
        child
    }

    /// A new backup holds the file as it is.
    #[track_caller]
    pub(super) fn is_whole(&self) {
        let output = self.wait(self.spawn()).expect(0);
        self.newest_is_whole(&output);
    }

    #[track_caller]
    pub(super) fn newest_is_whole(&self, output: &Output) {
        let into = self.watchkeeper.folder().join("into");
        let _ = fs::remove_dir_all(&into);
        self.watchkeeper.run(&["restore", "conf", "--into", into.to_str().unwrap()]).expect(0);
        assert!(fs::read(into.join("data/big")).unwrap() == fs::read(self.file()).unwrap(), "{output:?}");
    }

    pub(super) fn backups(&self) -> usize {
        self.watchkeeper.run_json(&["backups"]).expect(0).json()["backups"].as_array().unwrap().len()
    }

    /// Nothing half is in the store.
    #[track_caller]
    pub(super) fn is_clean(&self) {
        let left = fs::read_dir(self.watchkeeper.store_of("conf")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(!left.iter().any(|name| name.starts_with(".partial")), "{left:?}");
        assert_eq!(left.iter().filter(|name| name.ends_with(".tar.gz")).count(), self.backups(), "{left:?}");
    }
}

/// Starts the program with a proxy before its engine.
pub(super) fn through(watchkeeper: &Watchkeeper, proxy: &Proxy, words: &[&str]) -> Child {
    watchkeeper.command(words).env("DOCKER_HOST", proxy.docker_host()).spawn().unwrap()
}

/// Has the engine do something. Returns when it was asked to: it may do it only when a stream has ended.
pub(super) fn ask_engine(words: &[&str]) -> Child {
    let proxy = Proxy::before_docker();
    proxy.inject(Fault::new(What::Passes).at(if words[0] == "rm" { "DELETE /" } else { "POST /" }));
    let mut command = Command::new("docker");
    command.args(words).env("DOCKER_HOST", proxy.docker_host()).stdout(Stdio::null());
    let child = command.spawn().unwrap();
    proxy.wait_hit();
    child
}

/// What somebody does to a container in the middle, and how all is as before.
const CHANGES: [(&str, &[&str], &[&str]); 4] = [
    ("stopped", &["stop", "-t", "1", "NAME"], &["start", "NAME"]),
    ("paused", &["pause", "NAME"], &["unpause", "NAME"]),
    ("renamed", &["rename", "NAME", "NAME-away"], &["rename", "NAME-away", "NAME"]),
    ("removed", &["rm", "-f", "NAME"], &[]),
];

fn words(of: &[&str], name: &str) -> Vec<String> {
    of.iter().map(|word| word.replace("NAME", name)).collect()
}

#[test]
fn whatever_becomes_of_a_container_in_the_middle_of_a_backup_it_is_whole_or_it_fails() {
    let Some(scene) = Scene::new("") else { return };
    let name = &scene.container.name;
    for (what, change, back) in CHANGES {
        let before = scene.backups();
        let child = scene.held_after(1 << 20);
        let change = words(change, name);
        let mut changing = ask_engine(&change.iter().map(String::as_str).collect::<Vec<_>>());
        scene.proxy.heal();
        let output = scene.wait(child);
        assert!(changing.wait().unwrap().success(), "{what}");
        match output.code {
            0 => scene.newest_is_whole(&output),
            1 => {
                assert!(output.stdout.contains(name), "{what}: it is not told of what: {output:?}");
                assert_eq!(scene.backups(), before, "{what}: {output:?}");
            }
            code => panic!("{what}: {code}: {output:?}"),
        }
        scene.is_clean();
        if matches!(what, "renamed" | "removed") {
            let next = scene.wait(scene.spawn()).expect(1);
            assert!(next.stdout.contains(&format!("There is no container \"{name}\"")), "{next:?}");
            assert!(next.stdout.contains("docker ps -a"), "{next:?}");
        }
        if back.is_empty() {
            scene.make();
        } else {
            run(Command::new("docker").args(words(back, name)));
        }
        scene.is_whole();
    }
}

#[test]
fn an_engine_that_goes_or_falls_silent_in_the_middle_of_a_backup_fails_it_in_time() {
    let Some(scene) = Scene::new("timeout = \"5s\"") else { return };
    let name = &scene.container.name;
    for silent in [false, true] {
        let child = scene.held_after(1 << 20);
        let since = Instant::now();
        if !silent {
            scene.proxy.lose_server();
        }
        let output = scene.wait(child).expect(1);
        assert!(since.elapsed() < Duration::from_secs(5) + SLACK, "{:?}: {output:?}", since.elapsed());
        let told = if silent { "at the step \"read the files\"" } else { name.as_str() };
        assert!(output.stdout.contains(told), "it is not told of what: {output:?}");
        assert!(output.stdout.contains("next\n    "), "{output:?}");
        scene.proxy.heal();
        scene.is_clean();
        scene.is_whole();
    }
}

#[test]
fn a_restore_into_a_full_volume_of_a_container_leaves_all_as_it_was() {
    if !docker::available() {
        return;
    }
    let (image, volume) = (Image::of_programs(&[]), Volume::create(true));
    let container = Container::named("full");
    let mount = format!("{}:/data", volume.name);
    container.create(&["-v", &mount, "--network", "none", &image.name, "/bin/sleep", "100000"]);
    docker(["start", &container.name]);
    let put = |path: &str, megabytes: u64, letter: &str| {
        let script =
            format!("dd if=/dev/zero bs=1M count={megabytes} 2>/dev/null | tr '\\0' {letter} >{path}");
        Command::new("docker")
            .args(["exec", &container.name, "/bin/busybox", "sh", "-c", &script])
            .status()
            .unwrap()
    };
    assert!(put("/data/conf", 30, "a").success());
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[[job]]\nname = \"conf\"\nkind = \"files-backup\"\ncontainer = \"{}\"\npaths = [\"/data/conf\"]\n\
         keep = {{ last = 5 }}\n",
        container.name
    ));
    watchkeeper.run(&RUN).expect(0);
    assert!(put("/data/conf", 1, "b").success());
    // There is no place for the rest of it.
    let _ = put("/data/fill", 200, "c");
    let now = || docker(["exec", &container.name, "/bin/busybox", "md5sum", "/data/conf"]);
    let names = || docker(["exec", &container.name, "/bin/ls", "-A", "/data"]);
    let before = (now(), names());
    let output = watchkeeper.run(&["restore", "conf", "--yes"]).expect(1);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains("in the way") && said.contains("no space: needs"), "{said}");
    assert_eq!((now(), names()), before, "{output:?}");
    docker(["exec", &container.name, "/bin/rm", "/data/fill"]);
    watchkeeper.run(&["restore", "conf", "--yes"]).expect(0);
    watchkeeper.run(&RUN).expect(0);
}
