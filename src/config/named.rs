//! A target of any section, as it is named on a command line, and the jobs that are about it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::checks::{CheckConfig, CheckKind, Server};
use super::read::nearest;
use super::values::{JobName, Place, RunsAs, TargetName};
use super::{Config, DatabaseRef, JobConfig, JobKind, job};

/// The sections that targets stand in, in the order in which these are started: who is watched before who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetKind {
    /// `[application.NAME]`
    Application,
    /// `[prometheus.NAME]`
    Prometheus,
    /// `[alertmanager.NAME]`
    Alertmanager,
    /// `[grafana.NAME]`
    Grafana,
}

impl TargetKind {
    /// The word before the dot.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Prometheus => "prometheus",
            Self::Alertmanager => "alertmanager",
            Self::Grafana => "grafana",
        }
    }
}

/// A target that is in the configuration; shown as `application/app`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Its section.
    pub kind: TargetKind,
    /// Its name there.
    pub name: TargetName,
}

impl Target {
    /// The kind of the runs of a recovery.
    pub const RECOVERY_KIND: &str = "recover";

    /// The name that the runs of its recoveries have in the history, as those of a job have: `recover-application-app`. Of a
    /// target whose own name is nearly as long as a name may be, the end of that is cut.
    pub fn recoveries(&self) -> JobName {
        let name = format!("{}-{}-{}", Self::RECOVERY_KIND, self.kind.word(), self.name);
        let longest = name.get(..63).unwrap_or(&name);
        longest.parse().unwrap_or_else(|_| unreachable!("letters, digits and hyphens are a name"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text names no target, or more than one.
#[derive(Debug, thiserror::Error)]
pub enum NotNamed {
    /// There is none that is called so.
    #[error("There is no target {text:?} in {file}")]
    Unknown {
        /// What was asked for.
        text: String,
        /// The configuration.
        file: String,
        /// What there is, or what may have been meant.
        hint: String,
    },
    /// Several sections have one that is called so.
    #[error("{text:?} is the name of {} targets", all.len())]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Each of them.
        all: Vec<Target>,
    },
}

impl NotNamed {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown { hint, .. } => hint.clone(),
            Self::Ambiguous { all, .. } => format!("say which: {}", words(all, " or ")),
        }
    }
}

fn words(all: &[Target], link: &str) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(link)
}

impl Config {
    /// Every target, in the order in which they are started.
    pub fn targets(&self) -> Vec<Target> {
        use TargetKind::{Alertmanager, Application, Grafana, Prometheus};
        let of = |kind| move |name: &TargetName| Target { kind, name: name.clone() };
        let applications = self.application.keys().map(of(Application));
        let prometheus = self.prometheus.keys().map(of(Prometheus));
        let alertmanagers = self.alertmanager.keys().map(of(Alertmanager));
        applications
            .chain(prometheus)
            .chain(alertmanagers)
            .chain(self.grafana.keys().map(of(Grafana)))
            .collect()
    }

    /// The target that is called so: by its name where no other has it, or by `SECTION/NAME`.
    pub fn target(&self, text: &str) -> Result<Target, NotNamed> {
        let all = self.targets();
        let fits = |target: &&Target| target.name.as_str() == text || target.to_string() == text;
        let found: Vec<Target> = all.iter().filter(fits).cloned().collect();
        match <[Target; 1]>::try_from(found) {
            Ok([one]) => Ok(one),
            Err(found) if found.is_empty() => {
                let names: Vec<String> = all.iter().map(ToString::to_string).collect();
                let short = all.iter().map(|target| target.name.as_str());
                let near = nearest(text, short.chain(names.iter().map(String::as_str)));
                let hint = match near {
                    Some(near) => format!("did you mean {near:?}?"),
                    None if all.is_empty() => "the configuration has no target".to_owned(),
                    None => format!("the targets are: {}", names.join(", ")),
                };
                let file = self.path.display().to_string();
                Err(NotNamed::Unknown { text: text.to_owned(), file, hint })
            }
            Err(all) => Err(NotNamed::Ambiguous { text: text.to_owned(), all }),
        }
    }

    /// What it runs as, where that was configured.
    pub fn runs_as(&self, target: &Target) -> Option<RunsAs> {
        let name = &target.name;
        match target.kind {
            TargetKind::Application => {
                let application = self.application.get(name)?;
                let container = application.container.clone().map(RunsAs::Container);
                container.or_else(|| application.service.clone().map(RunsAs::Service))
            }
            TargetKind::Prometheus => match &self.prometheus.get(name)?.place {
                Place::Container { name, .. } => Some(RunsAs::Container(name.clone())),
                Place::Host { service, .. } => service.clone().map(RunsAs::Service),
            },
            TargetKind::Alertmanager => self.alertmanager.get(name)?.runs_as.clone(),
            TargetKind::Grafana => self.grafana.get(name)?.runs_as.clone(),
        }
    }

    /// The jobs that back a target up and are enabled: what it holds, not what is around it.
    pub fn backups_of(&self, target: &Target) -> Vec<&JobConfig> {
        self.jobs.iter().filter(|job| job.enabled && self.backs_up(&job.kind, target)).collect()
    }

