//! Images, containers and volumes of the tests: made without a registry, gone when the last user is.
//!
//! Every name starts with `wk-it-PID-` and everything carries the label `watchkeeper.test`, so that what a
//! killed process left is found, and so that nothing else is ever touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, Weak};

use super::{installed, missing, run, scratch};

/// The label of everything that is made here.
const LABEL: &str = "watchkeeper.test";
/// What the image with a shell can run beside Prometheus.
const APPLETS: [&str; 15] = [
    "sh", "ls", "mv", "rm", "cat", "tar", "cp", "find", "mkdir", "chown", "sleep", "wget", "dd", "touch",
    "ln",
];

/// `docker ARGUMENTS…`, which must work.
pub(crate) fn docker<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    run(Command::new("docker").args(arguments))
}

/// Is there an engine? Without one the test is skipped, or fails under `CI=true`.
pub(crate) fn available() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    let answers = *ANSWERS.get_or_init(|| {
        let version = ["version", "--format", "{{.Server.Version}}"];
        Command::new("docker").args(version).output().is_ok_and(|o| o.status.success())
    });
    if !answers {
        missing("no docker");
    } else if !installed("busybox") && Command::new("busybox").output().is_err() {
        missing("no busybox");
        return false;
    }
    answers
}

/// `wk-it-PID-N-what`: unique within this machine.
fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static SWEPT: Once = Once::new();
    SWEPT.call_once(sweep);
    format!("wk-it-{}-{}-{what}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

fn label() -> String {
    format!("{LABEL}={}", std::process::id())
}

/// Removes what test processes that are gone have left behind.
fn sweep() {
    let of_the_dead = |list: &[&str], remove: &[&str]| {
        let filter = format!("label={LABEL}");
        let names = docker(list.iter().copied().chain(["--filter", &filter]));
        for name in names.lines() {
            let pid = name.strip_prefix("wk-it-").and_then(|rest| rest.split('-').next());
            if pid.is_some_and(|pid| !scratch::is_alive(pid)) {
                let _ = Command::new("docker").args(remove).arg(name).output();
            }
        }
    };
    of_the_dead(&["ps", "-a", "--format", "{{.Names}}"], &["rm", "-f", "-v"]);
    of_the_dead(&["volume", "ls", "--format", "{{.Name}}"], &["volume", "rm", "-f"]);
    of_the_dead(&["images", "--format", "{{.Repository}}"], &["rmi", "-f"]);
}

/// What an image has beside Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shell {
    /// Busybox, as the usual images.
    Busybox,
    /// Nothing, as the distroless ones.
    None,
}

/// An image that behaves as `prom/prometheus` does. Removed when its last user is gone.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) name: String,
}

impl Image {
    /// The image of this process, made when nobody has it at the moment.
    pub(crate) fn get(shell: Shell) -> Arc<Self> {
        static IN_USE: Mutex<BTreeMap<Shell, Weak<Image>>> = Mutex::new(BTreeMap::new());
        let mut in_use = IN_USE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(image) = in_use.get(&shell).and_then(Weak::upgrade) {
            return image;
        }
        let image = Arc::new(Self::make(shell));
        in_use.insert(shell, Arc::downgrade(&image));
        image
    }

