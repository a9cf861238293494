//! The jobs of a configuration.

mod after;
mod cleanup;
mod command;
mod deployment;
mod files;
mod grafana;
mod hooks;
mod sqlite;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::read::{Item, Section, nearest};
use super::secret::Env;
use super::target::ApplicationTarget;
use super::values::{
    Access, Anomalies, BEFORE_RESTORE, Codec, Compression, DEFAULT_LAYOUT, Hooks, JobName, Keep, KeepRules,
    Name, OnMissed, OnOverlap, PrometheusTarget, Retries, SlotRules, SnapshotLayout, Subject, TargetName,
};
use crate::schedule::{Schedule, ScheduleError};

pub(super) use after::check as check_after;
pub use after::{After, AfterOutcome};
pub use cleanup::{CleanupConfig, RequireBackup};
pub use command::CommandConfig;
pub(super) use command::program_of;
pub use deployment::DeploymentConfig;
pub(super) use deployment::free;
pub(super) use deployment::{Names as CheckNames, standard as standard_checks};
pub use files::FilesConfig;
pub use grafana::GrafanaConfig;
pub(super) use sqlite::session_keys;
pub use sqlite::{DatabaseRef, SqliteConfig, StaleConfig};

const DAY: Duration = Duration::from_hours(24);

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobConfig {
    /// Its name; no other job has it.
    pub name: JobName,
    /// What it does.
    pub kind: JobKind,
    /// When it runs by itself, if it does.
    pub schedule: Option<Schedule>,
    /// The jobs after which it runs by itself, if it does. A job has a schedule, or this, or neither.
    pub after: Option<After>,
    /// Whether it runs on its schedule. It can be run by hand in any case.
    pub enabled: bool,
    /// How long one attempt may take. Never zero.
    pub timeout: Duration,
    /// How often an attempt that failed for a passing reason is made again.
    pub retries: Retries,
    /// What becomes of slots that cannot be run when they are due.
    pub slots: SlotRules,
    /// What is run around each of its runs.
    pub hooks: Hooks,
    /// What of a run is unusual.
    pub anomalies: Anomalies,
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobKind {
    /// Backs up a Prometheus server by a snapshot of its data.
    PrometheusSnapshot(SnapshotConfig),
    /// Exports a Grafana over its API.
    GrafanaExport(GrafanaConfig),
    /// Backs up named files and folders.
    FilesBackup(FilesConfig),
    /// Looks whether what was deployed works.
    VerifyDeployment(DeploymentConfig),
    /// Runs a program.
    Command(CommandConfig),
    /// Backs up a SQLite database.
    SqliteBackup(SqliteConfig),
    /// Closes sessions that nobody has closed.
    CloseStaleSessions(StaleConfig),
    /// Deletes old blocks of a Prometheus server that a backup holds.
    BlockCleanup(CleanupConfig),
}

impl JobKind {
    /// The Prometheus server it is about, where it is about one.
    pub fn prometheus(&self) -> Option<&TargetName> {
        match self {
            Self::PrometheusSnapshot(config) => Some(&config.prometheus),
            Self::BlockCleanup(config) => Some(&config.prometheus),
            _ => None,
        }
    }

    /// Which backups it keeps, and within which time it reads their files again; nothing where it makes none.
    pub fn keeping(&self) -> Option<(&Keep, Duration)> {
        match self {
            Self::PrometheusSnapshot(config) => Some((&config.keep, config.verify_within)),
            Self::GrafanaExport(config) => Some((&config.keep, config.verify_within)),
            Self::FilesBackup(config) => Some((&config.keep, config.verify_within)),
            Self::SqliteBackup(config) => Some((&config.keep, config.verify_within)),
            Self::CloseStaleSessions(config) => Some((&config.backup.keep, config.backup.verify_within)),
            Self::VerifyDeployment(_) | Self::Command(_) | Self::BlockCleanup(_) => None,
        }
    }

    /// The name of the target that it is about, where it is about one.
    pub fn target(&self) -> Option<&TargetName> {
        match self {
            Self::PrometheusSnapshot(_) | Self::BlockCleanup(_) => self.prometheus(),
            Self::GrafanaExport(config) => Some(&config.grafana),
            Self::SqliteBackup(config) => config.database.application(),
            Self::CloseStaleSessions(config) => config.backup.database.application(),
            Self::FilesBackup(_) | Self::VerifyDeployment(_) | Self::Command(_) => None,
        }
    }

    /// What its backups are backups of; nothing where it makes none.
    pub fn subject(&self) -> Option<Subject> {
        let kind = self.kind_of_backup()?;
        Some(match (self.target(), self) {
            (Some(target), _) => Subject::target(kind, target.as_str()),
            (None, Self::FilesBackup(files)) => {
                Subject::paths(kind, files.container.as_deref(), files.paths.clone())
            }
            (
                None,
                Self::SqliteBackup(config) | Self::CloseStaleSessions(StaleConfig { backup: config, .. }),
            ) => {
                let path = config.database.path().map(|path| path.display().to_string());
                Subject::paths(kind, None, path.into_iter().collect())
            }
            (None, _) => return None,
        })
    }

    /// The kind that stands in the manifests of its backups.
    fn kind_of_backup(&self) -> Option<&'static str> {
        match self {
            // A backup of the database, before anything is changed in it.
            Self::CloseStaleSessions(_) => Some("sqlite-backup"),
            _ => self.keeping().map(|_| self.kind_name()),
        }
    }

    /// What is said of a `prometheus-snapshot`, where it is one.
    pub fn snapshot(&self) -> Option<&SnapshotConfig> {
        match self {
            Self::PrometheusSnapshot(config) => Some(config),
            _ => None,
        }
    }

    /// Within which time every backup is verified again, where it makes backups. Never zero.
    pub fn verify_within(&self) -> Option<Duration> {
        match self {
            Self::PrometheusSnapshot(config) => Some(config.verify_within),
            Self::GrafanaExport(config) => Some(config.verify_within),
            Self::FilesBackup(config) => Some(config.verify_within),
            Self::SqliteBackup(config) => Some(config.verify_within),
            Self::CloseStaleSessions(config) => Some(config.backup.verify_within),
            Self::VerifyDeployment(_) | Self::Command(_) | Self::BlockCleanup(_) => None,
        }
    }

    /// The kind as it is written in the file.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::PrometheusSnapshot(_) => "prometheus-snapshot",
            Self::GrafanaExport(_) => "grafana-export",
            Self::FilesBackup(_) => "files-backup",
            Self::VerifyDeployment(_) => "verify-deployment",
            Self::Command(_) => "command",
            Self::SqliteBackup(_) => "sqlite-backup",
            Self::CloseStaleSessions(_) => "close-stale-sessions",
            Self::BlockCleanup(_) => "block-cleanup",
        }
    }
}

