//! Messages on their way: each notifier by itself, so that one that hangs keeps no other waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use super::doubled;
use crate::app::App;
use crate::blocking::blocking;
use crate::config::notify::Notifier;
use crate::config::values::Name;
use crate::history::{HistoryError, Post, PostEnd};
use crate::report::notify::{Notice, Sender};
use crate::words;

/// The wait after the first try; doubled after each further one.
const FIRST: Duration = Duration::from_secs(2);
/// Whoever wants to be asked later than this is asked then all the same.
const LATEST: Duration = Duration::from_hours(1);
/// What could not be told for so long is not tried again.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What is under way.
#[derive(Default)]
pub(super) struct Deliveries {
    tasks: JoinSet<Name>,
    busy: BTreeSet<Name>,
}

impl Deliveries {
    /// Begins to deliver what is due, and says in how long something will be.
    pub(super) async fn begin(&mut self, app: &Arc<App>) -> Option<Duration> {
        let now = (app.runner.clock)();
        let mut next: Option<Timestamp> = None;
        let mut due: BTreeMap<Name, Vec<Post>> = BTreeMap::new();
        for ((notifier, _), post) in posts(app).await {
            if self.busy.contains(&notifier) {
                continue;
            }
            if is_due(&post, now) {
                due.entry(notifier).or_default().push(post);
            } else {
                next = Some(next.map_or(post.due, |next| next.min(post.due)));
            }
        }
        for (name, posts) in due {
            // One that is no more is forgotten at the next look.
            let Some(notifier) = app.config().notify.get(&name).cloned() else { continue };
            self.busy.insert(name);
            let app = Arc::clone(app);
            self.tasks.spawn(async move {
                let name = notifier.name.clone();
                deliver(&app, notifier, posts).await;
                name
            });
        }
        next.map(|next| next.duration_since(now).unsigned_abs())
    }

    pub(super) fn are_under_way(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// One of them is through; never, where none is under way.
    pub(super) async fn ended(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(name)) => drop(self.busy.remove(&name)),
            // Which one panicked nobody knows: the others are asked for by their lock on the message.
            Some(Err(_)) => self.busy.clear(),
            None => std::future::pending().await,
        }
    }
}

/// Nothing waits for longer than [`LATEST`]: what seems to was put off by a clock that has gone back since.
pub(super) fn is_due(post: &Post, now: Timestamp) -> bool {
    post.due <= now || post.due > now + LATEST
}

async fn posts(app: &App) -> BTreeMap<crate::history::About, Post> {
    let history = Arc::clone(&app.runner.history);
    match blocking(move || history.notes()).await {
        Ok(notes) => notes.posts,
        Err(error) => {
            tracing::warn!(error = words::chain(&error), "what there is to tell cannot be read now");
            BTreeMap::new()
        }
    }
}

/// Delivers the messages of a notifier, the oldest first.
async fn deliver(app: &Arc<App>, notifier: Notifier, mut posts: Vec<Post>) {
    posts.sort_by_key(|post| post.id);
    let sender = app.sender(&notifier).await;
    let mut is_down: Option<Failed> = None;
    for post in posts {
        let now = (app.runner.clock)();
        if let Some(failed) = &is_down {
            // It is not asked in vain for each of them.
            let due = now + failed.wait(post.tries);
            write(app, move |history, why| history.post_waits(post.id, due, why, None), &failed.why).await;
            continue;
        }
        let failed = match attempt(&sender, &notifier.name, &post, now).await {
            Ok(end) => {
                ends(app, &post, end).await;
                continue;
            }
            Err(failed) => failed,
        };
        if now.duration_since(post.since) > GIVEN_UP {
            tracing::error!(notifier = %notifier.name, message = %headline(&post), "given up: this was never told");
            write(app, move |history, why| history.post_waits(post.id, now, why, Some(now)), &failed.why)
                .await;
            ends(app, &post, PostEnd::GivenUp).await;
            continue;
        }
        let due = now + failed.wait(post.tries);
        write(app, move |history, why| history.post_waits(post.id, due, why, Some(now)), &failed.why).await;
        is_down = Some(failed).filter(|failed| failed.is_down);
    }
}

/// A message was not delivered.
struct Failed {
    why: String,
    /// Nothing else would be.
    is_down: bool,
    /// When the receiver wants to be asked again, where it says so.
    again: Option<Duration>,
}

impl Failed {
    /// Until the next try of a message that was tried so often before.
    fn wait(&self, tries: u32) -> Duration {
        wait(tries).max(self.again.unwrap_or_default().min(LATEST))
    }
}

async fn attempt(sender: &Sender, name: &Name, post: &Post, now: Timestamp) -> Result<PostEnd, Failed> {
    let Ok(notice) = serde_json::from_str::<Notice>(&post.message) else {
        // What it said is told again where it still holds.
        return Ok(PostEnd::Unreadable);
    };
    match sender.send(&notice, now).await {
        Ok(said) => {
            tracing::info!(notifier = %name, message = notice.headline, answer = said, "told");
            Ok(PostEnd::Delivered)
        }
        Err(error) => {
            let failed = Failed { why: sender.words(&error), is_down: error.is_down(), again: error.again() };
            let again = words::duration(failed.wait(post.tries));
            tracing::warn!(notifier = %name, message = notice.headline, error = failed.why, "not told; it is tried again in {again}");
            Err(failed)
        }
    }
}

fn headline(post: &Post) -> String {
    serde_json::from_str::<Notice>(&post.message).map(|notice| notice.headline).unwrap_or_default()
}

async fn ends(app: &App, post: &Post, end: PostEnd) {
    let (id, now) = (post.id, (app.runner.clock)());
    write(app, move |history, _| history.post_ends(id, end, now), "").await;
}

/// A message whose end cannot be written is told again: better twice than never.
async fn write(
    app: &App,
    work: impl FnOnce(&crate::history::History, &str) -> Result<(), HistoryError> + Send + 'static,
    why: &str,
) {
    let (history, why) = (Arc::clone(&app.runner.history), why.to_owned());
    if let Err(error) = blocking(move || work(&history, &why)).await {
        tracing::warn!(error = words::chain(&error), "what became of a message cannot be noted now");
    }
}

fn wait(tries: u32) -> Duration {
    doubled(FIRST, tries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_was_put_off_by_a_clock_that_has_gone_back_is_due() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let due = |seconds| {
            let due = now + SignedDuration::from_secs(seconds);
            let (message, error) = (String::new(), None);
            is_due(&Post { id: 1, message, since: now, tries: 1, due, error }, now)
        };
        assert!(due(0) && due(-9) && due(2 * 3_600));
        assert!(!due(1) && !due(3_600));
    }

    #[test]
    fn the_wait_doubles_and_has_an_end() {
        let waits: Vec<u64> = [0, 1, 2, 8, 9, 1_000].map(wait).iter().map(Duration::as_secs).collect();
        assert_eq!(waits, [2, 4, 8, 512, 600, 600]);
    }
}
