//! An Alertmanager is ready, and its cluster has settled: before that it may send a notification twice.

use tokio::time::Instant;

use super::http::{get, get_json, status};
use super::{PAUSE, Terms, Verdict, Wrong};
use crate::http::HttpClient;

/// Asks an Alertmanager how it is.
#[derive(Debug, Clone)]
pub struct AlertmanagerCheck {
    /// The server.
    pub client: HttpClient,
}

impl AlertmanagerCheck {
    pub(super) async fn look(&self, terms: Terms) -> Verdict {
        for path in ["/-/healthy", "/-/ready"] {
            status(&self.client.url(path), Some(200), &get(&self.client, path, terms).await?)?;
        }
        loop {
            let found = get_json(&self.client, "/api/v2/status", terms).await?;
            let text = |pointer| found.pointer(pointer).and_then(serde_json::Value::as_str);
            let Some(cluster) = text("/cluster/status") else {
                let wrong =
                    Wrong::new(format!("{} says nothing of a cluster", self.client.url("/api/v2/status")));
                return Err(wrong.hint("is this an Alertmanager?"));
            };
            match cluster {
                "ready" | "disabled" => {
                    let version = text("/versionInfo/version").unwrap_or("of an unknown version");
                    return Ok(format!("Alertmanager {version} is ready, cluster {cluster}"));
                }
                _ if Instant::now() + PAUSE > terms.patience => {
                    return Err(Wrong::new(format!("it is ready, but its cluster is {cluster}"))
                        .hint("just started? `run-now JOB --wait 60s` waits until it has settled"));
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}
