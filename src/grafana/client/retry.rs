//! Whether a request is sent again, and when.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};

use super::call::Call;
use crate::grafana::GrafanaError;

/// A reply as it came, whoever it came from.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Of a redirection: where to.
    pub(super) leads_to: String,
    /// How long the server asks to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Received {
    pub(super) fn of(response: &Response) -> Self {
        let text = |name| header(response.headers(), name);
        Self {
            status: response.status().as_u16(),
            body: Vec::new(),
            leads_to: text(LOCATION).map(|to| without_secrets(&to)).unwrap_or_default(),
            // A date in its place is as good as none: nobody before a Grafana was seen to send one.
            retry_after: text(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs),
        }
    }
}

/// Where a redirection leads to, without what may be a secret in it: its query, its fragment, and who logs in there.
fn without_secrets(to: &str) -> String {
    let place = to.split(['?', '#']).next().unwrap_or_default();
    match place.split_once("//") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            let path = path.map(|path| format!("/{path}")).unwrap_or_default();
            format!("{scheme}//{host}{path}")
        }
        None => place.to_owned(),
    }
}

fn header(headers: &HeaderMap, name: reqwest::header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// How often a request is tried again, and how long is waited before that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    tries: u32,
    first: Duration,
    longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 4, first: Duration::from_millis(250), longest: Duration::from_secs(30) }
    }
}

impl Patience {
    /// How long to wait before it is sent again; `None` where it is not.
    pub(super) fn pause(
        self,
        call: &Call,
        received: &Result<Received, GrafanaError>,
        tries: u32,
    ) -> Option<Duration> {
        if tries >= self.tries || !worth_it(call, received) {
            return None;
        }
        let asked = received.as_ref().ok().and_then(|received| received.retry_after);
        let own = self.first * 2_u32.saturating_pow(tries);
        // Who asks for more patience than that gets an error: the job has retries of its own.
        Some(asked.unwrap_or(own).max(own)).filter(|pause| *pause <= self.longest)
    }
}

fn worth_it(call: &Call, received: &Result<Received, GrafanaError>) -> bool {
    match received {
        // It was turned away before anything was done.
        Ok(Received { status: 429, .. }) => true,
        Ok(Received { status: 502..=504, .. }) => call.repeatable,
        Err(GrafanaError::Unreachable { source, .. }) => call.repeatable || source.before_sending,
        Ok(_) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reply(status: u16, retry_after: Option<u64>) -> Received {
        let retry_after = retry_after.map(Duration::from_secs);
        Received { status, body: Vec::new(), leads_to: String::new(), retry_after }
    }

    #[test]
    fn only_what_passes_is_tried_again_and_never_a_401() {
        let (patience, get) = (Patience::default(), Call::get("x", "/"));
        for status in [200, 301, 400, 401, 403, 404, 409, 412, 422, 500, 501] {
            assert_eq!(patience.pause(&get, &Ok(reply(status, Some(1))), 0), None, "{status}");
        }
        for status in [429, 502, 503, 504] {
            assert_eq!(patience.pause(&get, &Ok(reply(status, None)), 1), Some(Duration::from_millis(500)));
            assert_eq!(patience.pause(&get, &Ok(reply(status, None)), 4), None, "{status}");
        }
    }

    #[test]
    fn what_could_be_done_twice_is_sent_again_only_if_it_was_turned_away() {
        let patience = Patience::default();
        let post = Call::post("x", "/", json!({}));
        assert_eq!(patience.pause(&post, &Ok(reply(503, None)), 0), None);
        assert!(patience.pause(&post, &Ok(reply(429, None)), 0).is_some());
        assert!(patience.pause(&post.repeatable(), &Ok(reply(503, None)), 0).is_some());
    }

    #[test]
    fn a_server_that_asks_for_a_pause_gets_it_but_not_for_ever() {
        let (patience, get) = (Patience::default(), Call::get("x", "/"));
        assert_eq!(patience.pause(&get, &Ok(reply(429, Some(2))), 0), Some(Duration::from_secs(2)));
        assert_eq!(patience.pause(&get, &Ok(reply(429, Some(0))), 0), Some(Duration::from_millis(250)));
        assert_eq!(patience.pause(&get, &Ok(reply(429, Some(3600))), 0), None);
    }
}
