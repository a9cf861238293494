//! A Prometheus whose configuration is changed, as far as it is reached whether it answers or not: its container, its files,
//! how it is told to read them, and the note of a change that was cut.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::error::ChangeError;
use super::journal::{Cut, Journal};
use super::place::Place;
use super::site::Site;
use crate::blocking::blocking;
use crate::config::values::Place as Runs;
use crate::config::values::PrometheusTarget;
use crate::docker::Docker;
use crate::prometheus::client::{ClientError, PrometheusClient, Reloaded};
use crate::prometheus::folder::absolute;
use crate::service::Service;
use crate::store::atomic;

/// How long a server may take to load a configuration after it was told to.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same where nobody heard what it answered.
const UNHEARD_PATIENCE: Duration = Duration::from_secs(5);
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

/// A Prometheus that may run or not.
#[derive(Debug, Clone)]
pub struct Reach {
    pub(super) target: String,
    pub(super) client: PrometheusClient,
    pub(super) service: Service,
    docker: Option<(Docker, String)>,
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
    pub(super) at: f64,
}

/// A configuration that was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loaded {
    /// How it was told to, in words.
    pub(super) how: &'static str,
    /// It has answered that it did; else only what it says of itself tells so.
    pub(super) is_heard: bool,
}

impl Opening<'_> {
    /// Prepares to talk to it and to reach its files; nothing is asked of it yet.
    pub fn reach(self) -> Result<Reach, ChangeError> {
        let Self { target, client, docker, state_dir } = self;
        let docker = match (&target.place, docker) {
            (Runs::Container { name, .. }, Some(docker)) => Some((docker.clone(), name.clone())),
            _ => None,
        };
        let service = Service::of(target, docker.as_ref().map(|(docker, _)| docker))?;
        let journal = Journal::of(state_dir, target.name.as_str());
        Ok(Reach { target: target.name.to_string(), client, service, docker, journal })
    }
}

impl Reach {
    /// Asks the server where its configuration is, and looks how that is reached.
    pub async fn open(&self) -> Result<Site, ChangeError> {
        let (flags, runtime) = tokio::try_join!(self.client.flags(), self.client.runtime_info())?;
        let cwd = runtime.cwd;
        let nowhere = || ChangeError::Nowhere { target: self.target.clone() };
        let seen =
            flags.get("config.file").and_then(|path| absolute(path, Some(&cwd))).ok_or_else(nowhere)?;
        let config = self.locate(&seen).await?;
        Ok(Site { reach: self.clone(), config, cwd })
    }

    /// The change that was begun and never ended.
    pub fn cut(&self) -> Result<Option<Cut>, ChangeError> {
        Ok(self.journal.read()?.map(|note| Cut::told(&self.target, note)))
    }

    /// The container it runs in.
    pub(super) fn container(&self) -> Option<(&Docker, &str)> {
        self.docker.as_ref().map(|(docker, name)| (docker, name.as_str()))
    }

    /// A path as the server sees it.
    pub(super) async fn locate(&self, seen: &str) -> Result<Place, ChangeError> {
        match self.container() {
            Some((docker, name)) => Place::in_container(docker, name, seen).await,
            None => Ok(Place::on_host(seen)),
        }
    }

    /// Takes away what a write that was cut has left.
    pub(super) async fn sweep(&self, temporary: Option<PathBuf>) {
        if let Some(path) = temporary {
            // It says nothing to anybody where it stays, and the next write takes its name.
            let _ = blocking(move || atomic::remove_if_there(&path)).await;
        }
    }

    pub(super) async fn standing(&self) -> Result<Standing, ChangeError> {
        let (metrics, loaded) = tokio::try_join!(self.client.metrics(), self.client.loaded_config())?;
        let value = |name: &str| metrics.value(&format!("prometheus_config_last_reload_{name}"));
        let well = value("successful") == Some(1.0);
        Ok(Standing { loaded, well, at: value("success_timestamp_seconds").unwrap_or_default() })
    }

    /// Has it load its configuration, and waits until it says that it did, also where its answer did not arrive. `before` is
    /// how it was just before.
    pub(super) async fn reload(&self, before: &Standing) -> Result<Loaded, ChangeError> {
        let (how, unheard) = match self.client.reload().await {
            Ok(Reloaded::Done) => ("by /-/reload", None),
            Ok(Reloaded::Refused(said)) => {
                return Err(ChangeError::Refused { said: self.reason(said).await });
            }
            Ok(Reloaded::Off) if self.service.is_reloadable() => {
                self.service.reload(PATIENCE).await?;
                let is_container = matches!(self.service, Service::Container { .. });
                (if is_container { "by SIGHUP" } else { "by its unit's reload" }, None)
            }
            Ok(Reloaded::Off) => return Err(ChangeError::NoReload { target: self.target.clone() }),
            Err(error) if may_have_arrived(&error) => ("by /-/reload, whose answer was lost", Some(error)),
            Err(error) => return Err(error.into()),
        };
        let is_heard = unheard.is_none();
        self.wait_loaded(before, unheard).await?;
        Ok(Loaded { how, is_heard })
    }

    /// Waits until it says that it has loaded its configuration since `before`.
    async fn wait_loaded(&self, before: &Standing, unheard: Option<ClientError>) -> Result<(), ChangeError> {
        let patience = if unheard.is_some() { UNHEARD_PATIENCE } else { PATIENCE };
        let deadline = Instant::now() + patience;
        loop {
            let now = match (self.standing().await, unheard.is_some()) {
                // It may be so busy that it does not answer this, either.
                (Err(_), true) if Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                (now, _) => now?,
            };
            if now.well && now.at > before.at {
                return Ok(());
            }
            let late = Instant::now() > deadline;
            if !now.well && (before.well || (late && unheard.is_none())) {
                let said = "it says no more over its API".to_owned();
                return Err(ChangeError::Refused { said: self.reason(said).await });
            }
            if late {
                return Err(
                    unheard.map_or(ChangeError::NotReloaded { seconds: patience.as_secs() }, Into::into)
                );
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
}

/// The server may have got what it was asked, although nobody knows what it answered.
fn may_have_arrived(error: &ClientError) -> bool {
    let is_refused = matches!(error, ClientError::Unreachable { source, .. } if source.before_sending);
    error.is_transient() && !is_refused
}
