//! The values a configuration is made of. Each type can only hold what is right: whoever has one need not
//! check it again. This is the lowest room; everything may use it, and it uses nothing of the crate.

mod anomalies;
mod hooks;
mod subject;
mod veil;

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use url::Url;

pub use anomalies::Anomalies;
pub use hooks::{Hook, Hooks, Moment, Program};
pub use subject::Subject;
pub use veil::{Veil, VeilStream};

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a name: use 1 to 63 of a-z, 0-9 and '-', starting with a letter or digit")]
pub struct NameError {
    /// The text as it was given.
    pub text: String,
}

/// A name of a job or target: `[a-z0-9][a-z0-9-]{0,62}`, because it is also a folder, a metric label and a
/// systemd unit instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// How the name ends of the folder of what was there before restores. No job may be called so.
pub const BEFORE_RESTORE: &str = "-before-restore";

/// The name of a job.
pub type JobName = Name;
/// The name of a target.
pub type TargetName = Name;

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let starts = text.chars().next().is_some_and(ok);
        if starts && text.len() <= 63 && text.chars().all(|c| ok(c) || c == '-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError { text: text.to_owned() })
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<Path> for Name {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// A secret in memory. It shows itself to nobody: `Debug` is `[redacted]`, there is no `Display` and no serde.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: only for the request that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Auth {
    /// User and password, where it is by these.
    pub fn login(&self) -> Option<(&str, &SecretRef)> {
        match self {
            Self::Basic { user, password } => Some((user, password)),
            Self::None | Self::Token(_) => None,
        }
    }

    /// The secret in it, where there is one.
    pub fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::None => None,
            Self::Basic { password: secret, .. } | Self::Token(secret) => Some(secret),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where a secret comes from. It is read when its target is used, not before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// `{ env = "NAME" }`
    Env(String),
    /// `{ file = "/path" }`; a trailing newline is not part of the secret.
    File(PathBuf),
    /// `{ credential = "name" }`: a file in systemd's `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// `{ plain = "…" }`; warned about.
    Plain(Secret),
}

/// Where it is from, for a message; never what it is.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Credential(name) => write!(f, "the credential {name}"),
            Self::Plain(_) => f.write_str("jobs.toml itself"),
        }
    }
}

/// How a request proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// User and password.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: SecretRef,
    },
    /// `Authorization: Bearer …`
    Token(SecretRef),
}

/// A client certificate and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate chain.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// An HTTP server and how to talk to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The base URL, without user information; a path in it is a prefix of every request.
    pub url: Url,
    /// How requests prove who they are.
    pub auth: Auth,
    /// A PEM file of certificate authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A client certificate to present.
    pub client_certificate: Option<ClientCertificate>,
    /// Accept any certificate. Warned about.
    pub insecure: bool,
}

/// How a service that is not a container is stopped and started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceControl {
    /// A systemd unit: `systemctl stop UNIT`, `systemctl start UNIT`.
    Unit(String),
    /// Programs with arguments, run without a shell. Never empty.
    Commands {
        /// Stops the service; returns when it has stopped.
        stop: Vec<String>,
        /// Starts the service; may return before it is ready.
        start: Vec<String>,
    },
}

/// What a server runs as, where it is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunsAs {
    /// A Docker container, by its name.
    Container(String),
    /// Something of this host.
    Service(ServiceControl),
}

/// Where a target runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a Docker container.
    Container {
        /// Its name or ID.
        name: String,
        /// The data folder inside the container, where it was configured.
        data_dir: Option<String>,
    },
    /// On this host.
    Host {
        /// The data folder, where it was configured.
        data_dir: Option<PathBuf>,
        /// How it is stopped and started, where that was configured.
        service: Option<ServiceControl>,
    },
}

/// A Prometheus server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusTarget {
    /// Its name in `[prometheus.NAME]`.
    pub name: TargetName,
    /// Its HTTP API.
    pub endpoint: Endpoint,
    /// Where it runs and keeps its data.
    pub place: Place,
}

/// Which runs the history keeps, beside those that somebody still asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// None that began longer ago.
    pub age: Duration,
    /// Of each job not more than so many, the newest; a hundred at the least.
    pub runs: u32,
}

/// What backups to keep. Never empty: an empty policy would delete everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep(KeepRules);

