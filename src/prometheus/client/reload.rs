//! The configuration that a server has loaded, and having it loaded again.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

use super::{ClientError, PrometheusClient, Request};
use crate::http::looks_like_html;

/// How long a reload may take: it starts what discovers targets anew, and reads every rule.
const RELOAD_LIMIT: Duration = Duration::from_mins(2);

/// What a server answered when it was asked to load its configuration again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    /// It did.
    Done,
    /// It does not take that from anybody: `--web.enable-lifecycle` is off.
    Off,
    /// It did not, and goes on with what it had; its own words.
    Refused(String),
}

#[derive(Deserialize)]
struct Loaded {
    yaml: String,
}

impl PrometheusClient {
    /// Has it load its configuration again: `/-/reload`.
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        let request = Request::post("have it load its configuration", "-/reload", &[]).within(RELOAD_LIMIT);
        let (status, body) = self.exchange(&request).await?;
        let text = String::from_utf8_lossy(&body).trim().to_owned();
        match status {
            StatusCode::OK if looks_like_html(&body) => {
                Err(self.not_prometheus(&request, "an HTML page came back".into()))
            }
            StatusCode::OK => Ok(Reloaded::Done),
            StatusCode::FORBIDDEN if text.contains("Lifecycle") => Ok(Reloaded::Off),
            StatusCode::INTERNAL_SERVER_ERROR if text.starts_with("failed to reload config") => {
                Ok(Reloaded::Refused(text))
            }
            _ => Err(self.refused(&request, status, &body)),
        }
    }

    /// The configuration that it has loaded, with all defaults and without secrets, as YAML.
    pub async fn loaded_config(&self) -> Result<String, ClientError> {
        let loaded: Loaded =
            self.api(&Request::get("read the configuration it has loaded", "api/v1/status/config")).await?;
        Ok(loaded.yaml)
    }
}
