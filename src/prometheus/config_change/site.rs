//! The Prometheus whose configuration is changed, as it answers: where its files are, and what it has loaded.

use std::path::Path;

use super::error::ChangeError;
use super::facts::Facts;
use super::place::Place;
use super::plan::Expected;
use super::reach::Reach;
use super::rules::{RuleFile, fits, folders};
use crate::prometheus::client::RuleGroup;
use crate::prometheus::folder::absolute;

/// A Prometheus whose configuration can be changed.
pub struct Site {
    pub(super) reach: Reach,
    /// The file that the server was started with.
    pub(super) config: Place,
    pub(super) cwd: String,
}

/// What a server has loaded, beside what it is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Comparison {
    /// The same.
    Same,
    /// As far as it tells; of this it does not.
    Unsure(String),
    /// Something else, in words.
    Other(String),
}

impl Site {
    /// The folder of its configuration, as it sees it: where relative paths begin.
    pub(super) fn folder(&self) -> &str {
        Path::new(&self.config.seen).parent().and_then(Path::to_str).unwrap_or("/")
    }

    /// The groups of rules that it has loaded, with the whole paths of their files.
    pub(super) async fn groups(&self) -> Result<Vec<RuleGroup>, ChangeError> {
        let mut groups = self.reach.client.rule_groups().await?;
        for group in &mut groups {
            group.file = absolute(&group.file, Some(&self.cwd)).unwrap_or_default();
        }
        Ok(groups)
    }

    /// It can be told to load its configuration.
    pub(super) async fn is_reloadable(&self) -> Result<bool, ChangeError> {
        let flags = self.reach.client.flags().await?;
        let lifecycle = flags.get("web.enable-lifecycle").is_some_and(|on| on == "true");
        Ok(lifecycle || self.reach.service.is_reloadable())
    }

    /// Where it has loaded something else than this, in words.
    pub(super) async fn lacks(&self, expected: &Expected) -> Result<Option<String>, ChangeError> {
        Ok(match self.compare(expected).await? {
            Comparison::Other(what) => Some(what),
            Comparison::Same | Comparison::Unsure(_) => None,
        })
    }

    /// What it has loaded, beside this.
    pub(super) async fn compare(&self, expected: &Expected) -> Result<Comparison, ChangeError> {
        if let Expected::Rules { path, file } = expected {
            return self.compare_rules(path, file).await;
        }
        let loaded = self.reach.client.loaded_config().await?;
        let told = |source| ChangeError::Yaml { path: "what Prometheus has loaded".to_owned(), source };
        Ok(match (expected.lacks(&Facts::of(&loaded).map_err(told)?), expected) {
            (Some(what), _) => Comparison::Other(what),
            (None, Expected::Config(_)) => Comparison::Unsure(
                "what it has loaded it tells with all defaults and without secrets".to_owned(),
            ),
            (None, _) => Comparison::Same,
        })
    }

    async fn compare_rules(&self, path: &str, file: &RuleFile) -> Result<Comparison, ChangeError> {
        let rewritten = match file.compare(path, &self.groups().await?) {
            Ok(rewritten) => rewritten,
            Err(what) => return Ok(Comparison::Other(what)),
        };
        for expression in rewritten {
            let format = |text: String| async move { self.reach.client.format_query(&text).await };
            let (written, loaded) = (expression.written, expression.loaded);
            let both = tokio::join!(format(written.clone()), format(loaded.clone()));
            match both {
                (Some(a), Some(b)) if a == b => {}
                (Some(_), Some(_)) => {
                    let what =
                        format!("the expression of {} is {loaded}, and not {written}", expression.rule);
                    return Ok(Comparison::Other(what));
                }
                _ => {
                    let what = format!("that the expression of {} is that of the file", expression.rule);
                    return Ok(Comparison::Unsure(what));
                }
            }
        }
        Ok(Comparison::Same)
    }

    /// The files that were changed since it loaded them, as a person finds them. What lies in a container where a pattern
    /// leads is not looked for.
    pub(super) async fn edited(&self, patterns: &[String], loaded_at: f64) -> Vec<String> {
        if loaded_at <= 0.0 {
            return Vec::new();
        }
        let is_newer = |at: Option<f64>| at.is_some_and(|at| at > loaded_at);
        let mut found = Vec::new();
        if is_newer(self.config.changed_at().await) {
            found.push(self.config.shown());
        }
        for (above, last) in folders(patterns, self.folder()) {
            let Ok(place) = self.reach.locate(&format!("{above}/{last}")).await else { continue };
            let Some(folder) = place.here().and_then(Path::parent) else {
                found.extend(is_newer(place.changed_at().await).then(|| place.shown()));
                continue;
            };
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| fits(&last, &entry.file_name().to_string_lossy())) {
                let path = entry.path().display().to_string();
                let at = Place::on_host(&path).changed_at().await;
                found.extend(Some(path).filter(|path| is_newer(at) && !found.contains(path)));
            }
        }
        found
    }
}
