//! A program of the operator's, without a shell, within a limit, and with the end of what it says.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::seen::Seen;
use super::{Context, Severity, Unable};
use crate::command::{Command, End, Place, RUN_VARIABLE, run};
use crate::config::response::{ExecPlace, Step};
use crate::words;

/// So many of its last lines are shown.
const SHOWN: usize = 15;
/// How long it may take to end by itself when it is told to.
const TERM_GRACE: Duration = Duration::from_secs(3);

pub(super) async fn look(
    argv: &[String],
    place: ExecPlace,
    step: &Step,
    context: &Context,
    cancel: &CancellationToken,
) -> Result<Seen, Unable> {
    let place = match place {
        ExecPlace::Host => Place::Host,
        ExecPlace::Container => {
            let (docker, name) = context.needs_container(step)?;
            Place::Container { docker, name }
        }
    };
    // By this it is found, with what it has started, when it has to be ended.
    let mark = Ulid::generate();
    let command = Command {
        argv: argv.to_vec(),
        env: [(RUN_VARIABLE.to_owned(), mark.to_string())].into(),
        directory: None,
        user: None,
        grace: TERM_GRACE,
        veil: context.veil.clone(),
        noting: None,
    };
    let since = Instant::now();
    let ran = run(&command, &place, cancel, &mut |_| ()).await;
    let ran = ran.map_err(|error| Unable::of(&error, error.hint()))?;
    let took = words::duration(since.elapsed());
    let mut seen = Seen::default();
    match ran.end {
        End::Code(0) => seen.good(format!("{}: it ended well after {took}", step.name)),
        // The limit itself is told by whoever keeps it.
        End::Stopped | End::Lost => seen.caution(format!("{}: {} after {took}", step.name, ran.end)),
        End::Code(_) | End::Signal(_) => seen.bad(format!("{}: {} after {took}", step.name, ran.end)),
    }
    let said = &ran.printed[ran.printed.len().saturating_sub(SHOWN)..];
    seen.evidence.extend(said.iter().cloned());
    if ran.left_running {
        seen.caution(format!("{}: something that it has started still runs", step.name));
        seen.recommend(Severity::Caution, format!("look what {} has left running, and end it", step.name));
    }
    Ok(seen)
}
