//! Pings of healthchecks.io. It says `OK`, and with 200 also what it did not take.

use super::{Post, SendError, Sender, answer, clipped, endpoint};
use crate::config::notify::{Address, Healthchecks};
use crate::config::values::Auth;
use crate::http::{Reply, excerpt};
use crate::report::notify::{Notice, Ping, Say};

/// It keeps no more of a log.
const LONGEST: usize = 90_000;
const FAIL: &str = "/fail";

/// One ping.
struct Signal<'a> {
    /// What follows the URL of the check.
    ending: &'static str,
    run: Option<String>,
    body: &'a str,
}

pub(super) async fn send(
    sender: &Sender,
    checks: &Healthchecks,
    notice: &Notice,
) -> Result<String, SendError> {
    // A test is for every check, and moves none.
    let addresses: Vec<_> = match notice.say {
        Say::Test => checks.one.iter().chain(checks.of_job.values()).collect(),
        _ => checks.of(&notice.job).into_iter().collect(),
    };
    let (text, before) = (notice.text(), notice.undelivered.join("\n"));
    let mut said = String::from("no check");
    for address in addresses {
        if !before.is_empty() {
            // It was down, and who is told of that should not have to find it in a log.
            ping(sender, checks, address, Signal { ending: FAIL, run: None, body: &before }).await?;
        }
        let signal = Signal { ending: ending(notice.say), run: run_id(notice), body: &text };
        said = answer(&ping(sender, checks, address, signal).await?);
    }
    Ok(said)
}

async fn ping(
    sender: &Sender,
    checks: &Healthchecks,
    address: &Address,
    signal: Signal<'_>,
) -> Result<Reply, SendError> {
    let mut url = sender.url(address)?;
    let path = format!("{}{}", url.path().trim_end_matches('/'), signal.ending);
    url.set_path(&path);
    if let Some(id) = signal.run {
        url.query_pairs_mut().append_pair("rid", &id);
    }
    let endpoint = endpoint(url, Auth::None, checks.ca_file.as_ref());
    let body = clipped(signal.body, LONGEST).into_bytes();
    let post = Post { content_type: "text/plain; charset=utf-8".to_owned(), headers: Vec::new(), body };
    let reply = sender.post(&endpoint, post).await?;
    if String::from_utf8_lossy(&reply.body).trim().starts_with("OK (") {
        return Err(SendError::refused(&endpoint.url, &reply, excerpt(&reply.body)));
    }
    Ok(reply)
}

fn ending(say: Say) -> &'static str {
    match say {
        Say::Ping(Ping::Start) => "/start",
        Say::Ping(Ping::Fail | Ping::OthersFail) => FAIL,
        Say::Test => "/log",
        _ => "",
    }
}

/// A run as a UUID: by it a beginning and an end find each other.
fn run_id(notice: &Notice) -> Option<String> {
    let run = ulid::Ulid::from_string(notice.run.as_ref()?).ok()?;
    let hex = format!("{:032x}", u128::from(run));
    Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}
