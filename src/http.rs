//! HTTP as every room means it: each request and each reply is bounded, redirects are not followed, because a
//! POST that is redirected silently becomes a GET, and the environment's proxies are not used, because the
//! servers meant here are on this host or its network.
//!
//! [`HttpClient`] asks any server for a path and judges nothing. Who knows what a server should answer has a
//! client of its own over [`connector`].

mod broken;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Response;
use url::Url;

use crate::config::values::{Endpoint, Secret};
use crate::regular;
pub use broken::Broken;

/// How long a server may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// No reply that is asked for here comes near this many bytes.
pub const LARGEST_REPLY: usize = 64 << 20;

/// Who a request says it is, with the secret at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody.
    None,
    /// User and password.
    Basic(String, Secret),
    /// A bearer token.
    Token(Secret),
}

/// A client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A certificate or key file could not be read.
    #[error("Cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A certificate or key file does not hold one.
    #[error("{} holds no PEM certificate and key that can be used", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: reqwest::Error,
    },
    /// The HTTP client could not be made.
    #[error("Cannot set up the HTTP client")]
    Build {
        /// What went wrong.
        source: reqwest::Error,
    },
}

/// A request brought no reply.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server was not reached, or the connection broke.
    #[error("Cannot reach {url}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The reply was not complete in time.
    #[error("{url} did not answer within {limit:?}")]
    TimedOut {
        /// What was asked for.
        url: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The reply does not end.
    #[error("The reply of {url} is longer than {} MiB", LARGEST_REPLY >> 20)]
    Endless {
        /// What was asked for.
        url: String,
    },
    /// The connection was not encrypted, or the server showed nothing.
    #[error("{url} showed no certificate")]
    NoCertificate {
        /// What was asked for.
        url: String,
    },
}

impl HttpError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreachable { source, .. } if source.is_connect() => {
                "does it run, and is its url right in jobs.toml?"
            }
            Self::Unreachable { .. } | Self::Endless { .. } => "is this the right server and port?",
            Self::TimedOut { .. } => "is it overloaded? raise \"timeout\" of the check if it may take longer",
            Self::NoCertificate { .. } => "a certificate is only shown to https://",
        };
        Some(hint.to_owned())
    }
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body; of a redirection, where it leads to.
    pub body: Vec<u8>,
    /// Its head calls the body HTML. Many a framework says that of any text.
    pub called_html: bool,
    /// `Retry-After` as it came: seconds, or a date.
    pub retry_after: Option<String>,
}

impl Reply {
    /// In how long the server wants to be asked again, where it says so and is not over; by `now`.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.retry_after.as_deref()?.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
        }
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Duration::try_from(date.duration_since(now)).ok()
    }

    /// It is a page for people: by how it begins, or called HTML and beginning with a tag.
    pub fn is_page(&self) -> bool {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(256)]);
        let start = text.trim_start_matches('\u{feff}').trim_start();
        looks_like_html(start.as_bytes()) || (self.called_html && start.starts_with('<'))
    }
}

/// What is sent to a URL.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The URL.
    pub url: Url,
    /// The URL as messages show it: it may be a secret.
    pub shown: String,
    /// Headers beside those that prove who it is from.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Any HTTP server below a base URL.
#[derive(Debug, Clone)]
pub struct HttpClient {
    http: reqwest::Client,
    base: Url,
    credentials: Credentials,
}

