//! Who is told of what, and by which channel, as pure values. Every job and target named here is in the configuration.

mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

pub use template::{Field, Template, TemplateError};

use super::values::{Auth, Endpoint, JobName, Name, Secret, SecretRef};

/// Something that somebody may want to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A run failed, was cut off at its timeout or interrupted, or a restore was, or a backup turned out to be bad.
    Failed,
    /// A run was done, but needs a look.
    Warned,
    /// A run goes on for far longer than it ever did.
    TooLong,
    /// A slot did not run, and will not.
    Missed,
    /// What is due has not begun.
    Overdue,
    /// It is well again.
    Recovered,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Failed, Self::Warned, Self::TooLong, Self::Missed, Self::Overdue, Self::Recovered];

    /// As it is written in the configuration and in what programs read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Warned => "warned",
            Self::TooLong => "too-long",
            Self::Missed => "missed",
            Self::Overdue => "overdue",
            Self::Recovered => "recovered",
        }
    }

    /// How urgent it is, to an Alertmanager and to the generated rules of a Prometheus.
    pub const fn severity(self) -> &'static str {
        match self {
            Self::Failed | Self::Overdue => "critical",
            Self::TooLong | Self::Missed | Self::Warned => "warning",
            Self::Recovered => "info",
        }
    }

    /// As it begins a message.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            Self::Warned => "WARNED",
            Self::TooLong => "RUNS TOO LONG",
            Self::Missed | Self::Overdue => "DID NOT START",
            Self::Recovered => "RECOVERED",
        }
    }
}

/// One `[notify.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifier {
    /// Its name.
    pub name: Name,
    /// What it tells of. Never empty.
    pub on: BTreeSet<Event>,
    /// The jobs that it tells of; nothing: all of them.
    pub jobs: Option<BTreeSet<JobName>>,
    /// How often.
    pub rhythm: Rhythm,
    /// How.
    pub channel: Channel,
}

impl Notifier {
    /// Whether it tells of this job.
    pub fn is_for(&self, job: &JobName) -> bool {
        self.jobs.as_ref().is_none_or(|jobs| jobs.contains(job))
    }

    /// Every secret that it names.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        self.channel.secrets()
    }
}

/// How often one is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// Told again after so long, while it stays bad; nothing: never.
    pub remind: Option<Duration>,
    /// At most one message for each job within this.
    pub cooldown: Duration,
}

/// By what somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// A POST to any URL.
    Webhook(Webhook),
    /// An incoming webhook of Slack.
    Slack(Web),
    /// ntfy.
    Ntfy(Ntfy),
    /// Mail, handed to an SMTP server.
    Email(Box<Email>),
    /// Pings of healthchecks.io.
    Healthchecks(Healthchecks),
    /// Alerts for an Alertmanager.
    Alertmanager(Box<Alerts>),
}

impl Channel {
    /// As it is written in the configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::Ntfy(_) => "ntfy",
            Self::Email(_) => "email",
            Self::Healthchecks(_) => "healthchecks",
            Self::Alertmanager(_) => "alertmanager",
        }
    }

    /// The URLs that may be secrets.
    pub fn addresses(&self) -> Vec<&Address> {
        match self {
            Self::Webhook(webhook) => vec![&webhook.web.address],
            Self::Slack(web) => vec![&web.address],
            Self::Healthchecks(checks) => checks.one.iter().chain(checks.of_job.values()).collect(),
            Self::Ntfy(_) | Self::Email(_) | Self::Alertmanager(_) => Vec::new(),
        }
    }

    /// How it proves who it is.
    pub fn login(&self) -> Option<(&str, &SecretRef)> {
        match self {
            Self::Webhook(webhook) => webhook.auth.login(),
            Self::Ntfy(ntfy) => ntfy.auth.login(),
            Self::Alertmanager(alerts) => alerts.endpoint.auth.login(),
            Self::Email(_) | Self::Slack(_) | Self::Healthchecks(_) => None,
        }
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        match self {
            Self::Webhook(webhook) => {
                let headers = webhook.headers.iter().filter_map(|(_, value)| value.secret());
                webhook.web.address.secret().into_iter().chain(webhook.auth.secret()).chain(headers).collect()
            }
            Self::Slack(web) => web.address.secret().into_iter().collect(),
            Self::Ntfy(ntfy) => ntfy.auth.secret().into_iter().chain(ntfy.topic.secret()).collect(),
            Self::Email(email) => email.login.iter().map(|(_, password)| password).collect(),
            Self::Healthchecks(checks) => {
                let all = checks.one.iter().chain(checks.of_job.values());
                all.filter_map(Address::secret).collect()
            }
            Self::Alertmanager(alerts) => alerts.endpoint.auth.secret().into_iter().collect(),
        }
    }
}

