//! `run-now`: runs jobs by hand, on the same path as the daemon does.

use serde::Serialize;
use serde_json::json;

use super::bar;
use super::exit_code::ExitCode;
use super::output::CliError;
use super::session::{GRACE, Session, block_on};
use crate::app::App;
use crate::config::JobConfig;
use crate::history::{Cause, RunReport};
use crate::runner::Shutdown;

#[derive(clap::Args)]
pub(super) struct Args {
    /// The jobs
    #[arg(required_unless_present = "all")]
    jobs: Vec<String>,
    /// All jobs that are enabled
    #[arg(long, conflicts_with = "jobs")]
    all: bool,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    let jobs: Vec<&JobConfig> = if args.all {
        session.config.jobs.iter().filter(|job| job.enabled).collect()
    } else {
        args.jobs.iter().map(|name| session.job(name)).collect::<Result<_, _>>()?
    };
    session.start_log(true);
    block_on(async {
        let shutdown = signals()?;
        let app = session.app_now(shutdown.cancel.clone(), GRACE)?;
        let code = if args.dry_run {
            dry_run(session, &app, &jobs).await
        } else {
            run_all(session, &app, &jobs, &shutdown).await
        };
        app.close().await;
        Ok(code)
    })
}

/// Ctrl-C tells running work to stop and tidy up.
pub(super) fn signals() -> Result<Shutdown, CliError> {
    Shutdown::on_signals(std::time::Duration::ZERO).map_err(|error| CliError {
        code: ExitCode::Failed,
        message: format!("Cannot listen to signals: {error}"),
        hint: None,
    })
}

async fn run_all(session: &Session, app: &App, jobs: &[&JobConfig], shutdown: &Shutdown) -> ExitCode {
    let mut reports: Vec<RunReport> = Vec::new();
    for job in jobs {
        if shutdown.stop.is_cancelled() {
            break;
        }
        if jobs.len() > 1 {
            session.out.say(&format!("{}:", job.name));
        }
        reports.push(app.run_job(job, Cause::Manual, bar::sink(session)).await);
    }
    session.out.result(&json!({ "runs": reports }), || {
        let texts: Vec<String> = reports.iter().map(|report| session.report(report)).collect();
        texts.join("\n")
    });
    let interrupted = (reports.len() < jobs.len()).then_some(ExitCode::Interrupted);
    ExitCode::worst(reports.iter().map(ExitCode::of).chain(interrupted))
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
