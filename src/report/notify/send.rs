//! Delivers a message: each request with limits, each answer read, for 200 is not always yes. No secret is in an error.

mod alertmanager;
mod email;
mod healthchecks;
mod ntfy;
mod slack;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use super::Notice;
use crate::config::notify::{Address, Channel, Notifier, Text};
use crate::config::secret::SecretError;
use crate::config::values::{Auth, Endpoint, Secret, SecretRef, Veil};
use crate::http::{Credentials, HttpClient, HttpError, Outgoing, Reply, SetupError, excerpt};
use crate::words;

/// How long a delivery may take, from the first byte to the last.
const LIMIT: Duration = Duration::from_secs(30);

/// A message was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A secret is not there.
    #[error(transparent)]
    Secret(Arc<SecretError>),
    /// What a secret holds is no URL.
    #[error("The secret from {from} should be a URL, and is none, or not one of http or https")]
    NoUrl {
        /// Where it is from.
        from: String,
    },
    /// The client cannot be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// There was no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer was no.
    #[error("{server} answered {status}: {said}")]
    Refused {
        /// Who.
        server: String,
        /// The status.
        status: u16,
        /// What it said.
        said: String,
        /// In how long it wants to be asked again.
        again: Option<Duration>,
    },
    /// A file with certificates cannot be used.
    #[error("Cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A mail cannot be written.
    #[error("Cannot write a mail from {from} to {to}")]
    Mail {
        /// From whom.
        from: String,
        /// To whom.
        to: String,
        /// Why.
        source: email::MailError,
    },
    /// The SMTP server did not take it.
    #[error("{server} did not take the mail")]
    Smtp {
        /// Host and port.
        server: String,
        /// Why.
        source: email::SmtpError,
    },
    /// The SMTP server did not take it in time.
    #[error("{server} did not take the mail within {}", words::duration(*limit))]
    SmtpLate {
        /// Host and port.
        server: String,
        /// How long it was waited for.
        limit: Duration,
    },
}

impl SendError {
    /// Nothing else would be delivered to the server now.
    pub fn is_down(&self) -> bool {
        match self {
            Self::Http(_)
            | Self::SmtpLate { .. }
            | Self::Secret(_)
            | Self::NoUrl { .. }
            | Self::Setup(_)
            | Self::File { .. } => true,
            Self::Smtp { source, .. } => !email::is_answer(source),
            // What is wrong with one message need not be wrong with the next; whoever refuses for another reason, such as that
            // there are too many, is not asked for each of them.
            Self::Refused { status, .. } => !matches!(status, 400 | 413 | 422),
            Self::Mail { .. } => false,
        }
    }

    /// In how long the server wants to be asked again, where it says so.
    pub fn again(&self) -> Option<Duration> {
        match self {
            Self::Refused { again, .. } => *again,
            _ => None,
        }
    }

    fn refused(url: &Url, reply: &Reply, said: String) -> Self {
        let again = reply.retry_after(Timestamp::now());
        Self::Refused { server: shown(url), status: reply.status, said, again }
    }
}

/// A notifier with its secrets at hand.
pub struct Sender {
    notifier: Notifier,
    secrets: Vec<(SecretRef, Result<Secret, Arc<SecretError>>)>,
    veil: Veil,
}

impl Sender {
    /// Reads the secrets, by `resolve`, which may block. One that is not there is an error when it is needed. `veil` hides
    /// them and all others.
    pub fn new(
        notifier: &Notifier,
        resolve: impl Fn(&SecretRef) -> Result<Secret, SecretError>,
        veil: &Veil,
    ) -> Self {
        let resolved = |secret: &SecretRef| (secret.clone(), resolve(secret).map_err(Arc::new));
        let secrets: Vec<_> = notifier.secrets().into_iter().map(resolved).collect();
        Self { notifier: notifier.clone(), secrets, veil: veil.clone() }
    }

    /// Delivers a message, and gives what was answered, in one line.
    pub async fn send(&self, notice: &Notice, now: Timestamp) -> Result<String, SendError> {
        let said = match &self.notifier.channel {
            Channel::Webhook(webhook) => webhook::send(self, webhook, notice).await,
            Channel::Slack(web) => slack::send(self, web, notice).await,
            Channel::Ntfy(ntfy) => ntfy::send(self, ntfy, notice).await,
            Channel::Email(email) => email::send(self, email, notice).await,
            Channel::Healthchecks(checks) => healthchecks::send(self, checks, notice).await,
            Channel::Alertmanager(alerts) => alertmanager::send(self, alerts, notice, now).await,
        };
        said.map(|said| self.veil.over(&said))
    }