    /// Another one, with busybox as its shell and these programs of this host.
    pub(crate) fn of_programs(programs: &[&str]) -> Self {
        let scratch = scratch::folder("image");
        let root = scratch.path().join("root");
        for folder in ["bin", "lib", "lib64", "tmp", "app"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for program in programs {
            add_program(&root, program);
        }
        add_busybox(&root);
        Self::of_root(&root)
    }

    /// An image of what is in a folder, as root's.
    pub(crate) fn of_root(root: &Path) -> Self {
        let tar = root.with_extension("tar");
        run(Command::new("tar")
            .args(["--owner=0", "--group=0", "-cf"])
            .arg(&tar)
            .arg("-C")
            .arg(root)
            .arg("."));
        let name = unique("image");
        run(Command::new("docker")
            .args(["import", "-c", &format!("LABEL {}", label())])
            .arg(&tar)
            .arg(&name));
        Self { name }
    }

    fn make(shell: Shell) -> Self {
        let scratch = scratch::folder("image");
        let (root, tar) = (scratch.path().join("root"), scratch.path().join("image.tar"));
        fill_root(&root, shell);
        let pack = |mode: &str, uid: &str, paths: &[&str]| {
            let owner = [format!("--owner={uid}"), format!("--group={uid}"), mode.to_owned()];
            run(Command::new("tar").args(owner).arg(&tar).arg("-C").arg(&root).args(paths));
        };
        pack("-cf", "0", &["bin", "etc", "lib", "lib64"]);
        pack("-rf", "65534", &["prometheus", "tmp"]);
        let name = unique("image");
        let mut import = Command::new("docker");
        import.arg("import");
        for change in [
            &format!("LABEL {}", label()),
            "USER nobody",
            "VOLUME [\"/prometheus\"]",
            "WORKDIR /prometheus",
            "ENTRYPOINT [\"/bin/prometheus\"]",
        ] {
            import.args(["-c", change]);
        }
        run(import.arg(&tar).arg(&name));
        Self { name }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", "-f", &self.name]).output();
    }
}

fn fill_root(root: &Path, shell: Shell) {
    for folder in ["bin", "etc/prometheus", "lib", "lib64", "prometheus", "tmp"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for program in ["prometheus", "promtool"] {
        add_program(root, program);
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nnobody:x:65534:\n").unwrap();
    if shell == Shell::Busybox {
        add_busybox(root);
    }
}

fn add_busybox(root: &Path) {
    fs::copy(run(Command::new("which").arg("busybox")), root.join("bin/busybox")).unwrap();
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
}

/// A program of this host, with the libraries it needs.
fn add_program(root: &Path, program: &str) {
    if program == "python3" {
        return add_python(root);
    }
    let path = run(Command::new("which").arg(program));
    add_libraries(root, &path);
    fs::copy(path, root.join("bin").join(program)).unwrap();
}

/// The system's own python3 with what its sqlite3 needs.
fn add_python(root: &Path) {
    let asked = "import os, sqlite3, _sqlite3; print(os.path.dirname(os.__file__)); print(_sqlite3.__file__)";
    let said = run(Command::new("/usr/bin/python3").args(["-c", asked]));
    let (library, module) = said.split_once('\n').unwrap();
    add_libraries(root, "/usr/bin/python3");
    add_libraries(root, module);
    fs::copy("/usr/bin/python3", root.join("bin/python3")).unwrap();
    let place = root.join(library.trim_start_matches('/'));
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    run(Command::new("cp").arg("-rL").arg(library).arg(&place));
    run(Command::new("rm").arg("-rf").args(["test", "idlelib", "ensurepip"].map(|part| place.join(part))));
}

fn add_libraries(root: &Path, program: &str) {
    for library in libraries(program) {
        let place = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(&library, place).unwrap();
    }
}

/// The shared libraries of a program; none where it is static.
fn libraries(program: &str) -> Vec<String> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect()
}

/// A volume, removed with its data.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) name: String,
}

impl Volume {
    /// A small one is a file system of 100 MiB in memory.
    pub(crate) fn create(small: bool) -> Self {
        let name = unique("volume");
        let label = label();
        let mut arguments = vec!["volume", "create", "--label", &label];
        if small {
            arguments.extend(["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=100m,uid=65534"]);
        }
        docker(arguments.into_iter().chain([name.as_str()]));
        Self { name }
    }

    /// Where the engine keeps it on this host; only root can read there.
    pub(crate) fn mountpoint(&self) -> std::path::PathBuf {
        docker(["volume", "inspect", "-f", "{{.Mountpoint}}", &self.name]).into()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["volume", "rm", "-f", &self.name]).output();
    }
}

/// A container, removed by force.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) name: String,
}

impl Container {
    /// The name of a container that is yet to be made.
    pub(crate) fn named(what: &str) -> Self {
        Self { name: unique(what) }
    }

    /// `docker create`, with name and label.
    pub(crate) fn create(&self, arguments: &[&str]) {
        let label = label();
        docker(
            ["create", "--name", &self.name, "--label", &label].into_iter().chain(arguments.iter().copied()),
        );
    }

    /// Puts a tar stream into a folder of it, running or not, keeping the owners in the stream.
    pub(crate) fn put(&self, tar: fs::File, folder: &str) {
        let target = format!("{}:{folder}", self.name);
        run(Command::new("docker").args(["cp", "-", &target]).stdin(Stdio::from(tar)));
    }

    pub(crate) fn remove(&self) {
        docker(["rm", "-f", &self.name]);
    }

    /// One field of `docker inspect`.
    pub(crate) fn inspect(&self, format: &str) -> String {
        docker(["inspect", "-f", format, &self.name])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", "-v", &self.name]).output();
    }
}
