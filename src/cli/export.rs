//! `export`: a backup as one archive, for another host or another tool.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bar;
use super::exit_code::ExitCode;
use super::output::CliError;
use super::session::Session;
use crate::progress::Progress;
use crate::regular;
use crate::store::{Manifest, owner};
use crate::{grafana, prometheus, words};

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
    if is_ours(session, &args.file) {
        give_to_the_owner(&args.file)?;
    }
    let document = json!({
        "backup": name, "file": args.file, "size": written.size, "sha256": written.sha256,
        "damaged": backup.manifest.damaged,
    });
    session.out.result(&document, || {
        let file = args.file.display();
        let next = next(&backup.manifest, &name, &args.file);
        format!("{name} is in {file}, {}.\n{next}.\n", words::size(written.size))
    });
    Ok(if backup.manifest.damaged { ExitCode::Warned } else { ExitCode::Ok })
}

/// What can be done with an archive that has no manifest beside it.
fn next(manifest: &Manifest, backup: &str, file: &Path) -> String {
    let file = file.display();
    let from = |kind: &str| {
        let target = Some(manifest.source.target.as_str()).filter(|target| !target.is_empty());
        let target = target.unwrap_or("NAME");
        format!("`watchkeeper restore --from {file} --{kind} {target}` restores it")
    };
    match manifest.kind.as_str() {
        prometheus::restore::KIND => from("prometheus"),
        grafana::KIND => from("grafana"),
        // Owners, modes and places are in the manifest alone.
        _ => format!(
            "`tar -xf {file} -C DIR` unpacks it; `watchkeeper restore {backup}` restores the backup itself"
        ),
    }
}

/// It lies in a folder of the program's own, on which root by hand and the service's user work.
fn is_ours(session: &Session, file: &Path) -> bool {
    let Ok(file) = file.canonicalize() else { return false };
    let config = &session.config;
    let folders = [&config.backup_dir, &config.state_dir];
    folders.iter().any(|folder| folder.canonicalize().is_ok_and(|folder| file.starts_with(folder)))
}

fn give_to_the_owner(path: &Path) -> Result<(), CliError> {
    let settled = regular::open(path).and_then(|file| owner::settle_file(&file, path, owner::FILE_MODE));
    settled.map_err(|error| CliError {
        code: ExitCode::Failed,
        message: format!("Cannot give {} to the owner of its folder: {error}", path.display()),
        hint: Some("it is complete; the service can read it when that is done by hand".to_owned()),
    })
}
