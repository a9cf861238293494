//! A program in a container.

use std::path::Path;

use rustix::process::Signal;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::inside::{Blind, Inside};
use super::tail::Tail;
use super::{Command, CommandError, End, RUN_VARIABLE, Ran, TERM_GRACE, TICK, marked};
use crate::docker::{Docker, Exec, ExecCommand};

pub(super) async fn run(
    command: &Command,
    docker: &Docker,
    name: &str,
    cancel: &CancellationToken,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<Ran, CommandError> {
    let exec = ExecCommand {
        argv: command.argv.clone(),
        env: command.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        user: command.user.clone(),
        directory: command.directory.as_deref().map(Path::display).map(|path| path.to_string()),
    };
    let mut exec = docker.exec(name, &exec).await?;
    let mut tail = Tail::under(&command.veil);
    let is_over = tokio::select! {
        read = read_all(&mut exec, &mut tail, say) => {
            read?;
            true
        }
        () = cancel.cancelled() => false,
    };
    let (end, left_running) = if is_over {
        let code = exec.exit_code().await?;
        // Seen only where the engine is this machine's.
        let left_running = mark(command).is_some_and(|mark| marked::lives(&mark));
        (code.map_or(End::Lost, End::Code), left_running)
    } else {
        (stop(command, (docker, name), &mut exec, (&mut tail, say)).await?, false)
    };
    Ok(Ran { end, printed: tail.finish(say), left_running })
}

async fn read_all(
    exec: &mut Exec,
    tail: &mut Tail,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), CommandError> {
    while let Some(piece) = exec.next().await? {
        tail.take(&piece, say);
    }
    Ok(())
}

/// What everything that the run has started has in its environment.
fn mark(command: &Command) -> Option<String> {
    command.env.get(RUN_VARIABLE).map(|run| format!("{RUN_VARIABLE}={run}"))
}

/// Asks it to end, then kills it: from here, or from inside the container where it is not seen from here. Where that cannot
/// be done, it is lost.
async fn stop(
    command: &Command,
    (docker, name): (&Docker, &str),
    exec: &mut Exec,
    (tail, say): (&mut Tail, &mut (dyn FnMut(&str) + Send)),
) -> Result<End, CommandError> {
    let Some(mark) = mark(command) else { return Ok(End::Lost) };
    let is_seen = marked::signal(&mark, Signal::TERM) > 0;
    let inside = Inside { docker, container: name, user: command.user.as_deref(), marks: vec![mark.clone()] };
    if !is_seen && let Err(why) = inside.signal("TERM").await {
        return Ok(lost(why));
    }
    // What it says at its end is heard too.
    let heard = tokio::time::timeout(command.grace, read_all(exec, tail, say)).await;
    if let Ok(read) = heard {
        read?;
    }
    if !is_seen {
        return Ok(inside.kill().await.map_or_else(lost, |()| End::Stopped));
    }
    let deadline = Instant::now() + TERM_GRACE;
    while marked::signal(&mark, Signal::KILL) > 0 {
        if Instant::now() > deadline {
            return Ok(End::Lost);
        }
        tokio::time::sleep(TICK).await;
    }
    Ok(End::Stopped)
}

fn lost(why: Blind) -> End {
    tracing::warn!("it cannot be ended: {}", why.words());
    End::Lost
}
