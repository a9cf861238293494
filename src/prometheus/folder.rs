//! Where a Prometheus keeps its data, and doing things there.
//!
//! The folder lies on this host, or in a container. It is found once, from what is said most surely to what is
//! only usual, and is then reached in one of two ways: directly by a path here, or through Docker. What is
//! done is the same code either way ([`folder_op`]); in a container our own binary runs it.

mod attended;
mod error;
mod locate;
mod unpack;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::folder_op::survey::SurveyedBlock;
use super::folder_op::{self, FolderOp, FolderReply, Told};
use crate::config::values::{Access, PrometheusTarget};
use crate::docker::{Docker, DockerError, Download, Helper, Until};
use attended::Attendance;
pub use error::FolderError;
pub(super) use locate::absolute;

/// What is known about where the data lie, beside the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Clues<'a> {
    /// The server's flags, where it runs.
    pub flags: Option<&'a BTreeMap<String, String>>,
    /// The server's working directory, where it runs.
    pub cwd: Option<&'a str>,
    /// The data folder as a backup's manifest has it.
    pub known: Option<&'a str>,
    /// How the folder may be reached.
    pub access: Access,
    /// How long nothing may move before something is given up.
    pub idle: Duration,
}

impl Default for Clues<'_> {
    fn default() -> Self {
        Self { flags: None, cwd: None, known: None, access: Access::Auto, idle: Duration::from_mins(10) }
    }
}

/// A Prometheus data folder that was found.
#[derive(Debug, Clone)]
pub struct DataFolder {
    place: FolderPlace,
    idle: Duration,
    /// Whoever performs one operation after the other in a container, where that is wanted.
    attended: Option<Attendance>,
}

#[derive(Debug, Clone)]
enum FolderPlace {
    Host { path: PathBuf },
    Container { docker: Docker, name: String, path: String, direct: Option<PathBuf> },
}

/// How a folder is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'a> {
    /// By this path.
    Direct(&'a Path),
    /// Through Docker.
    Docker,
}

/// Is told how many more bytes an operation has read.
pub type OnBytes = Arc<dyn Fn(u64) + Send + Sync>;
/// Is told what an operation reads and finds.
type Tell = Arc<dyn Fn(Told) + Send + Sync>;

/// A line of our own binary in a container.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Told(Told),
    Reply(FolderReply),
}

impl DataFolder {
    /// Finds the data folder of `target` and a way to it. A target in a container needs `docker`.
    pub async fn locate(
        target: &PrometheusTarget,
        clues: &Clues<'_>,
        docker: Option<&Docker>,
    ) -> Result<Self, FolderError> {
        let place = locate::place(target, clues, docker).await?;
        Ok(Self { place, idle: clues.idle, attended: None })
    }

    /// The same folder, for several operations: in a container one process performs them all, which saves making a
    /// container for each. [`DataFolder::close`] ends it.
    #[must_use]
    pub fn attended(self) -> Self {
        Self { attended: Some(Attendance::default()), ..self }
    }

    /// Ends what [`DataFolder::attended`] has begun. Dropping the folder does so too, but cannot say what failed.
    pub async fn close(self) -> Result<(), FolderError> {
        match self.attended {
            Some(attended) => Ok(attended.close().await?),
            None => Ok(()),
        }
    }

