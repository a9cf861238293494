//! Keeps a server where the configuration wants one. What keeps it from listening is told loudly and tried again: jobs do not
//! wait for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Page, health::health};
use crate::app::App;
use crate::config::Listen;
use crate::config::secret::{self, Places, SecretError};
use crate::config::values::Secret;
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
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error(transparent)]
    Web(#[from] WebError),
    #[error("Cannot get the token of [metrics]")]
    Token(#[source] SecretError),
}

impl ListenError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Web(error) => error.hint(),
            Self::Token(error) => error.hint(),
        }
    }
}

/// A server as it is wanted: another address or another token is another server.
#[derive(Clone, PartialEq, Eq)]
struct Wanted {
    listen: Listen,
    token: Option<Secret>,
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
    let token = token(app, &listen).map_err(ListenError::Token)?;
    Ok((web::listen(listen.address).await?, Wanted { listen, token }))
}

fn token(app: &App, listen: &Listen) -> Result<Option<Secret>, SecretError> {
    let places = Places { env: &*app.shared.environment, config: &app.config().path };
    listen.token.as_ref().map(|token| secret::resolve(token, places)).transpose()
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
    let site = Arc::new(site(source, wanted.token.clone()));
    let mut serving = tokio::spawn(web::serve(listener, site, closing.clone()));
    let is_wanted = |app: &Arc<App>| {
        let listen = app.config().metrics.listen.clone();
        // One whose token cannot be read now goes on with the one it has.
        let token = listen.as_ref().and_then(|listen| token(app, listen).ok());
        listen.as_ref() == Some(&wanted.listen) && token.is_none_or(|token| token == wanted.token)
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

fn site(source: Source, token: Option<Secret>) -> Site {
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
        token,
    }
}
