//! `recover`: shows what it will do, asks, does it, and tells whether what was down is back.

mod text;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::bar;
use super::exit_code::ExitCode;
use super::output::CliError;
use super::run_now::signals;
use super::session::{Session, block_on, host};
use crate::app::{App, RecoverError, Recovery, RecoveryOptions, Teller};
use crate::config::duration;

/// What was stopped has to be started again, also when somebody says to stop in between.
const GRACE: Duration = Duration::from_mins(15);

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(clap::Args)]
pub(super) struct Args {
    /// What is down: the NAME of its section in jobs.toml, or SECTION/NAME such as application/app
    target: String,
    /// Restart all that belongs to it: its compose project, or without one every configured target
    #[arg(long)]
    full: bool,
    /// Do not make a backup first
    #[arg(long)]
    no_backup: bool,
    /// How long each part may take to be ready, such as 90s
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "5m")]
    timeout: Duration,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

fn some_time(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("nothing is ready at once".to_owned()) } else { Ok(time) }
}

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    session.start_log();
    let target = session.config.target(&args.target);
    let target = target.map_err(|error| CliError::usage(error.to_string(), Some(error.hint())))?;
    // Said before anything is looked at: a script learns at once that it forgot --yes.
    let asks = !(args.yes || args.dry_run);
    if asks && !session.out.can_ask() {
        let hint = "say --yes, or look at what would be done with --dry-run".to_owned();
        return Err(CliError::usage(
            "This stops what may be running, and there is nobody to ask",
            Some(hint),
        ));
    }
    let options = RecoveryOptions { target, full: args.full, backup: !args.no_backup, limit: args.timeout };
    block_on(async {
        let shutdown = signals()?;
        let app = Arc::new(session.app_to_restore(shutdown.cancel.clone(), GRACE)?);
        let code = recover(session, &app, options, (args.dry_run, asks)).await;
        app.close().await;
        code
    })
}

async fn recover(
    session: &Session,
    app: &Arc<App>,
    options: RecoveryOptions,
    (dry_run, asks): (bool, bool),
) -> Result<ExitCode, CliError> {
    let recovery = app.plan_recovery(options).await.map_err(|error| failed(&error))?;
    let plan = &recovery.plan;
    if dry_run {
        session.out.result(&json!({ "plan": plan }), || text::plan(plan));
        return Ok(if plan.refusals.is_empty() { ExitCode::Ok } else { ExitCode::Failed });
    }
    session.out.say(text::plan(plan).trim_end());
    if let Some(refusal) = plan.refusals.first() {
        let message = format!("The recovery cannot be done: {refusal}");
        return Err(CliError { code: ExitCode::Failed, message, hint: None });
    }
    let question = format!("Restart {}?", text::parts(plan));
    if asks && !session.out.ask(&question) {
        session.out.say("Nothing was changed.");
        return Ok(ExitCode::Failed);
    }
    Ok(perform(session, app, recovery).await)
}

async fn perform(session: &Session, app: &Arc<App>, recovery: Recovery) -> ExitCode {
    let plan = recovery.plan.clone();
    let reports = app.recover(recovery, bar::sink(session)).await;
    let own = reports.first();
    session.out.result(&json!({ "plan": plan, "runs": reports }), || {
        own.map_or_else(String::new, |report| session.report(report))
    });
    // After everything else: nobody waits for a notifier.
    let teller = Teller { host: host().into(), since: session.now, holds: true };
    for trouble in app.tell_once(&teller).await {
        let reason = &trouble.reason;
        session.out.say(&format!("warning: notifier {}: not delivered: {reason}", trouble.notifier));
    }
    own.map_or(ExitCode::Failed, ExitCode::of)
}

fn failed(error: &RecoverError) -> CliError {
    CliError::of(ExitCode::Failed, error, error.hint())
}
