//! Which backup is meant, and which Prometheus.

mod damaged;

use std::path::Path;
use std::time::Duration;

use crate::cli::exit_code::ExitCode;
use crate::cli::output::CliError;
use crate::cli::session::{Session, time};
use crate::config::JobKind;
use crate::config::values::{JobName, Name, PrometheusTarget, Subject};
use crate::prometheus::restore::{Reading, RestoreError, RestoreSource};
use crate::store::{Backup, BackupId, JobStore, Listing, SharedLock, Source, Store, resolve_damaged};
use crate::upkeep;
use crate::words;
pub(super) use damaged::{Damage, must_be_whole};
use damaged::{take_damaged, without_damaged};

/// How long to wait for somebody who publishes or prunes.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

/// What is to be restored.
pub(super) struct Chosen {
    pub(super) source: RestoreSource,
    /// The job whose backup it is.
    pub(super) job: Option<JobName>,
    /// Nobody removes the backup while this lives.
    pub(super) reading: Option<SharedLock>,
}

/// A backup of any kind.
pub(super) struct Found {
    pub(super) backup: Backup,
    /// The job whose backup it is.
    pub(super) job: JobName,
    /// Nobody removes the backup while this lives.
    pub(super) reading: Option<SharedLock>,
}

/// Which backup of the store somebody means.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// A job, or a backup.
    pub(super) what: Option<&'a str>,
    /// A backup of the job.
    pub(super) backup: Option<&'a str>,
    /// The newest one that is not younger.
    pub(super) at: Option<&'a str>,
    /// It may be of another source than the job backs up now.
    pub(super) other_source: bool,
    /// Files of it may be missing or bad, where that is so.
    pub(super) damaged: Option<Damage>,
}

/// The line of a plan that says what the backup was made from.
pub(super) fn from_text(from: Option<&str>) -> String {
    from.map(|from| format!("  {:<11} {from}\n", "made from")).unwrap_or_default()
}

/// The kind of what is to be restored: of the manifest, else of the job, else of its backup. Nothing where that cannot be
/// told; what is wrong is told by who looks closer.
pub(super) fn kind(session: &Session, args: &super::Args) -> Option<String> {
    if let Some(path) = &args.from {
        if path.is_dir() {
            return Some(Backup::newest_outside(path).ok()??.backup.manifest.kind);
        }
        let manifest = Backup::manifest_at(path)?;
        return crate::store::Manifest::read(&manifest).ok().map(|manifest| manifest.kind);
    }
    let what = args.what.as_deref()?;
    let name = what.split('/').next().unwrap_or(what);
    let of_backup = || Some(backup(session, args.wanted()).ok()?.backup.manifest.kind);
    let of_job = session.config.job(name).map(|job| job.kind.kind_name().to_owned());
    // Of a backup that is named the kind itself may be another one.
    let is_named = args.backup.is_some() || is_backup(what);
    if is_named && args.wanted().other_source { of_backup().or(of_job) } else { of_job.or_else(of_backup) }
}

/// The backup of Prometheus that `what`, `backup` and `at` mean.
pub(super) fn choose(session: &Session, wanted: Wanted<'_>) -> Result<Chosen, CliError> {
    let damaged = wanted.damaged.or(Some(Damage::Told));
    let Found { backup, job, reading } = backup(session, Wanted { damaged, ..wanted })?;
    let source = RestoreSource::of_backup(&backup);
    let source = source.map_err(|error| super::failed(&RestoreError::Source(error)))?;
    Ok(Chosen { source, job: Some(job), reading })
}

/// The backup that lies at `path`, in a store or not: its manifest, an archive of it, or a folder, of which the newest is
/// meant.
pub(super) fn outside(session: &Session, path: &Path) -> Result<Found, CliError> {
    let found = if path.is_dir() { newest_in(session, path)? } else { beside(path)? };
    let backup = found.ok_or_else(|| {
        let hint = "name the folder of a job (backup_dir/JOB), a manifest (ID.json), or an archive with its manifest beside it";
        no_backup(&format!("There is no manifest of a backup at {}", path.display()), Some(hint.to_owned()))
    })?;
    Ok(Found { job: backup.manifest.job.clone(), backup, reading: None })
}

