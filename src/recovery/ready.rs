//! Whether a part is ready, and whether it has ended instead.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Part, RecoveryError};
use crate::docker::{ContainerState, Docker, DockerError};
use crate::http::{HttpClient, HttpError, excerpt};
use crate::jobs::RunContext;
use crate::progress::StepGuard;
use crate::service::{Service, ServiceState};
use crate::words;

/// What is seen of a part that was to run to its end, and did.
pub const ENDED_WELL: &str = "it ended with exit code 0";
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How often it is asked, and looked at its container.
const TICK: Duration = Duration::from_millis(300);
/// How often systemd is asked, which takes a program.
const UNIT_TICK: Duration = Duration::from_secs(1);
/// What nobody can ask anything is ready when it has run for so long in one piece.
const SETTLED: Duration = Duration::from_secs(2);
/// So often a restart policy may start it again: what waits for another server by ending is well the next time.
const PATIENCE: u64 = 3;
/// So many of the last lines of its log are told.
const LINES: usize = 5;

/// What a server is asked for to learn whether it is ready.
#[derive(Debug, Clone)]
pub struct Question {
    /// The server.
    pub client: HttpClient,
    /// The path below its URL.
    pub path: String,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is ready.
    Well(String),
    /// It answers, but not that it is ready.
    Sick(String),
    /// It does not answer.
    Silent(String),
}

impl Question {
    /// Asks once.
    pub async fn ask(&self) -> Answer {
        let url = self.client.url(&self.path);
        match self.client.get(&self.path, ANSWER).await {
            // A page is what a proxy shows in place of what is down.
            Ok(reply) if (200..300).contains(&reply.status) && !reply.is_page() => {
                Answer::Well(format!("{url} answers {}", reply.status))
            }
            Ok(reply) if reply.is_page() => {
                Answer::Sick(format!("{url} answers {} with an HTML page", reply.status))
            }
            Ok(reply) => Answer::Sick(format!("{url} answers {}: {}", reply.status, excerpt(&reply.body))),
            Err(error @ HttpError::Endless { .. }) => Answer::Sick(words::chain(&error)),
            Err(error) => Answer::Silent(words::chain(&error)),
        }
    }
}

/// What was seen last of a part that is not ready yet.
#[derive(Debug, Default)]
struct Seen(Mutex<String>);

impl Seen {
    fn set(&self, text: &str) {
        text.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a part that was started is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting<'a> {
    pub(super) part: &'a Part,
    /// It is to end, with exit code 0.
    pub(super) is_to_end: bool,
    pub(super) limit: Duration,
}

impl Waiting<'_> {
    /// Waits until it is ready, and says what was seen. That it has ended is seen at once, not at the end of the limit.
    pub(super) async fn until_ready(self, context: &RunContext) -> Result<String, RecoveryError> {
        let step = context.progress.step(&format!("wait until {} is ready", self.part.name), None);
        let (seen, since) = (Seen::default(), Instant::now());
        let ready = tokio::select! {
            biased;
            () = context.cancel.cancelled() => Err(RecoveryError::Cancelled { part: self.part.name.clone() }),
            ended = self.ended(context) => ended,
            ready = self.ready(&seen, since, &step) => Ok(ready),
            () = tokio::time::sleep(self.limit) => Err(RecoveryError::NotReady {
                part: self.part.name.clone(),
                limit: self.limit,
                seen: seen.get(),
                words: self.part.service.last_words(LINES).await,
            }),
        };
        if let Ok(text) = &ready {
            step.finish(text.clone());
        }
        ready
    }

    async fn ready(self, seen: &Seen, since: Instant, step: &StepGuard) -> String {
        loop {
            match self.look(since).await {
                Ok(text) => return text,
                Err(text) => {
                    seen.set(&text);
                    step.tell(since.elapsed().as_secs(), self.limit.as_secs(), &text);
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// What was seen, of what is ready and of what is not.
    async fn look(self, since: Instant) -> Result<String, String> {
        if self.is_to_end {
            return Err("it has not ended yet".to_owned());
        }
        let mut all = Vec::new();
        for question in &self.part.questions {
            match question.ask().await {
                Answer::Well(text) => all.push(text),
                Answer::Sick(text) | Answer::Silent(text) => return Err(text),
            }
        }
        if let Service::Container { docker, name } = &self.part.service {
            let found = docker.container(name).await.map_err(|error| words::chain(&error))?;
            let info = found.info();
            match info.health.as_deref() {
                Some("healthy") => all.push("its health check says healthy".to_owned()),
                Some(health) => return Err(format!("its health check says {health}")),
                None => {}
            }
            // Else somebody else answers in its place.
            if info.state != ContainerState::Running {
                return Err(format!("its container {}", info.state));
            }
        }
        if all.is_empty() {
            if since.elapsed() < SETTLED {
                return Err("it has just been started".to_owned());
            }
            all.push("it runs, and nothing says more of it".to_owned());
        }
        Ok(all.join("; "))
    }

    /// Returns when it has ended by itself; never where that cannot be seen.
    async fn ended(self, context: &RunContext) -> Result<String, RecoveryError> {
        match &self.part.service {
            Service::Container { docker, name } => self.container_ended(docker, name, context).await,
            Service::Unit { name } => loop {
                if self.part.service.state().await.is_ok_and(|state| state == ServiceState::Stopped) {
                    return Err(RecoveryError::UnitEnded { unit: name.clone() });
                }
                tokio::time::sleep(UNIT_TICK).await;
            },
            // Nothing listens there until it is ready.
            Service::Commands { .. } | Service::None { .. } => std::future::pending().await,
        }
    }

    async fn container_ended(
        self,
        docker: &Docker,
        name: &str,
        context: &RunContext,
    ) -> Result<String, RecoveryError> {
        let mut told = 0;
        loop {
            match docker.container(name).await {
                Ok(container) => {
                    let info = container.info();
                    let (code, restarts) = (info.life.exit_code, info.restarts);
                    if info.state.is_stopped() && code == 0 && (self.is_to_end || !self.part.ran) {
                        return Ok(ENDED_WELL.to_owned());
                    }
                    if info.state.is_stopped() || restarts >= PATIENCE {
                        return Err(RecoveryError::Ended {
                            container: info.name.clone(),
                            code,
                            out_of_memory: info.life.out_of_memory,
                            restarts,
                            words: container.last_words(LINES).await,
                        });
                    }
                    if restarts > told {
                        told = restarts;
                        context.progress.warn(format!(
                            "container {} ended after its start, and its restart policy started it again",
                            info.name
                        ));
                    }
                }
                Err(error @ DockerError::NoContainer { .. }) => return Err(error.into()),
                // The engine may answer the next time; there is a limit.
                Err(_) => {}
            }
            tokio::time::sleep(TICK).await;
        }
    }
}