/// The rules of a [`Keep`], all optional.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeepRules {
    /// The newest N.
    pub last: Option<NonZeroU32>,
    /// The newest of each of the last N hours that have one.
    pub hourly: Option<NonZeroU32>,
    /// The newest of each of the last N days that have one.
    pub daily: Option<NonZeroU32>,
    /// The newest of each of the last N ISO weeks that have one.
    pub weekly: Option<NonZeroU32>,
    /// The newest of each of the last N months that have one.
    pub monthly: Option<NonZeroU32>,
    /// The newest of each of the last N years that have one.
    pub yearly: Option<NonZeroU32>,
    /// Everything younger than this, counted from the newest good backup. Never zero.
    pub within: Option<Duration>,
}

/// A policy without any rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the retention policy is empty: it would keep nothing")]
pub struct EmptyKeep;

impl Keep {
    /// Takes the rules if there is at least one.
    pub fn new(rules: KeepRules) -> Result<Self, EmptyKeep> {
        if rules == KeepRules::default() { Err(EmptyKeep) } else { Ok(Self(rules)) }
    }

    /// The rules; at least one is there.
    pub fn rules(&self) -> &KeepRules {
        &self.0
    }
}

/// How often an attempt that failed for a passing reason is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Attempts after the first.
    pub max: u32,
    /// The wait before the second attempt; doubled for each further one.
    pub backoff: Duration,
}

/// What becomes of slots that cannot be run when they are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotRules {
    /// What is made up for, after the daemon or the machine did not run.
    pub on_missed: OnMissed,
    /// No slot older than this is made up for.
    pub max_age: Option<Duration>,
    /// What becomes of a slot that comes while the job still runs.
    pub on_overlap: OnOverlap,
    /// A run begins up to so much later than its slot, always the same for the same slot.
    pub jitter: Duration,
}

/// Which missed slots are made up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissed {
    /// None.
    Skip,
    /// The newest.
    Once,
    /// Each, the oldest first.
    All,
}

/// What becomes of a slot that comes while the job still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnOverlap {
    /// It is skipped.
    Skip,
    /// It waits until the job has ended; one that comes while another waits is skipped.
    Queue,
}

/// How a target's data folder is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Directly where that is possible, else through Docker.
    #[default]
    Auto,
    /// Through Docker.
    Docker,
    /// Directly, by its path on this host.
    Host,
}

/// What stored data are compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// gzip: every `tar -xzf` reads it.
    #[default]
    Gzip,
    /// Zstandard: about twice as fast, for a few percent more bytes.
    Zstd,
    /// Nothing: for a disk or a file system that compresses by itself.
    None,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Zstd, Self::None];

    /// How the name of an archive ends: `.tar.gz`.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".tar.gz",
            Self::Zstd => ".tar.zst",
            Self::None => ".tar",
        }
    }

    /// The codec of an archive of this name, and the name without its ending.
    pub fn split_name(name: &str) -> Option<(&str, Self)> {
        Self::ALL.into_iter().find_map(|codec| Some((name.strip_suffix(codec.suffix())?, codec)))
    }

    /// The codec of an archive of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::split_name(name).map(|(_, codec)| codec)
    }

    /// As it is written in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::None => "none",
        }
    }

    /// How hard it can compress; `None` where that means nothing.
    pub const fn levels(self) -> Option<Range<u32>> {
        match self {
            Self::Gzip => Some(1..10),
            Self::Zstd => Some(1..20),
            Self::None => None,
        }
    }

    /// How hard it compresses unless told. For gzip: the fastest that makes real blocks at most 3 % larger than
    /// `gzip -6` does.
    pub const fn default_level(self) -> u32 {
        match self {
            Self::Gzip | Self::Zstd => 3,
            Self::None => 0,
        }
    }
}

/// How stored data are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Compression {
    /// With what.
    pub codec: Codec,
    /// How hard: 1 to 9 for gzip, 1 to 19 for Zstandard; without a meaning for [`Codec::None`].
    pub level: u32,
}

impl From<Codec> for Compression {
    /// As hard as it does unless told.
    fn from(codec: Codec) -> Self {
        Self { codec, level: codec.default_level() }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Codec::default().into()
    }
}

/// How the backups of a Prometheus are laid out in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotLayout {
    /// Each block is stored once, and shared by the backups that hold it.
    Blocks,
    /// One archive per backup.
    Archive,
}

/// The layout of a job that does not say.
pub const DEFAULT_LAYOUT: SnapshotLayout = SnapshotLayout::Blocks;
