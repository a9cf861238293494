//! What every command that reads the configuration has: the configuration, the output, and the clock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use super::Global;
use super::exit_code::ExitCode;
use super::output::{CliError, Output};
use crate::app::metrics::write_textfile;
use crate::app::{self, App, FoundingError, Surroundings, WithoutHistory};
use crate::config::values::{Anomalies, JobName};
use crate::config::{Config, ConfigErrors, JobConfig};
use crate::history::{Founded, History, RunReport};
use crate::identity;
use crate::report;
use crate::runner::LogBook;
use crate::standing::{StandingError, View};
use crate::store::{Backup, Found, Store, StoreError, resolve, resolve_damaged};
use crate::telemetry::{self, Log};
use crate::upkeep;

/// Where the configuration is looked for when nobody says.
const PLACES: [&str; 2] = ["jobs.toml", "/etc/watchkeeper/jobs.toml"];

/// How long running work may take to tidy up after it was told to stop.
pub(super) const GRACE: Duration = Duration::from_secs(90);

pub(super) struct Session {
    pub(super) config: Arc<Config>,
    pub(super) out: Output,
    pub(super) now: Timestamp,
    pub(super) log: Arc<LogBook>,
    verbosity: i8,
}

impl Session {
    /// Reads the configuration.
    pub(super) fn open(global: &Global, out: Output) -> Result<Self, CliError> {
        let config = load(&config_path(global)?).map_err(|problems| wrong(&problems))?;
        Ok(Self::with(config, global, out, Timestamp::now()))
    }

    /// Reads the configuration with every warning that there is.
    pub(super) fn open_to_check(path: &Path, global: &Global, out: Output) -> Result<Self, ConfigErrors> {
        let now = Timestamp::now();
        let config = Config::check(path, &environment, TimeZone::system(), now)?;
        Ok(Self::with(config, global, out, now))
    }

    fn with(config: Config, global: &Global, out: Output, now: Timestamp) -> Self {
        let verbosity = if global.quiet { -1 } else { i8::try_from(global.verbose).unwrap_or(i8::MAX) };
        Self { config: Arc::new(config), out, now, log: Arc::default(), verbosity }
    }

    pub(super) fn zone(&self) -> &TimeZone {
        &self.config.timezone
    }

    /// A time as this session words it.
    pub(super) fn time(&self, at: Timestamp) -> String {
        crate::words::time(at, self.zone())
    }

    /// Steps are wanted although nobody watches at a terminal.
    pub(super) fn is_verbose(&self) -> bool {
        self.verbosity > 0
    }

    /// A run's report, without what was just seen on the same screen.
    pub(super) fn report(&self, report: &RunReport) -> String {
        if self.out.steps_were_seen() {
            report::without_steps(report, self.zone())
        } else {
            report::text(report, self.zone())
        }
    }

    /// Under how many per cent of those before it a backup of a job is in doubt, configured or not.
    pub(super) fn smaller(&self, job: &JobName) -> u32 {
        self.config.job(job.as_str()).map_or(Anomalies::STANDARD, |job| job.anomalies).smaller
    }