fn newest_in(session: &Session, folder: &Path) -> Result<Option<Backup>, CliError> {
    let Some(newest) = Backup::newest_outside(folder)? else { return Ok(None) };
    if !newest.broken.is_empty() {
        session.out.say(&format!("warning: broken and passed over: {}", newest.broken.join(", ")));
    }
    Ok(Some(newest.backup))
}

fn beside(path: &Path) -> Result<Option<Backup>, CliError> {
    match Backup::manifest_at(path) {
        None if path.exists() => Ok(None),
        // It says that there is no such file.
        manifest => Ok(Some(Backup::outside(manifest.as_deref().unwrap_or(path))?)),
    }
}

/// The backup that `what`, `backup` and `at` mean.
pub(super) fn backup(session: &Session, wanted: Wanted<'_>) -> Result<Found, CliError> {
    let Wanted { what, backup, other_source, .. } = wanted;
    let store = session.store()?;
    let Some(what) = what else {
        return Err(CliError::usage("Which backup?", Some("name a job, a backup, or --from PATH".into())));
    };
    let named = session.job_names(None, &store)?.into_iter().find(|job| job.as_str() == what);
    let (job, found) = match (named, backup) {
        (Some(job), None) => {
            let job = store.job(&job);
            let found = newest(session, &job, wanted)?;
            (job, found)
        }
        (Some(job), Some(id)) => found(session, &format!("{job}/{id}"), wanted)?,
        (None, None) if is_backup(what) => found(session, what, wanted)?,
        // Says what the jobs are.
        (None, _) => {
            return Err(session
                .job(what)
                .err()
                .unwrap_or_else(|| no_backup(&format!("There is no job {what}"), None)));
        }
    };
    if !other_source {
        of_this_source(session, &job, &found)?;
    }
    let reading = Some(job.lock_shared(LOCK_LIMIT)?);
    Ok(Found { backup: found, job: job.job().clone(), reading })
}

/// What a job backs up now; nothing where there is no such job, or it makes no backups.
fn subject(session: &Session, job: &JobName) -> Option<Subject> {
    session.config.job(job.as_str())?.kind.subject()
}

/// A backup of something else than the job backs up now is none to put in its place before somebody has said so.
fn of_this_source(session: &Session, job: &JobStore, backup: &Backup) -> Result<(), CliError> {
    let Some(subject) = subject(session, job.job()) else { return Ok(()) };
    if backup.manifest.subject().is_same(&subject) {
        return Ok(());
    }
    let (job, id, from) = (job.job(), backup.id(), backup.manifest.made_from());
    let message = format!("{job}/{id} was made from another source, {from}: the job {job} is {subject}");
    let hint = format!(
        "`watchkeeper restore {job}/{id} --other-source` restores it all the same; --into DIR only unpacks it"
    );
    Err(CliError::usage(message, Some(hint)))
}

fn found(session: &Session, spec: &str, wanted: Wanted<'_>) -> Result<(JobStore, Backup), CliError> {
    let found = if wanted.damaged.is_some() { session.damaged_backup(spec) } else { session.backup(spec) }?;
    Ok((found.job, found.backup))
}

/// It names one backup, and not a job.
fn is_backup(what: &str) -> bool {
    what.contains('/') || what.parse::<BackupId>().is_ok()
}

/// What can be said of the arguments without looking into a backup: nobody is asked, or told to say `--yes`, who has to
/// write them anew.
pub(super) fn check(session: &Session, args: &super::Args) -> Result<(), CliError> {
    if let Some(at) = &args.at {
        time(session, at)?;
    }
    if let Some(name) = &args.prometheus {
        target(session, name)?;
    }
    if let Some(name) = &args.application
        && !session.config.application.keys().any(|known| known.as_str() == name)
    {
        let known: Vec<&str> = session.config.application.keys().map(Name::as_str).collect();
        let hint = hint_of_targets("application", &known);
        let file = session.config.path.display();
        return Err(CliError::usage(format!("There is no [application.{name}] in {file}"), Some(hint)));
    }
    let Some(what) = &args.what else { return Ok(()) };
    if args.at.is_some() && is_backup(what) {
        let hint = Some("--at goes with a job".to_owned());
        return Err(CliError::usage(format!("{what} is one backup already"), hint));
    }
    if what.parse::<BackupId>().is_ok() {
        return Ok(());
    }
    let name = what.split('/').next().unwrap_or(what);
    match session.store() {
        Ok(store) => session.job_names(Some(name), &store).map(drop),
        // Why it cannot be read is said by who has to.
        Err(_) => Ok(()),
    }
}