/// The options of a `prometheus-snapshot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// The server; the configuration has it.
    pub prometheus: TargetName,
    /// What backups to keep.
    pub keep: Keep,
    /// Leave out the newest data, which is not in a block yet.
    pub skip_head: bool,
    /// How the data is read.
    pub access: Access,
    /// How the backups lie in the store.
    pub layout: SnapshotLayout,
    /// How they are compressed.
    pub compression: Compression,
    /// Every backup is verified again within this time. Never zero.
    pub verify_within: Duration,
    /// The run fails when no data came for this long. Never zero.
    pub idle_timeout: Duration,
}

/// What jobs have where they do not say otherwise.
pub(super) struct Defaults {
    timeout: Duration,
    retries: Retries,
    slots: SlotRules,
    hooks: Hooks,
    anomalies: Anomalies,
}

/// What a job is read against.
pub(super) struct Context<'a> {
    pub(super) defaults: Defaults,
    pub(super) zone: &'a TimeZone,
    /// Only asked where programs are.
    pub(super) env: Env<'a>,
    pub(super) prometheus: &'a BTreeMap<Name, PrometheusTarget>,
    /// The names of all `[prometheus.NAME]`, also of those that are wrong.
    pub(super) prometheus_names: Vec<String>,
    /// What else a check can name.
    pub(super) names: CheckNames,
    pub(super) applications: &'a BTreeMap<Name, ApplicationTarget>,
    /// The `prometheus-snapshot` jobs: their names, and those of their servers.
    pub(super) snapshots: Vec<(String, String)>,
}

