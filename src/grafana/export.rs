//! The export: asks what there is, reads it, and writes it in its order.
//!
//! A list that cannot be read fails the export, and so does an object: what is in an export is all there is. What this
//! version of Grafana does not have, and what these credentials can never see, is skipped by name. An object that is
//! gone when its turn comes is looked up again: only what is no longer in its list either was deleted meanwhile.

mod again;
mod alerting;
mod boards;
mod earlier;
mod people;
mod reach;
mod rest;
mod secrets;
mod shape;
mod site;
mod survey;
mod write;

use std::collections::BTreeSet;

use crate::config::values::Compression;
use crate::jobs::RunContext;
use crate::store::{Backup, Beside, Draft, JobStore, Pending, Source};
use crate::words;

use super::client::GrafanaClient;
use super::contents::{GrafanaContents, Skipped, Why};
use super::object::{ObjectId, ObjectType, Selector};
use super::restore::BeforeRestore;
use super::{GrafanaError, KIND};

use survey::Survey;

pub(super) use again::Again;
pub use earlier::Earlier;
pub use reach::{Reach, reach};

/// What to export beside what is always exported, and what not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Types that are exported only where they are asked for.
    pub include: BTreeSet<ObjectType>,
    /// What is left out.
    pub exclude: Vec<Selector>,
    /// Secrets of contact points are exported in the clear.
    pub contact_point_secrets: bool,
}

impl ExportOptions {
    /// Why a type is not exported at all, if it is not.
    fn skips(&self, kind: ObjectType) -> Option<Why> {
        let excluded = |selector: &Selector| selector.is_whole_type() && selector.kind() == kind;
        if self.exclude.iter().any(excluded) {
            Some(Why::Excluded)
        } else if kind.is_opt_in() && !self.include.contains(&kind) {
            Some(Why::NotAskedFor)
        } else {
            None
        }
    }

    fn excludes(&self, id: &ObjectId) -> bool {
        self.exclude.iter().any(|selector| selector.selects(id))
    }
}

/// Where an export comes from, as its manifest says it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The name of the target in the configuration.
    pub target: String,
    /// Its base URL.
    pub url: String,
}

/// Exports a Grafana and publishes the backup. `before` is said of one that is made so that a restore can be taken back.
pub async fn back_up(
    client: &GrafanaClient,
    origin: &Origin,
    options: &ExportOptions,
    store: &JobStore,
    compression: Compression,
    before: Option<BeforeRestore>,
    context: &RunContext,
) -> Result<(Backup, GrafanaContents), GrafanaError> {
    let work = async {
        let survey = survey(client, options, context).await?;
        for skipped in survey.skipped.iter().filter(|skipped| skipped.why == Why::NoMember) {
            context.progress.warn(format!("nothing of it is in the backup: {}", skipped.text()));
        }
        for warning in &survey.warnings {
            context.progress.warn(warning.clone());
        }
        let mut pending = store.begin(context.run, context.now)?;
        // One before a restore is as large as what that changes.
        if before.is_none() {
            pending = pending.within_room(Beside::Nothing)?;
        }
        let (contents, bytes) = write::write(survey, &pending, compression, context).await?;
        let contents = GrafanaContents { before_restore: before, ..contents };
        let earlier = match contents.before_restore {
            // What was there before a restore is compared with nothing.
            Some(_) => None,
            None => Earlier::of(store, &origin.target).await,
        };
        let missing = earlier.map(|earlier| earlier.missing_in(&contents)).unwrap_or_default();
        publish(pending, Export { contents, bytes, missing }, origin, context).await
    };
    tokio::select! {
        done = work => done,
        () = context.cancel.cancelled() => Err(GrafanaError::Cancelled),
    }
}

/// Asks what there is: the first request with credentials goes alone, so that wrong ones are sent once.
async fn survey(
    client: &GrafanaClient,
    options: &ExportOptions,
    context: &RunContext,
) -> Result<Survey, GrafanaError> {
    let step = context.progress.step("ask what there is", None);
    let reach = reach(client).await?;
    let survey = Survey::of(client, reach, options, &|place| step.tell(0, 0, place)).await?;
    step.finish(words::count(survey.organisations.len(), "organisation"));
    Ok(survey)
}

/// An export that was written.
struct Export {
    contents: GrafanaContents,
    /// Before compression.
    bytes: u64,
    /// What earlier ones had.
    missing: Vec<String>,
}

async fn publish(
    pending: Pending,
    export: Export,
    origin: &Origin,
    context: &RunContext,
) -> Result<(Backup, GrafanaContents), GrafanaError> {
    let Export { contents, bytes: content_bytes, missing } = export;
    let product_version = contents.version.clone();
    let (target, url) = (origin.target.clone(), origin.url.clone());
    let source = Source { target, url, product_version, ..Source::default() };
    let described =
        serde_json::value::to_raw_value(&contents).map_err(|source| GrafanaError::Describe { source })?;
    let counts = contents.counts_to_compare();
    let draft = Draft { content_bytes, counts, missing, ..Draft::new(KIND, context.now, source, described) };
    Ok((context.publish(pending, draft).await?, contents))
}

/// A type, or an object, that is not in an export.
fn skip(organisation: Option<&str>, kind: Option<ObjectType>, key: Option<&str>, why: Why) -> Skipped {
    let owned = |text: &str| text.to_owned();
    Skipped { organisation: organisation.map(owned), kind, key: key.map(owned), why }
}
