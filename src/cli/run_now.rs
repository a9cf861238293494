//! `run-now`: runs jobs by hand, on the same path as the daemon does.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::exit_code::ExitCode;
use super::output::CliError;
use super::session::{GRACE, Session, block_on, host};
use super::{bar, junit};
use crate::app::{App, Teller};
use crate::config::{JobConfig, JobKind, duration};
use crate::history::RunReport;
use crate::runner::Shutdown;

/// What is old in the history may take so long at the end: somebody waits.
const TIDYING: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(super) struct Args {
    /// The jobs
    #[arg(required_unless_present = "all")]
    jobs: Vec<String>,
    /// All jobs that are enabled
    #[arg(long, conflicts_with = "jobs")]
    all: bool,
    /// As a timer of systemd does it: a job that is paused is noted as skipped and not run, which is no failure
    #[arg(long, conflicts_with = "all")]
    scheduled: bool,
    /// Only tell what would be done
    #[arg(long, conflicts_with = "scheduled")]
    dry_run: bool,
    /// Of a verify-deployment: look again for so long until everything is as it should be, such as 60s
    #[arg(long, value_name = "TIME", value_parser = duration::parse, conflicts_with = "dry_run")]
    wait: Option<Duration>,
    /// Write what came of it into a file, as JUnit XML
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    junit: Option<PathBuf>,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    let jobs: Vec<&JobConfig> = if args.all {
        session.config.jobs.iter().filter(|job| job.enabled).collect()
    } else {
        args.jobs.iter().map(|name| session.job(name)).collect::<Result<_, _>>()?
    };
    let waiting = args.wait.map(|wait| with_wait(&jobs, wait)).transpose()?;
    let jobs = waiting.as_ref().map_or(jobs, |waiting| waiting.iter().collect());
    session.start_log();
    block_on(async {
        let shutdown = signals()?;
        let app = Arc::new(session.app_now(shutdown.cancel.clone(), GRACE)?);
        let code = if args.dry_run {
            Ok(dry_run(session, &app, &jobs).await)
        } else {
            let code = run_all(session, &app, &jobs, &shutdown, args).await;
            // After everything else: nobody waits for a notifier.
            let teller = Teller { host: host().into(), since: session.now, holds: true };
            for trouble in app.tell_once(&teller).await {
                let reason = &trouble.reason;
                session.out.say(&format!("warning: notifier {}: not delivered: {reason}", trouble.notifier));
            }
            app.tidy_history(TIDYING).await;
            code
        };
        app.close().await;
        code
    })
}

/// Ctrl-C, or a terminal that is closed, tells running work to stop and tidy up.
pub(super) fn signals() -> Result<Shutdown, CliError> {
    Shutdown::of_command().map_err(|error| CliError {
        code: ExitCode::Failed,
        message: format!("Cannot listen to signals: {error}"),
        hint: None,
    })
}

/// The jobs, of which those that look at a deployment wait until it is well.
fn with_wait(jobs: &[&JobConfig], wait: Duration) -> Result<Vec<JobConfig>, CliError> {
    let mut jobs: Vec<JobConfig> = jobs.iter().map(|job| (*job).clone()).collect();
    let mut any = false;
    for job in &mut jobs {
        if let JobKind::VerifyDeployment(config) = &mut job.kind {
            (config.wait, any) = (wait, true);
        }
    }
    if any {
        return Ok(jobs);
    }
    let hint = "only a job of kind verify-deployment waits".to_owned();
    Err(CliError::usage("--wait means nothing here", Some(hint)))
}

async fn run_all(
    session: &Session,
    app: &App,
    jobs: &[&JobConfig],
    shutdown: &Shutdown,
    args: &Args,
) -> Result<ExitCode, CliError> {
    let mut reports: Vec<RunReport> = Vec::new();
    let mut codes = Vec::new();
    for job in jobs {
        if shutdown.stop.is_cancelled() {
            break;
        }
        if jobs.len() > 1 {
            session.out.say(&format!("{}:", job.name));
        }
        let paused = if args.scheduled { app.skip_paused(job).await } else { None };
        if let Some(skipped) = paused {
            codes.push(ExitCode::Ok);
            reports.push(skipped);
            continue;
        }
        let report = app.run_now(job, bar::sink(session)).await;
        codes.push(ExitCode::of(&report));
        reports.push(report);
    }
    session.out.result(&json!({ "runs": reports }), || {
        let texts: Vec<String> = reports.iter().map(|report| session.report(report)).collect();
        texts.join("\n")
    });
    codes.extend((reports.len() < jobs.len()).then_some(ExitCode::Interrupted));
    if let Some(path) = &args.junit {
        let write = || std::fs::File::create(path)?.write_all(junit::document(&reports).as_bytes());
        write().map_err(|error: std::io::Error| CliError {
            code: ExitCode::Failed,
            message: format!("Cannot write {}: {error}", path.display()),
            hint: None,
        })?;
    }
    Ok(ExitCode::worst(codes))
}

#[derive(Serialize)]
struct Preview<'a> {
    job: &'a str,
    #[serde(flatten)]
    preview: crate::app::Preview,
}

async fn dry_run(session: &Session, app: &App, jobs: &[&JobConfig]) -> ExitCode {
    let mut previews = Vec::new();
    for job in jobs {
        previews.push(Preview { job: job.name.as_str(), preview: app.preview(job).await });
    }
    session.out.result(&json!({ "jobs": previews }), || {
        let texts: Vec<String> =
            previews.iter().map(|preview| format!("{}\n{}", preview.job, preview.preview.text())).collect();
        texts.concat()
    });
    let problem = previews.iter().any(|preview| preview.preview.has_problem());
    if problem { ExitCode::Failed } else { ExitCode::Ok }
}