/// A job and where it stands.
pub(super) struct Placed {
    pub(super) job: JobConfig,
    pub(super) span: Range<usize>,
}

pub(super) fn defaults(root: &mut Section<'_, '_>, env: Env<'_>) -> Defaults {
    let standard = Defaults {
        timeout: Duration::from_hours(1),
        retries: Retries { max: 2, backoff: Duration::from_secs(30) },
        slots: SlotRules {
            on_missed: OnMissed::Once,
            max_age: None,
            on_overlap: OnOverlap::Skip,
            jitter: Duration::ZERO,
        },
        hooks: Hooks::default(),
        anomalies: Anomalies::STANDARD,
    };
    let Some(mut section) = root.get("defaults").and_then(|item| item.section("[defaults]".to_owned()))
    else {
        return standard;
    };
    let defaults = common(&mut section, &standard, env);
    section.finish(&[]);
    defaults
}

/// The keys that a job and `[defaults]` share.
fn common(section: &mut Section<'_, '_>, otherwise: &Defaults, env: Env<'_>) -> Defaults {
    let timeout = section.get("timeout").and_then(|item| item.some_duration());
    let retries = section.get("retries").and_then(|item| retries(&item, otherwise.retries));
    Defaults {
        timeout: timeout.unwrap_or(otherwise.timeout),
        retries: retries.unwrap_or(otherwise.retries),
        slots: slot_rules(section, otherwise.slots),
        hooks: hooks::hooks(section, &otherwise.hooks, env),
        anomalies: anomalies(section, otherwise.anomalies),
    }
}

fn anomalies(section: &mut Section<'_, '_>, otherwise: Anomalies) -> Anomalies {
    let read = |item: Item<'_, '_>| {
        let mut section = item.section("\"anomalies\"".to_owned())?;
        let longer = section.get("longer").and_then(|item| {
            let longer = item.number(0..1_000_001)?;
            let hint = "it is per cent of how long runs usually take, such as 400; 0 means however long";
            if (1..=100).contains(&longer) {
                item.error("longer must be more than 100".to_owned(), Some(hint.to_owned()));
            }
            Some(longer)
        });
        let shorter = section.get("shorter").and_then(|item| item.number(0..100));
        let smaller = section.get("smaller").and_then(|item| item.number(1..100));
        section.finish(&[]);
        Some(Anomalies {
            longer: longer.unwrap_or(otherwise.longer),
            shorter: shorter.unwrap_or(otherwise.shorter),
            smaller: smaller.unwrap_or(otherwise.smaller),
        })
    };
    section.get("anomalies").and_then(read).unwrap_or(otherwise)
}

fn slot_rules(section: &mut Section<'_, '_>, otherwise: SlotRules) -> SlotRules {
    let missed = [("skip", OnMissed::Skip), ("once", OnMissed::Once), ("all", OnMissed::All)];
    let overlap = [("skip", OnOverlap::Skip), ("queue", OnOverlap::Queue)];
    let on_missed = section.get("on_missed").and_then(|item| choice(&item, &missed));
    let max_age = section.get("max_age").and_then(|item| item.some_duration());
    let on_overlap = section.get("on_overlap").and_then(|item| choice(&item, &overlap));
    let jitter = section.get("jitter").and_then(|item| item.duration());
    SlotRules {
        on_missed: on_missed.unwrap_or(otherwise.on_missed),
        max_age: max_age.or(otherwise.max_age),
        on_overlap: on_overlap.unwrap_or(otherwise.on_overlap),
        jitter: jitter.unwrap_or(otherwise.jitter),
    }
}

