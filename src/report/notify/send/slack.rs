//! An incoming webhook of Slack. It says `ok`, or what is wrong, also with 200.

use super::{Post, SendError, Sender, answer, clipped, endpoint};
use crate::config::notify::Web;
use crate::config::values::Auth;
use crate::http::excerpt;
use crate::report::notify::Notice;

/// Slack cuts longer ones.
const LONGEST: usize = 3_500;

pub(super) async fn send(sender: &Sender, web: &Web, notice: &Notice) -> Result<String, SendError> {
    let endpoint = endpoint(sender.url(&web.address)?, Auth::None, web.ca_file.as_ref());
    let body = serde_json::json!({ "text": text(notice) });
    let reply = sender.post(&endpoint, Post::json(&body)).await?;
    if String::from_utf8_lossy(&reply.body).trim() == "ok" {
        return Ok(answer(&reply));
    }
    Err(SendError::refused(&endpoint.url, &reply, excerpt(&reply.body)))
}

/// Bold, then as it is. Three characters mean something to Slack.
fn text(notice: &Notice) -> String {
    let plain = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let headline = plain(&notice.headline).replace('*', "·");
    if notice.body.is_empty() {
        return format!("*{headline}*");
    }
    let body = clipped(&notice.body, LONGEST);
    format!("*{headline}*\n```\n{}\n```", plain(&body).replace("```", "'''"))
}