/// The Prometheus of the configuration that is called so.
pub(in crate::cli) fn target<'a>(
    session: &'a Session,
    wanted: &str,
) -> Result<&'a PrometheusTarget, CliError> {
    let config = &session.config;
    let found = config.prometheus.values().find(|target| target.name.as_str() == wanted);
    found.ok_or_else(|| {
        let known: Vec<&str> = config.prometheus.keys().map(Name::as_str).collect();
        let hint = hint_of_targets("prometheus", &known);
        CliError::usage(format!("There is no [prometheus.{wanted}] in {}", config.path.display()), Some(hint))
    })
}

pub(in crate::cli) fn hint_of_targets(kind: &str, known: &[&str]) -> String {
    if known.is_empty() {
        format!("the configuration has no [{kind}.NAME]")
    } else {
        format!("name one with --{kind}: {}", known.join(", "))
    }
}

/// The newest good backup, at most as young as `at`: of what the job backs up now where there is one, else of another
/// source, where that may be. Where damage is left out, the newest of which something is left then.
fn newest(session: &Session, job: &JobStore, wanted: Wanted<'_>) -> Result<Backup, CliError> {
    let Wanted { at, other_source, .. } = wanted;
    let at = at.map(|text| time(session, text)).transpose()?;
    let mut listing = job.list()?;
    let skips = wanted.damaged == Some(Damage::LeftOut);
    let damaged = if skips { take_damaged(&mut listing) } else { Vec::new() };
    for broken in &listing.broken {
        session.out.say(&format!("warning: passed over {}: {}", broken.path.display(), broken.problem));
    }
    let mut usable: Vec<&Backup> = listing.backups.iter().chain(&damaged).collect();
    usable.sort_by(|a, b| a.id().cmp(b.id()));
    let fits = |backup: &Backup| if skips { backup.can_do_without_doubtful() } else { backup.is_good() };
    let subject = subject(session, job.job());
    let newest = |own: bool| {
        let is_own = |backup: &&Backup| {
            subject.as_ref().is_none_or(|subject| backup.manifest.subject().is_same(subject))
        };
        let in_time = |backup: &&Backup| at.is_none_or(|at| backup.manifest.created <= at);
        let mut newest_first = usable.iter().rev().copied().filter(in_time);
        newest_first.find(|backup| fits(backup) && (!own || is_own(backup)))
    };
    let (own, any) = (newest(true), newest(false));
    if let (Some(own), Some(any)) = (own, any)
        && own.id() != any.id()
    {
        let (job, id, from) = (job.job(), any.id(), any.manifest.made_from());
        session.out.say(&format!("warning: passed over {job}/{id}: it was made from another source, {from}"));
    }
    let found = own.or(any);
    if let (None, Some(any), false) = (own, any, other_source) {
        of_this_source(session, job, any)?;
    }
    if let Some(backup) = found {
        not_in_doubt(session, &listing, job, backup)?;
    }
    found.cloned().ok_or_else(|| {
        let named = |backup: &Backup| {
            let made = words::time(backup.manifest.created, session.zone());
            format!("{}/{}, made {made}", job.job(), backup.id())
        };
        let oldest = listing.backups.iter().find(|backup| backup.is_good()).map(named);
        let without = if skips { None } else { without_damaged(&listing) };
        let hint = match (oldest, listing.backups.last().map(named)) {
            (Some(oldest), _) => format!("the oldest good one is {oldest}"),
            (None, Some(last))
                if listing.backups.last().is_some_and(|backup| backup.problems().next().is_some()) =>
            {
                let shared =
                    listing.backups.iter().flat_map(Backup::problems).any(|(file, _)| file.is_shared());
                format!("{}; the newest is {last}", after_damage(job, shared))
            }
            // Of one that was damaged at its source everything else can be restored.
            (None, Some(last)) => {
                format!("one that is not good can be restored by its name; the newest is {last}")
            }
            (None, None) if !listing.broken.is_empty() => after_damage(job, false),
            (None, None) => {
                let folder = session.config.backup_dir.join(job.job().as_str());
                format!("there is none at all in {}: is backup_dir right?", folder.display())
            }
        };
        let hint = without.map_or_else(|| hint.clone(), |without| format!("{without}; {hint}"));
        let age = if at.is_some() { " that was made at that time or before" } else { "" };
        no_backup(&format!("There is no good backup of {}{age}", job.job()), Some(hint))
    })
}