/// Keys of a job that mean nothing beside its others.
fn idle_rules(section: &mut Section<'_, '_>, rules: SlotRules) {
    let runs_by_itself = section.has("schedule") || section.has("after");
    if let Some(item) = section.get("jitter").filter(|_| !runs_by_itself) {
        let hint = "it runs only by `watchkeeper run-now`, and at once; give it a schedule, or remove jitter";
        item.warn("\"jitter\" means nothing without \"schedule\" or \"after\"", Some(hint.to_owned()));
    }
    if let Some(item) = section.get("max_age").filter(|_| rules.on_missed == OnMissed::Skip) {
        let hint = "no missed slot is made up for, however young; write on_missed = \"once\" or \"all\", or remove max_age";
        item.warn("\"max_age\" means nothing with on_missed = \"skip\"", Some(hint.to_owned()));
    }
}

fn retries(item: &Item<'_, '_>, otherwise: Retries) -> Option<Retries> {
    let mut section = item.section("\"retries\"".to_owned())?;
    let max = section.get("max").and_then(|item| item.number(0..101));
    let backoff = section.get("backoff").and_then(|item| item.duration());
    section.finish(&[]);
    Some(Retries { max: max.unwrap_or(otherwise.max), backoff: backoff.unwrap_or(otherwise.backoff) })
}

/// Reads every `[[job]]`.
pub(super) fn read_all(root: &mut Section<'_, '_>, context: &Context<'_>) -> Vec<Placed> {
    let Some(elements) = root.get("job").and_then(|item| item.elements("written as [[job]]")) else {
        return Vec::new();
    };
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut jobs = Vec::new();
    for (index, mut item) in elements.into_iter().enumerate() {
        item.what = String::from("each [[job]]");
        let Some(section) = item.section(format!("job {}", index + 1)) else { continue };
        jobs.extend(read(section, context, &mut names));
    }
    jobs
}

fn read(
    mut section: Section<'_, '_>,
    context: &Context<'_>,
    names: &mut BTreeMap<String, usize>,
) -> Option<Placed> {
    let name_item = section.require("name", "\"prometheus-snapshot\"");
    let name = name_item.as_ref().and_then(Item::name);
    if let (Some(item), Some(name)) = (&name_item, &name) {
        section.name = format!("job \"{name}\"");
        if let Some(of) = name.as_str().strip_suffix(BEFORE_RESTORE) {
            let hint = format!(
                "restores of the job {of:?} keep there what was there before them; choose another name"
            );
            item.error(format!("a job cannot be called {:?}", name.as_str()), Some(hint));
        }
        *names.entry(name.to_string()).or_default() += 1;
        if names[name.as_str()] > 1 {
            item.error(
                format!("there is another job {:?}", name.as_str()),
                Some("each needs its own name".to_owned()),
            );
        }
    }
    if let (Some(item), Some(name)) = (&name_item, name.as_ref().filter(|name| is_of_an_incident(name))) {
        let message = format!("{:?} is the name of a message about an incident", name.as_str());
        item.error(message, Some("give the job another name".to_owned()));
    }
    let schedule = schedule(&mut section, context.zone, name.as_ref());
    let after = after::after(&mut section);
    let enabled = section.get("enabled").and_then(|item| item.boolean()).unwrap_or(true);
    let common = common(&mut section, &context.defaults, context.env);
    let span = section.key_span(if section.has("after") { "after" } else { "schedule" });
    let says_retries = section.has("retries");
    idle_rules(&mut section, common.slots);
    let kind = kind(section, context)?;
    let Defaults { timeout, mut retries, slots, hooks, anomalies } = common;
    // What a program did before it failed nobody knows here: it is run again only where that was asked for.
    if matches!(kind, JobKind::Command(_)) && !says_retries {
        retries.max = 0;
    }
    let name = name?;
    let job = JobConfig { name, kind, schedule, after, enabled, timeout, retries, slots, hooks, anomalies };
    Some(Placed { job, span })
}

