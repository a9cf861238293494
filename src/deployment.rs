//! Looking whether what was deployed works: checks, one file each, side by side.
//!
//! A check ends in a [`Verdict`] within its own limit, whatever it looks at does, and at once where the run is stopped; one
//! that cannot be made has failed, with a hint. A status 200 alone proves nothing: a check asks for something that only the right server
//! says. A server that has just been started is given time to settle within the limit of the check.

mod alertmanager;
mod backup;
mod certificate;
mod container;
mod disk;
mod grafana;
mod http;
mod metric;
mod promql;
mod rules;
mod targets;

use std::time::Duration;

use futures_util::future::{BoxFuture, Shared, join_all};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use alertmanager::AlertmanagerCheck;
pub use backup::BackupCheck;
pub use certificate::CertificateCheck;
pub use container::ContainerCheck;
pub use disk::DiskCheck;
pub use grafana::GrafanaCheck;
pub use http::HttpCheck;
pub use metric::MetricCheck;
pub use promql::PromqlCheck;
pub use rules::RulesCheck;
pub use targets::TargetsCheck;

use crate::jobs::CheckResult;
use crate::words;

/// How long between two looks at something that is not as it should be yet.
const PAUSE: Duration = Duration::from_secs(1);
/// So many are named; the rest is counted.
const NAMED: usize = 10;

/// What a check came to: what was found, or what is wrong.
pub type Verdict = Result<String, Wrong>;

/// What is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Wrong {
    /// Something that needs no hint.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// An error with its causes.
    pub fn of(error: &dyn std::error::Error, hint: Option<String>) -> Self {
        Self { text: words::chain(error), hint }
    }
}

/// A check that can be made.
#[derive(Debug, Clone)]
pub struct Check<'c> {
    /// Its name.
    pub name: String,
    /// How long it may take.
    pub limit: Duration,
    /// What it looks at.
    pub probe: Prepared<'c>,
}

/// What a check looks at, or why it cannot, once it is found: a Docker engine, for one, may not answer. It is found once.
pub type Prepared<'f> = Shared<BoxFuture<'f, Result<Probe, Wrong>>>;

/// What a check looks at.
#[derive(Debug, Clone)]
pub enum Probe {
    /// What an HTTP server answers.
    Http(HttpCheck),
    /// A metric that is exposed.
    Metric(MetricCheck),
    /// A PromQL expression.
    Promql(PromqlCheck),
    /// Scrape targets.
    Targets(TargetsCheck),
    /// Rules.
    Rules(RulesCheck),
    /// An Alertmanager.
    Alertmanager(AlertmanagerCheck),
    /// A Grafana.
    Grafana(GrafanaCheck),
    /// A container.
    Container(Box<ContainerCheck>),
    /// Room on a disk.
    Disk(DiskCheck),
    /// A TLS certificate.
    Certificate(CertificateCheck),
    /// The age of a backup.
    Backup(BackupCheck),
}

/// When a check looks, and how long it may.
#[derive(Debug, Clone, Copy)]
struct Terms {
    /// The wall clock.
    now: Timestamp,
    /// Until then something may settle.
    patience: Instant,
    /// The limit of a request.
    limit: Duration,
}

impl Probe {
    async fn look(&self, terms: Terms) -> Verdict {
        match self {
            Self::Http(check) => check.look(terms).await,
            Self::Metric(check) => check.look(terms).await,
            Self::Promql(check) => check.look(terms).await,
            Self::Targets(check) => check.look(terms).await,
            Self::Rules(check) => check.look(terms).await,
            Self::Alertmanager(check) => check.look(terms).await,
            Self::Grafana(check) => check.look(terms).await,
            Self::Container(check) => check.look(terms).await,
            Self::Disk(check) => check.look().await,
            Self::Certificate(check) => check.look(terms).await,
            Self::Backup(check) => check.look(terms).await,
        }
    }
}

