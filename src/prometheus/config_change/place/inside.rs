//! A file in a container, through the Docker engine.

use std::io;
use std::path::Path;

use super::{Held, IDLE, Owner, bounded};
use crate::blocking::blocking;
use crate::docker::{Docker, DockerError, ExecCommand, Ran};
use crate::prometheus::config_change::error::ChangeError;

/// A path in a container.
#[derive(Debug, Clone)]
pub(super) struct Inside {
    pub(super) docker: Docker,
    pub(super) container: String,
    pub(super) path: String,
}

impl Inside {
    pub(super) async fn read(&self) -> Result<Option<Held>, ChangeError> {
        let container = self.docker.container(&self.container).await?;
        let download = match container.download(&self.path, IDLE).await {
            Ok(download) => download,
            Err(DockerError::NoPath { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let path = format!("{}:{}", self.container, self.path);
        let read = blocking(move || {
            let mut archive = tar::Archive::new(download);
            let entry = archive.entries()?.next().transpose()?;
            let Some(entry) = entry.filter(|entry| entry.header().entry_type().is_file()) else {
                return Err(io::Error::other("it is no regular file"));
            };
            let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX);
            let header = entry.header();
            let owner =
                Owner { uid: id(header.uid()?), gid: id(header.gid()?), mode: header.mode()? & 0o7777 };
            let size = entry.size();
            let bytes = bounded(entry)?;
            if bytes.len() as u64 != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(Held { bytes, owner })
        });
        read.await.map(Some).map_err(|source| ChangeError::File { doing: "read", path, source })
    }

    pub(super) async fn write(&self, bytes: Vec<u8>, owner: Option<Owner>) -> Result<(), ChangeError> {
        let container = self.docker.container(&self.container).await?;
        let path = Path::new(&self.path);
        let folder = path.parent().and_then(Path::to_str).unwrap_or("/");
        let Owner { uid, gid, mode } = owner.unwrap_or(Owner { uid: 0, gid: 0, mode: 0o644 });
        let failed = |source| ChangeError::File { doing: "write", path: self.path.clone(), source };
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_uid(uid.into());
        header.set_gid(gid.into());
        let mut builder = tar::Builder::new(Vec::new());
        let name = path.file_name().unwrap_or_default();
        builder.append_data(&mut header, name, bytes.as_slice()).map_err(failed)?;
        let archive = builder.into_inner().map_err(failed)?;
        Ok(container.upload(folder, Box::new(io::Cursor::new(archive)), IDLE).await?)
    }

    pub(super) async fn has_folder(&self) -> Result<bool, ChangeError> {
        let container = self.docker.container(&self.container).await?;
        let folder = Path::new(&self.path).parent().and_then(Path::to_str).unwrap_or("/");
        let stat = match container.stat(folder).await {
            Err(DockerError::NoPath { .. }) => return Ok(false),
            stat => stat?,
        };
        let Some(real) = stat.leads_to else { return Ok(stat.is_folder) };
        match container.stat(&real).await {
            Err(DockerError::NoPath { .. }) => Ok(false),
            stat => Ok(stat?.is_folder),
        }
    }

    /// Whether the container has what removes a file.
    pub(super) async fn has_rm(&self) -> bool {
        // To remove what is not there is no error.
        let ran = self.rm(&format!("{}.watchkeeper-none", self.path)).await;
        ran.is_ok_and(|ran| ran.exit_code == Some(0))
    }

    async fn rm(&self, path: &str) -> Result<Ran, DockerError> {
        let argv = ["rm", "-f", "--", path].map(str::to_owned).to_vec();
        let command = ExecCommand { argv, user: Some("0:0".to_owned()), ..ExecCommand::default() };
        self.docker.exec_to_end(&self.container, &command, IDLE).await
    }

    /// The engine has no way to remove a file: a program in the container has to.
    pub(super) async fn remove(&self) -> Result<(), ChangeError> {
        let ran = self.rm(&self.path).await;
        let container = self.docker.container(&self.container).await?;
        match (container.stat(&self.path).await, ran) {
            (Err(DockerError::NoPath { .. }), _) => Ok(()),
            (Err(error), _) | (_, Err(error)) => Err(error.into()),
            (Ok(_), Ok(ran)) => {
                let source = io::Error::other(ran.said);
                Err(ChangeError::File { doing: "remove", path: self.path.clone(), source })
            }
        }
    }
}