/// What every client of ours is built from.
pub fn connector(endpoint: &Endpoint) -> Result<reqwest::ClientBuilder, SetupError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("watchkeeper/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_danger_accept_invalid_certs(endpoint.insecure);
    let read = |path: &PathBuf| {
        regular::read_named(path, regular::SMALL)
            .map_err(|source| SetupError::File { path: path.clone(), source })
    };
    if let Some(path) = &endpoint.ca_file {
        let certificates = reqwest::Certificate::from_pem_bundle(&read(path)?)
            .map_err(|source| SetupError::Certificate { path: path.clone(), source })?;
        builder = builder.tls_certs_merge(certificates);
    }
    if let Some(own) = &endpoint.client_certificate {
        let mut pem = read(&own.cert_file)?;
        pem.push(b'\n');
        pem.extend(read(&own.key_file)?);
        let identity = reqwest::Identity::from_pem(&pem)
            .map_err(|source| SetupError::Certificate { path: own.cert_file.clone(), source })?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

/// The URL of a path below a base, whose own path is a prefix whether or not it ends in a slash.
pub fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let joined = format!("{}/{}", url.path().trim_end_matches('/'), path.trim_start_matches('/'));
    url.set_path(&joined);
    url.set_query(query);
    url
}

/// A page for people came, where data were asked for.
pub fn looks_like_html(body: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&body[..body.len().min(256)]).trim_start().to_ascii_lowercase();
    start.starts_with("<!doctype") || start.starts_with("<html")
}

/// The first line of a reply, short enough for a message.
pub fn excerpt(body: &[u8]) -> String {
    if looks_like_html(body) {
        return "an HTML page".to_owned();
    }
    let text = String::from_utf8_lossy(body);
    let line: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    if line.trim().is_empty() { "no text".to_owned() } else { line }
}

impl HttpClient {
    /// Prepares to talk to a server; nothing is sent yet.
    pub fn new(endpoint: &Endpoint, credentials: Credentials) -> Result<Self, SetupError> {
        // Asked for by whoever wants to see the certificate; costs nothing else.
        let builder = connector(endpoint)?.tls_info(true);
        let http = builder.build().map_err(|source| SetupError::Build { source })?;
        Ok(Self { http, base: endpoint.url.clone(), credentials })
    }

    /// The URL of a path, as messages show it.
    pub fn url(&self, path: &str) -> String {
        below(&self.base, path).to_string()
    }

    /// Asks for a path below the base URL; any status is a reply.
    pub async fn get(&self, path: &str, limit: Duration) -> Result<Reply, HttpError> {
        let url = below(&self.base, path);
        let request = read(self.prepare(url.clone()));
        within(url.as_str(), limit, request).await?.ok_or(HttpError::Endless { url: url.into() })
    }

    /// Sends something to a URL; any status is a reply.
    pub async fn post(&self, outgoing: Outgoing, limit: Duration) -> Result<Reply, HttpError> {
        let mut request = authorized(self.http.post(outgoing.url), &self.credentials).body(outgoing.body);
        for (name, value) in &outgoing.headers {
            request = request.header(name, value);
        }
        within(&outgoing.shown, limit, read(request)).await?.ok_or(HttpError::Endless { url: outgoing.shown })
    }

    /// The certificate that the server shows, in DER.
    pub async fn certificate(&self, limit: Duration) -> Result<Vec<u8>, HttpError> {
        let url = below(&self.base, "");
        let response = within(url.as_str(), limit, self.http.get(url.clone()).send()).await?;
        let info = response.extensions().get::<reqwest::tls::TlsInfo>();
        let der = info.and_then(|info| info.peer_certificate()).map(<[u8]>::to_vec);
        der.ok_or(HttpError::NoCertificate { url: url.into() })
    }

    fn prepare(&self, url: Url) -> reqwest::RequestBuilder {
        authorized(self.http.get(url), &self.credentials)
    }
}

