//! Running a program with arguments, without a shell, with a limit.
//!
//! Its output goes to a nameless file and not to a pipe: a start command may leave a daemon behind that holds
//! a pipe open for ever, or that dies of writing into a closed one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use super::ServiceError;
use crate::inherited::OF_THE_SERVICE;

/// How much of the output an error quotes: its end.
const TAIL: u64 = 2048;

/// Runs it; anything but success is an error with what it said.
pub(super) async fn run(argv: &[String], limit: Duration) -> Result<(), ServiceError> {
    let (status, output) = execute(argv, limit).await?;
    if status.success() {
        return Ok(());
    }
    Err(ServiceError::Failed { command: argv.join(" "), status: status.to_string(), output })
}

/// Runs it for what it says, however it ends.
pub(super) async fn said(argv: &[String], limit: Duration) -> Result<String, ServiceError> {
    Ok(execute(argv, limit).await?.1)
}

pub(super) async fn execute(argv: &[String], limit: Duration) -> Result<(ExitStatus, String), ServiceError> {
    let command = argv.join(" ");
    let not_run = |source| ServiceError::NotRun { command: command.clone(), source };
    let mut output = tempfile::tempfile().map_err(not_run)?;
    let mut child = spawn(argv, &output).map_err(not_run)?;
    let Ok(status) = tokio::time::timeout(limit, child.wait()).await else {
        // The child was told to die with its handle.
        return Err(ServiceError::TimedOut { command, limit });
    };
    let status = status.map_err(not_run)?;
    Ok((status, tail(&mut output).unwrap_or_default()))
}

fn spawn(argv: &[String], output: &File) -> io::Result<tokio::process::Child> {
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = tokio::process::Command::new(program);
    for name in OF_THE_SERVICE {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        // What a terminal sends to this process, as when it is closed, must not end a stop or a start in its middle, nor
        // what was started.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

fn tail(output: &mut File) -> io::Result<String> {
    let length = output.seek(SeekFrom::End(0))?;
    output.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    output.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_terminal_sends_to_this_process_does_not_reach_a_command() {
        let script = "echo $$; cut -d ' ' -f 5 /proc/$$/stat";
        let argv = ["sh", "-c", script].map(str::to_owned);
        let said = said(&argv, Duration::from_mins(1)).await.unwrap();
        let (own, group) = said.split_once('\n').unwrap();
        assert_eq!(own, group, "it is in the group of this process");
    }
}
