//! `restore`: shows what it will do, asks, does it, and tells what was proven.

pub(super) mod choose;
mod files;
mod grafana;
mod sqlite;
mod text;
mod unpack;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bar;
use super::exit_code::ExitCode;
use super::output::CliError;
use super::run_now::signals;
use super::session::{Session, block_on};
use crate::app::{App, RestoreAction};
use crate::blocking::blocking;
use crate::config::values::{JobName, PrometheusTarget};
use crate::progress::Progress;
use crate::prometheus::restore::{Look, Opened, Reading, RestoreError, RestoreSource, SourceError};
use choose::{Chosen, Damage, Wanted, choose, source_called, whose};

/// A restore that is taken back stops and starts a Prometheus once more: it must not be cut off in between.
const GRACE: Duration = Duration::from_mins(15);

#[derive(clap::Args)]
pub(super) struct Args {
    /// The job, or a backup: JOB, JOB/ID, or an ID that only one job has
    #[arg(required_unless_present_any = ["from", "prometheus", "grafana"], value_name = "JOB[/ID]")]
    what: Option<String>,
    /// The backup of the job: its ID, or `latest` [default: the newest good one]
    #[arg(requires = "what")]
    backup: Option<String>,
    /// The newest good backup that was made at this time or before
    #[arg(long, value_name = "TIME", conflicts_with_all = ["backup", "from"])]
    at: Option<String>,
    /// A manifest, an archive, or a folder, instead of a backup of the store
    #[arg(long, value_name = "PATH", conflicts_with_all = ["what", "backup"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    also: Also,
    /// The Prometheus of the configuration to restore to [default: the job's]
    #[arg(long, value_name = "NAME")]
    prometheus: Option<String>,
    /// The application of the configuration to restore a database to [default: the job's]
    #[arg(long, value_name = "NAME", conflicts_with = "prometheus")]
    application: Option<String>,
    /// The Grafana of the configuration to restore to [default: the job's]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["prometheus", "application"])]
    grafana: Option<String>,
    /// Of a Grafana: only these, TYPE or TYPE/UID; can be given again
    #[arg(long, value_name = "TYPE[/UID]")]
    only: Vec<String>,
    /// Of a Grafana: not these, TYPE or TYPE/UID; can be given again
    #[arg(long, value_name = "TYPE[/UID]")]
    exclude: Vec<String>,
    /// Of a Grafana: the secrets that no export holds, in TOML or JSON; only its owner may read the file. NAME = "SECRET"
    /// below [data-sources.UID], [contact-points.UID], [users.LOGIN], or [orgs."ORGANISATION".data-sources.UID]
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Only unpack the backup into this empty folder, and check it there
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dry_run", "prometheus"])]
    into: Option<PathBuf>,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    after: After,
}

/// What is restored though it is not what it should be.
#[derive(clap::Args)]
struct Also {
    /// Also a backup that was made from another source, or kind of it, than the job backs up now
    #[arg(long, conflicts_with = "from")]
    other_source: bool,
    /// Of a Prometheus whose backup shares its blocks with others: leave those out whose stored files are damaged, and restore
    /// the rest. Their samples are a gap
    #[arg(long, conflicts_with_all = ["resume", "undo", "discard_old"])]
    skip_damaged: bool,
}

/// What is done with a restore after its own run.
#[derive(clap::Args)]
struct After {
    /// Finish a restore that was cut
    #[arg(long, conflicts_with_all = ["from", "at", "into", "dry_run", "backup", "only", "exclude", "secrets"])]
    resume: bool,
    /// Bring back what was live before the restore
    #[arg(long, conflicts_with_all = ["from", "at", "into", "backup", "resume", "only", "exclude", "secrets"])]
    undo: bool,
    /// Remove the data that restores have set aside, for good
    #[arg(long, conflicts_with_all = ["from", "at", "into", "dry_run", "backup", "resume", "undo", "only", "exclude", "secrets"])]
    discard_old: bool,
}

impl Args {
    /// How its commands name what is restored, as far as the arguments tell.
    fn named(&self) -> Option<String> {
        let job = self.what.as_deref().and_then(|what| what.split('/').next()?.parse::<JobName>().ok());
        let target = || self.prometheus.as_deref().map(|name| format!("--prometheus {name}"));
        job.map(|job| job.to_string()).or_else(target)
    }

    /// Which backup of the store is meant.
    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            what: self.what.as_deref(),
            backup: self.backup.as_deref(),
            at: self.at.as_deref(),
            // What is only unpacked overwrites nothing.
            other_source: self.also.other_source || self.into.is_some(),
            damaged: if self.also.skip_damaged { Some(Damage::LeftOut) } else { None },
        }
    }
}

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    run_any(session, args).map_err(|error| match args.named() {
        Some(named) => error.for_job(&named),
        None => error,
    })
}

