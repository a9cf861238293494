//! Keeps a server where the configuration wants one. What keeps it from listening is told loudly and tried again: jobs do not
//! wait for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Page, health::health};
use crate::app::App;
use crate::app::incidents::Incoming;
use crate::config::Listen;
use crate::config::secret::{self, Places, SecretError};
use crate::config::values::{Secret, SecretRef};
use crate::report::metrics::{classic, open_metrics};
use crate::schedule::driver::Beat;
use crate::web::{self, Format, Limited, Site, WebError};
use crate::words;

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(10);
/// So many tries until the same is told anew.
const TELL_AFTER: u32 = 60;

/// Where what is served comes from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) pages: watch::Receiver<Page>,
    pub(super) beats: watch::Receiver<Beat>,
    pub(super) incoming: Incoming,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error(transparent)]
    Web(#[from] WebError),
    #[error("Cannot get the token of [{section}]")]
    Token { section: &'static str, source: SecretError },
}

impl ListenError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Web(error) => error.hint(),
            Self::Token { source, .. } => source.hint(),
        }
    }
}

/// A server as it is wanted: another address or another token is another server.
#[derive(Clone, PartialEq, Eq)]
struct Wanted {
    listen: Listen,
    tokens: Tokens,
}

/// Of who asks for the metrics, and of who tells something. Without the second nobody may.
#[derive(Clone, PartialEq, Eq)]
struct Tokens {
    metrics: Option<Secret>,
    webhook: Option<Secret>,
}

/// Until `stop`.
pub(super) async fn keep(mut apps: watch::Receiver<Arc<App>>, source: Source, stop: CancellationToken) {
    let mut tries = 0;
    while !stop.is_cancelled() {
        let app = Arc::clone(&apps.borrow_and_update());
        let Some(listen) = app.config().metrics.listen.clone() else {
            tries = 0;
            changed(&mut apps, &stop).await;
            continue;
        };
        match open(&app, listen).await {
            Ok((listener, wanted)) => {
                tries = 0;
                serve(&mut apps, listener, wanted, (source.clone(), stop.clone())).await;
            }
            Err(error) => {
                tell(&error, tries);
                tries += 1;
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    () = changed(&mut apps, &stop) => tries = 0,
                }
            }
        }
    }
}

async fn changed(apps: &mut watch::Receiver<Arc<App>>, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        changed = apps.changed() => if changed.is_err() { stop.cancelled().await },
    }
}

fn tell(error: &ListenError, tries: u32) {
    if tries.is_multiple_of(TELL_AFTER) {
        let hint = error.hint().unwrap_or_default();
        tracing::error!(
            hint,
            "NO METRICS are served, and it is tried again each {}: {}. The jobs run",
            words::duration(AGAIN),
            words::chain(error)
        );
    }
}

async fn open(app: &App, listen: Listen) -> Result<(Limited, Wanted), ListenError> {
    let tokens = tokens(app, &listen)?;
    Ok((web::listen(listen.address).await?, Wanted { listen, tokens }))
}

fn tokens(app: &App, listen: &Listen) -> Result<Tokens, ListenError> {
    let places = Places { env: &*app.shared.environment, config: &app.config().path };
    let of = |section, token: Option<&SecretRef>| {
        let token = token.map(|token| secret::resolve(token, places)).transpose();
        token.map_err(|source| ListenError::Token { section, source })
    };
    let webhook = app.config().webhook.as_ref().map(|webhook| &webhook.token);
    Ok(Tokens { metrics: of("metrics", listen.token.as_ref())?, webhook: of("webhook", webhook)? })
}

/// Until another server is wanted, or none.
async fn serve(
    apps: &mut watch::Receiver<Arc<App>>,
    listener: Limited,
    wanted: Wanted,
    (source, stop): (Source, CancellationToken),
) {
    tracing::info!("metrics are served at http://{}/metrics", wanted.listen.address);
    let closing = stop.child_token();
    let app = Arc::clone(&apps.borrow());
    let site = Arc::new(site(&app, source, wanted.tokens.clone()));
    let mut serving = tokio::spawn(web::serve(listener, site, closing.clone()));
    let is_wanted = |app: &Arc<App>| {
        let listen = app.config().metrics.listen.clone();
        // One whose token cannot be read now goes on with the one it has.
        let tokens = listen.as_ref().and_then(|listen| tokens(app, listen).ok());
        let is_told = app.config().webhook.is_some() == wanted.tokens.webhook.is_some();
        listen.as_ref() == Some(&wanted.listen)
            && is_told
            && tokens.is_none_or(|tokens| tokens == wanted.tokens)
    };
    while !stop.is_cancelled() {
        tokio::select! {
            // It ends by itself only when its task panics.
            _ = &mut serving => return,
            () = changed(apps, &stop) => {}
        }
        let app = Arc::clone(&apps.borrow_and_update());
        if !is_wanted(&app) {
            break;
        }
    }
    closing.cancel();
    drop(serving.await);
}

fn site(app: &App, source: Source, tokens: Tokens) -> Site {
    let webhook = tokens.webhook.map(|token| source.incoming.webhook(app, token));
    let (pages, health_of) = (source.pages.clone(), source);
    Site {
        metrics: Box::new(move |format| {
            let page = pages.borrow().clone();
            page.seen?;
            Some(match format {
                Format::OpenMetrics => open_metrics(&page.families),
                Format::Classic => classic(&page.families),
            })
        }),
        health: Box::new(move || {
            let page = health_of.pages.borrow().clone();
            health(&health_of.beats.borrow(), page.seen, Instant::now())?;
            page.trouble.map_or(Ok(()), Err)
        }),
        token: tokens.metrics,
        webhook,
    }
}
