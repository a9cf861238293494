//! An application with a SQLite database: it writes all the time, and `/cgi-bin/health` asks the database. Made of
//! busybox and sqlite3, on this host or in a container.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::docker::{self, Container, Image, Volume};
use super::{database, http, installed, missing, run, scratch, wait_until};

/// Answers with 500 where the database does not, and with what it is told in `sick`.
const HEALTH: &str = "#!/bin/sh
if n=$(sqlite3 -cmd '.timeout 5000' DATA/memory.db 'SELECT count(*) FROM work_sessions' 2>&1) && [ ! -e DATA/sick ]; then
  printf 'HTTP/1.0 200 OK\\r\\n\\r\\n%s' \"$n\"
else
  printf 'HTTP/1.0 500 Sick\\r\\n\\r\\n%s' \"$n\"
fi
";
const MAIN: &str = "#!/bin/sh
trap 'exit 0' TERM
busybox httpd -f -p PORT -h WWW &
while :; do
  sqlite3 -cmd '.timeout 5000' DATA/memory.db 'INSERT INTO pairs VALUES (1, -1, randomblob(500))' >/dev/null 2>&1
  busybox sleep 0.1
done
";
/// One at a time, as with systemd: a stop that outlives who asked for it takes away no later start's `pid`.
const CONTROL: &str = "#!/bin/sh
exec 9>FOLDER/lock; flock 9
case $1 in
  start) setsid FOLDER/main </dev/null >/dev/null 2>&1 9>&- & pid=$!; echo $pid >FOLDER/pid
    # Until it is a group of its own, a stop would not find it.
    until kill -s 0 -- -$pid 2>/dev/null; do sleep 0.05; done ;;
  stop) [ -e FOLDER/pid ] || exit 0
    if [ -e FOLDER/stuck ]; then echo it does not stop; exit 7; fi
    pid=$(cat FOLDER/pid); kill -- -$pid; while kill -s 0 -- -$pid 2>/dev/null; do sleep 0.05; done; rm FOLDER/pid ;;
esac
";

/// Where the database of a container lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    /// In a volume.
    Volume,
    /// In the container's own layer.
    Layer,
}

enum Place {
    Host,
    Container { container: Container, volume: Option<Volume>, _image: Image },
}

/// A running application; `Drop` ends it.
pub(crate) struct Application {
    folder: TempDir,
    port: u16,
    place: Place,
}

impl Application {
    /// On this host; `None` where its programs are not here.
    pub(crate) fn host() -> Option<Self> {
        let this = Self::new(Place::Host)?;
        let folder = this.folder.path().display().to_string();
        fs::create_dir(this.folder.path().join("data")).unwrap();
        this.scripts(this.folder.path(), &format!("{folder}/data"), &format!("127.0.0.1:{}", this.port));
        this.script("control", &CONTROL.replace("FOLDER", &folder));
        drop(database::create(&this.database()));
        this.control("start");
        this.wait_well();
        Some(this)
    }

    /// In a container; `None` where there is no engine.
    pub(crate) fn container(data: Data, programs: &[&str]) -> Option<Self> {
        if !docker::available() {
            return None;
        }
        let image = Image::of_programs(programs);
        let volume = (data == Data::Volume).then(|| Volume::create(false));
        let container = Container::named("application");
        let this = Self::new(Place::Container { container, volume, _image: image })?;
        let Place::Container { container, volume, _image: image } = &this.place else { return None };
        let (publish, mount) = (
            format!("127.0.0.1:{}:8080", this.port),
            volume.as_ref().map(|volume| format!("{}:/app/data", volume.name)),
        );
        let mut arguments = vec!["-p", publish.as_str()];
        if let Some(mount) = &mount {
            arguments.extend(["-v", mount]);
        }
        arguments.extend([image.name.as_str(), "/bin/sh", "/app/main"]);
        container.create(&arguments);
        let root = this.folder.path().join("root");
        fs::create_dir_all(root.join("app/data")).unwrap();
        this.scripts(&root.join("app"), "/app/data", "8080");
        drop(database::create(&root.join("app/data/memory.db")));
        run(Command::new("docker").args([
            "cp",
            &format!("{}/.", root.display()),
            &format!("{}:/", container.name),
        ]));
        docker::docker(["start", &container.name]);
        Some(this)
    }

    fn new(place: Place) -> Option<Self> {
        if !installed("sqlite3") || !Path::new("/bin/busybox").exists() {
            missing("no sqlite3 or no busybox");
            return None;
        }
        Some(Self { folder: scratch::folder("application"), port: scratch::free_port(), place })
    }

