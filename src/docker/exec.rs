//! Running a program of a container inside it.
//!
//! The engine has no way to end what it runs so: whoever starts it must be able to find it.

use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as Raw;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::error::{DockerError, name_missing};
use super::{Docker, NO_LIMIT};

/// The engine notes the end of a program a moment after its output has ended.
const NOTED: Duration = Duration::from_millis(50);
/// So often it is asked.
const ASKED: usize = 100;

/// A program to run in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecCommand {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables beside those of the container, as `NAME=value`.
    pub env: Vec<String>,
    /// As whom: `name`, `uid`, `uid:gid`; nothing for the container's own user.
    pub user: Option<String>,
    /// The folder in the container; nothing for the container's own.
    pub directory: Option<String>,
}

/// A program that runs in a container.
pub struct Exec {
    docker: Docker,
    id: String,
    action: String,
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, Raw>> + Send>>,
}

/// A program that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; nothing where the engine does not know it.
    pub exit_code: Option<i64>,
    /// What it said, on stdout and stderr.
    pub said: String,
}

impl Docker {
    /// Runs a program in the running container `name` to its end, for at most `limit`. What it says must be short.
    pub async fn exec_to_end(
        &self,
        name: &str,
        command: &ExecCommand,
        limit: Duration,
    ) -> Result<Ran, DockerError> {
        let whole = async {
            let mut exec = self.exec(name, command).await?;
            let mut said = Vec::new();
            while let Some(piece) = exec.next().await? {
                said.extend_from_slice(&piece);
            }
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            Ok(Ran { exit_code: exec.exit_code().await?, said })
        };
        let program = command.argv.first().map_or("", String::as_str);
        let action = format!("run {program:?} in container {name:?}");
        tokio::time::timeout(limit, whole).await.unwrap_or(Err(DockerError::TimedOut { action, limit }))
    }

    /// Starts a program in the running container `name`.
    pub async fn exec(&self, name: &str, command: &ExecCommand) -> Result<Exec, DockerError> {
        let program = command.argv.first().map_or("", String::as_str);
        let action = format!("run {program:?} in container {name:?}");
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            env: Some(command.env.clone()),
            cmd: Some(command.argv.clone()),
            user: command.user.clone(),
            working_dir: command.directory.clone(),
            ..CreateExecOptions::default()
        };
        let created = self.request(&action, self.client.create_exec(name, options)).await;
        let id = created.map_err(|error| name_missing(name, error))?.id;
        // The output may take any time.
        let client = self.client.clone().with_timeout(NO_LIMIT);
        let options = StartExecOptions::default();
        match self.request(&action, client.start_exec(&id, Some(options))).await? {
            StartExecResults::Attached { output, .. } => {
                Ok(Exec { docker: self.clone(), id, action, output })
            }
            StartExecResults::Detached => Err(DockerError::Broken { action }),
        }
    }

    /// Whether something that was started so with these arguments still runs in a container.
    pub async fn runs_in(&self, name: &str, argv: &[String]) -> Result<bool, DockerError> {
        let action = format!("look what runs in container {name:?}");
        let found = self.request(&action, self.client.inspect_container(name, None)).await;
        let found = found.map_err(|error| name_missing(name, error))?;
        for id in found.exec_ids.unwrap_or_default() {
            // It may have ended meanwhile, and be forgotten.
            let Ok(exec) = self.request(&action, self.client.inspect_exec(&id)).await else { continue };
            let is_it = exec.process_config.is_some_and(|process| {
                let arguments = process.arguments.unwrap_or_default();
                process.entrypoint.into_iter().chain(arguments).eq(argv.iter().cloned())
            });
            if is_it && exec.running == Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Exec {
    /// What it says next, on stdout or stderr; nothing at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, DockerError> {
        match self.output.next().await {
            None => Ok(None),
            Some(Ok(piece)) => Ok(Some(piece.into_bytes())),
            Some(Err(raw)) => Err(self.docker.translate(&self.action, raw)),
        }
    }

    /// Its exit code, once its output has ended; nothing while it still runs.
    pub async fn exit_code(&mut self) -> Result<Option<i64>, DockerError> {
        for _ in 0..ASKED {
            let found = self.docker.request(&self.action, self.docker.client.inspect_exec(&self.id)).await?;
            if found.running != Some(true) {
                return Ok(found.exit_code);
            }
            tokio::time::sleep(NOTED).await;
        }
        Ok(None)
    }
}