fn run_any(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    session.start_log();
    choose::check(session, args)?;
    let kind = choose::kind(session, args).unwrap_or_default();
    let of_files = kind == crate::files::KIND;
    let of_database = sqlite::KINDS.contains(&kind.as_str()) || args.application.is_some();
    let of_grafana =
        kind == crate::grafana::KIND || args.grafana.is_some() || only_grafana(session, args, &kind);
    let says_what = !args.only.is_empty() || !args.exclude.is_empty() || args.secrets.is_some();
    if says_what && !of_grafana {
        let message = "--only, --exclude and --secrets are for a restore of a Grafana";
        return Err(CliError::usage(message, None));
    }
    if args.also.skip_damaged && (of_files || of_database || of_grafana) {
        return Err(CliError::usage("--skip-damaged is for a restore of a Prometheus", None));
    }
    if args.after.undo && args.dry_run && !of_grafana {
        let hint = "without --yes it says what it brings back, and asks".to_owned();
        return Err(CliError::usage("--undo --dry-run is for a restore of a Grafana", Some(hint)));
    }
    if of_files {
        files::check(args)?;
    } else if of_database {
        sqlite::check(args)?;
    }
    if let Some(folder) = args.into.as_ref().filter(|_| !(of_files || of_database || of_grafana)) {
        return unpack::unpack(session, args, folder);
    }
    // Said before any server or backup is looked at: a script learns at once that it forgot --yes.
    let asks = !(args.yes || args.dry_run || args.after.resume || args.into.is_some());
    if asks && !session.out.can_ask() {
        let message = "This overwrites what is there, and there is nobody to ask";
        return Err(CliError::usage(
            message,
            Some(if (args.after.undo && !of_grafana) || args.after.discard_old {
                "say --yes".into()
            } else {
                "say --yes, or look at what would be done with --dry-run".into()
            }),
        ));
    }
    if of_files {
        return files::run(session, args);
    }
    if of_database {
        return sqlite::run(session, args);
    }
    if of_grafana {
        return grafana::run(session, args);
    }
    with_app(session, async |app, cancel| {
        if args.after.resume || args.after.undo || args.after.discard_old {
            after(session, app, args, asks).await
        } else {
            restore(session, app, args, asks, cancel).await
        }
    })
}

/// An archive without a manifest says nothing of its kind, but there is nothing else that it could be restored to.
fn only_grafana(session: &Session, args: &Args, kind: &str) -> bool {
    let config = &session.config;
    let named = args.prometheus.is_some() || args.application.is_some();
    args.from.is_some()
        && kind.is_empty()
        && !named
        && !config.grafana.is_empty()
        && config.prometheus.is_empty()
        && config.application.is_empty()
}

/// Does what signals can end, and leaves nothing behind on the Docker engine.
fn with_app(
    session: &Session,
    work: impl AsyncFnOnce(&App, &CancellationToken) -> Result<ExitCode, CliError>,
) -> Result<ExitCode, CliError> {
    block_on(async {
        let shutdown = signals()?;
        let app = session.app_to_restore(shutdown.cancel.clone(), GRACE)?;
        let code = work(&app, &shutdown.cancel).await;
        app.close().await;
        code
    })
}

/// Restores a backup, or tells what that would do.
async fn restore(
    session: &Session,
    app: &App,
    args: &Args,
    asks: bool,
    cancel: &CancellationToken,
) -> Result<ExitCode, CliError> {
    let chosen = blocking_choice(session, args, cancel).await?;
    let Chosen { source, job, reading: _reading } = examined(session, args, chosen, cancel).await?;
    let (target, job) =
        whose(session, args.prometheus.as_deref(), job.as_ref(), Some(&source.origin.target))?;
    let opened = open(app, target, source.origin.data_path.as_deref(), &job).await?;
    let plan = opened.plan(&source, session.now, cancel).await.map_err(|error| failed(&error))?;
    let from = source.made_from();
    if args.dry_run {
        session.out.result(&json!({ "plan": plan, "made_from": from }), || {
            text::plan(&plan, session.zone(), true) + &choose::from_text(from.as_deref())
        });
        return Ok(if plan.refusals.is_empty() { ExitCode::Ok } else { ExitCode::Failed });
    }
    let told = text::plan(&plan, session.zone(), false) + &choose::from_text(from.as_deref());
    session.out.say(told.trim_end());
    if let Some(refusal) = plan.refusals.first() {
        return Err(failed(&RestoreError::Refused { refusal: refusal.clone() }));
    }
    if asks && !session.out.ask("Restore this?") {
        return Ok(nothing_done(session));
    }
    let action = RestoreAction::Apply(Arc::new(source), Arc::new(plan));
    Ok(run_it(session, app, target, &job, opened, action).await)
}

