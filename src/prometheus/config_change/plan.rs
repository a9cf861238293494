//! What a change will do, as data: made before anything is touched, shown to a person, then applied as it is.

mod expected;

use std::path::{Path, PathBuf};

use serde::Serialize;
use similar::TextDiff;

pub(super) use expected::Expected;

use super::edit::{self, Scope};
use super::error::ChangeError;
use super::facts::Facts;
use super::interval::Interval;
use super::place::{Held, Place};
use super::promtool::Kind;
use super::rules::{RuleFile, destinations};
use super::site::Site;
use crate::words;

/// So many jobs are named.
const SHOWN: usize = 8;

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Another `scrape_interval`.
    ScrapeInterval {
        /// Whose.
        scope: Scope,
        /// How long.
        value: Interval,
    },
    /// Another configuration.
    Config {
        /// What is in it.
        bytes: Vec<u8>,
        /// Where it was read.
        from: PathBuf,
    },
    /// A file of rules, new or in place of the one of this name.
    Rules {
        /// What is in it.
        bytes: Vec<u8>,
        /// Where it was read.
        from: PathBuf,
        /// The name that it gets.
        name: String,
    },
}

/// A change.
#[derive(Debug, Clone, Serialize)]
pub struct ChangePlan {
    /// What it does, in words.
    pub what: String,
    /// The target's name in the configuration.
    pub target: String,
    /// The file, as the server sees it.
    pub file: String,
    /// Where it is written: on this host, or `CONTAINER:PATH`.
    pub written: String,
    /// How it is written, in words.
    pub how: &'static str,
    /// What differs, as `diff -u` shows it; empty where nothing does.
    pub diff: String,
    /// What a person should know before.
    pub notes: Vec<String>,
    /// The server has loaded it already.
    pub in_force: bool,
    #[serde(skip)]
    pub(super) place: Place,
    #[serde(skip)]
    pub(super) kind: Kind,
    #[serde(skip)]
    pub(super) old: Option<Held>,
    #[serde(skip)]
    pub(super) new: Vec<u8>,
    #[serde(skip)]
    pub(super) expected: Expected,
    /// The patterns of the configuration as it will be: what fits them is loaded.
    #[serde(skip)]
    pub(super) patterns: Vec<String>,
}

impl ChangePlan {
    /// There is nothing to do.
    pub fn is_done(&self) -> bool {
        self.diff.is_empty() && self.in_force
    }
}

impl Site {
    /// What a wish comes to here. Nothing is written.
    pub async fn plan(&self, wish: Wish) -> Result<ChangePlan, ChangeError> {
        if !self.is_reloadable().await? {
            return Err(ChangeError::NoReload { target: self.target.clone() });
        }
        let mut notes = Vec::new();
        let standing = self.standing().await?;
        if !standing.well {
            notes.push(
                "Prometheus could not load its configuration at its last reload, and runs with an older one"
                    .to_owned(),
            );
        }
        match wish {
            Wish::ScrapeInterval { scope, value } => self.plan_interval(scope, value, notes).await,
            Wish::Config { bytes, from } => self.plan_config(bytes, &from, notes).await,
            Wish::Rules { bytes, from, name } => self.plan_rules(bytes, &from, &name, notes).await,
        }
    }

    async fn plan_interval(
        &self,
        scope: Scope,
        value: Interval,
        mut notes: Vec<String>,
    ) -> Result<ChangePlan, ChangeError> {
        if value.is_zero() {
            return Err(ChangeError::Zero);
        }
        let (held, text) = self.current().await?;
        let path = self.config.shown();
        let failed = |source| ChangeError::Edit { path: path.clone(), source };
        let edited = edit::scrape_interval(&text, &scope, &value.to_string()).map_err(failed)?;
        let told = |source| ChangeError::Yaml { path: path.clone(), source };
        let facts = Facts::of(&edited.text).map_err(told)?;
        if let Some(found) = facts.too_patient() {
            return Err(ChangeError::TooPatient(found));
        }
        let (whose, own) = match &scope {
            Scope::Global => {
                let own = facts
                    .jobs
                    .iter()
                    .filter_map(|job| Some(format!("{} ({})", job.name, job.interval.as_ref()?)));
                ("of all scrape jobs without their own".to_owned(), own.collect())
            }
            Scope::Job(job) => (format!("of scrape job {job:?}"), Vec::new()),
        };
        if !own.is_empty() {
            notes.push(format!("these have their own and keep it: {}", words::some(&own, SHOWN)));
        }
        let before = edited.before.unwrap_or_else(|| match &scope {
            Scope::Global => "Prometheus's default, 1m".to_owned(),
            Scope::Job(_) => "that of global".to_owned(),
        });
        let what = format!("scrape_interval {whose}: {value} (was {before})");
        let change = Change {
            what,
            place: self.config.clone(),
            kind: Kind::Config,
            old: Some(held),
            new: edited.text.into_bytes(),
            expected: Expected::Interval { scope, value },
            patterns: facts.rule_files,
        };
        self.finish(change, notes).await
    }

