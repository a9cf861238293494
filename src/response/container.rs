//! What a container is doing, how it ended, how often it was started again, and its health.

use jiff::Timestamp;

use super::seen::Seen;
use super::{Context, Severity, Unable};
use crate::config::response::Step;
use crate::docker::{ContainerInfo, ContainerState, DockerError};
use crate::words;

/// A container that was started again so often within what is looked at goes round in a circle.
const CIRCLE: u64 = 3;

pub(super) async fn look(step: &Step, context: &Context) -> Result<Seen, Unable> {
    let (docker, name) = context.needs_container(step)?;
    let mut seen = Seen::default();
    let container = match docker.container(name).await {
        Err(DockerError::NoContainer { name }) => {
            seen.bad(format!("there is no container {name}"));
            let text = "make it anew: `docker compose up -d`; `docker ps -a` lists those that there are";
            seen.recommend(Severity::Bad, text);
            return Ok(seen);
        }
        found => found?,
    };
    judge(container.info(), name, (context.clock)(), context, &mut seen);
    Ok(seen)
}

fn judge(info: &ContainerInfo, name: &str, now: Timestamp, context: &Context, seen: &mut Seen) {
    let ago = |at: Timestamp| words::duration(now.duration_since(at).unsigned_abs());
    state(info, name, now, seen);
    let started_lately = info.started.is_some_and(|started| started >= context.since(now));
    if info.restarts > 0 && started_lately {
        let times = words::count(usize::try_from(info.restarts).unwrap_or(usize::MAX), "time");
        let last = info.started.map(|started| format!(", the last time {} ago", ago(started)));
        let severity = if info.restarts >= CIRCLE { Severity::Bad } else { Severity::Caution };
        let text =
            format!("container {name} ended and was started again {times}{}", last.unwrap_or_default());
        seen.find(severity, text);
        seen.recommend(severity, format!("see why it ends: `docker logs --tail 100 {name}`"));
    }
    health(info, name, seen);
    seen.evidence(format!("image {}, restart policy {}", info.image, info.restart_policy));
    if let Some(started) = info.started.filter(|started| *started > Timestamp::UNIX_EPOCH) {
        seen.evidence(format!("started {} ago, {} restarts by its policy", ago(started), info.restarts));
    }
    if let Some(error) = &info.life.error {
        seen.evidence(format!("the engine says: {error}"));
    }
}

fn state(info: &ContainerInfo, name: &str, now: Timestamp, seen: &mut Seen) {
    let ended = info.life.finished.map(|at| words::duration(now.duration_since(at).unsigned_abs()));
    let ended = ended.map(|ago| format!(", {ago} ago")).unwrap_or_default();
    match info.state {
        ContainerState::Running if info.health.is_none() => {
            let since = info.started.map(|at| words::duration(now.duration_since(at).unsigned_abs()));
            let since = since.map(|since| format!(" for {since}")).unwrap_or_default();
            seen.good(format!("container {name} runs{since}; it has no health check"));
        }
        ContainerState::Running => {}
        ContainerState::Paused => {
            seen.bad(format!("container {name} is paused: its processes are frozen"));
            seen.recommend(Severity::Bad, format!("let it go on: `docker unpause {name}`"));
        }
        ContainerState::Exited { code } => {
            seen.bad(format!("container {name} has ended{ended}, with exit code {code}{}", meaning(code)));
            seen.recommend(
                Severity::Bad,
                format!("see why: `docker logs --tail 100 {name}`; start it: `docker start {name}`"),
            );
        }
        ContainerState::Restarting => {
            seen.bad(format!("container {name} keeps ending and being started again{ended}"));
            seen.recommend(Severity::Bad, format!("see why it ends: `docker logs --tail 100 {name}`"));
        }
        state @ (ContainerState::Created | ContainerState::Removing | ContainerState::Dead) => {
            seen.bad(format!("container {name} {state}"));
            seen.recommend(Severity::Bad, format!("look at it: `docker inspect {name}`"));
        }
    }
}

fn health(info: &ContainerInfo, name: &str, seen: &mut Seen) {
    if info.state != ContainerState::Running {
        return;
    }
    match info.health.as_deref() {
        None => {}
        Some("healthy") => seen.good(format!("container {name} runs and is healthy by its own health check")),
        Some("starting") => {
            seen.caution(format!("container {name} runs; its health check still waits for it"));
        }
        Some(health) => {
            seen.bad(format!("container {name} runs, but is {health} by its own health check"));
            let text = format!("see what it says: `docker inspect -f '{{{{json .State.Health}}}}' {name}`");
            seen.recommend(Severity::Bad, text);
        }
    }
    if let Some(output) =
        info.life.health_output.as_ref().filter(|_| info.health.as_deref() != Some("healthy"))
    {
        seen.evidence(format!("its health check says: {output}"));
    }
}

/// What an exit code usually means.
fn meaning(code: i64) -> &'static str {
    match code {
        125 => ": the engine could not run it",
        126 => ": its program cannot be run",
        127 => ": its program is not there",
        134 => ": it aborted (SIGABRT)",
        137 => ": it was killed (SIGKILL), by somebody or because memory was full",
        139 => ": it crashed (SIGSEGV)",
        143 => ": it was asked to end (SIGTERM)",
        _ => "",
    }
}
