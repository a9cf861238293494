//! The built program with a configuration of its own.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::prometheus::Prometheus;
use super::{program, run, scratch};

/// The snapshot job of every configuration written here.
pub(crate) const JOB: &str = "prometheus-snapshot";
/// How long one command may take. A restore waits for Prometheus's first reload, a minute after its start.
const LIMIT: Duration = Duration::from_mins(5);

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// A job called `conf` that backs up these paths and keeps its last backups.
pub(crate) fn files_job(last: u32, paths: &[&Path]) -> String {
    format!(
        "[[job]]\nname = \"conf\"\nkind = \"files-backup\"\nkeep = {{ last = {last} }}\npaths = {paths:?}\n"
    )
}

impl Output {
    /// Fails unless the command ended with this exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        let Self { code: real, stdout, stderr } = &self;
        assert_eq!(*real, code, "exit code\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        self
    }

    /// Standard output as the one JSON document that `--json` promises.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not JSON: {e}\n{}", self.stdout))
    }
}

/// The program, its jobs.toml, its state and its backups.
#[derive(Debug)]
pub(crate) struct Watchkeeper {
    folder: TempDir,
}

/// A test that fails leaves no daemon behind.
impl Drop for Watchkeeper {
    fn drop(&mut self) {
        scratch::kill_all_of(self.folder.path());
    }
}

impl Watchkeeper {
    /// With one snapshot job for this server that keeps the last 5.
    pub(crate) fn for_prometheus(prometheus: &Prometheus) -> Self {
        Self::with_keys(prometheus, "")
    }

    /// The same, with more keys of the job.
    pub(crate) fn with_keys(prometheus: &Prometheus, keys: &str) -> Self {
        let this = Self::with_config("");
        this.change_keys(prometheus, keys);
        this
    }

    /// Gives the snapshot job other keys beside those that it must have.
    pub(crate) fn change_keys(&self, prometheus: &Prometheus, keys: &str) {
        self.configure(&format!(
            "{}\n[[job]]\nname = \"{JOB}\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\n\
             keep = {{ last = 5 }}\n{keys}",
            prometheus.target()
        ));
    }

    /// With these lines after those that name the folders.
    pub(crate) fn with_config(text: &str) -> Self {
        let this = Self { folder: scratch::folder("watchkeeper") };
        fs::create_dir(this.path("state")).unwrap();
        fs::create_dir(this.path("backups")).unwrap();
        this.configure(text);
        this
    }

    pub(crate) fn configure(&self, text: &str) {
        let (state, backups) = (self.path("state"), self.path("backups"));
        let folders =
            format!("state_dir = \"{}\"\nbackup_dir = \"{}\"\n", state.display(), backups.display());
        fs::write(self.path("jobs.toml"), folders + text).unwrap();
    }

    /// Where programs are found before those that are installed; a folder to be made.
    pub(crate) fn programs(&self) -> PathBuf {
        self.path("bin")
    }

    /// Its jobs.toml.
    pub(crate) fn config(&self) -> PathBuf {
        self.path("jobs.toml")
    }

    /// Its own state.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The folder of all its backups.
    pub(crate) fn backups_folder(&self) -> PathBuf {
        self.path("backups")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.wait(self.spawn(arguments), arguments)
    }

