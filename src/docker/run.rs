//! Running our own binary in a container beside the target, with the target's volumes.

use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as Raw;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures_util::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;

use super::error::DockerError;
use super::helper::Temporary;
use super::{Docker, REQUEST_LIMIT};

/// How much of what the program said on stderr is kept: its end.
const STDERR_TAIL: usize = 8 * 1024;

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Raw>> + Send>>;

/// How a run of our own binary ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfRun {
    /// Its exit code.
    pub exit_code: i64,
    /// The end of what it said on stderr.
    pub stderr_tail: String,
}

/// When a run is given up.
#[derive(Debug, Clone, Copy)]
struct Until<'a> {
    action: &'a str,
    idle: Duration,
    cancel: &'a CancellationToken,
}

impl Docker {
    /// Runs our own binary with `args` as root, without a network, with the volumes of the container `name`,
    /// and hands each line it prints to `on_line`. The run is given up when it prints nothing for `idle`, and
    /// when `cancel` says so; its container is removed on every way out.
    pub async fn run_self(
        &self,
        name: &str,
        args: &[String],
        on_line: &mut (dyn FnMut(&str) + Send),
        idle: Duration,
        cancel: &CancellationToken,
    ) -> Result<SelfRun, DockerError> {
        let action = format!("run {} beside container {name:?}", args.first().map_or("", String::as_str));
        let until = Until { action: &action, idle, cancel };
        let made = tokio::select! {
            made = self.make_runner(name, args) => made?,
            () = cancel.cancelled() => return Err(DockerError::Cancelled { action }),
        };
        let result = self.follow(&made, until, on_line).await;
        let removed = made.remove().await;
        let run = result?;
        removed.map(|()| run)
    }

    async fn make_runner(&self, name: &str, args: &[String]) -> Result<Temporary, DockerError> {
        match self.try_make_runner(name, args).await {
            // Somebody pruned images: make it once more.
            Err(DockerError::Refused { status: 404, message, .. }) if message.contains("No such image") => {
                let image = self.shared.image.lock().await.as_ref().map(|image| image.name.clone());
                self.forget_self_image(&image.unwrap_or_default()).await;
                self.try_make_runner(name, args).await
            }
            other => other,
        }
    }

    async fn try_make_runner(&self, name: &str, args: &[String]) -> Result<Temporary, DockerError> {
        let target = self.inspect(name).await?;
        let image = self.self_image().await?;
        let body = ContainerCreateBody {
            image: Some(image.name),
            entrypoint: Some(image.entrypoint),
            cmd: Some(args.to_vec()),
            user: Some("0:0".to_owned()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        self.temporary(&target, body).await
    }

    async fn follow(
        &self,
        made: &Temporary,
        until: Until<'_>,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<SelfRun, DockerError> {
        // Attached before it starts, so that nothing is missed, and nothing is written to any log.
        let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
        let attached = self.client.attach_container(made.id(), Some(options));
        let mut output = self.request(until.action, attached).await?.output;
        self.request(until.action, self.client.start_container(made.id(), None)).await?;
        let mut lines = Lines::default();
        let mut stderr = Vec::new();
        while let Some(piece) = self.next(&mut output, until).await? {
            match piece {
                LogOutput::StdErr { message } => keep_tail(&mut stderr, &message),
                other => lines.take(&other.into_bytes(), on_line),
            }
        }
        lines.finish(on_line);
        let exit_code = self.exit_code(made, until.action).await?;
        Ok(SelfRun { exit_code, stderr_tail: String::from_utf8_lossy(&stderr).trim().to_owned() })
    }

    async fn next(&self, output: &mut Output, until: Until<'_>) -> Result<Option<LogOutput>, DockerError> {
        let action = until.action.to_owned();
        tokio::select! {
            () = until.cancel.cancelled() => Err(DockerError::Cancelled { action }),
            next = tokio::time::timeout(until.idle, output.next()) => match next {
                Err(_) => Err(DockerError::Stalled { action, limit: until.idle }),
                Ok(None) => Ok(None),
                Ok(Some(piece)) => piece.map(Some).map_err(|raw| self.translate(&action, raw)),
            },
        }
    }

    /// The streams have ended, so the process has, or does so in a moment.
    async fn exit_code(&self, made: &Temporary, action: &str) -> Result<i64, DockerError> {
        let mut waiting = std::pin::pin!(self.client.wait_container(made.id(), None));
        match tokio::time::timeout(REQUEST_LIMIT, waiting.next()).await {
            Ok(Some(Ok(answer))) => Ok(answer.status_code),
            // The library calls every code but 0 an error.
            Ok(Some(Err(Raw::DockerContainerWaitError { code, .. }))) => Ok(code),
            Ok(Some(Err(raw))) => Err(self.translate(action, raw)),
            Ok(None) => Err(DockerError::Broken { action: action.to_owned() }),
            Err(_) => Err(DockerError::TimedOut { action: action.to_owned(), limit: REQUEST_LIMIT }),
        }
    }
}

/// Puts lines together again: the engine cuts where it likes.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn take(&mut self, mut bytes: &[u8], on_line: &mut (dyn FnMut(&str) + Send)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.0.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.finish(on_line);
        }
        self.0.extend_from_slice(bytes);
    }

    fn finish(&mut self, on_line: &mut (dyn FnMut(&str) + Send)) {
        if !self.0.is_empty() {
            on_line(&String::from_utf8_lossy(&self.0));
            self.0.clear();
        }
    }
}

fn keep_tail(tail: &mut Vec<u8>, more: &[u8]) {
    tail.extend_from_slice(more);
    let excess = tail.len().saturating_sub(STDERR_TAIL);
    tail.drain(..excess);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_wherever_they_were_cut() {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        for piece in ["on", "e\ntw", "o\n", "three"] {
            lines.take(piece.as_bytes(), &mut |line| seen.push(line.to_owned()));
        }
        lines.finish(&mut |line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "two", "three"]);
    }

    #[test]
    fn the_end_of_a_long_complaint_is_kept() {
        let mut tail = Vec::new();
        keep_tail(&mut tail, &[b'a'; STDERR_TAIL]);
        keep_tail(&mut tail, b"end");
        assert_eq!(tail.len(), STDERR_TAIL);
        assert!(tail.ends_with(b"end"));
    }
}