/// Makes all checks, again and again until all of them passed in one round or `wait` is over, and returns the last
/// round that came to its end. `now` is the time of the first, of which a stop leaves what was found until then.
pub async fn look(
    checks: &[Check<'_>],
    now: Timestamp,
    wait: Duration,
    cancel: &CancellationToken,
) -> Vec<CheckResult> {
    let since = Instant::now();
    let mut last: Option<Vec<CheckResult>> = None;
    loop {
        let now = now + SignedDuration::try_from(since.elapsed()).unwrap_or_default();
        let results = join_all(checks.iter().map(|check| one(check, now, cancel))).await;
        let passed = results.iter().all(|result| result.passed);
        if cancel.is_cancelled() && !passed {
            return last.unwrap_or(results);
        }
        if passed || since.elapsed() + PAUSE > wait {
            return results;
        }
        tokio::select! {
            () = cancel.cancelled() => return results,
            () = tokio::time::sleep(PAUSE) => last = Some(results),
        }
    }
}

async fn one(check: &Check<'_>, now: Timestamp, cancel: &CancellationToken) -> CheckResult {
    let since = Instant::now();
    let terms = Terms { now, patience: since + check.limit.mul_f32(0.75), limit: check.limit };
    let look = async { check.probe.clone().await?.look(terms).await };
    let verdict = tokio::select! {
        biased;
        verdict = within(check.limit, look) => verdict,
        () = cancel.cancelled() => Err(Wrong::new(format!(
            "no answer yet when the run was stopped, after {}",
            words::duration(since.elapsed())
        ))),
    };
    let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (passed, text, hint) = match verdict {
        Ok(text) => (true, text, None),
        Err(wrong) => (false, wrong.text, wrong.hint),
    };
    CheckResult { name: check.name.clone(), passed, text, hint, millis }
}

async fn within(limit: Duration, look: impl Future<Output = Verdict>) -> Verdict {
    tokio::time::timeout(limit, look).await.unwrap_or_else(|_| {
        Err(Wrong::new(format!("no answer within {}", words::duration(limit)))
            .hint("raise \"timeout\" of the check if it may take longer"))
    })
}

/// Some lines as one text: the first ones, and how many more there are.
fn named(mut all: Vec<String>) -> String {
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    let text = all.join("; ");
    if more == 0 { text } else { format!("{text}; and {more} more") }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::config::values::{Auth, Endpoint};
    use crate::http::Credentials;
    use crate::prometheus::client::PrometheusClient;

    fn found(probe: Result<Probe, Wrong>) -> Prepared<'static> {
        std::future::ready(probe).boxed().shared()
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_cannot_be_made_has_failed_and_is_made_again_until_the_wait_is_over() {
        let wrong = Wrong::new("no secret").hint("set it");
        let check = Check { name: "a".into(), limit: Duration::from_secs(1), probe: found(Err(wrong)) };
        let since = Instant::now();
        let cancel = CancellationToken::new();
        let results = look(&[check], Timestamp::UNIX_EPOCH, Duration::from_secs(5), &cancel).await;
        assert_eq!((results[0].passed, results[0].text.as_str()), (false, "no secret"));
        assert_eq!(results[0].hint.as_deref(), Some("set it"));
        assert_eq!(since.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait() {
        let check = Check { name: "a".into(), limit: PAUSE, probe: found(Err(Wrong::new("x"))) };
        let cancel = CancellationToken::new();
        cancel.cancel();
        let since = Instant::now();
        look(&[check], Timestamp::UNIX_EPOCH, Duration::from_mins(10), &cancel).await;
        assert!(since.elapsed() < PAUSE);
    }

    #[tokio::test]
    async fn a_stop_in_the_middle_keeps_what_was_found_and_waits_for_no_answer() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let (auth, url) = (Auth::None, url.parse().unwrap());
        let endpoint = Endpoint { url, auth, ca_file: None, client_certificate: None, insecure: false };
        let client = PrometheusClient::new(&endpoint, Credentials::None).unwrap();
        let check = |name: &str, probe| Check {
            name: name.into(),
            limit: Duration::from_mins(10),
            probe: found(probe),
        };
        let hangs = Probe::Rules(RulesCheck { client, at_least: 1 });
        let checks = [check("secret", Err(Wrong::new("no secret"))), check("rules", Ok(hangs))];
        let (cancel, since) = (CancellationToken::new(), Instant::now());
        let asked = tokio::task::spawn_blocking(move || silent.accept().map(|(stream, _)| (silent, stream)));
        let stop = async {
            let asked = asked.await.unwrap().unwrap();
            cancel.cancel();
            asked
        };
        let look = look(&checks, Timestamp::UNIX_EPOCH, Duration::ZERO, &cancel);
        let (results, _asked) = tokio::join!(look, stop);
        assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
        assert_eq!(results[0].text, "no secret");
        assert!(results[1].text.starts_with("no answer yet when the run was stopped"), "{results:?}");
    }

    #[test]
    fn of_many_the_first_are_named_and_the_rest_counted() {
        assert_eq!(named(vec!["a".into(), "b".into()]), "a; b");
        assert!(named((0..13).map(|n| n.to_string()).collect()).ends_with("9; and 3 more"));
    }
}
