//! `run`: the daemon. Jobs run when their schedules say so, until SIGTERM or SIGINT.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::exit_code::ExitCode;
use super::output::CliError;
use super::session::{Session, block_on, environment};
use crate::app::App;
use crate::config::values::JobName;
use crate::history::Cause;
use crate::progress::Silent;
use crate::runner::{Holder, Lock, LockError, Shutdown};
use crate::schedule::Schedule;
use crate::schedule::driver::{self, Due};
use crate::words;

/// How long running jobs may go on by themselves after the first signal. systemd waits 90 s by default.
const DRAIN: Duration = Duration::from_mins(1);

/// Slots that wait until a job may run.
const WAITING: usize = 64;

pub(super) fn run(session: &Session) -> Result<ExitCode, CliError> {
    session.start_log(false);
    block_on(async {
        let shutdown = Shutdown::on_signals(DRAIN).map_err(|error| failed("listen to signals", &error))?;
        let app = Arc::new(session.app(shutdown.cancel.clone())?);
        let holder = Holder { pid: std::process::id(), since: session.now, job: None, run: None };
        let _held =
            app.runner().locks.take(&[Lock::Daemon], &holder).map_err(|error| busy(session, &error))?;
        app.sweep_spools().await;
        let served = serve(&app, &shutdown).await;
        notify("STOPPING=1");
        app.close().await;
        tracing::info!("the daemon has stopped");
        served
    })
}

fn busy(session: &Session, error: &LockError) -> CliError {
    match error {
        LockError::Busy(busy) => CliError {
            code: ExitCode::Busy,
            message: format!(
                "A daemon already runs on {}: {}",
                session.config.state_dir.display(),
                busy.reason(session.zone())
            ),
            hint: Some(
                "`run-now` runs a job beside it; another daemon needs a state_dir of its own".to_owned(),
            ),
        },
        error => CliError::of(ExitCode::Failed, error, None),
    }
}

async fn serve(app: &Arc<App>, shutdown: &Shutdown) -> Result<ExitCode, CliError> {
    let jobs: Vec<(JobName, Schedule)> = app
        .config()
        .jobs
        .iter()
        .filter(|job| job.enabled)
        .filter_map(|job| Some((job.name.clone(), job.schedule.clone()?)))
        .collect();
    let scheduled = jobs.len();
    let (due, slots) = mpsc::channel(WAITING);
    let driver = tokio::spawn(driver::drive(jobs, Timestamp::now, shutdown.stop.clone(), due));
    tracing::info!(scheduled, config = %app.config().path.display(), "the daemon runs");
    notify("READY=1");
    run_slots(app, slots, shutdown).await;
    match driver.await {
        Ok(Ok(())) => Ok(ExitCode::Ok),
        Ok(Err(error)) => Err(CliError::of(ExitCode::Failed, &error, None)),
        Err(error) => Err(failed("run the scheduler", &error)),
    }
}

/// Starts what is due, as many at a time as the configuration allows, and waits for what runs at the end.
async fn run_slots(app: &Arc<App>, mut slots: mpsc::Receiver<Due>, shutdown: &Shutdown) {
    let free = Arc::new(Semaphore::new(app.config().max_concurrent));
    let mut running = JoinSet::new();
    while let Some(due) = slots.recv().await {
        let (app, free, stop) = (Arc::clone(app), Arc::clone(&free), shutdown.stop.clone());
        running.spawn(async move {
            let permit = tokio::select! {
                permit = free.acquire_owned() => permit,
                () = stop.cancelled() => return,
            };
            let Some(job) = app.config().jobs.iter().find(|job| job.name == due.job) else { return };
            app.run_job(job, Cause::Scheduled(due.slot), Arc::new(Silent)).await;
            drop(permit);
        });
        while running.try_join_next().is_some() {}
    }
    while running.try_join_next().is_some() {}
    if !running.is_empty() {
        tracing::info!(running = running.len(), "waiting for running jobs to end");
    }
    while running.join_next().await.is_some() {}
}

/// Tells systemd how the daemon stands (`sd_notify`), where it asks to be told.
fn notify(state: &str) {
    let Some(path) = environment("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&path, state) {
        tracing::warn!(error = words::chain(&error), "systemd could not be notified");
    }
}

fn send(path: &str, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

fn failed(what: &str, error: &dyn std::error::Error) -> CliError {
    CliError {
        code: ExitCode::Failed,
        message: format!("Cannot {what}: {}", words::chain(error)),
        hint: None,
    }
}
