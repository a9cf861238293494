//! `run`: the daemon. Jobs run when their schedules say so, until SIGTERM or SIGINT. SIGHUP reads the configuration anew.

mod drain;
mod systemd;

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::exit_code::ExitCode;
use super::output::CliError;
use super::session::{self, Session, block_on};
use crate::app::daemon::{self, Daemon, Reload};
use crate::app::incidents::{self, Follower, Incoming};
use crate::app::metrics::{self, MetricsWires};
use crate::app::{App, Sights, Teller, lacks, observe, tell};
use crate::config::Config;
use crate::identity;
use crate::runner::{Holder, Lock, LockError, Locks, Shutdown};
use crate::schedule::driver::{self, Beat, Plan, Wires};
use crate::words;
use drain::DRAIN;
use systemd::notify;

/// Slots that wait until they are looked at.
const WAITING: usize = 64;

pub(super) fn run(session: &Session) -> Result<ExitCode, CliError> {
    let _log = session.start_daemon_log();
    block_on(async {
        // First of all: before that, each of these signals would end the program.
        let listen = |error| failed("listen to signals", &error);
        let hangups = signal(SignalKind::hangup()).map_err(listen)?;
        let shutdown = Shutdown::of_daemon(DRAIN).map_err(listen)?;
        let holder = Holder { pid: std::process::id(), since: session.now, job: None, run: None };
        let locks = Locks::new(&session.config.state_dir);
        // Before the history is opened: of two daemons only one may set a damaged one aside.
        let held = locks.take(&[Lock::Daemon], &holder).map_err(|error| busy(session, &error))?;
        let app = Arc::new(session.app_to_last(shutdown.cancel.clone())?);
        app.sweep_spools().await;
        app.runner().end_all_left().await;
        let serving = async {
            tokio::select! {
                served = serve(&app, &shutdown, hangups) => served,
                // It never ends.
                () = held.keep() => Ok(ExitCode::Ok),
            }
        };
        let served = Box::pin(serving).await;
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
        LockError::StateDir(error) => CliError::of(ExitCode::Failed, error, error.hint()),
        LockError::Io { .. } => CliError::of(ExitCode::Failed, error, None),
    }
}

async fn serve(app: &Arc<App>, shutdown: &Shutdown, hangups: Signal) -> Result<ExitCode, CliError> {
    let clock = app.runner().clock;
    let since = clock();
    let daemon = Daemon::begin(Arc::clone(app), since, shutdown.stop.clone()).await;
    let scheduled = daemon::scheduled(app);
    tracing::info!(scheduled = scheduled.len(), config = %app.config().path.display(), "the daemon runs");
    tell_lacks(app.config());
    let (plans, plans_end) = watch::channel(Plan { jobs: scheduled, number: 0 });
    let (ticks, ticks_end) = mpsc::channel(WAITING);
    let (beats, beats_end) = watch::channel(Beat::default());
    let (apps, apps_end) = mpsc::channel(1);
    let (current, current_end) = watch::channel(Arc::clone(app));
    let sights = Sights::default();
    let wires = Wires { plans: plans_end, ticks, beats, stop: shutdown.stop.clone() };
    let driver = tokio::spawn(driver::drive(clock, since, wires));
    let enough = CancellationToken::new();
    let told_all = CancellationToken::new();
    let incoming = Incoming::new(shutdown.stop.clone());
    let shows = tokio::spawn(metrics::show(MetricsWires {
        apps: current_end.clone(),
        sights: sights.clone(),
        beats: beats_end.clone(),
        incoming: incoming.clone(),
        started: since,
        stop: told_all.clone(),
    }));
    let told = tokio::spawn(systemd::tell(beats_end, app.config().timezone.clone()));
    let reloads = tokio::spawn(reload(current, hangups, plans, apps));
    let teller = Teller { host: session::host().into(), since, holds: false };
    let telling = tell_when_wanted(current_end.clone(), sights.clone(), teller, told_all.clone());
    let telling = tokio::spawn(telling);
    let host = Arc::from(session::host());
    let follows = incidents::follow(Follower { apps: current_end.clone(), incoming, host });
    let follows = tokio::spawn(follows);
    let observer = tokio::spawn(observe(current_end, sights, enough.clone()));
    let serving = async {
        daemon.serve(ticks_end, apps_end).await;
        // What a response has begun is waited for, too.
        drop(follows.await);
    };
    drain::watch(serving, [reloads, told], &shutdown.stop, &app.runner().locks).await;
    // After the last run has ended: of that is told too.
    enough.cancel();
    drop(observer.await);
    told_all.cancel();
    drop(shows.await);
    drop(telling.await);
    match driver.await {
        Ok(Ok(())) => Ok(ExitCode::Ok),
        Ok(Err(error)) => Err(CliError::of(ExitCode::Failed, &error, None)),
        Err(error) => Err(failed("run the scheduler", &error)),
    }
}

/// Tells from when on there is somebody to be told, and for as long as sights are shown.
async fn tell_when_wanted(
    mut apps: watch::Receiver<Arc<App>>,
    sights: Sights,
    teller: Teller,
    stop: CancellationToken,
) {
    let has_somebody = |app: &Arc<App>| !app.config().notify.is_empty();
    tokio::select! {
        found = apps.wait_for(has_somebody) => if found.is_err() { return },
        () = stop.cancelled() => return,
    }
    let seen = sights.subscribe();
    // It ends with those who show.
    drop(sights);
    tell(seen, teller).await;
}

/// At each SIGHUP hands on what the file says then. A file that is wrong changes nothing.
async fn reload(
    current: watch::Sender<Arc<App>>,
    mut hangups: Signal,
    plans: watch::Sender<Plan>,
    apps: mpsc::Sender<Reload>,
) {
    let mut number = 0;
    while hangups.recv().await.is_some() {
        notify("RELOADING=1");
        let app = Arc::clone(&current.borrow());
        match reread(app.config()) {
            Ok(config) => {
                let app = Arc::new(app.with_config(config));
                current.send_replace(Arc::clone(&app));
                let jobs = daemon::scheduled(&app);
                tracing::info!(scheduled = jobs.len(), "the configuration was read anew");
                tell_lacks(app.config());
                number += 1;
                // First who runs them, then who says when.
                if apps.send((number, Arc::clone(&app))).await.is_err()
                    || plans.send(Plan { jobs, number }).is_err()
                {
                    return;
                }
            }
            Err(problem) => {
                tracing::error!("The configuration was not read anew, the old one stays: {problem}");
            }
        }
        notify("READY=1");
    }
}

/// What the jobs need and this user may not do: nobody but the service itself knows what its drop-ins give it.
fn tell_lacks(config: &Config) {
    if let Err(error) = identity::check(config) {
        let hint = error.hint().unwrap_or_default();
        tracing::error!(hint, "no job can make a backup: {}", words::chain(&error));
    }
    for (job, findings) in lacks(config, session::environment("DOCKER_HOST").as_deref()) {
        for finding in findings {
            let hint = finding.hint.unwrap_or_default();
            tracing::warn!(hint, "{job} will fail: {}", finding.text);
        }
    }
}

fn reread(old: &Config) -> Result<Config, String> {
    let new = session::load(&old.path).map_err(|problems| problems.to_string())?;
    let folders = |config: &Config| (config.state_dir.clone(), config.backup_dir.clone());
    if folders(&new) != folders(old) {
        return Err("state_dir or backup_dir is another one: restart the daemon for that".to_owned());
    }
    Ok(new)
}

fn failed(what: &str, error: &dyn std::error::Error) -> CliError {
    CliError {
        code: ExitCode::Failed,
        message: format!("Cannot {what}: {}", words::chain(error)),
        hint: None,
    }
}
