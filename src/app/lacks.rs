//! What the user who runs this may not do, and a job needs: told before the job's first run. Only this host is looked at,
//! and nothing is talked to.

use std::io;
use std::path::Path;

use super::metrics::lacks_of_textfile;
use crate::command;
use crate::config::checks::CheckKind;
use crate::config::values::{Place, TargetName};
use crate::config::{CommandConfig, Config, DatabaseRef, JobConfig, JobKind};
use crate::docker;
use crate::files;
use crate::prometheus::preflight::Finding;
use crate::regular::NotFollowed;
use crate::rights;
use crate::words;

/// By `job NAME`, or `[metrics] textfile`: what it lacks. Jobs that lack nothing are not in it. `docker_host` is what `DOCKER_HOST` says.
pub fn lacks(config: &Config, docker_host: Option<&str>) -> Vec<(String, Vec<Finding>)> {
    let eyes = Eyes { config, docker_host };
    let of_job = |job: &JobConfig| (format!("job {}", job.name), eyes.look_at(&job.kind));
    let textfile = lacks_of_textfile(config).map(|finding| ("[metrics] textfile".to_owned(), vec![finding]));
    let jobs = config.jobs.iter().map(of_job).filter(|(_, findings)| !findings.is_empty());
    jobs.chain(textfile).collect()
}

struct Eyes<'a> {
    config: &'a Config,
    docker_host: Option<&'a str>,
}

impl Eyes<'_> {
    fn look_at(&self, kind: &JobKind) -> Vec<Finding> {
        match kind {
            JobKind::PrometheusSnapshot(config) => self.prometheus(&config.prometheus),
            JobKind::BlockCleanup(config) => self.prometheus(&config.prometheus),
            JobKind::GrafanaExport(_) => Vec::new(),
            JobKind::FilesBackup(config) if config.container.is_some() => self.docker(),
            JobKind::FilesBackup(config) => config
                .paths
                .iter()
                .filter_map(|path| {
                    let path = Path::new(path);
                    denied("read", path, rights::may_read).or_else(|| led_away(path))
                })
                .collect(),
            JobKind::Command(config) if config.container.is_some() => self.docker(),
            JobKind::Command(config) => {
                let folder = config.directory.as_deref();
                let folder = folder.and_then(|folder| denied("enter", folder, rights::may_enter));
                let user = config.user.as_deref().filter(|user| !command::may_become(user));
                let user = user.map(|user| {
                    let text = format!("it may not become the user {user:?}");
                    Finding::problem(text, Some(rights::user_hint(user)))
                });
                // As another user other rights hold.
                let program = if config.user.is_none() { runs(config) } else { None };
                folder.into_iter().chain(user).chain(program).collect()
            }
            JobKind::SqliteBackup(config) => self.database(&config.database, false),
            JobKind::CloseStaleSessions(config) => self.database(&config.backup.database, true),
            JobKind::VerifyDeployment(config) => {
                let asks_docker = |kind: &CheckKind| matches!(kind, CheckKind::Container { .. });
                let asks = config.checks.iter().any(|check| asks_docker(&check.what));
                if asks { self.docker() } else { Vec::new() }
            }
        }
    }

    /// Its data are read, and what was made on it is removed again.
    fn prometheus(&self, name: &TargetName) -> Vec<Finding> {
        match self.config.prometheus.get(name).map(|target| &target.place) {
            Some(Place::Container { .. }) => self.docker(),
            Some(Place::Host { data_dir: Some(folder), .. }) => {
                let unread = denied("read", folder, rights::may_read);
                unread.or_else(|| denied("change", folder, rights::may_write)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn database(&self, database: &DatabaseRef, changes: bool) -> Vec<Finding> {
        let application = match database {
            DatabaseRef::Application(name) => self.config.application.get(name),
            DatabaseRef::Host(_) => None,
        };
        if application.is_some_and(|application| application.container.is_some()) {
            return self.docker();
        }
        let path = match database {
            DatabaseRef::Host(path) => Some(path.as_path()),
            DatabaseRef::Application(_) => application.and_then(|found| found.database.as_deref()),
        };
        let look = |path| {
            let unread = denied("read", path, rights::may_read);
            unread.or_else(|| denied("write to", path, rights::may_write).filter(|_| changes))
        };
        path.and_then(look).into_iter().collect()
    }

    fn docker(&self) -> Vec<Finding> {
        let Some(socket) = docker::socket(self.docker_host) else { return Vec::new() };
        match rights::may_write(Path::new(socket)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let text = format!("Docker may not be used by this user: {socket}: {error}");
                vec![Finding::problem(text, Some(rights::docker_hint()))]
            }
            _ => Vec::new(),
        }
    }
}

/// The program of a job, by its path, may not be run. The system looks for one that is named by a relative path from the
/// folder that it runs in.
fn runs(config: &CommandConfig) -> Option<Finding> {
    let argv = config.program.argv();
    let program = argv.first().filter(|program| program.contains('/'))?;
    let path = config.directory.as_deref().unwrap_or(Path::new("")).join(program);
    let error = rights::may_run(&path).err().filter(|e| e.kind() == io::ErrorKind::PermissionDenied)?;
    let text = format!("this user may not run {}: {}", path.display(), words::chain(&error));
    Some(Finding::problem(text, Some(rights::run_hint(&path))))
}

/// A link of another user on the way, which no backup and no restore follows.
fn led_away(path: &Path) -> Option<Finding> {
    let link = files::not_followed(path)?;
    Some(Finding::problem(link.to_string(), Some(NotFollowed::HINT.to_owned())))
}

/// What is not there, or goes wrong otherwise, the run tells.
fn denied(doing: &str, path: &Path, may: impl Fn(&Path) -> io::Result<()>) -> Option<Finding> {
    let error = may(path).err()?;
    let hint = rights::hint(&error, &path.display().to_string())?;
    let text = format!("this user may not {doing} {}: {}", path.display(), words::chain(&error));
    Some(Finding::problem(text, Some(hint)))
}
