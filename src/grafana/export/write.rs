//! Reads the objects side by side, and writes them in their order.
//!
//! Only what is under way is in memory: a reader waits for the writer, and that for the disk.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use super::site::Taken;
use super::survey::{Planned, Survey, list};
use super::{secrets, skip};
use crate::blocking::blocking;
use crate::config::values::Compression;
use crate::grafana::GrafanaError;
use crate::grafana::bundle::{BundleError, BundleWriter};
use crate::grafana::contents::{GrafanaContents, Secret, Skipped, Why};
use crate::grafana::object::{Object, ObjectId, ObjectType};
use crate::jobs::RunContext;
use crate::progress::StepGuard;
use crate::store::Pending;
use crate::words;

/// How many objects wait for their turn to be written.
const WAITING: usize = 32;

/// What was found out while the objects were read.
#[derive(Default)]
struct Notes {
    skipped: Vec<Skipped>,
    secrets: Vec<Secret>,
    clear: Vec<Secret>,
}

/// The other end of the thread that writes.
struct Writing {
    objects: mpsc::Sender<Object>,
    about: oneshot::Sender<GrafanaContents>,
}

/// Reads and writes all of it. Returns what the manifest is to say, and how many bytes there are before compression.
pub(super) async fn write(
    survey: Survey,
    pending: &Pending,
    compression: Compression,
    context: &RunContext,
) -> Result<(GrafanaContents, u64), GrafanaError> {
    let step = context.progress.step("read the objects", None);
    let bundle = BundleWriter::new(pending.archive(compression)?);
    let (objects, to_write) = mpsc::channel(WAITING);
    let (about, to_end) = oneshot::channel();
    let writer = blocking(move || write_all(bundle, to_write, to_end));
    let writing = Writing { objects, about };
    let (read, written) = tokio::join!(read_all(survey, writing, &step, context), writer);
    // Where the disk failed the reader only saw that nobody listened.
    let written = written?;
    read?;
    let (contents, bytes) = written.ok_or(GrafanaError::Cancelled)?;
    step.add(bytes);
    step.finish(words::count(contents.objects(), "object"));
    Ok((contents, bytes))
}

/// The thread that writes; `None` where the reader gave up.
fn write_all(
    mut bundle: BundleWriter,
    mut objects: mpsc::Receiver<Object>,
    about: oneshot::Receiver<GrafanaContents>,
) -> Result<Option<(GrafanaContents, u64)>, BundleError> {
    while let Some(object) = objects.blocking_recv() {
        bundle.add(&object)?;
    }
    let Ok(about) = about.blocking_recv() else { return Ok(None) };
    let (contents, _, bytes) = bundle.finish(about)?;
    Ok(Some((contents, bytes)))
}

async fn read_all(
    survey: Survey,
    writing: Writing,
    step: &StepGuard,
    context: &RunContext,
) -> Result<(), GrafanaError> {
    let Survey { version, organisations, objects, skipped, secrets, .. } = survey;
    let total = objects.len();
    let mut notes = Notes { skipped, secrets, ..Notes::default() };
    let mut missing: Vec<(Planned, GrafanaError)> = Vec::new();
    let read = |planned: Planned| async move {
        let taken = planned.site.take(planned.id.kind, &planned.found).await;
        taken.map(|taken| (planned, taken))
    };
    let mut taken = stream::iter(objects).map(read).buffered(WAITING);
    let mut done = 0;
    while let Some(next) = taken.next().await {
        let (planned, taken) = next?;
        done += 1;
        step.tell(done, total as u64, &planned.found.title);
        match taken {
            Taken::Body(body) => {
                let decrypted = planned.site.contact_point_secrets;
                let object = Object::new(planned.id, planned.found.title, body);
                notes.take(&object, decrypted);
                if is_of_a_new_schema(&object) {
                    let title = &object.title;
                    context.progress.warn(format!("the dashboard {title:?} has the new schema (v2) of 12: it is in the backup, but nobody has seen the older API bring such a one back"));
                }
                if writing.objects.send(object).await.is_err() {
                    return Ok(());
                }
            }
            Taken::Nothing => {}
            Taken::Missing(error) => missing.push((planned, error)),
        }
    }
    for id in deleted(missing).await? {
        let ObjectId { organisation, kind, key } = &id;
        context.progress.wait(&format!("{id} was deleted while the export ran"));
        notes.skipped.push(skip(organisation.as_deref(), Some(*kind), Some(key), Why::DeletedMeanwhile));
    }
    let about = notes.about(version, organisations);
    // Told before the objects end, so that the writer finds it.
    let _ = writing.about.send(about);
    Ok(())
}

impl Notes {
    fn take(&mut self, object: &Object, decrypted: bool) {
        self.secrets.extend(secrets::of(object));
        self.clear.extend(secrets::in_the_clear(object, decrypted));
    }

    fn about(
        mut self,
        version: Option<String>,
        organisations: Vec<crate::grafana::contents::Organisation>,
    ) -> GrafanaContents {
        self.skipped.sort();
        self.secrets.sort();
        self.clear.sort();
        let Self { skipped, secrets, clear } = self;
        GrafanaContents {
            version,
            organisations,
            skipped,
            secrets,
            holds_secrets: !clear.is_empty(),
            clear,
            ..GrafanaContents::default()
        }
    }
}

/// `elements` and a `layout` in the place of `panels`.
fn is_of_a_new_schema(object: &Object) -> bool {
    let dashboard = &object.body["dashboard"];
    object.kind == ObjectType::Dashboards
        && dashboard["elements"].is_object()
        && dashboard["layout"].is_object()
}

/// What is no longer in its list was deleted meanwhile; what still is cannot be read, and that is an error.
async fn deleted(missing: Vec<(Planned, GrafanaError)>) -> Result<Vec<ObjectId>, GrafanaError> {
    let mut lists: BTreeSet<(Option<String>, ObjectType)> = BTreeSet::new();
    let mut there: BTreeSet<ObjectId> = BTreeSet::new();
    let mut gone = Vec::new();
    for (planned, error) in missing {
        let ObjectId { organisation, kind, key: _ } = planned.id.clone();
        if lists.insert((organisation.clone(), kind)) {
            let site = planned.site.again().await?;
            let found = list(&site, kind).await?.unwrap_or_default();
            there.extend(found.into_iter().map(|one| ObjectId {
                organisation: organisation.clone(),
                kind,
                key: one.key,
            }));
        }
        // As its list has it: what stands behind a name that is there twice is our own.
        let listed = ObjectId { organisation, kind, key: planned.found.key };
        if kind == ObjectType::Organisations || there.contains(&listed) {
            return Err(error);
        }
        gone.push(planned.id);
    }
    Ok(gone)
}