/// What is done with a restore after its own run.
async fn after(session: &Session, app: &App, args: &Args, asks: bool) -> Result<ExitCode, CliError> {
    let job = choose::job_called(session, args.what.as_deref())?;
    let (target, job) = whose(session, args.prometheus.as_deref(), job.as_ref(), None)?;
    let newest = choose::newest_origin(session, &job);
    let opened = open(app, target, newest.and_then(|origin| origin.data_path).as_deref(), &job).await?;
    let action = if args.after.resume {
        RestoreAction::Resume(source_of_unfinished(session, &opened).await?)
    } else if args.after.undo {
        RestoreAction::Undo
    } else {
        RestoreAction::DiscardOld
    };
    let question = if args.after.undo {
        format!("Stop Prometheus {:?} and bring back the data of before the restore?", target.name.as_str())
    } else {
        format!("Remove what restores of Prometheus {:?} have set aside, for good?", target.name.as_str())
    };
    if asks && !session.out.ask(&question) {
        return Ok(nothing_done(session));
    }
    Ok(run_it(session, app, target, &job, opened, action).await)
}

async fn open(
    app: &App,
    target: &PrometheusTarget,
    known: Option<&str>,
    job: &JobName,
) -> Result<Opened, CliError> {
    let command = if app.config().jobs.iter().any(|known| known.name == *job) {
        format!("watchkeeper restore {job}")
    } else {
        format!("watchkeeper restore --prometheus {}", target.name)
    };
    let opened = app.open_prometheus(target, known, command).await;
    opened.map_err(|error| CliError::of(ExitCode::Failed, &error, error.hint()))
}

async fn run_it(
    session: &Session,
    app: &App,
    target: &PrometheusTarget,
    job: &JobName,
    opened: Opened,
    action: RestoreAction,
) -> ExitCode {
    let sink = bar::sink(session);
    let report = app.run_restore(job, target, Arc::new(opened), action, sink).await;
    session.out.result(&json!({ "runs": [report] }), || session.report(&report));
    ExitCode::of(&report)
}

/// The source of the restore that is unfinished, where it is still there: with it the proof is the full one.
async fn source_of_unfinished(
    session: &Session,
    opened: &Opened,
) -> Result<Option<Arc<RestoreSource>>, CliError> {
    let cancel = CancellationToken::new();
    let folder = opened.site.inspect(&cancel).await.map_err(|error| failed(&error))?;
    let Some(unfinished) = folder.unfinished() else { return Ok(None) };
    let (called, reading) = (unfinished.note.source.clone(), reading(session, &cancel));
    let store = session.store().ok();
    let found = blocking(move || source_called(&called, store.as_ref(), &reading)).await;
    if found.is_none() {
        session.out.say("The backup that was being restored is not at hand: its blocks are looked for, not its sample counts.");
    }
    Ok(found.map(Arc::new))
}

/// Reading a source without a manifest takes as long as it is large.
async fn blocking_choice(
    session: &Session,
    args: &Args,
    cancel: &CancellationToken,
) -> Result<Chosen, CliError> {
    let Some(path) = args.from.clone() else {
        return choose(session, args.wanted());
    };
    let reading = reading(session, cancel);
    let found = blocking(move || RestoreSource::at_path(&path, &reading)).await;
    let source = found.map_err(|error| failed(&RestoreError::Source(error)))?;
    Ok(Chosen { source, job: None, reading: None })
}

/// Looks at the stored files, all of them where the plan is to be relied on: by who only wants to know, and by who wants to
/// leave out what is damaged.
async fn examined(
    session: &Session,
    args: &Args,
    chosen: Chosen,
    cancel: &CancellationToken,
) -> Result<Chosen, CliError> {
    let Chosen { mut source, job, reading: held } = chosen;
    let (reading, skips) = (reading(session, cancel), args.also.skip_damaged);
    let look = if args.dry_run || skips { Look::All } else { Look::Doubtful };
    let examined = blocking(move || {
        let examined = source.examine(look, &reading.progress, &reading.cancel);
        if skips {
            source.skip_damaged();
        }
        examined.map(|()| source)
    });
    let source = examined.await.map_err(|error| failed(&RestoreError::Source(error)))?;
    if let Ok(store) = session.store() {
        source.note_bad(&store, &source.bad, session.now);
    }
    Ok(Chosen { source, job, reading: held })
}

fn reading(session: &Session, cancel: &CancellationToken) -> Reading {
    let state_dir = &session.config.state_dir;
    let spool = if state_dir.is_dir() { state_dir.clone() } else { std::env::temp_dir() };
    let progress = Progress::new(bar::sink(session));
    Reading { spool, progress, cancel: cancel.clone() }
}

fn nothing_done(session: &Session) -> ExitCode {
    session.out.say("Nothing was changed.");
    ExitCode::Failed
}

fn failed(error: &RestoreError) -> CliError {
    let code = match error {
        _ if error.data_not_back() => ExitCode::DataNotBack,
        _ if error.is_interruption() => ExitCode::Interrupted,
        RestoreError::Source(SourceError::Manifest { source })
            if matches!(**source, crate::store::StoreError::Busy { .. }) =>
        {
            ExitCode::Busy
        }
        _ => ExitCode::Failed,
    };
    CliError::of(code, error, error.hint())
}
