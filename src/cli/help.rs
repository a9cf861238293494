//! Help beyond one line, completions and manual pages.

use std::fs::File;
use std::path::Path;

use clap_complete::Shell;
use serde_json::json;

use super::exit_code::ExitCode;
use super::output::{CliError, Output};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    ok
  1    failed; also a restore or change that was taken back
  2    wrong usage, an unknown job, or a question that nobody can answer without --yes
  3    finished with warnings
  4    a restore or change failed and what was there before is NOT back
  75   busy: the job or its target is in use, or a daemon runs already
  78   the configuration is wrong
  130  interrupted";

pub(super) const RUN_NOW: &str = "\
Examples:
  watchkeeper run-now prometheus-snapshot
  watchkeeper run-now --all
  watchkeeper run-now prometheus-snapshot --dry-run
  watchkeeper run-now verify --wait 60s --junit verify.xml";

pub(super) const DIAGNOSE: &str = "\
Steps are shipped for ServiceDown, HighSessionFailureRate, TooManyActiveSessions, SlowReflectionGeneration, HighCpu
and HighMemory (also as high-cpu and high-memory); [[response]] in jobs.toml says more of them, or of others.

Exit codes:
  0    nothing was found that is wrong
  1    something is wrong
  2    no response to such an alert
  3    something needs a look, or could not be looked at

Examples:
  watchkeeper diagnose ServiceDown
  watchkeeper diagnose high-memory --last 6h
  watchkeeper --json diagnose TooManyActiveSessions";

pub(super) const RESTORE: &str = "\
Examples:
  watchkeeper restore prometheus-snapshot --dry-run       what a restore of the newest good backup would do
  watchkeeper restore prometheus-snapshot --yes           do it
  watchkeeper restore prometheus-snapshot --at 2026-11-20T00:00:00Z
  watchkeeper restore prometheus-snapshot/20261120T020000Z --into /tmp/look
  watchkeeper restore --from /backups/snapshot_20261120T020000Z.tar.gz --prometheus main
  watchkeeper restore prometheus-snapshot --undo          bring back what was there before";

pub(super) const RECOVER: &str = "\
Examples:
  watchkeeper recover app --dry-run          what would be done
  watchkeeper recover app                    restart it alone
  watchkeeper recover application/app --full --yes
                                             restart its whole compose project, in the order of depends_on
  watchkeeper recover app --no-backup        also where its backup fails
A container is stopped and started, never removed.";

pub(super) const CHANGE: &str = "\
Examples:
  watchkeeper change scrape-interval 30s --dry-run        what differs, as a unified diff
  watchkeeper change scrape-interval 30s --job node --yes
  watchkeeper change prometheus-config prometheus.yml
  watchkeeper change alert-rule api.yml                   into the folder that rule_files name
  watchkeeper change take-back                            settle a change that was cut; Prometheus need not run
  watchkeeper change dashboard sessions.json --folder Team";

pub(super) fn completions(out: Output, shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "watchkeeper", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    out.result(&json!({ "completions": script }), || script.clone());
    ExitCode::Ok
}

/// Prints the manual page of the program, or writes one for each command into a folder.
pub(super) fn man(out: Output, dir: Option<&Path>) -> Result<ExitCode, CliError> {
    let failed = |error: std::io::Error| CliError {
        code: ExitCode::Failed,
        message: format!("Cannot write the manual: {error}"),
        hint: None,
    };
    let Some(dir) = dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(super::command()).render(&mut page).map_err(failed)?;
        let page = String::from_utf8_lossy(&page).into_owned();
        out.result(&json!({ "manual": page }), || page.clone());
        return Ok(ExitCode::Ok);
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut command = super::command();
    command.build();
    write_page(dir, &command, "watchkeeper").map_err(failed)?;
    write_pages(dir, &command, "watchkeeper").map_err(failed)?;
    if out.json {
        out.result(&json!({ "folder": dir }), String::new);
    }
    Ok(ExitCode::Ok)
}

/// A page for each command below, and for those below it.
fn write_pages(dir: &Path, command: &clap::Command, above: &str) -> std::io::Result<()> {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let name = format!("{above}-{}", sub.get_name());
        write_page(dir, sub, &name)?;
        write_pages(dir, sub, &name)?;
    }
    Ok(())
}

fn write_page(dir: &Path, command: &clap::Command, name: &str) -> std::io::Result<()> {
    let mut file = File::create(dir.join(format!("{name}.1")))?;
    clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).render(&mut file)
}
