//! What others tell the daemon: `POST /webhook/alertmanager`. Who has no token is not listened to, and nobody makes it hold
//! more than [`LONGEST`] bytes. It answers 200 only when what was told is kept.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;

use super::{Site, is_allowed, refused};
use crate::config::values::Secret;

/// A body is not longer than this, in bytes.
const LONGEST: usize = 1 << 20;
/// So much of a longer one is taken and thrown away: who still writes would not read the answer.
const THROWN_AWAY: usize = 16 << 20;

/// Whether others may tell something.
pub enum Hook {
    /// That is not wanted.
    Unwanted,
    /// The token is not to be had, so nobody can show it. Who tells something is asked to tell it again.
    Closed,
    /// Who has the token may.
    Open(Webhook),
}

/// Who takes what is told.
pub struct Webhook {
    /// What who tells something has to show.
    pub token: Secret,
    /// Takes a body.
    pub take: Box<dyn Fn(Bytes) -> BoxFuture<'static, Taken> + Send + Sync>,
    /// Counts what was not even handed on.
    pub refused: Box<dyn Fn() + Send + Sync>,
}

/// What became of what was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is kept.
    Kept(String),
    /// It is not what it should be, and never will be.
    Wrong(String),
    /// It cannot be kept now: it should be told again.
    NotNow(String),
}

impl IntoResponse for Taken {
    fn into_response(self) -> Response {
        let (status, said) = match self {
            Self::Kept(said) => (StatusCode::OK, said),
            Self::Wrong(said) => (StatusCode::BAD_REQUEST, said),
            Self::NotNow(said) => (StatusCode::SERVICE_UNAVAILABLE, said),
        };
        (status, format!("{said}\n")).into_response()
    }
}

pub(super) async fn alertmanager(State(site): State<Arc<Site>>, headers: HeaderMap, body: Body) -> Response {
    let webhook = match &site.webhook {
        Hook::Open(webhook) => webhook,
        Hook::Unwanted => return (StatusCode::NOT_FOUND, "no [webhook] is configured\n").into_response(),
        Hook::Closed => {
            let said =
                "the token of [webhook] is not to be had, and the daemon's log says why: tell it again\n";
            return (StatusCode::SERVICE_UNAVAILABLE, said).into_response();
        }
    };
    if !is_allowed(Some(&webhook.token), &headers) {
        (webhook.refused)();
        return refused();
    }
    match whole(&headers, body).await {
        Ok(body) => (webhook.take)(body).await.into_response(),
        Err(why) => {
            (webhook.refused)();
            why.into_response()
        }
    }
}

/// Why there is no whole body.
enum NoBody {
    TooLong,
    Broken,
}

impl IntoResponse for NoBody {
    fn into_response(self) -> Response {
        match self {
            Self::TooLong => {
                let said = format!("the body is longer than {} MiB\n", LONGEST >> 20);
                (StatusCode::PAYLOAD_TOO_LARGE, said).into_response()
            }
            Self::Broken => (StatusCode::BAD_REQUEST, "the body did not come whole\n").into_response(),
        }
    }
}

async fn whole(headers: &HeaderMap, body: Body) -> Result<Bytes, NoBody> {
    let said =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut kept = Vec::with_capacity(said.unwrap_or_default().min(LONGEST));
    let (mut came, mut pieces) = (0_usize, body.into_data_stream());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| NoBody::Broken)?;
        came = came.saturating_add(piece.len());
        if came > THROWN_AWAY {
            break;
        }
        if came > LONGEST {
            kept = Vec::new();
        } else {
            kept.extend_from_slice(&piece);
        }
    }
    if came > LONGEST { Err(NoBody::TooLong) } else { Ok(kept.into()) }
}