    async fn plan_config(
        &self,
        bytes: Vec<u8>,
        from: &Path,
        mut notes: Vec<String>,
    ) -> Result<ChangePlan, ChangeError> {
        let shown = from.display().to_string();
        let text = text_of(&bytes, &shown)?;
        let facts = Facts::of(text).map_err(|source| ChangeError::Yaml { path: shown.clone(), source })?;
        if let Some(found) = facts.too_patient() {
            return Err(ChangeError::TooPatient(found));
        }
        if facts.jobs.is_empty() && !facts.has_other_files {
            notes.push("it has no scrape jobs: Prometheus would scrape nothing".to_owned());
        }
        let old = self.config.read().await?;
        let change = Change {
            what: format!("configuration of Prometheus {}: {shown}", self.target),
            place: self.config.clone(),
            kind: Kind::Config,
            old,
            new: bytes,
            patterns: facts.rule_files.clone(),
            expected: Expected::Config(facts),
        };
        self.finish(change, notes).await
    }

    async fn plan_rules(
        &self,
        bytes: Vec<u8>,
        from: &Path,
        name: &str,
        mut notes: Vec<String>,
    ) -> Result<ChangePlan, ChangeError> {
        let shown = from.display().to_string();
        let text = text_of(&bytes, &shown)?;
        let file = RuleFile::of(text).map_err(|source| ChangeError::Yaml { path: shown.clone(), source })?;
        if file.groups.is_empty() {
            return Err(ChangeError::NoRules { path: shown });
        }
        let (_, config) = self.current().await?;
        let told = |source| ChangeError::Yaml { path: self.config.shown(), source };
        let facts = Facts::of(&config).map_err(told)?;
        let place = self.rules_place(&facts, name).await?;
        let found = file.duplicates(&place.seen, &self.groups().await?);
        if !found.is_empty() {
            return Err(ChangeError::Duplicates { path: shown, found });
        }
        if let Some(lack) = self.lacks(&Expected::Config(facts.clone())).await? {
            let file = self.config.shown();
            notes.push(format!(
                "{file} was changed since Prometheus loaded it, and is loaded with the rules: now {lack}"
            ));
        }
        let old = place.read().await?;
        let verb = if old.is_some() { "replaced by" } else { "from" };
        let change = Change {
            what: format!("{} in {}, {verb} {shown}", words::count(file.count(), "rule"), place.seen),
            kind: Kind::Rules,
            old,
            new: bytes,
            expected: Expected::Rules { path: place.seen.clone(), file },
            place,
            patterns: facts.rule_files,
        };
        self.finish(change, notes).await
    }

    /// Where a file of rules of this name is loaded from: where there is one, else where the first pattern would find it.
    async fn rules_place(&self, facts: &Facts, name: &str) -> Result<Place, ChangeError> {
        let mut first = None;
        for seen in destinations(&facts.rule_files, self.folder(), name) {
            if seen == self.config.seen {
                continue;
            }
            let place = self.locate(&seen).await?;
            if place.read().await?.is_some() {
                return Ok(place);
            }
            first.get_or_insert(place);
        }
        first.ok_or_else(|| ChangeError::NotCovered {
            config: self.config.shown(),
            name: name.to_owned(),
            patterns: facts.rule_files.clone(),
        })
    }

    /// The configuration as it is.
    async fn current(&self) -> Result<(Held, String), ChangeError> {
        let path = self.config.shown();
        let held = self.config.read().await?.ok_or_else(|| ChangeError::NoFile { path: path.clone() })?;
        let text = text_of(&held.bytes, &path)?.to_owned();
        Ok((held, text))
    }

    async fn finish(&self, change: Change, notes: Vec<String>) -> Result<ChangePlan, ChangeError> {
        let Change { what, place, kind, old, new, expected, patterns } = change;
        Ok(ChangePlan {
            what,
            target: self.target.clone(),
            file: place.seen.clone(),
            written: place.shown(),
            how: place.how(),
            diff: diff(&place.shown(), old.as_ref().map(|old| old.bytes.as_slice()), &new),
            notes,
            in_force: self.lacks(&expected).await?.is_none(),
            place,
            kind,
            old,
            new,
            expected,
            patterns,
        })
    }
}

/// What a plan is made of.
struct Change {
    what: String,
    place: Place,
    kind: Kind,
    old: Option<Held>,
    new: Vec<u8>,
    expected: Expected,
    patterns: Vec<String>,
}

fn text_of<'a>(bytes: &'a [u8], path: &str) -> Result<&'a str, ChangeError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        let source = super::YamlError { line, column: 1, problem: "it is no UTF-8".to_owned() };
        ChangeError::Yaml { path: path.to_owned(), source }
    })
}

fn diff(path: &str, old: Option<&[u8]>, new: &[u8]) -> String {
    let (before, after) = (String::from_utf8_lossy(old.unwrap_or_default()), String::from_utf8_lossy(new));
    let from = if old.is_some() { path } else { "/dev/null" };
    let diff = TextDiff::from_lines(before.as_ref(), after.as_ref());
    diff.unified_diff().context_radius(3).header(from, path).to_string()
}