    /// The job that is called so.
    pub(super) fn job(&self, name: &str) -> Result<&JobConfig, CliError> {
        let found = self.config.jobs.iter().find(|job| job.name.as_str() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.config.jobs.iter().map(|job| job.name.as_str()).collect();
            let near = names.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
            let hint = match near {
                Some(near) if strsim::jaro(near, name) > 0.8 => format!("did you mean {near:?}?"),
                _ if names.is_empty() => "the configuration has no job".to_owned(),
                _ => format!("the jobs are: {}", names.join(", ")),
            };
            CliError::usage(format!("There is no job {name:?} in {}", self.config.path.display()), Some(hint))
        })
    }

    /// What is looked at to say how things stand, without the backups.
    pub(super) fn view<'a>(&'a self, history: Option<&'a History>) -> View<'a> {
        View { config: &self.config, history, store: None, now: self.now }
    }

    /// The store, to look at. Another one in its place is an error: what it has, or lacks, would be taken for the backups.
    pub(super) fn store(&self) -> Result<Store, CliError> {
        identity::check(&self.config)?;
        Ok(Store::open_to_read(&self.config.backup_dir)?)
    }

    /// The store, to say how all stands; nothing where there is none. Whether it is the right one is said there.
    pub(super) fn store_that_stands(&self) -> Result<Option<Store>, CliError> {
        let root = &self.config.backup_dir;
        Ok(if root.exists() { Some(Store::open_to_read(root)?) } else { None })
    }

    /// That a backup is of another source, or kind of it, than its job backs up now, in words; nothing where it is not.
    pub(super) fn other_source(&self, backup: &Backup) -> Option<String> {
        let job = &backup.manifest.job;
        let subject = self.config.job(job.as_str())?.kind.subject()?;
        let is_same = backup.manifest.subject().is_same(&subject);
        let from = || backup.manifest.made_from();
        (!is_same).then(|| format!("it was made from another source, {}: the job {job} is {subject}", from()))
    }

    /// The newest good backup of what a job backs up, where `spec` means that: `JOB/latest`.
    fn latest(&self, store: &Store, spec: &str) -> Result<Option<Found>, StoreError> {
        let name = spec.strip_suffix("/latest");
        let Some(job) = name.and_then(|name| self.config.job(name)) else { return Ok(None) };
        let Some(subject) = job.kind.subject() else { return Ok(None) };
        let job = store.job(&job.name);
        let listing = job.list()?;
        Ok(upkeep::newest_good(&listing, &subject).cloned().map(|backup| Found { job, backup }))
    }

    /// The backup that is called so. A job that nobody knows is a slip of the pen; one without a good backup is not.
    pub(super) fn backup(&self, spec: &str) -> Result<Found, CliError> {
        self.backup_by(spec, resolve)
    }

    /// The same, also one of whose files some are missing: who uses it looks at each.
    pub(super) fn damaged_backup(&self, spec: &str) -> Result<Found, CliError> {
        self.backup_by(spec, resolve_damaged)
    }

    fn backup_by(
        &self,
        spec: &str,
        resolve: fn(&Store, &str) -> Result<Found, StoreError>,
    ) -> Result<Found, CliError> {
        let store = self.store()?;
        if let Some(found) = self.latest(&store, spec)? {
            return Ok(found);
        }
        resolve(&store, spec).map_err(|error| {
            let missing = matches!(error, StoreError::NotFound { .. } | StoreError::NoneGood { .. });
            let job = spec.split_once('/').map(|(job, _)| job).filter(|_| missing);
            let unknown = job.and_then(|job| self.job_names(Some(job), &store).err());
            unknown.unwrap_or_else(|| error.into())
        })
    }

    /// The jobs to look at: the one that was named, or all that are configured or have backups.
    pub(super) fn job_names(&self, named: Option<&str>, store: &Store) -> Result<Vec<JobName>, CliError> {
        let mut known: Vec<JobName> = self.config.jobs.iter().map(|job| job.name.clone()).collect();
        known.extend(store.jobs()?);
        known.sort();
        known.dedup();
        match named {
            None => Ok(known),
            // A job that is no longer configured still has its backups.
            Some(name) => match known.into_iter().find(|job| job.as_str() == name) {
                Some(job) => Ok(vec![job]),
                None => self.job(name).map(|job| vec![job.name.clone()]),
            },
        }
    }

    /// The history, to look at; nothing where nothing ran yet. Where there is none any more, what backups tell.
    pub(super) fn history(&self) -> Result<Option<History>, CliError> {
        Ok(self.look_at_history()?)
    }

    fn look_at_history(&self) -> Result<Option<History>, FoundingError> {
        self.warn_of_emptied_history();
        let Some(history) = History::open_existing(&self.config.state_dir)? else {
            return self.history_of_backups();
        };
        self.found_history(&history);
        app::settle_history(&self.config, &history, self.now);
        Ok(Some(history))
    }

    /// What is read of the history, and how a command ends that shows it. Where it is damaged that is said, and what backups
    /// tell is read in its place.
    pub(super) fn read_history<T>(
        &self,
        read: impl Fn(Option<&History>) -> Result<T, StandingError>,
    ) -> Result<(T, ExitCode), CliError> {
        let looked = self.look_at_history().map_err(|error| match error {
            FoundingError::History(error) => StandingError::History(error),
            FoundingError::Store(error) => StandingError::Store(error),
        });
        let damaged = match looked.and_then(|history| read(history.as_ref())) {
            Err(StandingError::History(error)) if error.is_damaged() => CliError::from(error),
            looked => return Ok((looked?, ExitCode::Ok)),
        };
        self.out.complain(&damaged);
        let history = self.history_of_backups()?;
        Ok((read(history.as_ref())?, damaged.code))
    }

    /// The history, to write into; made where nothing ran yet.
    pub(super) fn history_to_write(&self) -> Result<History, CliError> {
        self.warn_of_emptied_history();
        let history = History::open(&self.config.state_dir)?;
        self.found_history(&history);
        Ok(history)
    }

    fn history_of_backups(&self) -> Result<Option<History>, FoundingError> {
        let history = app::history_of_backups(&self.config, self.now)?;
        let founded = history.as_ref().map(History::founded).transpose()?.flatten();
        self.tell_founded(founded.as_ref());
        Ok(history)
    }

    fn found_history(&self, history: &History) {
        self.tell_founded(app::found(&self.config, history, self.now).as_ref());
    }

    fn tell_founded(&self, founded: Option<&Founded>) {
        if let Some(founded) = founded {
            self.out.say(&format!("warning: {}", founded.words(self.zone())));
        }
    }

    fn warn_of_emptied_history(&self) {
        if let Some(warning) = app::emptied_history(&self.config) {
            self.out.say(&format!("warning: {warning}"));
        }
    }

    /// Writes the metrics where no daemon does it: what a command has changed is to be seen. The command itself succeeds
    /// without them.
    pub(super) fn write_metrics(&self) {
        if self.config.metrics.textfile.is_none() {
            return;
        }
        let write = || -> Result<(), CliError> {
            let history = History::open_existing(&self.config.state_dir)?;
            let store = self.store_that_stands()?;
            write_textfile(&self.config, history.as_ref(), store.as_ref(), Timestamp::now())
                .map_err(|error| CliError::of(ExitCode::Failed, &error, error.hint()))
        };
        if let Err(error) = write() {
            let hint = error.hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            self.out.say(&format!("warning: {}: what that file says is OLD{hint}", error.message));
        }
    }

    /// Everything that running work needs.
    pub(super) fn app(&self, stop: CancellationToken) -> Result<App, CliError> {
        self.open_app(stop, GRACE, WithoutHistory::Fail, false)
    }

    /// Like [`Session::app`], for the daemon, which has its lock.
    pub(super) fn app_to_last(&self, stop: CancellationToken) -> Result<App, CliError> {
        self.open_app(stop, GRACE, WithoutHistory::Renew, false)
    }

    /// Like [`Session::app`], for what a person wants now: also where the history cannot be used.
    pub(super) fn app_now(&self, stop: CancellationToken, grace: Duration) -> Result<App, CliError> {
        self.open_app(stop, grace, WithoutHistory::Forget, false)
    }

    /// Like [`Session::app_now`], for a restore: also where the backups can only be read.
    pub(super) fn app_to_restore(&self, stop: CancellationToken, grace: Duration) -> Result<App, CliError> {
        self.open_app(stop, grace, WithoutHistory::Forget, true)
    }

    fn open_app(
        &self,
        stop: CancellationToken,
        grace: Duration,
        without_history: WithoutHistory,
        store_to_read: bool,
    ) -> Result<App, CliError> {
        let surroundings = Surroundings {
            clock: Timestamp::now,
            environment: Arc::new(environment),
            docker_host: environment("DOCKER_HOST"),
            log: Arc::clone(&self.log),
            without_history,
            store_to_read,
            stop,
            grace,
        };
        App::open(Arc::clone(&self.config), surroundings)
            .map_err(|error| CliError::of(ExitCode::Failed, &error, error.hint()))
    }

    /// Starts the log of a command that shows steps and warnings itself.
    pub(super) fn start_log(&self) {
        // It waits for whoever reads it: so nothing is left to be written at the end.
        drop(self.log(true));
    }

    /// Starts the log of the daemon, which lasts until what is returned is dropped.
    pub(super) fn start_daemon_log(&self) -> Log {
        self.log(false)
    }

    fn log(&self, steps_shown: bool) -> Log {
        let options = telemetry::Options {
            json: environment("WATCHKEEPER_LOG_FORMAT").is_some_and(|format| format == "json"),
            verbosity: self.verbosity,
            filter: environment("WATCHKEEPER_LOG").filter(|filter| !filter.is_empty()),
            steps_shown,
            colour: colours(),
        };
        telemetry::start(&options, Arc::clone(&self.log))
    }
}

