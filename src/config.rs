//! `jobs.toml` becomes a [`Config`].
//!
//! A [`Config`] is right in itself: every target a job names is there, every policy keeps something, every
//! schedule matches. Whoever has one checks nothing again. A file that is wrong gives all its problems at once.
//!
//! Nothing here needs the stack to run, and no secret is read: [`secret::resolve`] does that when its target is
//! used. One that is not there is a warning.

pub mod checks;
pub mod duration;
pub mod escalation;
mod escalations;
mod job;
mod metrics;
mod named;
mod notifiers;
pub mod notify;
mod problem;
mod read;
pub mod response;
mod responses;
pub mod secret;
pub mod sessions;
mod target;
pub mod values;
mod warn;
mod webhook;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use toml::de::DeTable;

pub use job::{
    After, AfterOutcome, CleanupConfig, CommandConfig, DatabaseRef, DeploymentConfig, FilesConfig,
    GrafanaConfig, JobConfig, JobKind, RequireBackup, SnapshotConfig, SqliteConfig, StaleConfig,
};
pub use metrics::{Listen, MetricsConfig};
pub use named::{NotNamed, Target, TargetKind};
pub use problem::{ConfigErrors, Problem};
pub use target::{AlertmanagerTarget, ApplicationTarget, GrafanaTarget};
pub use webhook::WebhookConfig;

use read::{Report, Section};
use response::{Labels, Response, shipped};
use secret::{Env, Places};
use values::{Name, Place, PrometheusTarget, Remembered, SecretRef, TargetName};

use crate::regular;

/// No configuration is longer; a file that is, is something else.
const LONGEST: u64 = 1024 * 1024;
/// What is kept free in `state_dir` where the file does not say: some thousand runs with their logs.
const RESERVE: u64 = 16 << 20;
/// For how long runs are kept in the history where the file does not say.
const HISTORY_KEEP: Duration = Duration::from_hours(400 * 24);
/// How many runs of each job are kept in it: more than a month of a job that runs each minute.
const HISTORY_RUNS: u32 = 50_000;
/// Syntax errors that are shown; one often causes others.
const SYNTAX_ERRORS: usize = 10;