/// Sends a request and reads the reply; nothing where that does not end.
async fn read(request: reqwest::RequestBuilder) -> Result<Option<Reply>, reqwest::Error> {
    let mut response = request.send().await?;
    let called = response.headers().get(reqwest::header::CONTENT_TYPE);
    let called = called.and_then(|called| called.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let called_html = called.starts_with("text/html") || called.starts_with("application/xhtml");
    let after = response.headers().get(reqwest::header::RETRY_AFTER);
    let retry_after = after.and_then(|after| after.to_str().ok()).map(str::to_owned);
    let Some(mut body) = bounded_body(&mut response).await? else { return Ok(None) };
    if response.status().is_redirection() {
        body = leads_to(&response);
    }
    Ok(Some(Reply { status: response.status().as_u16(), body, called_html, retry_after }))
}

/// The body of a reply; nothing where it is longer than [`LARGEST_REPLY`].
pub async fn bounded_body(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LARGEST_REPLY {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Where a redirection leads to, as its head says it.
pub fn leads_to(response: &Response) -> Vec<u8> {
    let to = response.headers().get(reqwest::header::LOCATION);
    to.map(|value| value.as_bytes().to_vec()).unwrap_or_default()
}

/// The same request, with who it is from.
pub fn authorized(builder: reqwest::RequestBuilder, credentials: &Credentials) -> reqwest::RequestBuilder {
    match credentials {
        Credentials::None => builder,
        Credentials::Basic(user, password) => builder.basic_auth(user, Some(password.expose())),
        Credentials::Token(token) => builder.bearer_auth(token.expose()),
    }
}

async fn within<T>(
    url: &str,
    limit: Duration,
    request: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, HttpError> {
    match tokio::time::timeout(limit, request).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(source)) => Err(HttpError::Unreachable { url: url.to_owned(), source: source.without_url() }),
        Err(_) => Err(HttpError::TimedOut { url: url.to_owned(), limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_the_base_url_is_a_prefix_with_or_without_a_slash() {
        for base in ["http://h:1/prom", "http://h:1/prom/"] {
            let base = base.parse().unwrap();
            assert_eq!(below(&base, "api/v1/query").as_str(), "http://h:1/prom/api/v1/query");
            assert_eq!(below(&base, "/health?full=1").as_str(), "http://h:1/prom/health?full=1");
        }
        assert_eq!(below(&"http://h:1".parse().unwrap(), "-/ready").as_str(), "http://h:1/-/ready");
    }

    #[test]
    fn a_page_is_told_from_text_and_json_whatever_they_are_called() {
        let reply = |body: &str, called_html| Reply {
            status: 200,
            body: body.into(),
            called_html,
            retry_after: None,
        };
        for page in ["<!DOCTYPE html>", "\n <HTML>", "\u{feff}<html lang=de>"] {
            assert!(reply(page, false).is_page() && reply(page, true).is_page(), "{page:?}");
        }
        for called in ["<head><title>Log in", "<form action=/login>", "<!-- 1 --><p>"] {
            assert!(reply(called, true).is_page() && !reply(called, false).is_page(), "{called:?}");
        }
        for text in ["OK", "", "{\"status\":\"<html>\"}", "ok <html>"] {
            assert!(!reply(text, true).is_page() && !reply(text, false).is_page(), "{text:?}");
        }
    }

    #[test]
    fn it_is_known_when_a_server_wants_to_be_asked_again() {
        let now = "2026-11-26T09:00:00Z".parse().unwrap();
        let seconds = |text: &str| {
            let reply =
                Reply { status: 503, body: Vec::new(), called_html: false, retry_after: Some(text.into()) };
            reply.retry_after(now).map(|after| after.as_secs())
        };
        assert_eq!([seconds("120"), seconds(" 0 ")], [Some(120), Some(0)]);
        assert_eq!(seconds("Thu, 26 Nov 2026 09:15:00 GMT"), Some(900));
        assert_eq!(seconds("99999999999999999999999"), Some(u64::MAX));
        for nothing in ["", "-1", "1.5", "soon", "Thu, 26 Nov 2026 08:59:00 GMT"] {
            assert_eq!(seconds(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn an_excerpt_is_one_short_line_and_never_a_page() {
        assert_eq!(excerpt(b"  <!DOCTYPE html><html>..."), "an HTML page");
        assert_eq!(excerpt(b"404 page not found\n"), "404 page not found");
        assert_eq!(excerpt(b" \n"), "no text");
        assert_eq!(excerpt(&[b'x'; 4000]).len(), 200);
    }
}