    /// How it is reached.
    pub fn reach(&self) -> Reach<'_> {
        self.direct_path().map_or(Reach::Docker, Reach::Direct)
    }

    /// Its path here, where it is reached directly.
    pub fn direct_path(&self) -> Option<&Path> {
        match &self.place {
            FolderPlace::Host { path } => Some(path),
            FolderPlace::Container { direct, .. } => direct.as_deref(),
        }
    }

    /// Its path as the server sees it.
    pub fn product_path(&self) -> String {
        match &self.place {
            FolderPlace::Host { path } => path.display().to_string(),
            FolderPlace::Container { path, .. } => path.clone(),
        }
    }

    /// The container it is in, where it is in one.
    pub fn container(&self) -> Option<&str> {
        match &self.place {
            FolderPlace::Host { .. } => None,
            FolderPlace::Container { name, .. } => Some(name),
        }
    }

    /// Performs an operation there. That it was refused or failed there is an answer, [`FolderReply::Failed`].
    pub async fn run(&self, op: &FolderOp, cancel: &CancellationToken) -> Result<FolderReply, FolderError> {
        self.run_watched(op, Arc::new(|_| ()), cancel).await
    }

    /// Like [`DataFolder::run`], and `on_bytes` is told what was read, piece by piece.
    pub async fn run_watched(
        &self,
        op: &FolderOp,
        on_bytes: OnBytes,
        cancel: &CancellationToken,
    ) -> Result<FolderReply, FolderError> {
        let tell = move |told| match told {
            Told::Bytes(bytes) => on_bytes(bytes),
            Told::Block(_) => {}
        };
        self.run_telling(op, Arc::new(tell), cancel).await
    }

    /// Surveys a snapshot: `found` is given each of its blocks, one after the other. It must not block.
    pub async fn survey(
        &self,
        snapshot: &str,
        found: impl Fn(SurveyedBlock) + Send + Sync + 'static,
        cancel: &CancellationToken,
    ) -> Result<FolderReply, FolderError> {
        let tell = move |told| match told {
            Told::Block(block) => found(*block),
            Told::Bytes(_) => {}
        };
        self.run_telling(&FolderOp::Survey { name: snapshot.to_owned() }, Arc::new(tell), cancel).await
    }

    async fn run_telling(
        &self,
        op: &FolderOp,
        tell: Tell,
        cancel: &CancellationToken,
    ) -> Result<FolderReply, FolderError> {
        match &self.place {
            FolderPlace::Host { path } | FolderPlace::Container { direct: Some(path), .. } => {
                perform_here(path.clone(), op.clone(), tell, cancel.clone()).await
            }
            FolderPlace::Container { docker, name, path, .. } => {
                let there = There { docker, name, path };
                self.perform_there(there, op, &tell, cancel).await
            }
        }
    }

    /// A subfolder as a tar stream whose entries start with the subfolder's last component. Only through
    /// Docker: who has the path reads it. Read it on a blocking thread; dropping it ends it.
    pub async fn read(&self, relative: &str) -> Result<Box<dyn Read + Send>, FolderError> {
        let FolderPlace::Container { docker, name, path, direct: None } = &self.place else {
            return Err(FolderError::NotThroughDocker { folder: self.to_string() });
        };
        let path = below(path, relative)?;
        let download = docker.helper(name).await?.into_download(&path, self.idle).await?;
        Ok(Box::new(download))
    }

    /// Reads several subfolders through Docker, one after the other, by one helper.
    pub async fn reader(&self) -> Result<FolderReader, FolderError> {
        let FolderPlace::Container { docker, name, path, direct: None } = &self.place else {
            return Err(FolderError::NotThroughDocker { folder: self.to_string() });
        };
        Ok(FolderReader { helper: docker.helper(name).await?, path: path.clone(), idle: self.idle })
    }

    /// Unpacks a tar stream into a subfolder that exists. What a failure leaves there is incomplete, and owners
    /// are whatever they are: use it on a staging folder whose contents are checked and given owners after.
    pub async fn put(
        &self,
        relative: &str,
        tar: Box<dyn Read + Send>,
        cancel: &CancellationToken,
    ) -> Result<(), FolderError> {
        match &self.place {
            FolderPlace::Host { path } | FolderPlace::Container { direct: Some(path), .. } => {
                let into = PathBuf::from(below(&path.display().to_string(), relative)?);
                unpack::here(into, tar, cancel.clone()).await
            }
            FolderPlace::Container { docker, name, path, .. } => {
                let path = below(path, relative)?;
                let helper = docker.helper(name).await?;
                let result = tokio::select! {
                    result = helper.upload(&path, tar, self.idle) => result,
                    () = cancel.cancelled() => Err(DockerError::Cancelled { action: format!("write into {path:?}") }),
                };
                let closed = helper.close().await;
                Ok(result.and(closed)?)
            }
        }
    }

    async fn perform_there(
        &self,
        there: There<'_>,
        op: &FolderOp,
        tell: &Tell,
        cancel: &CancellationToken,
    ) -> Result<FolderReply, FolderError> {
        let op = serde_json::to_string(op).map_err(|source| FolderError::Operation { source })?;
        let (mut reply, mut other) = (None, String::new());
        let mut on_line = |line: &str| {
            match serde_json::from_str(line) {
                Ok(Line::Told(told)) => tell(told),
                Ok(Line::Reply(given)) => reply = Some(given),
                Err(_) => line.clone_into(&mut other),
            }
            reply.is_some()
        };
        let until = Until { idle: self.idle, cancel };
        let ended = if let Some(attended) = &self.attended {
            attended.ask(there, &op, &mut on_line, until).await?
        } else {
            let args = there.arguments(&["--op", &op]);
            let on_line = &mut |line: &str| {
                on_line(line);
            };
            Some(there.docker.run_self(there.name, &args, on_line, until).await?)
        };
        let (exit_code, stderr) = ended.map(|run| (run.exit_code, run.stderr_tail)).unwrap_or_default();
        reply.ok_or_else(|| FolderError::NoReply {
            folder: self.to_string(),
            exit_code,
            said: if stderr.is_empty() { other } else { stderr },
        })
    }
}

/// A data folder in a container.
#[derive(Clone, Copy)]
struct There<'a> {
    docker: &'a Docker,
    name: &'a str,
    path: &'a str,
}

impl There<'_> {
    /// The command line of our own binary that performs operations there.
    fn arguments(&self, more: &[&str]) -> Vec<String> {
        ["folder-op", "--root", self.path].iter().chain(more).map(|part| (*part).to_owned()).collect()
    }
}

/// Reads subfolders of a data folder through Docker.
pub struct FolderReader {
    helper: Helper,
    path: String,
    idle: Duration,
}

impl FolderReader {
    /// Like [`DataFolder::read`]. The stream must not outlive this.
    pub async fn read(&self, relative: &str) -> Result<Download, FolderError> {
        Ok(self.helper.download(&below(&self.path, relative)?, self.idle).await?)
    }

    /// Removes the helper.
    pub async fn close(self) -> Result<(), FolderError> {
        Ok(self.helper.close().await?)
    }
}

impl std::fmt::Display for DataFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            FolderPlace::Host { path } => write!(f, "{}", path.display()),
            FolderPlace::Container { name, path, .. } => write!(f, "{path} of container {name}"),
        }
    }
}

async fn perform_here(
    path: PathBuf,
    op: FolderOp,
    tell: Tell,
    cancel: CancellationToken,
) -> Result<FolderReply, FolderError> {
    let folder = path.display().to_string();
    let work = move || folder_op::perform(&path, &op, &mut |told| tell(told), &cancel);
    tokio::task::spawn_blocking(work).await.map_err(|source| FolderError::Panicked { folder, source })
}

/// A path below a folder, both with `/`. What would lead out of it is refused.
fn below(folder: &str, relative: &str) -> Result<String, FolderError> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if relative.split('/').all(plain) {
        Ok(format!("{}/{relative}", folder.trim_end_matches('/')))
    } else {
        Err(FolderError::Outside { relative: relative.to_owned() })
    }
}

#[cfg(test)]
mod tests;