    /// An error in words, without secrets.
    pub fn words(&self, error: &SendError) -> String {
        self.veil.over(&words::chain(error))
    }

    /// Tries what can be tried without telling anybody anything, and says what was; nothing where nothing can be. All that
    /// is wrong is told.
    pub async fn probe(&self) -> Result<Option<String>, Vec<SendError>> {
        let wrong = self.secrets.iter().filter_map(|(_, secret)| secret.as_ref().err());
        let wrong = wrong.map(|error| SendError::Secret(Arc::clone(error)));
        let wrong: Vec<SendError> = wrong.chain(self.no_urls()).collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let probed = match &self.notifier.channel {
            Channel::Email(email) => email::probe(self, email).await.map(Some),
            Channel::Alertmanager(alerts) => alertmanager::probe(self, alerts).await.map(Some),
            _ => Ok(None),
        };
        probed.map_err(|error| vec![error])
    }

    /// The secrets that should be URLs, and are none.
    fn no_urls(&self) -> impl Iterator<Item = SendError> {
        let wrong =
            self.notifier.channel.addresses().into_iter().filter_map(|address| self.url(address).err());
        wrong.filter(|error| matches!(error, SendError::NoUrl { .. }))
    }

    fn secret(&self, reference: &SecretRef) -> Result<&Secret, SendError> {
        let found = self.secrets.iter().find(|(known, _)| known == reference).map(|(_, secret)| secret);
        match found {
            Some(Ok(secret)) => Ok(secret),
            Some(Err(error)) => Err(SendError::Secret(Arc::clone(error))),
            // Every secret of a notifier is among them.
            None => {
                Err(SendError::Secret(Arc::new(SecretError::NotSet { name: self.notifier.name.to_string() })))
            }
        }
    }

    fn url(&self, address: &Address) -> Result<Url, SendError> {
        match address {
            Address::Plain(url) => Ok(url.clone()),
            Address::Secret(secret) => {
                let url = Url::parse(self.secret(secret)?.expose().trim()).ok();
                url.filter(|url| matches!(url.scheme(), "http" | "https"))
                    .ok_or_else(|| SendError::NoUrl { from: secret.to_string() })
            }
        }
    }

    fn text(&self, text: &Text) -> Result<String, SendError> {
        match text {
            Text::Plain(text) => Ok(text.clone()),
            Text::Secret(secret) => Ok(self.secret(secret)?.expose().to_owned()),
        }
    }

    fn credentials(&self, auth: &Auth) -> Result<Credentials, SendError> {
        Ok(match auth {
            Auth::None => Credentials::None,
            Auth::Basic { user, password } => {
                Credentials::Basic(user.clone(), self.secret(password)?.clone())
            }
            Auth::Token(token) => Credentials::Token(self.secret(token)?.clone()),
        })
    }

    /// Posts a body, and gives the answer where it is yes.
    async fn post(&self, endpoint: &Endpoint, post: Post) -> Result<Reply, SendError> {
        let client = HttpClient::new(endpoint, self.credentials(&endpoint.auth)?)?;
        let shown = shown(&endpoint.url);
        let mut headers = post.headers;
        headers.push(("Content-Type".to_owned(), post.content_type));
        let outgoing = Outgoing { url: endpoint.url.clone(), shown, headers, body: post.body };
        let reply = client.post(outgoing, LIMIT).await?;
        if (200..300).contains(&reply.status) && !reply.is_page() {
            return Ok(reply);
        }
        let said = if (300..400).contains(&reply.status) {
            format!("go to {}", String::from_utf8_lossy(&reply.body))
        } else {
            excerpt(&reply.body)
        };
        Err(SendError::refused(&endpoint.url, &reply, said))
    }
}

/// What is posted.
struct Post {
    content_type: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Post {
    fn json(value: &serde_json::Value) -> Self {
        let body = value.to_string().into_bytes();
        Self { content_type: "application/json".to_owned(), headers: Vec::new(), body }
    }
}

/// A URL of which nobody knows whether it is a secret, as messages show it.
fn shown(url: &Url) -> String {
    let rest = if url.path().len() > 1 || url.query().is_some() { "/…" } else { "" };
    format!("{}{rest}", url.origin().ascii_serialization())
}

fn endpoint(url: Url, auth: Auth, ca_file: Option<&PathBuf>) -> Endpoint {
    Endpoint { url, auth, ca_file: ca_file.cloned(), client_certificate: None, insecure: false }
}

/// What was answered, in one line.
fn answer(reply: &Reply) -> String {
    format!("{}: {}", reply.status, excerpt(&reply.body))
}

/// The beginning of a text of which only so many bytes are taken.
fn clipped(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes.saturating_sub(3)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}
