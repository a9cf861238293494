//! Why a configuration was not changed, and whether the old one is in force.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use super::edit::EditError;
use super::facts::TooPatient;
use super::interval::IntervalError;
use super::yaml::YamlError;
use crate::docker::DockerError;
use crate::prometheus::client::ClientError;
use crate::rights;
use crate::service::ServiceError;
use crate::state_dir::StateDirError;
use crate::words;

/// A configuration of Prometheus was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The server did not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The Docker engine could not do it.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The service could not be told to load its configuration.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The note of what is done could not be written.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The server does not tell its flags' `config.file`.
    #[error("Prometheus {target} does not say where its configuration is")]
    Nowhere {
        /// The target.
        target: String,
    },
    /// A file could not be read, written or removed.
    #[error("Cannot {doing} {path}")]
    File {
        /// Completes "Cannot …".
        doing: &'static str,
        /// Where it is, as a person finds it.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such file.
    #[error("There is no {path}")]
    NoFile {
        /// Where it should be.
        path: String,
    },
    /// It is no YAML, or no text.
    #[error("{path} is no YAML: {source}")]
    Yaml {
        /// The file.
        path: String,
        /// What is wrong, and where.
        source: YamlError,
    },
    /// The value cannot be changed in the text.
    #[error("{path} is not changed: {source}")]
    Edit {
        /// The file.
        path: String,
        /// Why.
        source: EditError,
    },
    /// A length of time that Prometheus does not know.
    #[error("{0}")]
    Interval(#[from] IntervalError),
    /// An interval of no length.
    #[error("A scrape_interval of 0 means none to Prometheus: it would take its default")]
    Zero,
    /// A timeout would be above its interval.
    #[error("Prometheus would refuse it: {0}")]
    TooPatient(TooPatient),
    /// A file of rules brings a rule or group a second time.
    #[error("{path} is not taken: {}", found.join("; "))]
    Duplicates {
        /// The file.
        path: String,
        /// Each in words.
        found: Vec<String>,
    },
    /// A file has no rules in it.
    #[error("{path} has no groups of rules in it")]
    NoRules {
        /// The file.
        path: String,
    },
    /// No pattern of `rule_files` would load the file.
    #[error("No rule_files of {config} would load a file called {name}: {}", if patterns.is_empty() { "it has none".to_owned() } else { patterns.join(", ") })]
    NotCovered {
        /// The configuration.
        config: String,
        /// The name of the file.
        name: String,
        /// What `rule_files` says.
        patterns: Vec<String>,
    },
    /// The folder that a pattern names is not there.
    #[error("There is no folder {folder}, which rule_files of {config} names")]
    NoFolder {
        /// The folder, as a person finds it.
        folder: String,
        /// The configuration.
        config: String,
    },
    /// Something else that is loaded with it is wrong.
    #[error("Prometheus would not load its configuration as it is on disk now: {said}")]
    StandsBroken {
        /// promtool's own words.
        said: String,
    },
    /// promtool says that it is wrong.
    #[error("promtool refuses it: {said}")]
    Promtool {
        /// Its own words.
        said: String,
    },
    /// The server did not load it.
    #[error("Prometheus refuses to load it: {said}")]
    Refused {
        /// Its own words.
        said: String,
    },
    /// The server cannot be told to load its configuration again.
    #[error(
        "Prometheus {target} cannot be told to load its configuration: it runs without --web.enable-lifecycle, and nothing says how it is sent a SIGHUP"
    )]
    NoReload {
        /// The target.
        target: String,
    },
    /// The server was told to load its configuration, and did not.
    #[error("Prometheus was told to load its configuration, and has not done so after {seconds} s")]
    NotReloaded {
        /// How long it was waited for.
        seconds: u64,
    },
    /// What the server has loaded is not what was written.
    #[error("Prometheus has not loaded what was written: {what}")]
    NotProven {
        /// What it has instead.
        what: String,
    },
    /// A container sees another file than the one that is at the source of its mount.
    #[error("Container {container} sees another {path} than {}, which is mounted there", here.display())]
    StaleMount {
        /// The container.
        container: String,
        /// The path in it.
        path: String,
        /// The path on this host.
        here: PathBuf,
    },
    /// A single file is mounted into a container, and its source is not on this host.
    #[error("{path} of container {container} is mounted by itself, and its source {} cannot be written from here", here.display())]
    MountedAlone {
        /// The container.
        container: String,
        /// The path in it.
        path: String,
        /// The path on the engine's machine.
        here: PathBuf,
    },
    /// What was written is not what the server would read.
    #[error("{path} was written, and {seen} does not read as it was written")]
    NotSeen {
        /// Where it was written.
        path: String,
        /// What the server reads.
        seen: String,
    },
    /// Somebody else has changed it between the look and the change.
    #[error("{path} was changed since it was looked at")]
    Meanwhile {
        /// The file.
        path: String,
    },
    /// An earlier change was cut, and is to be settled first.
    #[error("A change was cut, {what}, begun {began}: it has to be taken back first")]
    Unfinished {
        /// What it was to do.
        what: String,
        /// When it began.
        began: Timestamp,
    },
    /// An earlier change was cut, and the file was changed by somebody since.
    #[error("A change of {path} was cut, {what}, and the file has been changed by somebody since")]
    Edited {
        /// The file.
        path: String,
        /// What it was to do.
        what: String,
        /// What is known of the old file, in words.
        old: String,
        /// The way out, in words.
        out: String,
    },
    /// The note of an earlier change cannot be read.
    #[error("The note of a change that was cut, {}, cannot be read: {problem}", path.display())]
    BadNote {
        /// The note.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// The target.
        target: String,
    },
    /// Somebody has asked to end it.
    #[error("Interrupted before it was done")]
    Cancelled,
    /// It could not be written, and nothing was.
    #[error("{}; nothing was written, and Prometheus was not told to load anything", words::chain(&**cause))]
    Untouched {
        /// Why it failed.
        cause: Box<ChangeError>,
    },
    /// It failed, and all is as it was before.
    #[error("{}; the old configuration is back: {how}", words::chain(&**cause))]
    TakenBack {
        /// Why it failed.
        cause: Box<ChangeError>,
        /// How that was seen, in words.
        how: String,
    },
    /// It failed, the old file is back, and the server does not say whether it runs with it.
    #[error("{}; the old file is back, but nobody has seen that Prometheus runs with it: {}; {old}", words::chain(&**cause), words::chain(&**undo))]
    Unproven {
        /// Why it failed.
        cause: Box<ChangeError>,
        /// Why it could not be seen.
        undo: Box<ChangeError>,
        /// What is known of the old file, in words.
        old: String,
        /// The way out, in words.
        out: String,
    },
    /// It failed, and the old configuration is not in force.
    #[error("{}; the old configuration is NOT back: {}; {old}", words::chain(&**cause), words::chain(&**undo))]
    NotBack {
        /// Why it failed.
        cause: Box<ChangeError>,
        /// Why it could not be taken back.
        undo: Box<ChangeError>,
        /// What is known of the old file, in words.
        old: String,
        /// The way out, in words.
        out: String,
    },
}