/// A configuration without errors.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it is from, as it was named.
    pub path: PathBuf,
    /// The zone of schedules and of retention's days.
    pub timezone: TimeZone,
    /// Where history and locks are; absolute.
    pub state_dir: PathBuf,
    /// Where backups are; absolute.
    pub backup_dir: PathBuf,
    /// Bytes that are kept free in `state_dir` for a full disk; 0 for none.
    pub reserve: u64,
    /// How many jobs may run at once; at least one.
    pub max_concurrent: usize,
    /// Which runs are kept in the history.
    pub history: Remembered,
    /// The Prometheus servers.
    pub prometheus: BTreeMap<Name, PrometheusTarget>,
    /// The Grafana servers.
    pub grafana: BTreeMap<Name, GrafanaTarget>,
    /// The Alertmanagers.
    pub alertmanager: BTreeMap<Name, AlertmanagerTarget>,
    /// Who is told of what happens.
    pub notify: BTreeMap<Name, notify::Notifier>,
    /// Who is told of incidents that last, in the order of the file.
    pub escalation: Vec<escalation::Escalation>,
    /// The watched applications.
    pub application: BTreeMap<Name, ApplicationTarget>,
    /// Where the metrics are shown.
    pub metrics: MetricsConfig,
    /// What others may tell the daemon.
    pub webhook: Option<WebhookConfig>,
    /// The jobs, in the order of the file.
    pub jobs: Vec<JobConfig>,
    /// What is done where an alert fires, in the order of the file. [`Config::response_for`] has the shipped ones too.
    pub responses: Vec<Response>,
    /// What is doubtful but not wrong, in the order of the file. What the schedules come to is in it only after
    /// [`Config::check`].
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads the file at `path`. `default_zone` is the zone where the file names none, the host's; `env` is only
    /// asked whether secrets are there.
    pub fn load(path: &Path, env: Env<'_>, default_zone: TimeZone) -> Result<Self, ConfigErrors> {
        Self::parse(&text_of(path)?, path, env, default_zone, None)
    }

    /// As [`Config::load`], and warns about what will surprise: backups on the device of their data or among the files that a job
    /// backs up, and what the
    /// schedules come to from `now` on. That takes a walk through the calendar, and is for those who ask for it.
    pub fn check(
        path: &Path,
        env: Env<'_>,
        default_zone: TimeZone,
        now: Timestamp,
    ) -> Result<Self, ConfigErrors> {
        let mut config = Self::parse(&text_of(path)?, path, env, default_zone, Some(now))?;
        config.warnings.extend(warn::same_device(&config));
        config.warnings.extend(warn::own_folders(&config));
        Ok(config)
    }

    /// Reads a configuration from text; `path` is only named. `check_from`: see [`Config::check`].
    pub fn parse(
        text: &str,
        path: &Path,
        env: Env<'_>,
        default_zone: TimeZone,
        check_from: Option<Timestamp>,
    ) -> Result<Self, ConfigErrors> {
        // A byte order mark is no part of the text, but some editors put one.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let failed = |problems| ConfigErrors { path: path.to_owned(), problems };
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(failed(syntax_problems(text, &errors)));
        }
        let report = Report::new(text);
        let root = Section::new(&report, document.get_ref(), 0..0, "the file".to_owned());
        let (config, spans) = read_root(root, path, env, default_zone);
        if let Some(now) = check_from {
            warn::schedules(&report, &config, &spans, now);
        }
        let (problems, warnings) = report.into_parts();
        if problems.is_empty() { Ok(Self { warnings, ..config }) } else { Err(failed(problems)) }
    }

    /// For how long nobody tells of an alert until its open incident is said to be silent.
    pub fn silent_after(&self) -> Duration {
        self.webhook.as_ref().map_or(WebhookConfig::SILENT_AFTER, |webhook| webhook.silent_after)
    }

    /// Every secret that is named.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let all = self.endpoints();
        let token = self.metrics.listen.iter().filter_map(|listen| listen.token.as_ref());
        let token = token.chain(self.webhook.iter().map(|webhook| &webhook.token));
        let notifiers = self.notify.values().flat_map(notify::Notifier::secrets);
        all.filter_map(|endpoint| endpoint.auth.secret()).chain(token).chain(notifiers)
    }

    /// Every user with a password that a request carries.
    pub fn logins(&self) -> impl Iterator<Item = (&str, &SecretRef)> {
        let notifiers = self.notify.values().filter_map(|notifier| notifier.channel.login());
        self.endpoints().filter_map(|endpoint| endpoint.auth.login()).chain(notifiers)
    }

    fn endpoints(&self) -> impl Iterator<Item = &values::Endpoint> {
        let prometheus = self.prometheus.values().map(|target| &target.endpoint);
        let grafana = self.grafana.values().map(|target| &target.endpoint);
        let alertmanager = self.alertmanager.values().map(|target| &target.endpoint);
        let application = self.application.values().map(|target| &target.endpoint);
        prometheus.chain(grafana).chain(alertmanager).chain(application)
    }

    /// The response to an alert with these labels: the first of the file that fits, else the shipped one; nothing where
    /// there is none.
    pub fn response_for(&self, alert: &str, labels: &Labels) -> Option<Response> {
        let written = self.responses.iter().find(|response| response.is_for(alert, labels));
        written.cloned().or_else(|| self.shipped_response(alert, None))
    }

    /// The response to an alert whatever its labels, for a person who asks, on another application where one is named. A
    /// shipped one may be written in other ways: `high-cpu`.
    pub fn response_named(&self, alert: &str, application: Option<&TargetName>) -> Option<Response> {
        let fits = |response: &&Response| {
            response.alert == alert
                && application.is_none_or(|name| response.application.as_ref() == Some(name))
        };
        let canonical = shipped::canonical(alert);
        let written = self.responses.iter().find(fits).or_else(|| {
            self.responses
                .iter()
                .find(|response| Some(response.alert.as_str()) == canonical && application.is_none())
        });
        written.cloned().or_else(|| self.shipped_response(alert, application))
    }

    /// The shipped response, on the targets that are the only ones of their kind.
    fn shipped_response(&self, alert: &str, application: Option<&TargetName>) -> Option<Response> {
        let application = application.or_else(|| only(&self.application));
        let prometheus = only(&self.prometheus);
        let ground = responses::ground_of(&self.application, &self.jobs, application, prometheus);
        shipped::response(alert, &ground)
    }

    /// The job of that name.
    pub fn job(&self, name: &str) -> Option<&JobConfig> {
        self.jobs.iter().find(|job| job.name.as_str() == name)
    }
}