    /// Waits for the end of what [`Watchkeeper::spawn`] has started.
    #[expect(clippy::unused_self, reason = "its folder must live as long")]
    pub(crate) fn wait(&self, mut child: Child, arguments: &[&str]) -> Output {
        let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
        let status = wait(&mut child, arguments);
        let text = |thread: std::thread::JoinHandle<String>| thread.join().unwrap();
        Output { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Of each backup, the oldest first: whether it is good.
    pub(crate) fn goods(&self) -> Vec<bool> {
        let backups = self.run_json(&["backups"]).expect(0).json();
        let backups = backups["backups"].as_array().unwrap().iter();
        backups.map(|backup| backup["good"].as_bool().unwrap()).collect()
    }

    /// Runs it with `--json`.
    pub(crate) fn run_json(&self, arguments: &[&str]) -> Output {
        self.run(&[&["--json"], arguments].concat())
    }

    /// Starts it and lets it run.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// Starts it so that SIGHUP means what it does at a terminal, although these tests may be run under `nohup`.
    pub(crate) fn spawn_at_a_terminal(&self, arguments: &[&str]) -> Child {
        let mut env = Command::new("env");
        env.args(["--default-signal=HUP", program()]);
        self.complete(env, arguments).spawn().unwrap()
    }

    /// What [`Watchkeeper::spawn`] starts.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.complete(Command::new(program()), arguments)
    }

    /// Runs it to its end as this user and group, who may nothing that root may, and to whom its folders are given.
    pub(crate) fn run_as(&self, user: u32, arguments: &[&str]) -> Output {
        let id = user.to_string();
        run(Command::new("chown").args(["-R", &format!("{id}:{id}")]).arg(self.folder()));
        self.run_by(user, &[], arguments)
    }

    /// Runs it to its end as this user, who may nothing that root may, with the groups beside his own. Nothing is given to
    /// him.
    pub(crate) fn run_by(&self, user: u32, groups: &[u32], arguments: &[&str]) -> Output {
        let child = self.command_by(user, groups, arguments).spawn().unwrap();
        self.wait(child, arguments)
    }

    /// What [`Watchkeeper::run_by`] starts.
    pub(crate) fn command_by(&self, user: u32, groups: &[u32], arguments: &[&str]) -> Command {
        let id = user.to_string();
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid", &id, "--regid", &id]);
        let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
        if groups.is_empty() {
            setpriv.arg("--clear-groups");
        } else {
            setpriv.args(["--groups", &groups.join(",")]);
        }
        setpriv.arg(program());
        self.complete(setpriv, arguments)
    }

    /// Runs a script in a mount namespace of its own, which ends with it: `$FOLDER` is the folder, and `$WATCHKEEPER` runs
    /// the program.
    pub(crate) fn run_in_mounts(&self, folder: &Path, script: &str) -> Output {
        let program = program();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", script]).env("FOLDER", folder);
        command.env("WATCHKEEPER", format!("{program} --config {}", self.path("jobs.toml").display()));
        command.output().unwrap().into()
    }

    /// Runs it while a folder can only be read.
    pub(crate) fn run_read_only(&self, folder: &Path, arguments: &str) -> Output {
        let script = "mount --bind \"$FOLDER\" \"$FOLDER\"; mount -o remount,ro,bind \"$FOLDER\"; ";
        self.run_in_mounts(folder, &format!("{script}$WATCHKEEPER {arguments}"))
    }

    fn complete(&self, mut command: Command, arguments: &[&str]) -> Command {
        // What a test puts there comes before what is installed.
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.programs().display()))
            .arg("--config")
            .arg(self.path("jobs.toml"))
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// `run-now` of the snapshot job, which must end well, and the ID of the backup it made.
    #[track_caller]
    pub(crate) fn back_up(&self) -> String {
        self.run(&["run-now", JOB]).expect(0);
        self.backups().pop().unwrap()
    }

    /// The IDs in the store, oldest first: a backup exists exactly when its manifest does.
    pub(crate) fn backups(&self) -> Vec<String> {
        let names = fs::read_dir(self.store()).unwrap().map(|e| e.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        let id = |name: String| name.strip_suffix(".json").map(str::to_owned);
        let mut ids: Vec<String> = names.filter_map(id).filter(|id| !id.contains('.')).collect();
        ids.sort();
        ids
    }

    /// What is in the job's folder beside its lock.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        if !self.store().exists() {
            return Vec::new();
        }
        scratch::files_below(&self.store()).into_iter().filter(|file| file != Path::new(".lock")).collect()
    }

    /// The folder of the job's backups.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("backups").join(JOB)
    }

    /// The folder of another job's backups.
    pub(crate) fn store_of(&self, job: &str) -> PathBuf {
        self.path("backups").join(job)
    }

    /// The archive of a backup.
    pub(crate) fn archive(&self, id: &str) -> PathBuf {
        self.store().join(format!("snapshot_{id}.tar.gz"))
    }

    /// A folder of its own, for what a test unpacks.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    let mut pipe = pipe.unwrap();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, arguments: &[&str]) -> std::process::ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > LIMIT {
            let _ = child.kill();
            panic!("watchkeeper {}: not ended within {LIMIT:?}", arguments.join(" "));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