/// A URL, which may be a secret: whoever knows that of a Slack channel may write there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// As it stands in the file.
    Plain(Url),
    /// To be read when it is used.
    Secret(SecretRef),
}

impl Address {
    fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::Plain(_) => None,
            Self::Secret(secret) => Some(secret),
        }
    }
}

/// A text that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// As it stands in the file.
    Plain(String),
    /// To be read when it is used.
    Secret(SecretRef),
}

impl Text {
    fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::Plain(_) => None,
            Self::Secret(secret) => Some(secret),
        }
    }
}

/// A URL and whose certificates are believed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// The URL.
    pub address: Address,
    /// A PEM file of certificate authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// A POST to any URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where to.
    pub web: Web,
    /// How it proves who it is.
    pub auth: Auth,
    /// More headers.
    pub headers: Vec<(String, Text)>,
    /// The `Content-Type`.
    pub content_type: String,
    /// The body; nothing: all fields as a JSON object.
    pub template: Option<Template>,
}

/// A topic of an ntfy server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ntfy {
    /// The server.
    pub server: Url,
    /// The topic; whoever knows it may read it, where the server asks for no token.
    pub topic: Text,
    /// From 1 to 5; nothing: 5 for what failed, 4 for what did not start, 3 for the rest.
    pub priority: Option<u32>,
    /// How it proves who it is.
    pub auth: Auth,
    /// A PEM file of certificate authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// How a connection to an SMTP server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// After `STARTTLS`, or not at all: then nothing is sent.
    StartTls,
    /// From the first byte.
    Tls,
    /// It is not.
    None,
}

/// Mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// The SMTP server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
    /// A PEM file of certificate authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// From whom.
    pub from: String,
    /// To whom. Never empty.
    pub to: Vec<String>,
    /// User and password.
    pub login: Option<(String, SecretRef)>,
}

/// Pings of healthchecks.io, or of a server of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healthchecks {
    /// One check for all jobs, which fails when one of them does.
    pub one: Option<Address>,
    /// A check for a job.
    pub of_job: BTreeMap<JobName, Address>,
    /// A PEM file of certificate authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl Healthchecks {
    /// The check of a job.
    pub fn of(&self, job: &JobName) -> Option<&Address> {
        self.of_job.get(job).or(self.one.as_ref())
    }
}

/// Alerts for an Alertmanager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerts {
    /// The server.
    pub endpoint: Endpoint,
    /// A firing alert is sent again after this. Never zero.
    pub resend: Duration,
    /// Labels of every alert beside its own.
    pub labels: BTreeMap<String, String>,
}

/// What is not to be seen of a secret URL beside the whole: its path, and what in it looks like a key.
pub fn parts_of_secret_url(secret: &Secret) -> Vec<Secret> {
    const SHORTEST_KEY: usize = 12;
    let Ok(url) = Url::parse(secret.expose()) else { return Vec::new() };
    let path = url.path().trim_matches('/');
    let keys = path.split('/').filter(|part| part.len() >= SHORTEST_KEY);
    let query = url.query().filter(|query| query.len() >= SHORTEST_KEY);
    let whole = Some(path).filter(|path| path.len() >= SHORTEST_KEY);
    whole.into_iter().chain(keys).chain(query).map(Secret::new).collect()
}
