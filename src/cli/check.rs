//! `check`: the configuration, and with `--online` everything it points to.

use std::fmt::Write as _;

use serde::Serialize;

use super::Global;
use super::exit_code::ExitCode;
use super::output::{CliError, Output};
use super::session::{Session, block_on, config_path, environment, wrong};
use crate::app::{lacks, no_room, unusable_folders};
use crate::config::Config;
use crate::prometheus::preflight::{Finding, Severity};
use crate::standing::cut_changes;
use crate::words;

#[derive(Serialize)]
struct Checked {
    config: String,
    jobs: usize,
    warnings: Vec<String>,
    notes: Vec<String>,
    targets: Vec<Target>,
}

impl Checked {
    /// All that is told below it, counted.
    fn headline(&self) -> String {
        let found = |severity| {
            let all = self.targets.iter().flat_map(|target| &target.findings);
            all.filter(|finding| finding.severity == severity).count()
        };
        let problems = match found(Severity::Problem) {
            0 => "no errors".to_owned(),
            problems => words::count(problems, "problem"),
        };
        let warnings = match self.warnings.len() + found(Severity::Warning) {
            0 => String::new(),
            warnings => format!(", {}", words::count(warnings, "warning")),
        };
        format!("{}, {problems}{warnings}", words::count(self.jobs, "job"))
    }
}

#[derive(Serialize)]
struct Target {
    target: String,
    findings: Vec<Finding>,
}

pub(super) fn run(global: &Global, out: Output, online: bool) -> Result<ExitCode, CliError> {
    let session = match Session::open_to_check(&config_path(global)?, global, out) {
        Ok(session) => session,
        Err(errors) if out.json => {
            out.result(&errors, String::new);
            return Ok(ExitCode::Config);
        }
        Err(errors) => return Err(wrong(&errors)),
    };
    session.start_log();
    let config = &session.config;
    let warnings: Vec<String> =
        config.warnings.iter().map(|problem| problem.show(&config.path).to_string()).collect();
    let folders = unusable_folders(config);
    let mut found = lacks(config, environment("DOCKER_HOST").as_deref());
    if folders.is_empty() {
        found.extend(no_room(config));
    }
    // Without its own folders nothing can be tried.
    if online && folders.is_empty() {
        let mut probed = block_on(async {
            let app = session.app(tokio_util::sync::CancellationToken::new())?;
            let probed = app.check_targets().await;
            app.close().await;
            Ok(probed)
        })?;
        // What was tried tells more than what was looked at.
        found.retain(|(target, _)| probed.iter().all(|(other, _)| other != target));
        probed.append(&mut found);
        found = probed;
    }
    let cut = cut_changes(config).into_iter().map(|cut| {
        (format!("change of prometheus.{}", cut.target), vec![Finding::problem(cut.text, cut.hint)])
    });
    let targets: Vec<Target> = folders
        .into_iter()
        .chain(found)
        .chain(cut)
        .map(|(target, findings)| Target { target, findings })
        .collect();
    let worst = targets.iter().flat_map(|target| &target.findings).map(|finding| finding.severity).max();
    let checked = Checked {
        config: config.path.display().to_string(),
        jobs: config.jobs.len(),
        warnings,
        notes: notes(config),
        targets,
    };
    out.result(&checked, || text(&checked));
    Ok(match worst {
        Some(Severity::Problem) => ExitCode::Failed,
        Some(Severity::Warning) => ExitCode::Warned,
        _ if !checked.warnings.is_empty() => ExitCode::Warned,
        _ => ExitCode::Ok,
    })
}

/// What is right, and hardly meant.
fn notes(config: &Config) -> Vec<String> {
    let somebody_learns = !config.notify.is_empty() || config.metrics.is_wanted() || config.jobs.is_empty();
    if somebody_learns {
        return Vec::new();
    }
    let note = "nobody is told when a job fails: add a notifier, such as [notify.NAME] with type = \"email\", or [metrics] for \
                a Prometheus that alerts (README, \"Who is told\")";
    vec![note.to_owned()]
}

fn text(checked: &Checked) -> String {
    let mut text = format!("{}: {}\n", checked.config, checked.headline());
    for warning in &checked.warnings {
        let _ = writeln!(text, "warning: {}", warning.trim_end());
    }
    for note in &checked.notes {
        let _ = writeln!(text, "note: {note}");
    }
    for target in &checked.targets {
        let _ = writeln!(text, "{}", target.target);
        for finding in &target.findings {
            text.push_str(&finding.text_lines());
        }
    }
    text
}