/// The environment, for those rooms that are handed it.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The name of this host, as it stands in messages.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn colours() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Reads a configuration as every command does.
pub(super) fn load(path: &Path) -> Result<Config, ConfigErrors> {
    Config::load(path, &environment, TimeZone::system())
}

/// A configuration that is wrong, as a command tells it.
pub(super) fn wrong(problems: &ConfigErrors) -> CliError {
    CliError { code: ExitCode::Config, message: problems.to_string(), hint: None }
}

/// Where the configuration is.
pub(super) fn config_path(global: &Global) -> Result<PathBuf, CliError> {
    if let Some(path) = &global.config {
        return Ok(path.clone());
    }
    let found = PLACES.iter().map(Path::new).find(|path| path.exists());
    found.map(Path::to_path_buf).ok_or_else(|| CliError {
        code: ExitCode::Config,
        message: format!("There is no configuration: neither {}", PLACES.join(" nor ")),
        hint: Some("write one, or name it with --config FILE".to_owned()),
    })
}

/// The runtime that commands with work to do run on.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        CliError { code: ExitCode::Failed, message: format!("Cannot start the runtime: {error}"), hint: None }
    })?;
    let result = runtime.block_on(work);
    // A thread that is stuck in the system must not keep the program.
    runtime.shutdown_timeout(Duration::from_secs(2));
    result
}

/// A time with an offset, or in the configured zone; a date is its midnight.
pub(super) fn time(session: &Session, text: &str) -> Result<Timestamp, CliError> {
    let zoned = |civil: DateTime| session.zone().to_timestamp(civil).ok();
    let parsed = text.parse::<Timestamp>().ok().or_else(|| text.parse::<DateTime>().ok().and_then(zoned));
    parsed.ok_or_else(|| {
        let hint = "write 2026-11-23T02:00:00Z, or 2026-11-23T02:00:00 in the configured time zone";
        CliError::usage(format!("{text:?} is not a time"), Some(hint.to_owned()))
    })
}
