//! Running our own binary in a container beside the target, with the target's volumes: for one thing, or as an
//! attendant that is asked for one thing after the other.

use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as Raw;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::error::DockerError;
use super::helper::Temporary;
use super::{Docker, REQUEST_LIMIT};

/// How much of what the program said on stderr is kept: its end.
const STDERR_TAIL: usize = 8 * 1024;

/// How a run of our own binary ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfRun {
    /// Its exit code.
    pub exit_code: i64,
    /// The end of what it said on stderr.
    pub stderr_tail: String,
}

/// When a run is given up: when nothing is printed for so long, and when somebody says so.
#[derive(Debug, Clone, Copy)]
pub struct Until<'a> {
    /// The longest it may print nothing.
    pub idle: Duration,
    /// Says so.
    pub cancel: &'a CancellationToken,
}

/// Our own binary, running beside a container, that performs what it is told on its standard input, line by line.
/// Dropping it removes its container; when this process is killed its input ends, and so does it.
pub struct Attendant(Running);

/// Our own binary, running. Dropping it removes its container.
struct Running {
    docker: Docker,
    made: Temporary,
    action: String,
    input: Pin<Box<dyn AsyncWrite + Send>>,
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, Raw>> + Send>>,
    lines: Lines,
    stderr: Vec<u8>,
}

/// Whether it has an input, which ends with our connection to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    None,
    Ours,
}

impl Docker {
    /// Runs our own binary with `args` as root, without a network, with the volumes of the container `name`,
    /// and hands each line it prints to `on_line`. Its container is removed on every way out.
    pub async fn run_self(
        &self,
        name: &str,
        args: &[String],
        on_line: &mut (dyn FnMut(&str) + Send),
        until: Until<'_>,
    ) -> Result<SelfRun, DockerError> {
        let mut running = self.start_self(name, args, Input::None, until.cancel).await?;
        let never = &mut |line: &str| {
            on_line(line);
            false
        };
        let ended = running.follow(never, until).await;
        let removed = running.made.remove().await;
        let run = ended?.ok_or(DockerError::Broken { action: running.action })?;
        removed.map(|()| run)
    }

    /// Like [`Docker::run_self`], but it stays, and is asked.
    pub async fn attendant(
        &self,
        name: &str,
        args: &[String],
        cancel: &CancellationToken,
    ) -> Result<Attendant, DockerError> {
        self.start_self(name, args, Input::Ours, cancel).await.map(Attendant)
    }

    async fn start_self(
        &self,
        name: &str,
        args: &[String],
        input: Input,
        cancel: &CancellationToken,
    ) -> Result<Running, DockerError> {
        let action = format!("run {} beside container {name:?}", args.first().map_or("", String::as_str));
        let made = tokio::select! {
            made = self.make_runner(name, args, input) => made?,
            () = cancel.cancelled() => return Err(DockerError::Cancelled { action }),
        };
        // Attached before it starts, so that nothing is missed, and nothing is written to any log.
        let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true);
        let options = options.stdin(input == Input::Ours).build();
        let attached = self.client.attach_container(made.id(), Some(options));
        let attached = self.request(&action, attached).await?;
        self.request(&action, self.client.start_container(made.id(), None)).await?;
        let docker = self.clone();
        let (input, output) = (attached.input, attached.output);
        Ok(Running { docker, made, action, input, output, lines: Lines::default(), stderr: Vec::new() })
    }

    async fn make_runner(&self, name: &str, args: &[String], input: Input) -> Result<Temporary, DockerError> {
        match self.try_make_runner(name, args, input).await {
            // Somebody pruned images: make it once more.
            Err(DockerError::Refused { status: 404, message, .. }) if message.contains("No such image") => {
                let image = self.shared.image.lock().await.as_ref().map(|image| image.name.clone());
                self.forget_self_image(&image.unwrap_or_default()).await;
                self.try_make_runner(name, args, input).await
            }
            other => other,
        }
    }

    async fn try_make_runner(
        &self,
        name: &str,
        args: &[String],
        input: Input,
    ) -> Result<Temporary, DockerError> {
        let target = self.inspect(name).await?;
        let image = self.self_image().await?;
        let has_input = Some(input == Input::Ours);
        let body = ContainerCreateBody {
            image: Some(image.name),
            entrypoint: Some(image.entrypoint),
            cmd: Some(args.to_vec()),
            user: Some("0:0".to_owned()),
            attach_stdin: has_input,
            open_stdin: has_input,
            stdin_once: has_input,
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        self.temporary(&target, body).await
    }
}

