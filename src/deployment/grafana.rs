//! A Grafana is healthy, and so are its data sources.

use serde_json::Value;

use super::http::{get, get_json};
use super::{Terms, Verdict, Wrong, named};
use crate::http::{HttpClient, Reply, excerpt};
use crate::words;

/// Asks a Grafana how it is.
#[derive(Debug, Clone)]
pub struct GrafanaCheck {
    /// The server.
    pub client: HttpClient,
    /// Asks it about its data sources too, which needs credentials.
    pub data_sources: bool,
}

impl GrafanaCheck {
    pub(super) async fn look(&self, terms: Terms) -> Verdict {
        let health = get_json(&self.client, "/api/health", terms).await?;
        match health.get("database").and_then(Value::as_str) {
            Some("ok") => {}
            Some(state) => return Err(Wrong::new(format!("its database is {state}"))),
            None => {
                let url = self.client.url("/api/health");
                return Err(
                    Wrong::new(format!("{url} says nothing of a database")).hint("is this a Grafana?")
                );
            }
        }
        let version = health.get("version").and_then(Value::as_str).unwrap_or("of an unknown version");
        let well = format!("Grafana {version} is well");
        if !self.data_sources {
            return Ok(well);
        }
        Ok(format!("{well}, {}", self.look_at_data_sources(terms).await?))
    }

    async fn look_at_data_sources(&self, terms: Terms) -> Verdict {
        let list = get_json(&self.client, "/api/datasources", terms).await?;
        let url = self.client.url("/api/datasources");
        let list = match list {
            Value::Array(list) if list.is_empty() => {
                let wrong = Wrong::new("it has no data source");
                return Err(wrong.hint("was it set up anew? a backup may be there: `watchkeeper backups`"));
            }
            Value::Array(list) => list,
            other => {
                let text = format!("{url} answers with no list: {}", excerpt(other.to_string().as_bytes()));
                return Err(
                    Wrong::new(text).hint("is this a Grafana, and may this user see its data sources?")
                );
            }
        };
        let (mut wrong, mut untold) = (Vec::new(), 0);
        for source in &list {
            let text = |key| source.get(key).and_then(Value::as_str).unwrap_or_default();
            if text("uid").is_empty() {
                untold += 1;
                continue;
            }
            let path = format!("/api/datasources/uid/{}/health", text("uid"));
            match judge(&get(&self.client, &path, terms).await?) {
                Health::Ok => {}
                Health::Untold => untold += 1,
                Health::Wrong(why) => wrong.push(format!("{}: {why}", text("name"))),
            }
        }
        let count = words::count(list.len(), "data source");
        if !wrong.is_empty() {
            return Err(Wrong::new(format!("{} of {count} not well: {}", wrong.len(), named(wrong))));
        }
        Ok(match (list.len() - untold, untold) {
            (_, 0) => format!("{count} well"),
            (0, _) => format!("{count}, none of which this Grafana can be asked about"),
            (well, untold) => format!("{well} of {count} well, {untold} cannot be asked"),
        })
    }
}

enum Health {
    Ok,
    /// An older Grafana, or a plugin that has no such test.
    Untold,
    Wrong(String),
}

fn judge(reply: &Reply) -> Health {
    let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let message = answer.get("message").and_then(Value::as_str);
    let message = message.map_or_else(|| excerpt(&reply.body), str::to_owned);
    match (reply.status, answer.get("status").and_then(Value::as_str)) {
        (200, Some("OK")) => Health::Ok,
        (404, _) => Health::Untold,
        (200, None) => Health::Wrong(format!("no answer about its health: {message}")),
        (status, _) => Health::Wrong(format!("{message} ({status})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_ok_of_a_data_source_is_one() {
        let judged = |status, body: &str| match judge(&Reply {
            status,
            body: body.into(),
            called_html: false,
            retry_after: None,
        }) {
            Health::Ok => "ok".to_owned(),
            Health::Untold => "untold".to_owned(),
            Health::Wrong(why) => why,
        };
        assert_eq!(judged(200, r#"{"status":"OK","message":"fine"}"#), "ok");
        assert_eq!(judged(404, r#"{"message":"Not found"}"#), "untold");
        assert_eq!(judged(400, r#"{"status":"ERROR","message":"refused"}"#), "refused (400)");
        assert_eq!(judged(200, "<html>"), "no answer about its health: an HTML page");
    }
}
