//! Which jobs back up what is restarted: those of its targets, and those that name what lies in its containers.

use std::path::{Path, PathBuf};

use crate::config::values::JobName;
use crate::config::{Config, DatabaseRef, FilesConfig, JobConfig, JobKind, Target, TargetKind};
use crate::docker::{ContainerInfo, MountKind};

/// A name of a container that is at least so long may be the beginning of its ID.
const SHORT_ID: usize = 12;

/// Something that is restarted.
#[derive(Debug, Clone, Default)]
pub(super) struct Site {
    /// The targets that it is.
    pub(super) targets: Vec<Target>,
    /// The container that it runs in.
    pub(super) container: Option<ContainerInfo>,
}

/// What is backed up, and what is not.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// The jobs that are run.
    pub(super) backups: Vec<JobName>,
    /// What a person should know of it.
    pub(super) warnings: Vec<String>,
    /// What is restarted although nothing backs it up, in words.
    pub(super) unsaved: Vec<String>,
}

pub(super) fn choose(config: &Config, sites: &[Site]) -> Chosen {
    let mut chosen = Chosen::default();
    for job in &config.jobs {
        let saves = |site: &Site| saves(config, &job.kind, site);
        if !sites.iter().any(saves) {
            continue;
        }
        let name = &job.name;
        if job.enabled {
            chosen.backups.push(name.clone());
        } else {
            chosen.warnings.push(format!(
                "job {name} backs it up but is disabled: it is not run; `watchkeeper run-now {name}` runs it all the same"
            ));
        }
    }
    for site in sites {
        chosen.unsaved.extend(site.targets.iter().filter_map(|target| unsaved(config, target, site)));
    }
    chosen
}

fn saves(config: &Config, kind: &JobKind, site: &Site) -> bool {
    site.targets.iter().any(|target| config.backs_up(kind, target))
        || match kind {
            JobKind::SqliteBackup(job) => job.database.path().is_some_and(|path| holds(config, site, path)),
            JobKind::FilesBackup(job) => is_of_files(config, job, site),
            _ => false,
        }
}

/// Whether a file of this host is a database of what runs in that container: the one that is configured, else any that lies
/// in what is mounted there.
fn holds(config: &Config, site: &Site, path: &Path) -> bool {
    let Some(container) = &site.container else { return false };
    let databases: Vec<&Path> = databases(config, site).map(|(_, path)| path).collect();
    if !databases.is_empty() {
        return databases
            .iter()
            .any(|inside| on_host(container, inside).is_some_and(|outside| real(&outside) == real(path)));
    }
    container.mounts.iter().any(|mount| {
        let is_its = mount.writable && !matches!(mount.kind, MountKind::Other(_)) && mount.source != "/";
        is_its && real(path).starts_with(real(Path::new(&mount.source)))
    })
}

/// Files of the very container; of what runs on this host itself, those among which its database is.
fn is_of_files(config: &Config, job: &FilesConfig, site: &Site) -> bool {
    match (&job.container, &site.container) {
        (Some(name), Some(container)) => is_name_of(name, container),
        (None, None) => databases(config, site).any(|(_, database)| is_among(job, database)),
        _ => false,
    }
}

fn is_name_of(name: &str, container: &ContainerInfo) -> bool {
    *name == container.name || (name.len() >= SHORT_ID && container.id.starts_with(name))
}

fn is_among(job: &FilesConfig, path: &Path) -> bool {
    job.paths.iter().any(|root| path.starts_with(root))
}

fn databases<'a>(config: &'a Config, site: &'a Site) -> impl Iterator<Item = (&'a Target, &'a Path)> {
    let applications = site.targets.iter().filter(|target| target.kind == TargetKind::Application);
    applications.filter_map(|target| {
        let application = config.application.get(&target.name)?;
        Some((target, application.database.as_deref()?))
    })
}

/// Where a path of a container lies on the engine's machine; nothing where it lies in its own layer.
fn on_host(container: &ContainerInfo, inside: &Path) -> Option<PathBuf> {
    let mount = container.mount_of(inside.to_str()?)?;
    let below = inside.strip_prefix(&mount.destination).ok()?;
    let source = PathBuf::from(&mount.source);
    Some(if below.as_os_str().is_empty() { source } else { source.join(below) })
}

/// Without links, as far as it is there and can be reached.
fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// What is to be said of an application's database that nothing copies.
fn unsaved(config: &Config, target: &Target, site: &Site) -> Option<String> {
    let (_, database) = databases(config, site).find(|(of, _)| *of == target)?;
    let own = Site { targets: vec![target.clone()], container: site.container.clone() };
    let copies = |job: &JobConfig| match &job.kind {
        JobKind::SqliteBackup(sqlite) => match &sqlite.database {
            DatabaseRef::Application(name) => *name == target.name,
            DatabaseRef::Host(path) => config.backs_up(&job.kind, target) || holds(config, &own, path),
        },
        JobKind::FilesBackup(files) => is_of_files(config, files, &own) && is_among(files, database),
        _ => false,
    };
    if config.jobs.iter().filter(|job| job.enabled).any(copies) {
        return None;
    }
    Some(format!(
        "nothing backs up the database {} of {target}: it is restarted without a copy of it; a sqlite-backup with \
         application = \"{}\" in jobs.toml makes one, and --no-backup says that none is wanted",
        database.display(),
        target.name
    ))
}
