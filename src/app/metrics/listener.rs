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
use crate::web::{self, Format, Hook, Limited, Site, WebError};
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

/// Of who asks for the metrics, and of who tells something.
#[derive(Clone, PartialEq, Eq)]
struct Tokens {
    metrics: Option<Secret>,
    webhook: HookToken,
}

/// What who tells something has to show.
#[derive(Clone, PartialEq, Eq)]
enum HookToken {
    /// Nobody is to tell anything.
    Unwanted,
    /// It cannot be had now. Metrics and health do not depend on it.
    Missing,
    Known(Secret),
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
    let metrics = listen.token.as_ref().map(|token| resolved(app, "metrics", token)).transpose()?;
    let webhook = match hook_token(app) {
        Ok(token) => token.map_or(HookToken::Unwanted, HookToken::Known),
        Err(_) => HookToken::Missing,
    };
    Ok(Tokens { metrics, webhook })
}

fn hook_token(app: &App) -> Result<Option<Secret>, ListenError> {
    let webhook = app.config().webhook.as_ref();
    webhook.map(|webhook| resolved(app, "webhook", &webhook.token)).transpose()
}

fn resolved(app: &App, section: &'static str, token: &SecretRef) -> Result<Secret, ListenError> {
    let places = Places { env: &*app.shared.environment, config: &app.config().path };
    secret::resolve(token, places).map_err(|source| ListenError::Token { section, source })
}

/// Says why nobody can tell anything, where nobody can.
fn tell_closed(app: &App, tries: u32) {
    if let (Err(error), true) = (hook_token(app), tries.is_multiple_of(TELL_AFTER)) {
        let hint = error.hint().unwrap_or_default();
        tracing::error!(
            hint,
            "NO ALERTS are taken from an Alertmanager, and it is tried again each {}: {}. The metrics are served, and the jobs run",
            words::duration(AGAIN),
            words::chain(&error)
        );
    }
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
    let is_closed = wanted.tokens.webhook == HookToken::Missing;
    let mut tries = 0;
    while !stop.is_cancelled() {
        if is_closed {
            tell_closed(&apps.borrow(), tries);
        }
        tokio::select! {
            // It ends by itself only when its task panics.
            _ = &mut serving => return,
            () = changed(apps, &stop) => tries = 0,
            () = tokio::time::sleep(AGAIN), if is_closed => tries += 1,
        }
        let app = Arc::clone(&apps.borrow_and_update());
        if !wanted.is_still(&app) {
            break;
        }
    }
    closing.cancel();
    drop(serving.await);
}

impl Wanted {
    /// Whether the same is wanted now. One whose token cannot be read now goes on with the one it has.
    fn is_still(&self, app: &App) -> bool {
        let Some(listen) = app.config().metrics.listen.as_ref().filter(|listen| **listen == self.listen)
        else {
            return false;
        };
        let is_told = app.config().webhook.is_some() == (self.tokens.webhook != HookToken::Unwanted);
        is_told && !tokens(app, listen).is_ok_and(|tokens| self.tokens.give_way_to(&tokens))
    }
}

impl Tokens {
    /// Others are there in their place.
    fn give_way_to(&self, new: &Self) -> bool {
        let is_lost = matches!((&self.webhook, &new.webhook), (HookToken::Known(_), HookToken::Missing));
        self.metrics != new.metrics || (self.webhook != new.webhook && !is_lost)
    }
}

fn site(app: &App, source: Source, tokens: Tokens) -> Site {
    let webhook = match tokens.webhook {
        HookToken::Unwanted => Hook::Unwanted,
        HookToken::Missing => Hook::Closed,
        HookToken::Known(token) => Hook::Open(source.incoming.webhook(app, token)),
    };
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