    fn scripts(&self, folder: &Path, data: &str, port: &str) {
        fs::create_dir_all(folder.join("www/cgi-bin")).unwrap();
        let www = if folder == self.folder.path() {
            folder.join("www").display().to_string()
        } else {
            "/app/www".to_owned()
        };
        let fill = |text: &str| text.replace("DATA", data).replace("PORT", port).replace("WWW", &www);
        for (name, text) in [("main", MAIN), ("www/cgi-bin/health", HEALTH)] {
            let path = folder.join(name);
            fs::write(&path, fill(text)).unwrap();
            run(Command::new("chmod").arg("755").arg(path));
        }
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        run(Command::new("chmod").arg("755").arg(path));
    }

    fn control(&self, word: &str) {
        run(Command::new(self.folder.path().join("control")).arg(word));
    }

    /// From now on it is stopped, or runs again. On this host only.
    pub(crate) fn halted(&self, halted: bool) {
        if halted {
            self.control("stop");
        } else if !self.runs() {
            self.control("start");
        }
    }

    /// Is its process there?
    fn runs(&self) -> bool {
        let pid = fs::read_to_string(self.folder.path().join("pid"));
        pid.is_ok_and(|pid| scratch::is_alive(pid.trim()))
    }

    /// Its folder of data on this host; of a container only where that is a volume.
    pub(crate) fn data(&self) -> PathBuf {
        match &self.place {
            Place::Host => self.folder.path().join("data"),
            Place::Container { volume, .. } => volume.as_ref().unwrap().mountpoint(),
        }
    }

    /// Its database on this host.
    pub(crate) fn database(&self) -> PathBuf {
        self.data().join("memory.db")
    }

    /// From now on it does not stop, and says so; or it does again.
    pub(crate) fn refuse_to_stop(&self, refuse: bool) {
        let marker = self.folder.path().join("stuck");
        if refuse { fs::write(marker, "").unwrap() } else { fs::remove_file(marker).unwrap() }
    }

    /// The file system of its container as this host sees it.
    pub(crate) fn root(&self) -> PathBuf {
        let pid = docker::docker(["inspect", "-f", "{{.State.Pid}}", self.container_name()]);
        Path::new("/proc").join(pid).join("root")
    }

    /// Gives its container a file.
    pub(crate) fn put(&self, file: &Path, to: &str) {
        docker::docker(["cp", file.to_str().unwrap(), &format!("{}:{to}", self.container_name())]);
    }

    /// What `sqlite3` in the container says, which waits for the application.
    pub(crate) fn sqlite(&self, sql: &str) -> String {
        let database = "/app/data/memory.db";
        docker::docker(["exec", self.container_name(), "sqlite3", "-cmd", ".timeout 9000", database, sql])
    }

    pub(crate) fn container_name(&self) -> &str {
        let Place::Container { container, .. } = &self.place else { panic!("it is no container") };
        &container.name
    }

    /// Status and body of its health.
    pub(crate) fn health(&self) -> Option<(u16, String)> {
        http::get(self.port, "/cgi-bin/health")
    }

    /// It does not run: a stop that was begun has come to its end.
    pub(crate) fn is_down(&self) -> bool {
        match &self.place {
            Place::Host => !self.folder.path().join("pid").exists(),
            Place::Container { container, .. } => {
                docker::docker(["inspect", "-f", "{{.State.Running}}", &container.name]) == "false"
            }
        }
    }

    pub(crate) fn wait_well(&self) {
        let well = || self.health().is_some_and(|(status, _)| status == 200);
        wait_until("the application is well", Duration::from_secs(20), well);
    }

    /// `[application.app]` of a jobs.toml, and the job `db` on it.
    pub(crate) fn config(&self) -> String {
        let place = match &self.place {
            Place::Host => {
                let control = self.folder.path().join("control").display().to_string();
                let database = self.database().display().to_string();
                format!(
                    "database = \"{database}\"\nservice = {{ stop = [\"{control}\", \"stop\"], start = [\"{control}\", \"start\"] }}\n"
                )
            }
            Place::Container { container, .. } => {
                format!("database = \"/app/data/memory.db\"\ncontainer = \"{}\"\n", container.name)
            }
        };
        format!(
            "[application.app]\nurl = \"http://127.0.0.1:{}\"\nhealth = \"/cgi-bin/health\"\n{place}\
             [[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\napplication = \"app\"\nkeep = {{ last = 3 }}\n\
             retries = {{ max = 0 }}\n",
            self.port
        )
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        if matches!(self.place, Place::Host) {
            self.control("stop");
        }
    }
}
