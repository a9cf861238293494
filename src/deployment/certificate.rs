//! The TLS certificate of a server is still valid for some days.
//!
//! Whether it is trusted is not asked here, so that the days of one that has ended are told too; every other
//! request is refused by a server that is not trusted.

use jiff::Timestamp;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::{Terms, Verdict, Wrong};
use crate::http::HttpClient;

/// The seconds of a day.
const DAY: i64 = 86_400;

/// Looks at the certificate that a server shows.
#[derive(Debug, Clone)]
pub struct CertificateCheck {
    /// The server; any certificate must be accepted by this client.
    pub client: HttpClient,
    /// So many days at the least.
    pub days: u32,
}

impl CertificateCheck {
    pub(super) async fn look(&self, terms: Terms) -> Verdict {
        let der = self.client.certificate(terms.limit).await;
        let der = der.map_err(|error| Wrong::of(&error, error.hint()))?;
        let certificate = Certificate::from_der(&der)
            .map_err(|error| Wrong::new(format!("the certificate cannot be read: {error}")))?;
        let validity = certificate.tbs_certificate().validity();
        let seconds = |time: &x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
        };
        let span = (seconds(&validity.not_before), seconds(&validity.not_after));
        judge(span, self.days, terms.now)
    }
}

/// `span`: from when until when it is valid, in Unix seconds.
fn judge((from, until): (i64, i64), days: u32, now: Timestamp) -> Verdict {
    let date = |second| {
        Timestamp::from_second(second)
            .map_or_else(|_| "?".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
    };
    let now = now.as_second();
    if from > now {
        return Err(Wrong::new(format!("the certificate is not valid before {}", date(from)))
            .hint("is the clock right?"));
    }
    if until <= now {
        return Err(Wrong::new(format!("the certificate has ended on {}", date(until))).hint("renew it"));
    }
    let left = (until - now) / DAY;
    let text = format!("{left} days left, until {}", date(until));
    if left < i64::from(days) {
        return Err(Wrong::new(format!("{text}; it should be {days} at the least")).hint("renew it"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_now_and_an_ended_certificate_says_since_when() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let at = |days: i64| now.as_second() + days * DAY;
        assert_eq!(judge((at(-1), at(30)), 14, now).unwrap(), "30 days left, until 2026-12-25");
        assert!(judge((at(-1), at(13)), 14, now).unwrap_err().text.starts_with("13 days left"));
        assert!(judge((at(-9), at(-2)), 14, now).unwrap_err().text.ends_with("ended on 2026-11-23"));
        assert!(judge((at(1), at(30)), 14, now).unwrap_err().text.contains("not valid before"));
    }
}
