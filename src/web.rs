//! What the daemon serves over HTTP: `/metrics` and `/healthz`, and what it is told there: `/webhook/alertmanager`.
//!
//! It is handed what there is to serve, and knows no jobs. Nobody holds it up: a request that does not come, an answer that
//! nobody takes and too many connections have limits ([`Limited`]), and a body is read only of who may tell something.

mod accept;
mod limits;
mod places;
mod webhook;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

pub use accept::Format;
pub use limits::Limited;
pub use webhook::{Hook, Taken, Webhook};

use crate::config::values::Secret;

/// How long open connections may take to end when the server is closed.
const CLOSE: Duration = Duration::from_secs(2);

/// What there is to serve.
pub struct Site {
    /// The metrics as text; nothing before the first look.
    pub metrics: Box<dyn Fn(Format) -> Option<String> + Send + Sync>,
    /// Whether the daemon does its work, or why not.
    pub health: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// What who asks for the metrics has to show. Nobody has to for `/healthz`.
    pub token: Option<Secret>,
    /// Who takes what others tell.
    pub webhook: Hook,
}

/// The server cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Nothing can be listened to there.
    #[error("Cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl WebError {
    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        true
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let Self::Listen { address, source } = self;
        match source.kind() {
            io::ErrorKind::AddrInUse => Some(format!(
                "another program listens there (`ss -ltnp 'sport = :{}'` names it): end it, or give \"listen\" another port",
                address.port()
            )),
            io::ErrorKind::AddrNotAvailable => Some("this host has no such address (yet)".to_owned()),
            io::ErrorKind::PermissionDenied => {
                Some("a port below 1024 is for root: take a higher one".to_owned())
            }
            _ => None,
        }
    }
}

/// Listens there; nobody is answered yet.
pub async fn listen(address: SocketAddr) -> Result<Limited, WebError> {
    Limited::listen(address).await.map_err(|source| WebError::Listen { address, source })
}

/// Answers until `stop`.
pub async fn serve(listener: Limited, site: Arc<Site>, stop: CancellationToken) {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/webhook/alertmanager", post(webhook::alertmanager))
        .with_state(site);
    let closing = stop.clone();
    let served =
        axum::serve(listener, routes).with_graceful_shutdown(async move { closing.cancelled().await });
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(CLOSE).await;
    };
    tokio::select! {
        // It fails for nothing.
        _ = served => {}
        () = late => {}
    }
}

async fn metrics(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    if !is_allowed(site.token.as_ref(), &headers) {
        return refused();
    }
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(accepted);
    match (site.metrics)(format) {
        Some(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "nobody has looked yet\n").into_response(),
    }
}

async fn health(State(site): State<Arc<Site>>) -> Response {
    match (site.health)() {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

fn refused() -> Response {
    let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, ask, "a token is needed: Authorization: Bearer …\n").into_response()
}

fn is_allowed(token: Option<&Secret>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let shown = headers.get(header::AUTHORIZATION).map(axum::http::HeaderValue::as_bytes).unwrap_or_default();
    // One space or more, and the name in any letters: RFC 9110, 11.4.
    let mut parts = shown.splitn(2, |byte| *byte == b' ');
    let (scheme, shown) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    scheme.eq_ignore_ascii_case(b"Bearer") && are_equal(token.expose().as_bytes(), shown.trim_ascii_start())
}

/// Takes as long wherever they differ: how much of a guess is right cannot be measured.
fn are_equal(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    one.iter().zip(other.iter()).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_as_a_whole_or_not_at_all() {
        let token = Secret::new("hunter2");
        let allowed = |shown: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, shown.parse().unwrap());
            is_allowed(Some(&token), &headers)
        };
        for right in ["Bearer hunter2", "bearer hunter2", "BEARER   hunter2"] {
            assert!(allowed(right), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearerhunter2",
            "Bearer hunter 2",
            "Bearer hunter",
            "Bearer hunter22",
            "Basic hunter2",
            "hunter2",
        ] {
            assert!(!allowed(wrong), "{wrong}");
        }
        assert!(!is_allowed(Some(&token), &HeaderMap::new()) && is_allowed(None, &HeaderMap::new()));
    }
}
