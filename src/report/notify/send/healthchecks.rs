//! Pings of healthchecks.io. It says `OK`, and with 200 also what it did not take.

use super::{Post, SendError, Sender, answer, clipped, endpoint, shown};
use crate::config::notify::Healthchecks;
use crate::config::values::Auth;
use crate::http::excerpt;
use crate::report::notify::{Notice, Ping, Say};

/// It keeps no more of a log.
const LONGEST: usize = 90_000;

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
    let mut said = String::from("no check");
    for address in addresses {
        let mut url = sender.url(address)?;
        let path = format!("{}{}", url.path().trim_end_matches('/'), ending(notice.say));
        url.set_path(&path);
        if let Some(id) = run_id(notice) {
            url.query_pairs_mut().append_pair("rid", &id);
        }
        let endpoint = endpoint(url, Auth::None, checks.ca_file.as_ref());
        let body = clipped(&notice.text(), LONGEST).into_bytes();
        let post = Post { content_type: "text/plain; charset=utf-8".to_owned(), headers: Vec::new(), body };
        let reply = sender.post(&endpoint, post).await?;
        let text = String::from_utf8_lossy(&reply.body);
        if text.trim().starts_with("OK (") {
            let server = shown(&endpoint.url);
            return Err(SendError::Refused { server, status: reply.status, said: excerpt(&reply.body) });
        }
        said = answer(&reply);
    }
    Ok(said)
}

fn ending(say: Say) -> &'static str {
    match say {
        Say::Ping(Ping::Start) => "/start",
        Say::Ping(Ping::Fail | Ping::OthersFail) => "/fail",
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
