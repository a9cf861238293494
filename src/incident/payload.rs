//! What an Alertmanager posts: its webhook payload, version 4. Keys that are not used are not looked at. An alert in which
//! those that are used are not what they should be is left out; a payload that has no other is refused.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Labels, Notice};
use crate::words;

/// The version that this program knows.
const VERSION: &str = "4";
/// So many labels, and so many annotations, of an alert are kept.
const MOST: usize = 64;
/// Characters of a name.
const LONGEST_NAME: usize = 128;
/// Characters of a value.
const LONGEST: usize = 1_024;
/// Characters of a fingerprint; an Alertmanager makes 16.
const LONGEST_FINGERPRINT: usize = 64;
/// An alert without a name.
const NAMELESS: &str = "(no alertname)";

/// What was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What it says, in its order.
    pub notices: Vec<Notice>,
    /// So many alerts the Alertmanager left out (`max_alerts`).
    pub truncated: u64,
    /// Alerts that are not what they should be. An Alertmanager never tells again what was refused, so one that is wrong must
    /// not take the others with it.
    pub wrong: Vec<WrongAlert>,
}

/// An alert of a payload that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("alert {number}: {why}")]
pub struct WrongAlert {
    /// Which, from 1.
    pub number: usize,
    /// What is wrong.
    pub why: String,
}