impl Attendant {
    /// Hands it a line, and each line that it prints to `on_line`, until that says that it was the answer.
    ///
    /// Says how it ended where it did before it answered. After that, and after an error, it is good for nothing more.
    pub async fn ask(
        &mut self,
        line: &str,
        on_line: &mut (dyn FnMut(&str) -> bool + Send),
        until: Until<'_>,
    ) -> Result<Option<SelfRun>, DockerError> {
        self.0.tell(line).await?;
        self.0.follow(on_line, until).await
    }

    /// Ends it, and says when its container could not be removed.
    pub async fn close(self) -> Result<(), DockerError> {
        self.0.made.remove().await
    }
}

impl Running {
    async fn tell(&mut self, line: &str) -> Result<(), DockerError> {
        let line = format!("{line}\n");
        let written = async {
            self.input.write_all(line.as_bytes()).await?;
            self.input.flush().await
        };
        match tokio::time::timeout(REQUEST_LIMIT, written).await {
            Ok(written) => {
                written.map_err(|source| DockerError::Local { action: self.action.clone(), source })
            }
            Err(_) => Err(DockerError::TimedOut { action: self.action.clone(), limit: REQUEST_LIMIT }),
        }
    }

    /// Until `on_line` is content; how it ended where it is not.
    async fn follow(
        &mut self,
        on_line: &mut (dyn FnMut(&str) -> bool + Send),
        until: Until<'_>,
    ) -> Result<Option<SelfRun>, DockerError> {
        let mut content = false;
        while let Some(piece) = self.next(until).await? {
            match piece {
                LogOutput::StdErr { message } => keep_tail(&mut self.stderr, &message),
                other => self.lines.take(&other.into_bytes(), &mut |line| content |= on_line(line)),
            }
            if content {
                return Ok(None);
            }
        }
        self.lines.finish(&mut |line| content |= on_line(line));
        if content {
            return Ok(None);
        }
        let exit_code = self.exit_code().await?;
        let stderr_tail = String::from_utf8_lossy(&self.stderr).trim().to_owned();
        Ok(Some(SelfRun { exit_code, stderr_tail }))
    }

    async fn next(&mut self, until: Until<'_>) -> Result<Option<LogOutput>, DockerError> {
        let action = || self.action.clone();
        tokio::select! {
            // First: who was told to stop takes no answer that happens to be there already.
            biased;
            () = until.cancel.cancelled() => Err(DockerError::Cancelled { action: action() }),
            next = tokio::time::timeout(until.idle, self.output.next()) => match next {
                Err(_) => Err(DockerError::Stalled { action: action(), limit: until.idle }),
                Ok(None) => Ok(None),
                Ok(Some(piece)) => piece.map(Some).map_err(|raw| self.docker.translate(&self.action, raw)),
            },
        }
    }

    /// The streams have ended, so the process has, or does so in a moment.
    async fn exit_code(&mut self) -> Result<i64, DockerError> {
        let mut waiting = std::pin::pin!(self.docker.client.wait_container(self.made.id(), None));
        let action = self.action.clone();
        match tokio::time::timeout(REQUEST_LIMIT, waiting.next()).await {
            Ok(Some(Ok(answer))) => Ok(answer.status_code),
            // The library calls every code but 0 an error.
            Ok(Some(Err(Raw::DockerContainerWaitError { code, .. }))) => Ok(code),
            Ok(Some(Err(raw))) => Err(self.docker.translate(&action, raw)),
            Ok(None) => Err(DockerError::Broken { action }),
            Err(_) => Err(DockerError::TimedOut { action, limit: REQUEST_LIMIT }),
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
