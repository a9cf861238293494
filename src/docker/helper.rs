//! A container beside the target that is made with the target's volumes and never started.
//!
//! The engine reads and writes the volumes through it while the target runs, is stopped, or is locked by
//! nobody: no lock is held on the target itself, and nothing has to exist in its image.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::models::{RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures_util::StreamExt;

use super::container::ContainerInfo;
use super::error::{DockerError, name_missing};
use super::mark::Mark;
use super::reap::{self, Leftover};
use super::transfer::{self, Download};
use super::{Docker, HELPER_LABEL, NO_LIMIT};

/// A container of ours. Dropping it removes it.
pub(super) struct Temporary {
    docker: Docker,
    id: Option<String>,
}

impl Temporary {
    pub(super) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    pub(super) async fn remove(mut self) -> Result<(), DockerError> {
        let id = self.id().to_owned();
        let result = self.docker.remove_container(&id).await;
        // Only then: when this future is dropped in the middle, `Drop` still has to do it.
        if result.is_ok() {
            self.id = None;
        }
        result
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            reap::now(&self.docker.shared.host, Leftover::Container(id));
        }
    }
}

impl Docker {
    /// Makes a container of ours with the volumes of `target`.
    ///
    /// In a task of its own: a caller that is cancelled between request and answer would never learn the ID,
    /// but the task ends, and dropping its result removes the container.
    pub(super) async fn temporary(
        &self,
        target: &ContainerInfo,
        body: ContainerCreateBody,
    ) -> Result<Temporary, DockerError> {
        let body = furnish(target, body);
        let (docker, name) = (self.clone(), target.name.clone());
        let task = tokio::spawn(async move {
            let action = format!("make a helper container for {name:?}");
            let options = CreateContainerOptionsBuilder::default().name(&helper_name()).build();
            let made = docker.client.create_container(Some(options), body);
            let made = docker.request(&action, made).await.map_err(|error| name_missing(&name, error))?;
            Ok(Temporary { docker, id: Some(made.id) })
        });
        task.await
            .unwrap_or_else(|_| Err(DockerError::Broken { action: "make a helper container".to_owned() }))
    }

    /// Makes a helper beside the container `name`.
    pub async fn helper(&self, name: &str) -> Result<Helper, DockerError> {
        let target = self.inspect(name).await?;
        let body = ContainerCreateBody {
            image: Some(target.image_id.clone()),
            entrypoint: Some(vec!["/never-started".to_owned()]),
            ..Default::default()
        };
        let made = self.temporary(&target, body).await.map_err(|error| match error {
            DockerError::Refused { status: 404, message, .. } if message.contains("No such image") => {
                DockerError::NoImage { name: name.to_owned(), image: target.image.clone() }
            }
            other => other,
        })?;
        Ok(Helper { made, target: name.to_owned() })
    }
}

impl Docker {
    /// The path in the container `id` as a tar stream; errors speak of `name`.
    pub(super) async fn download(
        &self,
        id: &str,
        name: &str,
        path: &str,
        idle: Duration,
    ) -> Result<Download, DockerError> {
        let docker = self.clone();
        docker.stat(id, name, path).await?;
        let action = format!("read {path:?} of container {name:?}");
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let client = docker.client.clone().with_timeout(NO_LIMIT);
        let stream = client.download_from_container(id, Some(options));
        let doing = action.clone();
        let stream = stream.map(move |item| item.map_err(|raw| docker.translate(&doing, raw)));
        Download::start(stream, action, idle).await
    }

    /// Unpacks a tar stream into the folder `path` of the container `id`; errors speak of `name`.
    pub(super) async fn upload(
        &self,
        (id, name): (&str, &str),
        path: &str,
        mut tar: Box<dyn Read + Send>,
        idle: Duration,
    ) -> Result<(), DockerError> {
        let action = format!("write into {path:?} of container {name:?}");
        // Asked before: an engine that refuses in the middle of a body closes the connection under it.
        self.stat(id, name, path).await?;
        let (body, watch) = transfer::outgoing(move |sink| io::copy(&mut tar, sink).map(drop));
        let options = UploadToContainerOptionsBuilder::default().path(path).build();
        let client = self.client.clone().with_timeout(NO_LIMIT);
        let body = bollard::body_try_stream(body);
        let request = client.upload_to_container(id, Some(options), body);
        let request = async { request.await.map_err(|raw| self.translate(&action, raw)) };
        watch.drive(&action, idle, request).await
    }
}

/// Adds what all containers of ours have in common.
fn furnish(target: &ContainerInfo, body: ContainerCreateBody) -> ContainerCreateBody {
    let text = |text: &str| Some(text.to_owned());
    ContainerCreateBody {
        labels: Some(HashMap::from([(HELPER_LABEL.to_owned(), Mark::own().to_string())])),
        host_config: Some(HostConfig {
            volumes_from: Some(vec![target.id.clone()]),
            network_mode: text("none"),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            log_config: Some(HostConfigLogConfig { typ: text("none"), config: None }),
            readonly_rootfs: Some(true),
            ..Default::default()
        }),
        ..body
    }
}

fn helper_name() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("watchkeeper-helper-{}-{}", Mark::own(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A container beside the target, with its volumes, never started. Dropping it removes it.
pub struct Helper {
    made: Temporary,
    target: String,
}

impl Helper {
    /// The path as a tar stream whose entries start with the path's last component. It ends in an error when
    /// the engine sends nothing for `idle`; whether the tar is complete is for its reader to check.
    pub async fn download(&self, path: &str, idle: Duration) -> Result<Download, DockerError> {
        self.made.docker.download(self.made.id(), &self.target, path, idle).await
    }

    /// Like [`Helper::download`], for a reader that outlives this place: the helper goes with it.
    pub async fn into_download(self, path: &str, idle: Duration) -> Result<HelperDownload, DockerError> {
        let download = self.download(path, idle).await?;
        Ok(HelperDownload { download, _helper: self })
    }

    /// Unpacks a tar stream into the folder `path`, with the owners of its headers. A failure leaves what was
    /// unpacked so far: use it on a staging folder only.
    pub async fn upload(
        &self,
        path: &str,
        tar: Box<dyn Read + Send>,
        idle: Duration,
    ) -> Result<(), DockerError> {
        self.made.docker.upload((self.made.id(), &self.target), path, tar, idle).await
    }

    /// Removes it, and says when that failed.
    pub async fn close(self) -> Result<(), DockerError> {
        self.made.remove().await
    }
}

/// A download that owns its helper: dropping it removes the helper.
pub struct HelperDownload {
    // Declared first, so that the stream ends before its container goes.
    download: Download,
    _helper: Helper,
}

impl Read for HelperDownload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.download.read(buffer)
    }
}
