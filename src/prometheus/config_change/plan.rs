//! What a change will do, as data: made before anything is touched, shown to a person, then applied as it is.

mod expected;

use std::path::{Path, PathBuf};

use serde::Serialize;
use similar::TextDiff;

pub(super) use expected::Expected;

use super::candidate::Kind;
use super::edit::{self, Scope};
use super::error::ChangeError;
use super::facts::Facts;
use super::interval::Interval;
use super::place::{Held, Place};
use super::reach::Standing;
use super::rules::{RuleFile, destinations, is_covered};
use super::site::{Comparison, Site};
use super::veil::veiled;
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
    /// What differs, as `diff -u` shows it, without passwords; empty where nothing does.
    pub diff: String,
    /// What a person should know before.
    pub notes: Vec<String>,
    /// The server has loaded it already, as a whole. Of a whole configuration that cannot be known: it is loaded again.
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
    /// The patterns of the configuration as it is and as it will be: what fits them is loaded, by whomever.
    #[serde(skip)]
    pub(super) patterns: Vec<String>,
    /// Something on disk was edited since the server has loaded it.
    #[serde(skip)]
    pub(super) is_edited: bool,
}

impl ChangePlan {
    /// There is nothing to do.
    pub fn is_done(&self) -> bool {
        self.is_same() && self.in_force
    }

    /// There is nothing to write: the file is as it is wanted.
    pub fn is_same(&self) -> bool {
        self.old.as_ref().is_some_and(|old| old.bytes == self.new)
    }
}

impl Site {
    /// What a wish comes to here. Nothing is written.
    pub async fn plan(&self, wish: Wish) -> Result<ChangePlan, ChangeError> {
        if !self.is_reloadable().await? {
            return Err(ChangeError::NoReload { target: self.reach.target.clone() });
        }
        let mut notes = Vec::new();
        let standing = self.reach.standing().await?;
        if !standing.well {
            notes.push(
                "Prometheus could not load its configuration at its last reload, and runs with an older one"
                    .to_owned(),
            );
        }
        let change = match wish {
            Wish::ScrapeInterval { scope, value } => self.plan_interval(scope, value, &mut notes).await,
            Wish::Config { bytes, from } => self.plan_config(bytes, &from, &mut notes).await,
            Wish::Rules { bytes, from, name } => self.plan_rules(bytes, &from, &name, &mut notes).await,
        }?;
        self.finish(change, &standing, notes).await
    }

    async fn plan_interval(
        &self,
        scope: Scope,
        value: Interval,
        notes: &mut Vec<String>,
    ) -> Result<Change, ChangeError> {
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
        Ok(Change {
            what,
            place: self.config.clone(),
            kind: Kind::Config,
            old: Some(held),
            new: edited.text.into_bytes(),
            expected: Expected::Interval { scope, value },
            patterns: facts.rule_files,
        })
    }

    async fn plan_config(
        &self,
        bytes: Vec<u8>,
        from: &Path,
        notes: &mut Vec<String>,
    ) -> Result<Change, ChangeError> {
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
        Ok(Change {
            what: format!("configuration of Prometheus {}: {shown}", self.reach.target),
            place: self.config.clone(),
            kind: Kind::Config,
            old,
            new: bytes,
            patterns: facts.rule_files.clone(),
            expected: Expected::Config(facts),
        })
    }

    async fn plan_rules(
        &self,
        bytes: Vec<u8>,
        from: &Path,
        name: &str,
        notes: &mut Vec<String>,
    ) -> Result<Change, ChangeError> {
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
        let is_loaded = |path: &str| is_covered(&facts.rule_files, self.folder(), path);
        let place = place.staged(&self.config, is_loaded);
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
        if old.is_none() && !place.is_removable().await {
            let shown = place.shown();
            notes.push(format!(
                "the container has no `rm`: were {shown} to be taken away again, it would stay, without any rules"
            ));
        }
        let verb = if old.is_some() { "replaced by" } else { "from" };
        Ok(Change {
            what: format!("{} in {}, {verb} {shown}", words::count(file.count(), "rule"), place.seen),
            kind: Kind::Rules,
            old,
            new: bytes,
            expected: Expected::Rules { path: place.seen.clone(), file },
            place,
            patterns: facts.rule_files,
        })
    }

    /// Where a file of rules of this name is loaded from: where there is one, else where the first pattern would find it.
    async fn rules_place(&self, facts: &Facts, name: &str) -> Result<Place, ChangeError> {
        let (mut first, mut nowhere) = (None, None);
        for seen in destinations(&facts.rule_files, self.folder(), name) {
            if seen == self.config.seen {
                continue;
            }
            let place = self.reach.locate(&seen).await?;
            if place.read().await?.is_some() {
                return Ok(place);
            }
            if place.has_folder().await? {
                first.get_or_insert(place);
            } else {
                nowhere.get_or_insert(place);
            }
        }
        let config = self.config.shown();
        match (first, nowhere) {
            (Some(place), _) => Ok(place),
            (None, Some(place)) => {
                let shown = place.shown();
                let folder = shown.rsplit_once('/').map_or(shown.as_str(), |(folder, _)| folder).to_owned();
                Err(ChangeError::NoFolder { folder, config })
            }
            (None, None) => {
                let (name, patterns) = (name.to_owned(), facts.rule_files.clone());
                Err(ChangeError::NotCovered { config, name, patterns })
            }
        }
    }

    /// The configuration as it is.
    async fn current(&self) -> Result<(Held, String), ChangeError> {
        let path = self.config.shown();
        let held = self.config.read().await?.ok_or_else(|| ChangeError::NoFile { path: path.clone() })?;
        let text = text_of(&held.bytes, &path)?.to_owned();
        Ok((held, text))
    }

    async fn finish(
        &self,
        change: Change,
        standing: &Standing,
        mut notes: Vec<String>,
    ) -> Result<ChangePlan, ChangeError> {
        let Change { what, place, kind, old, new, expected, mut patterns } = change;
        if let Some(now) = self.config.read().await?
            && let Ok(facts) = Facts::of(&String::from_utf8_lossy(&now.bytes))
        {
            patterns.extend(facts.rule_files);
        }
        let edited = self.edited(&patterns, standing.at).await;
        if !edited.is_empty() {
            notes.push(format!(
                "edited since Prometheus loaded it, and in force with this change as it is then: {}",
                words::some(&edited, SHOWN)
            ));
        }
        let comparison = self.compare(&expected).await?;
        let mut plan = ChangePlan {
            what,
            target: self.reach.target.clone(),
            file: place.seen.clone(),
            written: place.shown(),
            how: place.how(),
            diff: String::new(),
            notes,
            in_force: comparison == Comparison::Same,
            place,
            kind,
            old,
            new,
            expected,
            patterns,
            is_edited: !edited.is_empty() || !standing.well,
        };
        plan.diff = difference(&plan);
        Ok(plan)
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

/// As `diff -u` shows it.
fn difference(plan: &ChangePlan) -> String {
    let old = plan.old.as_ref().map(|old| old.bytes.as_slice());
    let before = String::from_utf8_lossy(old.unwrap_or_default());
    let after = String::from_utf8_lossy(&plan.new);
    let (before, after) = match plan.kind {
        Kind::Config => veiled(&before, &after),
        // Nothing in them is secret.
        Kind::Rules => (before.into_owned(), after.into_owned()),
    };
    let from = if old.is_some() { &plan.written } else { "/dev/null" };
    let diff = TextDiff::from_lines(&before, &after);
    diff.unified_diff().context_radius(3).header(from, &plan.written).to_string()
}
