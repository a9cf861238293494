//! The Prometheus whose configuration is changed: where its files are, how it is told to read them, and what it has loaded.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::error::ChangeError;
use super::facts::Facts;
use super::journal::Journal;
use super::place::Place;
use super::plan::Expected;
use crate::config::values::Place as Runs;
use crate::config::values::PrometheusTarget;
use crate::docker::Docker;
use crate::prometheus::client::{PrometheusClient, Reloaded, RuleGroup};
use crate::prometheus::folder::absolute;
use crate::service::Service;

/// How long a server may take to load a configuration after it was told to.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile.
const PAUSE: Duration = Duration::from_millis(100);
/// How many of its last log lines are searched for why it did not.
const LAST_WORDS: usize = 30;

/// What is needed to look at a Prometheus.
pub struct Opening<'a> {
    /// The target.
    pub target: &'a PrometheusTarget,
    /// Its HTTP API.
    pub client: PrometheusClient,
    /// The engine, where it runs in a container.
    pub docker: Option<&'a Docker>,
    /// The program's own folder.
    pub state_dir: &'a Path,
}

/// A Prometheus whose configuration can be changed.
pub struct Site {
    pub(super) target: String,
    pub(super) client: PrometheusClient,
    service: Service,
    docker: Option<(Docker, String)>,
    /// The file that the server was started with.
    pub(super) config: Place,
    cwd: String,
    pub(super) journal: Journal,
}

/// What a server has loaded, and how its last reload ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    /// As it tells it, without secrets.
    pub(super) loaded: String,
    /// The last reload was a success.
    pub(super) well: bool,
    /// When the last success was, in seconds since 1970.
    at: f64,
}

/// A change that was cut.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Cut {
    /// What it was to do, in words.
    pub what: String,
    /// When it began.
    pub began: Timestamp,
}

impl Opening<'_> {
    /// Asks the server where its configuration is, and looks how that is reached.
    pub async fn open(self) -> Result<Site, ChangeError> {
        let Self { target, client, docker, state_dir } = self;
        let (flags, runtime) = tokio::try_join!(client.flags(), client.runtime_info())?;
        let cwd = runtime.cwd;
        let nowhere = || ChangeError::Nowhere { target: target.name.to_string() };
        let seen =
            flags.get("config.file").and_then(|path| absolute(path, Some(&cwd))).ok_or_else(nowhere)?;
        let docker = match (&target.place, docker) {
            (Runs::Container { name, .. }, Some(docker)) => Some((docker.clone(), name.clone())),
            _ => None,
        };
        let service = Service::of(target, docker.as_ref().map(|(docker, _)| docker))?;
        let config = located(docker.as_ref(), &seen).await?;
        let journal = Journal::of(state_dir, target.name.as_str());
        Ok(Site { target: target.name.to_string(), client, service, docker, config, cwd, journal })
    }
}

async fn located(docker: Option<&(Docker, String)>, seen: &str) -> Result<Place, ChangeError> {
    match docker {
        Some((docker, name)) => Place::in_container(docker, name, seen).await,
        None => Ok(Place::on_host(seen)),
    }
}

impl Site {
    /// The container it runs in.
    pub(super) fn container(&self) -> Option<(&Docker, &str)> {
        self.docker.as_ref().map(|(docker, name)| (docker, name.as_str()))
    }

    /// A path as the server sees it.
    pub(super) async fn locate(&self, seen: &str) -> Result<Place, ChangeError> {
        located(self.docker.as_ref(), seen).await
    }

    /// The folder of its configuration, as it sees it: where relative paths begin.
    pub(super) fn folder(&self) -> &str {
        Path::new(&self.config.seen).parent().and_then(Path::to_str).unwrap_or("/")
    }

    /// The change that was begun and never ended.
    pub fn cut(&self) -> Result<Option<Cut>, ChangeError> {
        Ok(self.journal.read()?.map(|note| Cut { what: note.what, began: note.began }))
    }

    pub(super) async fn standing(&self) -> Result<Standing, ChangeError> {
        let (metrics, loaded) = tokio::try_join!(self.client.metrics(), self.client.loaded_config())?;
        let value = |name: &str| metrics.value(&format!("prometheus_config_last_reload_{name}"));
        let well = value("successful") == Some(1.0);
        Ok(Standing { loaded, well, at: value("success_timestamp_seconds").unwrap_or_default() })
    }

    /// The groups of rules that it has loaded, with the whole paths of their files.
    pub(super) async fn groups(&self) -> Result<Vec<RuleGroup>, ChangeError> {
        let mut groups = self.client.rule_groups().await?;
        for group in &mut groups {
            group.file = absolute(&group.file, Some(&self.cwd)).unwrap_or_default();
        }
        Ok(groups)
    }

    /// Has it load its configuration, and waits until it says that it did. `before` is how it was just before.
    pub(super) async fn reload(&self, before: &Standing) -> Result<&'static str, ChangeError> {
        let how = match self.client.reload().await? {
            Reloaded::Done => "by /-/reload",
            Reloaded::Refused(said) => return Err(ChangeError::Refused { said: self.reason(said).await }),
            Reloaded::Off if self.service.is_reloadable() => {
                self.service.reload(PATIENCE).await?;
                if matches!(self.service, Service::Container { .. }) {
                    "by SIGHUP"
                } else {
                    "by its unit's reload"
                }
            }
            Reloaded::Off => return Err(ChangeError::NoReload { target: self.target.clone() }),
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.standing().await?;
            if now.well && now.at > before.at {
                return Ok(how);
            }
            let late = Instant::now() > deadline;
            if !now.well && (before.well || late) {
                let said = "it says no more over its API".to_owned();
                return Err(ChangeError::Refused { said: self.reason(said).await });
            }
            if late {
                return Err(ChangeError::NotReloaded { seconds: PATIENCE.as_secs() });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Why a reload failed, in one line: its log says it where its answer only says that it did.
    async fn reason(&self, said: String) -> String {
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = said.trim_start_matches("failed to reload config: ").to_owned();
        if said.contains(" line ") {
            return said;
        }
        let lines = self.service.last_words(LAST_WORDS).await;
        let is_it = |line: &&String| {
            let is_error = line.contains("level=error") || line.contains("level=ERROR");
            is_error && !line.contains("one or more errors")
        };
        match lines.iter().rev().find(is_it).and_then(|line| Some(line.split_once("err=")?.1)) {
            Some(log) => format!("{said}; its log: {}", log.trim()),
            None => said,
        }
    }

    /// It can be told to load its configuration.
    pub(super) async fn is_reloadable(&self) -> Result<bool, ChangeError> {
        let flags = self.client.flags().await?;
        let lifecycle = flags.get("web.enable-lifecycle").is_some_and(|on| on == "true");
        Ok(lifecycle || self.service.is_reloadable())
    }

    /// Where it has loaded something else than this, in words.
    pub(super) async fn lacks(&self, expected: &Expected) -> Result<Option<String>, ChangeError> {
        if let Expected::Rules { path, file } = expected {
            return Ok(file.lacks(path, &self.groups().await?));
        }
        let loaded = self.client.loaded_config().await?;
        let told = |source| ChangeError::Yaml { path: "what Prometheus has loaded".to_owned(), source };
        Ok(expected.lacks(&Facts::of(&loaded).map_err(told)?))
    }
}
