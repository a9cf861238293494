//! What a server says of its scrape targets and rules.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ClientError, PrometheusClient, Request};

/// A scrape target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// What is scraped.
    pub scrape_url: String,
    /// The scrape job.
    #[serde(default)]
    pub scrape_pool: String,
    /// `up`, `down`, or `unknown` before the first scrape.
    pub health: String,
    /// Why it is down; empty where it is not.
    #[serde(default)]
    pub last_error: String,
}

/// A recording or alerting rule.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// `ok`, `err`, or `unknown` before it was first evaluated.
    #[serde(default)]
    pub health: String,
    /// Why it could not be evaluated.
    #[serde(default)]
    pub last_error: String,
    /// What it adds to its alerts or samples.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its expression, as the server writes it.
    #[serde(default)]
    pub query: String,
    /// `for` of an alert, in seconds.
    #[serde(default)]
    pub duration: f64,
    /// `keep_firing_for` of an alert, in seconds; 0 also where the server does not know it.
    #[serde(default)]
    pub keep_firing_for: f64,
    /// What an alert is explained by, before it is filled in.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// A group of rules.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct RuleGroup {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The file it was read from, as the server sees it.
    #[serde(default)]
    pub file: String,
    /// Its rules, in order.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// How often it is evaluated, in seconds.
    #[serde(default)]
    pub interval: f64,
    /// So many alerts or series a rule of it may bring; 0 for any number.
    #[serde(default)]
    pub limit: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Targets {
    active_targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<RuleGroup>,
}

impl PrometheusClient {
    /// What it scrapes. Empty for some seconds after its start, whatever is configured.
    pub async fn targets(&self) -> Result<Vec<Target>, ClientError> {
        let targets: Targets = self.api(&Request::get("read its targets", "api/v1/targets")).await?;
        Ok(targets.active_targets)
    }

    /// Its rules of all groups.
    pub async fn rules(&self) -> Result<Vec<Rule>, ClientError> {
        Ok(self.rule_groups().await?.into_iter().flat_map(|group| group.rules).collect())
    }

    /// The groups of rules that it has loaded.
    pub async fn rule_groups(&self) -> Result<Vec<RuleGroup>, ClientError> {
        let groups: Groups = self.api(&Request::get("read its rules", "api/v1/rules")).await?;
        Ok(groups.groups)
    }

    /// An expression as this server writes it, whoever wrote it how; nothing where it cannot say.
    pub async fn format_query(&self, expression: &str) -> Option<String> {
        let form = [("query", expression.to_owned())];
        self.api(&Request::post("have it write an expression", "api/v1/format_query", &form)).await.ok()
    }
}
