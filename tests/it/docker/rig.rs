//! Images, containers and volumes of the tests, removed when they go out of scope.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs `docker` and expects success.
pub(super) fn docker(args: &[&str]) -> String {
    let output = try_docker(args);
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn try_docker(args: &[&str]) -> Output {
    Command::new("docker").args(args).output().unwrap()
}

fn unique(what: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("wk-docker-{}-{what}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// An image, a volume and the names of containers.
pub(super) struct Rig {
    image: String,
    pub(super) volume: String,
    containers: Vec<String>,
}

impl Rig {
    /// An image that has a shell.
    pub(super) fn with_shell() -> Self {
        Self::new(&["bin/busybox", "bin/sh", "bin/sleep", "bin/false", "bin/mkdir", "bin/chown"])
    }

    /// An image whose only program is called `/bin/sleep`, with nothing to run in it by `exec`.
    pub(super) fn without_shell() -> Self {
        Self::new(&["bin/sleep"])
    }

    fn new(programs: &[&str]) -> Self {
        let busybox = std::fs::read("/bin/busybox").unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        for program in programs {
            let mut header = tar::Header::new_gnu();
            header.set_size(busybox.len() as u64);
            header.set_mode(0o755);
            tar.append_data(&mut header, program, busybox.as_slice()).unwrap();
        }
        let mut folder = tar::Header::new_gnu();
        folder.set_entry_type(tar::EntryType::Directory);
        folder.set_size(0);
        folder.set_mode(0o755);
        folder.set_uid(65_534);
        folder.set_gid(65_534);
        tar.append_data(&mut folder, "prometheus/", std::io::empty()).unwrap();
        let image = unique("image");
        import(&image, &tar.into_inner().unwrap());
        let volume = unique("volume");
        docker(&["volume", "create", &volume]);
        Self { image, volume, containers: Vec::new() }
    }

    /// Makes a container on the volume; `options` are `docker create`'s.
    pub(super) fn create(&mut self, options: &[&str], command: &[&str]) -> String {
        let name = unique("target");
        let mount = format!("{}:/prometheus", self.volume);
        let fixed = ["create", "--name", &name, "--network", "none", "-v", &mount];
        let all: Vec<&str> =
            fixed.into_iter().chain(options.iter().copied()).chain([self.image.as_str()]).collect();
        docker(&all.into_iter().chain(command.iter().copied()).collect::<Vec<_>>());
        self.containers.push(name.clone());
        name
    }

    /// Makes a container and starts it.
    pub(super) fn run(&mut self, options: &[&str], command: &[&str]) -> String {
        let name = self.create(options, command);
        docker(&["start", &name]);
        name
    }

    /// Where the volume lies on this host.
    pub(super) fn volume_path(&self) -> std::path::PathBuf {
        docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", &self.volume]).into()
    }

    /// Puts a file into the volume, behind the engine's back.
    pub(super) fn put(&self, path: &str, content: &[u8]) {
        let path = self.volume_path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap().write_all(content).unwrap();
    }

    /// Makes the volume a Prometheus data folder without data, all of it the server's own.
    pub(super) fn furnish(&self) {
        self.put("wal/00000000", b"");
        for own in ["wal/00000000", "wal", "."] {
            std::os::unix::fs::chown(self.volume_path().join(own), Some(65_534), Some(65_534)).unwrap();
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for name in &self.containers {
            try_docker(&["rm", "-f", name]);
        }
        try_docker(&["volume", "rm", &self.volume]);
        try_docker(&["rmi", "-f", &self.image]);
    }
}

fn import(image: &str, tar: &[u8]) {
    let mut child = Command::new("docker")
        .args(["import", "-c", "WORKDIR /prometheus", "-", image])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(tar).unwrap();
    assert!(child.wait().unwrap().success());
}

/// The helpers beside a container that are there now, by ID.
pub(super) fn helpers_of(target: &str) -> Vec<String> {
    let id = docker(&["inspect", "-f", "{{.Id}}", target]);
    let all = docker(&["ps", "-aq", "--no-trunc", "--filter", "label=watchkeeper.helper"]);
    let beside = |helper: &&str| {
        let inspected = try_docker(&["inspect", "-f", "{{.HostConfig.VolumesFrom}}", helper]);
        String::from_utf8_lossy(&inspected.stdout).contains(&id)
    };
    all.lines().filter(beside).map(str::to_owned).collect()
}