/// The name of the only target.
fn only<T>(targets: &BTreeMap<Name, T>) -> Option<&Name> {
    let mut names = targets.keys();
    names.next().filter(|_| names.next().is_none())
}

/// Where the schedule of each job is.
type Spans = Vec<Range<usize>>;

fn read_root(
    mut root: Section<'_, '_>,
    path: &Path,
    env: Env<'_>,
    default_zone: TimeZone,
) -> (Config, Spans) {
    let secrets = Places { env, config: path };
    let timezone = root.get("timezone").and_then(|item| job::time_zone(&item)).unwrap_or(default_zone);
    let state_dir = root.get("state_dir").and_then(|item| item.path());
    let backup_dir = root.get("backup_dir").and_then(|item| item.path());
    let reserve = root.get("reserve").and_then(|item| item.bytes());
    let max_concurrent = root.get("max_concurrent").and_then(|item| item.number(1..65)).unwrap_or(2);
    let history_keep = root.get("history_keep").and_then(|item| item.some_duration());
    let history_runs = root.get("history_runs").and_then(|item| item.number(100..100_000_001));
    let prometheus =
        target::read_all(&mut root, "prometheus", |name, section| target::prometheus(name, section, secrets));
    let grafana =
        target::read_all(&mut root, "grafana", |name, section| target::grafana(name, section, secrets));
    let alertmanager = target::read_all(&mut root, "alertmanager", |name, section| {
        target::alertmanager(name, section, secrets)
    });
    let application = target::read_all(&mut root, "application", |name, section| {
        target::application(name, section, secrets)
    });
    let metrics = metrics::read(&mut root, secrets);
    let webhook = webhook::read(&mut root, &metrics, secrets);
    let mut names = |kind| root.get(kind).and_then(|item| item.keys()).unwrap_or_default();
    let prometheus_names = names("prometheus");
    let (servers, programs) = (prometheus_names.clone(), names("application"));
    let (grafana_names, alertmanager_names) = (names("grafana"), names("alertmanager"));
    let application_names = names("application");
    let defaults = job::defaults(&mut root, env);
    let check_names = job::CheckNames {
        grafana: grafana_names,
        alertmanager: alertmanager_names.clone(),
        application: application_names,
        standard: job::standard_checks(&application, &prometheus, &grafana, &alertmanager),
        jobs: root.get("job").map(|item| item.texts_of_all("name", "keep")).unwrap_or_default(),
    };
    let rows = root.get("job").map(|item| item.rows(["kind", "name", "prometheus"])).unwrap_or_default();
    let snapshots = rows.into_iter().filter_map(|[kind, name, server]| {
        (kind.as_deref() == Some("prometheus-snapshot")).then_some((name?, server?))
    });
    let context = job::Context {
        defaults,
        zone: &timezone,
        env,
        prometheus: &prometheus,
        prometheus_names,
        names: check_names,
        applications: &application,
        snapshots: snapshots.collect(),
    };
    let names = root.get("job").map(|item| item.rows(["name"])).unwrap_or_default();
    let job_names: Vec<String> = names.into_iter().filter_map(|[name]| name).collect();
    let notifiers = notifiers::Context {
        places: secrets,
        jobs: job_names.clone(),
        alertmanagers: &alertmanager,
        alertmanager_names,
    };
    let notify =
        target::read_all(&mut root, "notify", |name, section| notifiers::read(name, section, &notifiers));
    let escalation = escalations::read_all(&mut root, &notify);
    let placed = job::read_all(&mut root, &context);
    let max_concurrent = usize::try_from(max_concurrent).unwrap_or(1);
    job::check_after(root.report, &placed);
    let (jobs, spans): (Vec<JobConfig>, Spans) =
        placed.into_iter().map(|placed| (placed.job, placed.span)).unzip();
    let responses = responses::Context {
        applications: &application,
        application_names: programs,
        prometheus_names: servers,
        job_names,
        jobs: &jobs,
    };
    let responses = responses::read_all(&mut root, &responses);
    let config = Config {
        path: path.to_owned(),
        state_dir: state_dir.unwrap_or_else(|| "/var/lib/watchkeeper".into()),
        backup_dir: backup_dir.unwrap_or_else(|| "/var/backups/watchkeeper".into()),
        reserve: reserve.unwrap_or(RESERVE),
        max_concurrent,
        history: Remembered {
            age: history_keep.unwrap_or(HISTORY_KEEP),
            runs: history_runs.unwrap_or(HISTORY_RUNS),
        },
        jobs,
        warnings: Vec::new(),
        timezone,
        prometheus,
        grafana,
        alertmanager,
        notify,
        escalation,
        responses,
        application,
        metrics,
        webhook,
    };
    check_folders(&root, &config);
    root.finish(&["web", "retention"]);
    (config, spans)
}