impl ChangeError {
    /// The old configuration is not in force, or nobody can tell.
    pub const fn not_back(&self) -> bool {
        matches!(self, Self::NotBack { .. } | Self::Unproven { .. })
    }

    /// Nothing was begun: something else is to be looked at first.
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Unfinished { .. } | Self::Meanwhile { .. } | Self::Edited { .. } | Self::BadNote { .. }
        )
    }

    /// Somebody has asked to end it.
    pub fn is_interruption(&self) -> bool {
        match self {
            Self::Cancelled => true,
            Self::TakenBack { cause, .. } | Self::Untouched { cause } => cause.is_interruption(),
            _ => false,
        }
    }

    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Client(error) => error.is_transient(),
            Self::Docker(error) => error.is_transient(),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Client(error) => return error.hint(),
            Self::Docker(error) => return error.hint(),
            Self::Service(error) => return error.hint(),
            Self::StateDir(error) => return error.hint(),
            Self::Edit { source, .. } => return source.hint(),
            Self::TakenBack { cause, .. } | Self::Untouched { cause } => return cause.hint(),
            Self::File { path, source, .. } => return rights::hint(source, path),
            Self::Nowhere { .. } => "is its url in jobs.toml that of Prometheus itself?".to_owned(),
            Self::TooPatient(found) => format!("lower that scrape_timeout first, or take {} or more", found.timeout),
            Self::Duplicates { .. } => "promtool only warns of that; rename one of them, or take it out".to_owned(),
            Self::NoRules { .. } => "a file of rules begins with `groups:`".to_owned(),
            Self::NotCovered { .. } => {
                "name the file so that one of them fits (--name NAME), or add a pattern to rule_files with \
                 `watchkeeper change prometheus-config FILE`"
                    .to_owned()
            }
            Self::NoReload { .. } => {
                "start Prometheus with --web.enable-lifecycle, or name its unit in jobs.toml: service = { unit = \"prometheus.service\" }"
                    .to_owned()
            }
            Self::NoFolder { folder, .. } => format!("make it, such as with `mkdir -p {folder}`, or take another --name"),
            Self::StandsBroken { .. } => {
                "somebody has edited it since it was loaded: mend that first, for all of it is loaded at once".to_owned()
            }
            Self::NotReloaded { .. } => {
                "is Prometheus the first process of its container? a shell that has started it keeps a SIGHUP for itself: start it \
                 with `exec`, or with --web.enable-lifecycle"
                    .to_owned()
            }
            Self::Refused { .. } => "its own log says more".to_owned(),
            Self::StaleMount { container, .. } => format!(
                "a file was renamed over the mounted one, as editors do: the container keeps the old one until it is \
                 made anew; `docker restart {container}` has it see what is there now"
            ),
            Self::MountedAlone { .. } => {
                "run this where the engine runs and as a user who may write there, or mount its folder instead".to_owned()
            }
            Self::NotProven { .. } => {
                "does it read this file? where one is mounted into a container by itself and another was renamed over it, \
                 the container keeps the old one: `docker restart` has it see the new one"
                    .to_owned()
            }
            Self::Meanwhile { .. } => "look at it, and do it again".to_owned(),
            Self::Unfinished { .. } => "say --yes, or answer the question: it is taken back first".to_owned(),
            Self::Edited { old, out, .. } => format!("{old}: compare the two; {out}"),
            Self::BadNote { target, .. } => format!(
                "look whether Prometheus has loaded the configuration that it should; then \
                 `watchkeeper change take-back --prometheus {target} --keep` forgets the change"
            ),
            Self::NotBack { out, .. } | Self::Unproven { out, .. } => out.clone(),
            _ => return None,
        })
    }
}
