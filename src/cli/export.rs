//! `export`: a backup as one archive, for another host or another tool.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bar;
use super::exit_code::ExitCode;
use super::output::CliError;
use super::session::Session;
use crate::progress::Progress;
use crate::words;

/// How long to wait for somebody who removes backups.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub(super) struct Args {
    /// JOB/ID, or an ID or `latest` where only one job has it
    backup: String,
    /// The archive to write: its name ends in .tar.gz, .tar.zst or .tar
    file: PathBuf,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    let found = session.backup(&args.backup)?;
    let name = format!("{}/{}", found.job.job(), found.backup.id());
    let _reading = found.job.lock_shared(LOCK_LIMIT)?;
    // Only what is there now that nobody can remove it.
    let backup = found.job.get(found.backup.id())?;
    let progress = Progress::new(bar::sink(session));
    let bytes = backup.size() + backup.manifest.content_bytes;
    let step = progress.step(&format!("verify {name} and write it into one archive"), Some(bytes));
    let written = backup.export(&args.file, &step, &CancellationToken::new())?;
    step.finish(words::size(written.size));
    let document = json!({
        "backup": name, "file": args.file, "size": written.size, "sha256": written.sha256,
        "damaged": backup.manifest.damaged,
    });
    session.out.result(&document, || {
        let file = args.file.display();
        format!(
            "{name} is in {file}, {}.\n`watchkeeper restore --from {file} --prometheus NAME` restores it.\n",
            words::size(written.size)
        )
    });
    Ok(if backup.manifest.damaged { ExitCode::Warned } else { ExitCode::Ok })
}