/// The folders must not get in each other's way.
fn check_folders(root: &Section<'_, '_>, config: &Config) {
    let Config { state_dir, backup_dir, .. } = config;
    let span = root.key_span(if root.has("backup_dir") { "backup_dir" } else { "state_dir" });
    let error = |message: String, hint: &str| root.report.error(&span, message, Some(hint.to_owned()));
    if state_dir == backup_dir {
        error("\"state_dir\" and \"backup_dir\" are the same folder".to_owned(), "each needs its own");
    } else if state_dir.starts_with(backup_dir) {
        let hint = "every folder in backup_dir is a job's; put state_dir beside it";
        error("\"state_dir\" is inside \"backup_dir\"".to_owned(), hint);
    }
    for target in config.prometheus.values() {
        if let Place::Host { data_dir: Some(data_dir), .. } = &target.place
            && backup_dir.starts_with(data_dir)
        {
            let hint = "a restore replaces that folder; put the backups elsewhere";
            error(format!("\"backup_dir\" is inside the data folder of [prometheus.{}]", target.name), hint);
        }
    }
}

/// One problem for each line that cannot be parsed.
fn syntax_problems(text: &str, errors: &[toml::de::Error]) -> Vec<Problem> {
    let problem = |error: &toml::de::Error| {
        let span: Range<usize> = error.span().unwrap_or(0..0);
        Problem::at(text, &span, error.message(), None)
    };
    // Finding the line of each reads the text from its start, and there may be as many as there are bytes.
    let mut first: Vec<&toml::de::Error> = errors.iter().collect();
    first.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    first.truncate(20 * SYNTAX_ERRORS);
    let mut problems: Vec<Problem> = first.into_iter().map(problem).collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup_by_key(|problem| problem.line);
    problems.truncate(SYNTAX_ERRORS);
    problems
}

fn text_of(path: &Path) -> Result<String, ConfigErrors> {
    read_file(path).map_err(|problem| ConfigErrors { path: path.to_owned(), problems: vec![problem] })
}

fn read_file(path: &Path) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    // A pipe could be read once, and a daemon reads it again with each SIGHUP.
    let read = regular::open_named(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    read.map_err(|error| file_problem(&error))?;
    if bytes.len() as u64 > LONGEST {
        let hint = "is it really a configuration?".to_owned();
        return Err(Problem::of_file("the file is longer than 1 MiB", Some(hint)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].split(|byte| *byte == b'\n').count();
        let hint = "save it as UTF-8".to_owned();
        Problem::of_file(
            format!("the file is not UTF-8 text: line {line} has a byte that cannot be"),
            Some(hint),
        )
    })
}

fn file_problem(error: &io::Error) -> Problem {
    let (message, hint) = match error.kind() {
        io::ErrorKind::NotFound => {
            let hint = "looked for: --config FILE, else $WATCHKEEPER_CONFIG, else ./jobs.toml, else /etc/watchkeeper/jobs.toml";
            ("there is no such file".to_owned(), Some(hint))
        }
        io::ErrorKind::PermissionDenied => {
            ("the file must not be read by this user".to_owned(), Some("check its owner and mode"))
        }
        io::ErrorKind::IsADirectory => {
            ("this is a folder, not a file".to_owned(), Some("name the file in it"))
        }
        _ => (format!("the file cannot be read: {error}"), None),
    };
    Problem::of_file(message, hint.map(str::to_owned))
}

#[cfg(test)]
mod tests;