fn schedule(section: &mut Section<'_, '_>, zone: &TimeZone, name: Option<&JobName>) -> Option<Schedule> {
    let own_zone = section.get("timezone").and_then(|item| time_zone(&item));
    let item = section.get("schedule")?;
    let text = item.text()?;
    // A job whose name is wrong is read to the end, so that all that is wrong with it is told.
    let name = name.map_or("", JobName::as_str);
    let schedule = Schedule::parse(text, own_zone.as_ref().unwrap_or(zone), name);
    let hint = match &schedule {
        Err(ScheduleError::Interval { .. } | ScheduleError::NoInterval) => "such as \"@every 6h\"",
        _ => "such as \"0 2 * * *\", every day at 02:00",
    }
    .to_owned();
    schedule.inspect_err(|error| item.error(format!("{text:?} is no schedule: {error}"), Some(hint))).ok()
}

/// A zone of the time zone database.
pub(super) fn time_zone(item: &Item<'_, '_>) -> Option<TimeZone> {
    let text = item.text()?;
    if let Ok(zone) = TimeZone::get(text) {
        return Some(zone);
    }
    let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let hint = match nearest(text, known.iter().map(String::as_str)) {
        _ if known.is_empty() => "no time zone database was found: install tzdata".to_owned(),
        Some(near) => format!("did you mean {near:?}?"),
        None => "such as \"Europe/Berlin\" or \"UTC\"".to_owned(),
    };
    item.error(format!("unknown time zone {text:?}"), Some(hint));
    None
}

/// Reads the rest of the job, which depends on its kind.
fn kind(mut section: Section<'_, '_>, context: &Context<'_>) -> Option<JobKind> {
    let item = section.require("kind", "\"prometheus-snapshot\"")?;
    match item.text()? {
        "prometheus-snapshot" => snapshot(section, context).map(JobKind::PrometheusSnapshot),
        "grafana-export" => grafana::grafana(section, context).map(JobKind::GrafanaExport),
        "files-backup" => files::files(section).map(JobKind::FilesBackup),
        "verify-deployment" => deployment::deployment(section, context).map(JobKind::VerifyDeployment),
        "command" => command::command(section).map(JobKind::Command),
        "sqlite-backup" => sqlite::backup(section, context).map(JobKind::SqliteBackup),
        "close-stale-sessions" => sqlite::stale(section, context).map(JobKind::CloseStaleSessions),
        "block-cleanup" => cleanup::cleanup(section, context).map(JobKind::BlockCleanup),
        unknown => {
            let kinds = [
                "prometheus-snapshot",
                "grafana-export",
                "files-backup",
                "verify-deployment",
                "command",
                "sqlite-backup",
                "close-stale-sessions",
                "block-cleanup",
            ];
            let near = nearest(unknown, kinds.into_iter()).unwrap_or("prometheus-snapshot");
            item.error(format!("unknown kind {unknown:?}"), Some(format!("did you mean \"{near}\"?")));
            None
        }
    }
}

fn snapshot(mut section: Section<'_, '_>, context: &Context<'_>) -> Option<SnapshotConfig> {
    let prometheus = section.require("prometheus", "\"main\"").and_then(|item| target(&item, context));
    let keep = section.require("keep", "{ last = 7 }").and_then(|item| keep(&item));
    let layouts = [("blocks", SnapshotLayout::Blocks), ("archive", SnapshotLayout::Archive)];
    let layout = section.get("layout").and_then(|item| choice(&item, &layouts));
    let skip_head = section.get("skip_head").and_then(|item| item.boolean());
    let choices = [("auto", Access::Auto), ("docker", Access::Docker), ("host", Access::Host)];
    let access_item = section.get("access");
    let access = access_item.as_ref().and_then(|item| choice(item, &choices)).unwrap_or_default();
    let compression = compression(&mut section);
    let verify_within = section.get("verify_within").and_then(|item| item.some_duration());
    let idle_timeout = section.get("idle_timeout").and_then(|item| item.some_duration());
    section.finish(&[]);
    let prometheus = prometheus?;
    check_access(access, access_item.as_ref(), &prometheus, context);
    Some(SnapshotConfig {
        prometheus,
        keep: keep?,
        skip_head: skip_head.unwrap_or_default(),
        access,
        layout: layout.unwrap_or(DEFAULT_LAYOUT),
        compression,
        verify_within: verify_within.unwrap_or(30 * DAY),
        idle_timeout: idle_timeout.unwrap_or(Duration::from_mins(5)),
    })
}

