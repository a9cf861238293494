//! Every kind of job, and the restore of each, as the user that the service runs as: one who is not root, owns `state_dir`
//! and `backup_dir`, and may do nothing else. It works, or says what it lacks and what gives it.

mod commands;
mod containers;
mod credentials;
mod folders;
mod host;
mod owners;
mod prometheus;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use crate::support::watchkeeper::{Output, Watchkeeper};

/// The user, by a number that nobody has.
const USER: u32 = 47_110;
/// A first line of the jobs.toml of a test: what fails here fails for good.
const ONCE: &str = "[defaults]\nretries = { max = 0 }\n";

/// The program as the service has it.
struct Keeper {
    watchkeeper: Watchkeeper,
    groups: Vec<u32>,
}

impl Keeper {
    /// Nothing for a person who is not root, and so cannot be somebody else.
    fn new(config: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can run the program as another user");
            return None;
        }
        let watchkeeper = Watchkeeper::with_config(config);
        mode(watchkeeper.folder(), 0o755);
        for folder in [watchkeeper.state(), watchkeeper.backups_folder()] {
            chown(&folder, Some(USER), Some(USER)).unwrap();
            mode(&folder, 0o750);
        }
        Some(Self { watchkeeper, groups: Vec::new() })
    }

    /// With what the drop-in docker.conf gives.
    fn with_docker(self) -> Self {
        let group = fs::metadata("/var/run/docker.sock").unwrap().gid();
        Self { groups: vec![group], ..self }
    }

    /// As the user.
    fn run(&self, arguments: &[&str]) -> Output {
        self.watchkeeper.run_by(USER, &self.groups, arguments)
    }

    /// As root, by hand.
    fn as_root(&self, arguments: &[&str]) -> Output {
        self.watchkeeper.run(arguments)
    }

    /// It fails, and says each of these.
    #[track_caller]
    fn lacks(&self, arguments: &[&str], said: &[&str]) {
        let output = self.run(arguments).expect(1);
        let text = format!("{}{}", output.stdout, output.stderr);
        for said in said.iter().chain(&["README, \"Who runs it\""]) {
            assert!(text.contains(said), "no {said:?} in {text}");
        }
    }

    /// `check`, with `--online` and without, tells of a job that it lacks this.
    #[track_caller]
    fn check_tells(&self, job: &str, said: &str) {
        for arguments in [&["check"][..], &["check", "--online"]] {
            let found = self.watchkeeper.run_by(USER, &self.groups, &[&["--json"], arguments].concat());
            let checked = found.expect(1).json();
            let of_job = checked["targets"].as_array().unwrap().iter();
            let mut of_job = of_job.filter(|target| target["target"] == format!("job {job}"));
            let findings = of_job.next().map(|target| target["findings"].to_string());
            assert!(findings.is_some_and(|findings| findings.contains(said)), "{arguments:?}: {checked}");
        }
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
