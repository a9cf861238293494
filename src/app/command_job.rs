//! The job `command`.

use super::Shared;
use crate::command::{
    Command, End, Noting, Place, RUN_VARIABLE, TERM_GRACE, end_left_in, run as run_program,
};
use crate::config::{CommandConfig, JobConfig};
use crate::jobs::{JobOutput, RunContext};
use crate::prometheus::preflight::Finding;
use crate::runner::Failure;

/// The variable that names the job to the program.
const JOB_VARIABLE: &str = "WATCHKEEPER_JOB";

pub(super) async fn run(
    shared: &Shared,
    job: &JobConfig,
    config: &CommandConfig,
    context: RunContext,
) -> Result<JobOutput, Failure> {
    // It inherits the environment, and may have secrets among its arguments.
    let veil = shared.veil();
    let program = config.program.shown(&veil);
    let mut env = config.env.clone();
    env.insert(RUN_VARIABLE.to_owned(), context.run.to_string());
    env.insert(JOB_VARIABLE.to_owned(), job.name.to_string());
    let noting = Noting { state_dir: context.state_dir.clone(), job: job.name.clone(), run: context.run };
    let command = Command {
        argv: config.program.argv(),
        env,
        directory: config.directory.clone(),
        user: config.user.clone(),
        grace: TERM_GRACE,
        veil,
        noting: Some(noting),
    };
    let place = match &config.container {
        None => Place::Host,
        Some(name) => {
            let docker = shared.docker().await;
            let docker = docker.map_err(|error| Failure::of(&error, error.hint(), error.is_transient()))?;
            if !context.cut_off.is_empty() {
                let ended = end_left_in((docker, name), &context.cut_off, &command).await;
                let found = ended.map_err(|error| Failure::of(&error, error.hint(), error.is_transient()))?;
                if found > 0 {
                    let processes = if found == 1 { "process" } else { "processes" };
                    context.progress.warn(format!(
                        "ended what a run that was cut off had left running in container {name}: {found} {processes}"
                    ));
                }
            }
            Place::Container { docker, name }
        }
    };
    let step = context.progress.step(&program, None);
    let mut say = |line: &str| tracing::info!("{line}");
    let ran = run_program(&command, &place, &context.cancel, &mut say).await;
    let ran = ran.map_err(|error| Failure::of(&error, error.hint(), error.is_transient()))?;
    let ended = ran.end.to_string();
    step.finish(ended.clone());
    if ran.left_running {
        context.progress.warn("something that it has started still runs; what it says is not kept");
    }
    if matches!(ran.end, End::Lost) {
        // Said beside the reason, which at a timeout is the timeout.
        context.progress.warn(format!("{ended}: look for it in the container"));
    }
    // The engine's own words; what a container runs ends with 126 then, too.
    let is_missing = ran.printed.iter().any(|line| line.contains("executable file not found"));
    let output = JobOutput { summary: ended.clone(), printed: ran.printed, ..JobOutput::default() };
    let code = match ran.end {
        End::Code(0) => return Ok(output),
        End::Code(code) => u8::try_from(code).ok(),
        _ => None,
    };
    if code.is_some_and(|code| config.warning_codes.contains(&code)) {
        context.progress.warn(format!("{program}: {ended}"));
        return Ok(output);
    }
    Err(Failure {
        hint: hint(ran.end, is_missing),
        // Whether the same works a little later only the program knows: it is tried again.
        transient: matches!(ran.end, End::Code(_) | End::Signal(_)),
        is_lost: matches!(ran.end, End::Lost),
        output: Some(Box::new(output)),
        ..Failure::new(format!("{program}: {ended}"))
    })
}

fn hint(end: End, is_missing: bool) -> Option<String> {
    let hint = match end {
        End::Code(126) if is_missing => "there is no such program in the container",
        End::Code(126) => "126: it was found, but cannot be run",
        End::Code(127) => "127: there is no such program",
        End::Code(_) => "a code that is no failure belongs in \"warning_codes\"",
        End::Lost => "look for it in the container: it can be ended from here where that has a shell",
        End::Signal(_) | End::Stopped => return None,
    };
    Some(hint.to_owned())
}

/// What a run would do.
pub(super) fn preview(shared: &Shared, config: &CommandConfig) -> Vec<Finding> {
    let place = config.container.as_ref().map_or_else(String::new, |name| format!(" in container {name}"));
    let user = config.user.as_ref().map_or_else(String::new, |user| format!(" as {user}"));
    vec![Finding::ok(format!("would run{place}{user}: {}", config.program.shown(&shared.veil())))]
}
