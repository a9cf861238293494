//! ntfy, by JSON: a header holds no text beyond ASCII.

use serde_json::json;

use super::{Post, SendError, Sender, answer, clipped, endpoint};
use crate::config::notify::{Event, Ntfy};
use crate::report::notify::{Notice, Say};

/// A longer one becomes an attachment.
const LONGEST: usize = 3_800;

pub(super) async fn send(sender: &Sender, ntfy: &Ntfy, notice: &Notice) -> Result<String, SendError> {
    let endpoint = endpoint(ntfy.server.clone(), ntfy.auth.clone(), ntfy.ca_file.as_ref());
    let message = if notice.body.is_empty() { &notice.headline } else { &notice.body };
    let body = json!({
        "topic": sender.text(&ntfy.topic)?,
        "title": notice.headline,
        "message": clipped(message, LONGEST),
        "priority": ntfy.priority.unwrap_or(priority(notice)),
        "tags": [tag(notice), notice.say.name()],
    });
    sender.post(&endpoint, Post::json(&body)).await.map(|reply| answer(&reply))
}

fn priority(notice: &Notice) -> u32 {
    match notice.event() {
        Event::Failed | Event::TooLong => 5,
        Event::Missed | Event::Overdue => 4,
        Event::Warned | Event::Recovered => 3,
    }
}

/// ntfy shows these as a sign.
fn tag(notice: &Notice) -> &'static str {
    match (notice.say, notice.event()) {
        (Say::Test, _) => "wave",
        (_, Event::Recovered) => "white_check_mark",
        (_, Event::Warned) => "warning",
        _ => "rotating_light",
    }
}
