//! Finds out all about the Prometheus that is to be restored, whether it answers or is down.

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::error::RestoreError;
use super::plan::{Destination, RestorePlan, plan};
use super::site::{Limits, Site};
use super::source::RestoreSource;
use crate::config::values::{Access, Place, PrometheusTarget};
use crate::docker::Docker;
use crate::prometheus::client::PrometheusClient;
use crate::prometheus::folder::{Clues, DataFolder};
use crate::service::Service;

/// What a restore is opened with.
pub struct Opening<'a> {
    /// The target.
    pub target: &'a PrometheusTarget,
    /// Its HTTP API.
    pub client: PrometheusClient,
    /// The engine, where the target runs in a container.
    pub docker: Option<&'a Docker>,
    /// How the data folder may be reached.
    pub access: Access,
    /// The data folder as a backup's manifest has it.
    pub known: Option<&'a str>,
    /// The command whose `--undo` and `--resume` concern this Prometheus: `watchkeeper restore JOB`.
    pub command: String,
}

/// A Prometheus that is ready to be restored, and what was found out about it.
pub struct Opened {
    /// The Prometheus.
    pub site: Site,
    /// What a plan has to know of it.
    pub destination: Destination,
}

impl Opening<'_> {
    /// Asks everything that can be asked. That Prometheus does not answer is no error.
    pub async fn open(self) -> Result<Opened, RestoreError> {
        let client = &self.client;
        let (flags, runtime, build) =
            tokio::join!(client.flags(), client.runtime_info(), client.build_info());
        let (flags, runtime, version) = (flags.ok(), runtime.ok(), build.ok().map(|build| build.version));
        let clues = Clues {
            flags: flags.as_ref(),
            cwd: runtime.as_ref().map(|runtime| runtime.cwd.as_str()),
            known: self.known,
            access: self.access,
            ..Clues::default()
        };
        let folder = DataFolder::locate(self.target, &clues, self.docker).await;
        let folder = folder.map_err(|e| RestoreError::folder("find the data folder", &e))?;
        let service = Service::of(self.target, self.docker);
        let service = service.map_err(|e| RestoreError::service("find out how Prometheus is stopped", &e))?;
        let (container, url) = match &self.target.place {
            Place::Container { name, .. } => (Some(name.clone()), self.client.base_url().to_string()),
            Place::Host { .. } => (None, self.client.base_url().to_string()),
        };
        let target = self.target.name.to_string();
        let (limits, command) = (Limits::default(), self.command);
        let site = Site { target: target.clone(), folder, service, client: self.client, limits, command };
        let destination = Destination {
            target,
            url,
            container,
            data_path: site.folder.product_path(),
            running: Some(site.before().await.running),
            controllable: site.is_controllable(),
            version,
            retention: runtime.map(|runtime| runtime.storage_retention).filter(|text| !text.is_empty()),
        };
        Ok(Opened { site, destination })
    }
}

impl Opened {
    /// Works out what restoring `source` here means.
    pub async fn plan(
        &self,
        source: &RestoreSource,
        now: Timestamp,
        cancel: &CancellationToken,
    ) -> Result<RestorePlan, RestoreError> {
        let folder = self.site.inspect(cancel).await?;
        Ok(plan(source, &folder, self.destination.clone(), now))
    }
}