/// A backup that retention itself distrusts is none to restore before somebody has said so.
fn not_in_doubt(
    session: &Session,
    listing: &Listing,
    job: &JobStore,
    backup: &Backup,
) -> Result<(), CliError> {
    let doubts = upkeep::doubts(listing, session.smaller(job.job()));
    let Some(doubt) = doubts.get(backup.id()) else { return Ok(()) };
    let (job, id) = (job.job(), backup.id());
    let before = listing.backups.iter().rev().find(|other| {
        other.is_good()
            && other.manifest.created <= backup.manifest.created
            && !doubts.contains_key(other.id())
    });
    let before = before.map(|other| {
        format!("`watchkeeper restore {job}/{}` restores the newest that is not in doubt; ", other.id())
    });
    let hint = format!(
        "{}`watchkeeper restore {job}/{id}` restores this one all the same; `watchkeeper accept {job}/{id}` says that \
         it is right",
        before.unwrap_or_default()
    );
    Err(CliError::usage(format!("{job}/{id} is in doubt: it {doubt}"), Some(hint)))
}

/// What to do where files are bad. Only one that backups share is stored anew.
fn after_damage(job: &JobStore, shared: bool) -> String {
    let anew = if shared { "stores it anew while its source has it" } else { "makes a new backup" };
    format!("`watchkeeper verify {0}` says what is bad; `watchkeeper run-now {0}` {anew}", job.job())
}

fn no_backup(message: &str, hint: Option<String>) -> CliError {
    CliError { code: ExitCode::Failed, message: message.to_owned(), hint }
}

/// The job that is called so, configured or not; nothing where nobody named one.
pub(super) fn job_called(session: &Session, what: Option<&str>) -> Result<Option<JobName>, CliError> {
    let Some(what) = what else { return Ok(None) };
    let name = what.split('/').next().unwrap_or(what);
    if let Some(job) = session.config.jobs.iter().find(|job| job.name.as_str() == name) {
        return Ok(Some(job.name.clone()));
    }
    let store = session.store()?;
    Ok(session.job_names(Some(name), &store)?.pop())
}

/// The Prometheus that is meant, and the job that the run is of: the one that was named, else the job's, else the one
/// that the backup came from.
pub(super) fn whose<'a>(
    session: &'a Session,
    named: Option<&str>,
    job: Option<&JobName>,
    origin: Option<&str>,
) -> Result<(&'a PrometheusTarget, JobName), CliError> {
    let config = &session.config;
    let configured = job.and_then(|name| config.jobs.iter().find(|job| job.name == *name));
    let of_job = configured.and_then(|job| job.kind.prometheus()).map(Name::as_str);
    let wanted = named.or(of_job).or(origin.filter(|origin| !origin.is_empty()));
    let Some(wanted) = wanted else {
        let known: Vec<&str> = config.prometheus.keys().map(Name::as_str).collect();
        return Err(CliError::usage("Which Prometheus?", Some(hint_of_targets("prometheus", &known))));
    };
    let target = target(session, wanted)?;
    let on_it = |kind: &JobKind| kind.prometheus() == Some(&target.name);
    let of_target = || config.jobs.iter().find(|job| on_it(&job.kind)).map(|job| job.name.clone());
    // Target names are job names as far as their letters go.
    let job = job.cloned().or_else(of_target).unwrap_or_else(|| target.name.clone());
    Ok((target, job))
}

/// Where the newest backup of a job came from: that tells the data folder of a Prometheus that is down.
pub(super) fn newest_origin(session: &Session, job: &JobName) -> Option<Source> {
    let listing = session.store().ok()?.job(job).list().ok()?;
    listing.backups.last().map(|backup| backup.manifest.source.clone())
}

/// The source that a journal calls so, if it is still there.
pub(super) fn source_called(called: &str, store: Option<&Store>, reading: &Reading) -> Option<RestoreSource> {
    let stored = store.and_then(|store| resolve_damaged(store, called).ok());
    match stored {
        Some(found) => RestoreSource::of_backup(&found.backup).ok(),
        None => RestoreSource::at_path(Path::new(called), reading).ok(),
    }
}