    /// Whether a job of this kind backs up what a target holds, as far as the configuration tells.
    pub fn backs_up(&self, kind: &JobKind, target: &Target) -> bool {
        match (kind, target.kind) {
            (JobKind::PrometheusSnapshot(config), TargetKind::Prometheus) => config.prometheus == target.name,
            (JobKind::GrafanaExport(config), TargetKind::Grafana) => config.grafana == target.name,
            (JobKind::SqliteBackup(config), TargetKind::Application) => match &config.database {
                DatabaseRef::Application(name) => *name == target.name,
                // The same file by its own name.
                DatabaseRef::Host(path) => self.application.get(&target.name).is_some_and(|application| {
                    application.container.is_none() && application.database.as_ref() == Some(path)
                }),
            },
            _ => false,
        }
    }

    /// The jobs that look whether a target works, and are enabled.
    pub fn checks_of(&self, target: &Target) -> Vec<&JobConfig> {
        let looks = |job: &&JobConfig| match &job.kind {
            JobKind::VerifyDeployment(config) => {
                job.enabled && config.checks.iter().any(|check| self.is_about(check, target))
            }
            _ => false,
        };
        self.jobs.iter().filter(looks).collect()
    }

    /// Every job that has to do with a target.
    pub fn jobs_about(&self, target: &Target) -> impl Iterator<Item = &JobConfig> {
        let name = &target.name;
        self.jobs.iter().filter(move |job| match &job.kind {
            JobKind::VerifyDeployment(config) => {
                config.checks.iter().any(|check| self.is_about(check, target))
            }
            JobKind::BlockCleanup(config) => {
                target.kind == TargetKind::Prometheus && config.prometheus == *name
            }
            JobKind::CloseStaleSessions(config) => {
                target.kind == TargetKind::Application && config.backup.database.application() == Some(name)
            }
            kind => self.backs_up(kind, target),
        })
    }

    /// What is looked at where no check is configured: what the runbook looks at after a deployment.
    pub fn standard_checks(&self) -> Vec<CheckConfig> {
        job::standard_checks(&self.application, &self.prometheus, &self.grafana, &self.alertmanager)
    }

    /// Whether a check is of this target: of its server or of its container.
    pub fn is_about(&self, check: &CheckConfig, target: &Target) -> bool {
        let is = |kind, name: &TargetName| target.kind == kind && target.name == *name;
        let serves = |server: &Server| match server {
            Server::Application(name) => is(TargetKind::Application, name),
            Server::Prometheus(name) => is(TargetKind::Prometheus, name),
            Server::Alertmanager(name) => is(TargetKind::Alertmanager, name),
            Server::Grafana(name) => is(TargetKind::Grafana, name),
            Server::Url(_) => false,
        };
        match &check.what {
            CheckKind::Http { server, .. }
            | CheckKind::Metric { server, .. }
            | CheckKind::Certificate { server, .. } => serves(server),
            CheckKind::Promql { prometheus, .. }
            | CheckKind::Targets { prometheus, .. }
            | CheckKind::Rules { prometheus, .. } => is(TargetKind::Prometheus, prometheus),
            CheckKind::Alertmanager { alertmanager } => is(TargetKind::Alertmanager, alertmanager),
            CheckKind::Grafana { grafana, .. } => is(TargetKind::Grafana, grafana),
            CheckKind::Container { container, .. } => {
                matches!(self.runs_as(target), Some(RunsAs::Container(name)) if name == *container)
            }
            CheckKind::Disk { .. } | CheckKind::Backup { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let path = std::path::Path::new("jobs.toml");
        Config::parse(text, path, &|_| None, jiff::tz::TimeZone::UTC, None).unwrap()
    }

    const TEXT: &str = "[application.app]\nurl = \"http://h\"\ncontainer = \"app\"\ndatabase = \"/d\"\n\
        [prometheus.main]\nurl = \"http://h\"\n[grafana.main]\nurl = \"http://h\"\ncontainer = \"g\"\n\
        [[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\napplication = \"app\"\nkeep = { last = 1 }\n\
        [[job]]\nname = \"off\"\nkind = \"sqlite-backup\"\napplication = \"app\"\nkeep = { last = 1 }\nenabled = false\n\
        [[job]]\nname = \"look\"\nkind = \"verify-deployment\"\n[[job.check]]\ntype = \"container\"\ncontainer = \"g\"\n";

    #[test]
    fn a_target_is_named_by_its_name_alone_where_that_is_enough() {
        let config = config(TEXT);
        assert_eq!(config.target("app").unwrap().to_string(), "application/app");
        assert_eq!(config.target("grafana/main").unwrap().to_string(), "grafana/main");
        let error = config.target("main").unwrap_err();
        assert_eq!(error.hint(), "say which: prometheus/main or grafana/main");
        assert_eq!(config.target("ap").unwrap_err().hint(), "did you mean \"app\"?");
        assert!(
            config.target("nothing").unwrap_err().hint().starts_with("the targets are: application/app, ")
        );
    }

    #[test]
    fn the_jobs_of_a_target_are_those_that_are_enabled_and_look_at_it() {
        let config = config(TEXT);
        let names = |jobs: Vec<&JobConfig>| jobs.iter().map(|job| job.name.to_string()).collect::<Vec<_>>();
        let [app, grafana] = ["app", "grafana/main"].map(|text| config.target(text).unwrap());
        assert_eq!(names(config.backups_of(&app)), ["db"]);
        assert_eq!(names(config.jobs_about(&app).collect()), ["db", "off"]);
        assert!(config.backups_of(&grafana).is_empty() && config.checks_of(&app).is_empty());
        assert_eq!(names(config.checks_of(&grafana)), ["look"], "its container is looked at");
    }
}