/// It is not what an Alertmanager posts.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// It cannot be read.
    #[error("the body is not the JSON that an Alertmanager posts: {0}")]
    Json(#[from] serde_json::Error),
    /// It is of another version.
    #[error("the payload is of version {found}, and version \"{VERSION}\" is read")]
    Version {
        /// Which.
        found: String,
    },
    /// There are alerts in it, and each is wrong.
    #[error(transparent)]
    Alert(#[from] WrongAlert),
}

impl PayloadError {
    /// Whether the same may be read later: never.
    pub fn is_transient(&self) -> bool {
        false
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPayload {
    alerts: Vec<serde_json::Value>,
    #[serde(default)]
    truncated_alerts: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAlert {
    status: RawStatus,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Timestamp,
    ends_at: Option<Timestamp>,
    fingerprint: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum RawStatus {
    Firing,
    Resolved,
}

/// Reads what was posted.
pub fn parse(body: &[u8]) -> Result<Payload, PayloadError> {
    // Another version need not look like this one at all.
    let version = serde_json::from_slice::<Versioned>(body)?.version;
    if version.as_ref().and_then(serde_json::Value::as_str) != Some(VERSION) {
        let found = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        return Err(PayloadError::Version { found: words::clipped(&found, LONGEST_NAME).into_owned() });
    }
    let raw: RawPayload = serde_json::from_slice(body)?;
    let (mut notices, mut wrong) = (Vec::new(), Vec::new());
    for (index, alert) in raw.alerts.into_iter().enumerate() {
        match RawAlert::read(alert) {
            Ok(notice) => notices.push(notice),
            Err(why) => wrong.push(WrongAlert { number: index + 1, why }),
        }
    }
    if notices.is_empty() && !wrong.is_empty() {
        return Err(wrong.swap_remove(0).into());
    }
    Ok(Payload { notices, truncated: raw.truncated_alerts, wrong })
}

impl RawAlert {
    fn read(alert: serde_json::Value) -> Result<Notice, String> {
        let raw: Self = serde_json::from_value(alert)
            .map_err(|error| words::clipped(&error.to_string(), LONGEST_NAME).into_owned())?;
        Ok(raw.notice()?)
    }

    fn notice(self) -> Result<Notice, &'static str> {
        let is_hex = |c: char| c.is_ascii_hexdigit();
        let Self { status, mut labels, annotations, starts_at, ends_at, fingerprint } = self;
        if fingerprint.is_empty()
            || fingerprint.len() > LONGEST_FINGERPRINT
            || !fingerprint.chars().all(is_hex)
        {
            return Err("\"fingerprint\" is no hexadecimal number of at most 64 digits");
        }
        // As they are kept: what is compared with what was kept before must not differ by what that has lost.
        let (starts_at, ends_at) = (in_millis(starts_at), ends_at.map(in_millis));
        let ended = match (status, ends_at) {
            (RawStatus::Firing, _) => None,
            (RawStatus::Resolved, Some(at)) if at >= starts_at => Some(at),
            (RawStatus::Resolved, _) => {
                return Err("it is resolved, and \"endsAt\" is not after \"startsAt\"");
            }
        };
        let short = |text: String| words::clipped(&text, LONGEST).into_owned();
        let alert = labels.get("alertname").filter(|name| !name.is_empty()).cloned();
        let alert = alert.map_or_else(|| NAMELESS.to_owned(), short);
        // What rules ask for is not what is left out.
        let named = ["alertname", "severity"].map(|name| labels.remove_entry(name));
        let named = named.into_iter().flatten().filter(|(_, value)| !value.is_empty());
        let labels = bounded(named.chain(labels));
        let severity = labels.get("severity").cloned();
        let annotations = bounded(annotations);
        Ok(Notice { fingerprint, alert, severity, labels, annotations, starts: starts_at, ended })
    }
}

/// As much of it as is kept.
fn bounded(all: impl IntoIterator<Item = (String, String)>) -> Labels {
    let clipped = |text: &str, longest| words::clipped(text, longest).into_owned();
    let kept = all.into_iter().take(MOST);
    kept.map(|(name, value)| (clipped(&name, LONGEST_NAME), clipped(&value, LONGEST))).collect()
}

/// Without what is below a thousandth of a second.
fn in_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn alert() -> Value {
        json!({
            "status": "firing", "labels": { "alertname": "ServiceDown", "severity": "critical" },
            "annotations": { "summary": "it is down" }, "startsAt": "2026-11-26T13:00:00.500999999+01:00",
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://x/", "fingerprint": "0123456789abcdef", "more": [1],
        })
    }

    fn read(payload: &Value) -> Result<Payload, String> {
        parse(payload.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    fn with(key: &str, value: Value) -> Result<Payload, String> {
        let mut alert = alert();
        alert[key] = value;
        read(&json!({ "version": "4", "alerts": [alert] }))
    }

    #[test]
    fn what_is_used_is_read_and_the_rest_is_not_looked_at() {
        let payload = json!({ "version": "4", "groupKey": {}, "receiver": 1, "truncatedAlerts": 3, "alerts": [alert()] });
        let payload = read(&payload).unwrap();
        let notice = &payload.notices[0];
        assert_eq!((payload.truncated, payload.notices.len(), notice.ended), (3, 1, None));
        assert_eq!((notice.alert.as_str(), notice.severity.as_deref()), ("ServiceDown", Some("critical")));
        assert_eq!(notice.starts.to_string(), "2026-11-26T12:00:00.5Z");
        assert_eq!(notice.annotations["summary"], "it is down");
        let resolved = json!({ "status": "resolved", "labels": {}, "startsAt": "2026-11-26T12:00:00Z",
            "endsAt": "2026-11-26T12:01:00Z", "fingerprint": "ab" });
        let resolved = read(&json!({ "version": "4", "alerts": [resolved] })).unwrap();
        assert_eq!(resolved.notices[0].alert, "(no alertname)");
        assert_eq!(resolved.notices[0].ended.unwrap().to_string(), "2026-11-26T12:01:00Z");
    }

    #[test]
    fn what_is_not_as_it_should_be_is_refused_with_a_reason() {
        assert!(parse(b"status=firing").unwrap_err().to_string().contains("not the JSON"));
        let version = |version: Value| read(&json!({ "version": version, "alerts": [alert()] })).unwrap_err();
        assert!(version(json!("3")).contains("version \"3\", and version \"4\""));
        assert!(version(json!(4)).contains("version 4"));
        assert!(version(json!("x".repeat(10_000))).len() < 300);
        assert!(read(&json!({ "alert": [] })).unwrap_err().contains("version none"));
        assert!(read(&json!({ "version": "4" })).unwrap_err().contains("missing field `alerts`"));
        for (key, value) in [
            ("status", json!("pending")),
            ("labels", json!({ "alertname": 1 })),
            ("labels", json!(null)),
            ("startsAt", json!("yesterday")),
            ("fingerprint", json!("")),
            ("fingerprint", json!("../../etc")),
            ("fingerprint", json!("a".repeat(65))),
            ("status", json!("resolved")),
        ] {
            assert!(with(key, value.clone()).is_err(), "{key}: {value}");
        }
        assert!(with("fingerprint", json!("zz")).unwrap_err().starts_with("alert 1: "));
    }

    #[test]
    fn an_alert_that_is_wrong_takes_no_other_with_it() {
        let mut wrong = vec![alert(); 3];
        wrong[0].as_object_mut().unwrap().remove("fingerprint");
        wrong[1]["labels"] = json!({ "alertname": 1 });
        let read = read(&json!({ "version": "4", "alerts": [wrong[0], wrong[1], alert(), 7] })).unwrap();
        assert_eq!((read.notices.len(), read.notices[0].fingerprint.as_str()), (1, "0123456789abcdef"));
        let said: Vec<String> = read.wrong.iter().map(ToString::to_string).collect();
        assert_eq!(said[0], "alert 1: missing field `fingerprint`");
        assert!(
            said[1].starts_with("alert 2: ") && said[2].starts_with("alert 4: ") && said.len() == 3,
            "{said:?}"
        );
    }

    #[test]
    fn of_many_and_long_labels_only_so_much_is_kept_and_what_rules_ask_for_always() {
        let mut labels: BTreeMap<String, String> =
            (0..500).map(|nth| (format!("a{nth}"), "x".repeat(5_000))).collect();
        labels.insert("alertname".into(), "Big".into());
        labels.insert("severity".into(), "critical".into());
        let payload = with("labels", json!(labels)).unwrap();
        let notice = &payload.notices[0];
        assert_eq!((notice.labels.len(), notice.alert.as_str()), (MOST, "Big"));
        assert_eq!(notice.severity.as_deref(), Some("critical"));
        assert!(notice.labels.values().all(|value| value.chars().count() <= LONGEST));
    }
}