/// The codec, and its level: what a level may be depends on the codec.
fn compression(section: &mut Section<'_, '_>) -> Compression {
    let codecs = Codec::ALL.map(|codec| (codec.name(), codec));
    let codec = match section.get("compression") {
        Some(item) => choice(&item, &codecs),
        None => Some(Codec::default()),
    };
    let item = section.get("level");
    // Where the codec is wrong nobody can tell what its level may be.
    let Some(codec) = codec else { return Compression::default() };
    let level = item.and_then(|item| level(item, codec));
    Compression { codec, level: level.unwrap_or(codec.default_level()) }
}

fn level(mut item: Item<'_, '_>, codec: Codec) -> Option<u32> {
    let Some(levels) = codec.levels() else {
        let message = format!("\"level\" means nothing with compression = {:?}", codec.name());
        item.error(message, Some("remove it".to_owned()));
        return None;
    };
    item.what = format!("the \"level\" of {}", codec.name());
    item.number(levels)
}

/// Docker cannot reach into what is not a container.
fn check_access(access: Access, item: Option<&Item<'_, '_>>, target: &Name, context: &Context<'_>) {
    let place = context.prometheus.get(target).map(|target| &target.place);
    if let (Access::Docker, Some(item), Some(super::values::Place::Host { .. })) = (access, item, place) {
        let message = format!("[prometheus.{target}] is no container, so Docker cannot read its data");
        item.error(message, Some("remove \"access\", or give the target its \"container\"".to_owned()));
    }
}

fn target(item: &Item<'_, '_>, context: &Context<'_>) -> Option<TargetName> {
    let text = item.text()?;
    let names = &context.prometheus_names;
    if names.iter().any(|name| name == text) {
        return text.parse().ok();
    }
    let hint = match nearest(text, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if names.is_empty() => "add a [prometheus.main] with its url".to_owned(),
        None => format!("there is {}", names.join(", ")),
    };
    item.error(format!("there is no [prometheus.{text}]"), Some(hint));
    None
}

/// By such a name a message about an incident is known until it is delivered: `incident-12-1`.
fn is_of_an_incident(name: &Name) -> bool {
    let numbers = name.as_str().strip_prefix("incident-").and_then(|rest| rest.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    numbers.is_some_and(|(incident, nth)| is_number(incident) && is_number(nth))
}

pub(super) fn choice<T: Copy>(item: &Item<'_, '_>, choices: &[(&str, T)]) -> Option<T> {
    let text = item.text()?;
    if let Some((_, chosen)) = choices.iter().find(|(name, _)| *name == text) {
        return Some(*chosen);
    }
    let names: Vec<String> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
    item.error(format!("{} cannot be {text:?}", item.what), Some(format!("write {}", names.join(" or "))));
    None
}

fn keep(item: &Item<'_, '_>) -> Option<Keep> {
    let mut section = item.section("\"keep\"".to_owned())?;
    let is_empty = section.entries().next().is_none();
    let mut count = |key| {
        let number = section.get(key).and_then(|item| item.number(1..1_000_001));
        number.and_then(NonZeroU32::new)
    };
    let (last, hourly, daily) = (count("last"), count("hourly"), count("daily"));
    let (weekly, monthly, yearly) = (count("weekly"), count("monthly"), count("yearly"));
    let within = section.get("within").and_then(|item| item.some_duration());
    if is_empty {
        let hint = "write for instance { last = 7 }".to_owned();
        section.error("\"keep\" is empty: it would keep nothing", Some(hint));
    }
    section.finish(&[]);
    // An empty policy that is not an empty table has been reported for what is wrong in it.
    Keep::new(KeepRules { last, hourly, daily, weekly, monthly, yearly, within }).ok()
}
