//! A backup of a Prometheus: its own snapshot, archived and checked on the way, published, and removed from the
//! server again.
//!
//! The invariant is that no snapshot of ours stays on a server, whatever ends a run: the ledger notes the intent
//! before the request and the name after it, the run removes the snapshot on every way out, and where it was
//! killed the next run does. A snapshot that may be somebody else's is never touched.

mod archive;
mod error;
mod files;
mod ledger;
mod shelf;
mod sort;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use ulid::Ulid;

pub use error::SnapshotError;
pub use ledger::{Entry, Ledger, LedgerError, Settlement};

use super::block::BlockReport;
use super::client::{BuildInfo, ClientError, Metrics, PrometheusClient, RuntimeInfo};
use super::contents::SnapshotContents;
use super::coverage::sources;
use super::folder::DataFolder;
use super::folder_op::survey::SurveyedBlock;
use super::folder_op::{FolderOp, FolderReply, FolderState};
use crate::blocking::blocking;
use crate::config::values::{Compression, PrometheusTarget, SnapshotLayout};
use crate::jobs::RunContext;
use crate::progress::Progress;
use crate::store::{
    Backup, Beside, Draft, JobStore, Layout, Novelty, Pending, SharedFile, SharedIndex, Source,
};
use crate::words;
use archive::Archiver;
use files::SnapshotFiles;
pub use shelf::Fate;
use shelf::{Added, ArchiveShelf, BlockShelf};
use sort::{Sorted, sort};

/// The metric that counts samples that a snapshot of the head leaves out.
const OUT_OF_ORDER: &str = "prometheus_tsdb_head_out_of_order_samples_appended_total";

/// How long a run that was told to stop waits for the answer to its request: most come at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How a snapshot is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Leave the head out: the samples of the last two to three hours.
    pub skip_head: bool,
    /// How it is compressed.
    pub compression: Compression,
    /// How the backup lies in the store.
    pub layout: SnapshotLayout,
    /// How long the server may take to answer, and a stream may stand still.
    pub idle_limit: Duration,
}

/// Takes backups of one Prometheus.
pub struct Snapshotter<'a> {
    /// The server as it is configured.
    pub target: &'a PrometheusTarget,
    /// Its API.
    pub client: &'a PrometheusClient,
    /// Its data folder.
    pub folder: &'a DataFolder,
    /// Where the backup goes.
    pub store: &'a JobStore,
    /// The image of the container it runs in.
    pub image: Option<String>,
    /// How it is taken.
    pub options: Options,
}

/// What a backup brought.
pub struct Taken {
    /// The backup, published.
    pub backup: Backup,
    /// What it holds.
    pub contents: SnapshotContents,
    /// The level 1 blocks whose samples the backup before it held.
    pub stored_before: BTreeSet<Ulid>,
    /// What became of each block that was read though blocks are shared, by name: the others were there.
    pub read: BTreeMap<String, Fate>,
}

/// What came of bringing the blocks into the store.
#[derive(Default)]
struct Stored {
    blocks: Vec<BlockReport>,
    /// The files that hold them beside the backup's own.
    shared: Vec<SharedFile>,
    /// What became of those that were read, where blocks are shared.
    read: BTreeMap<String, Fate>,
}

/// What the server tells about itself.
struct Server {
    runtime: RuntimeInfo,
    build: BuildInfo,
}

impl Snapshotter<'_> {
    /// Takes a backup.
    pub async fn take(&self, context: &RunContext) -> Result<Taken, SnapshotError> {
        let ledger = Ledger::of(&context.state_dir, &self.target.name);
        let step = context.progress.step("look at the server", None);
        let looked = context.cancel.run_until_cancelled(self.look(&context.progress)).await;
        let server = looked.unwrap_or(Err(SnapshotError::Cancelled))?;
        let before = self.inspect(context).await?;
        if let Some(restore) = before.unfinished() {
            return Err(SnapshotError::RestoreUnfinished { note: restore.note.source.clone() });
        }
        step.finish(format!(
            "Prometheus {}, {}",
            server.build.version,
            words::count(before.blocks.len(), "block")
        ));
        let before = self.settle_earlier(context, &ledger, before).await?;
        must_be_removable(&before)?;

        let stored_before = self.sources_of_newest()?;
        let pending = self.store.begin(context.run, context.now)?.within_room(Beside::Nothing)?;
        let name = self.ask(context, &ledger, &before).await?;
        let bytes = before.blocks.iter().map(|block| block.bytes).sum();
        let stored = self.store(context, pending, &name, bytes).await;
        let after = self.remove(context, &ledger, &name).await;
        let (pending, stored) = stored?;
        let Stored { blocks, shared, read } = stored;
        let is_new = |fate: &Fate| *fate == Fate::Stored(Novelty::New);
        let new = read.iter().filter(|(_, fate)| is_new(fate)).map(|(block, _)| block.clone()).collect();
        let contents = SnapshotContents::new(&name, self.options.skip_head, blocks).with_new(new);
        self.warn_about(&context.progress, &contents, &before, after.as_ref());
        let source = self.source(&server, &before);
        let backup = self.publish(context, pending, shared, &contents, source).await?;
        Ok(Taken { backup, contents, stored_before, read })
    }

    /// Has the server take a snapshot without its head, and removes it again: that it still can.
    pub async fn try_out(&self, context: &RunContext) -> Result<(), SnapshotError> {
        let ledger = Ledger::of(&context.state_dir, &self.target.name);
        let before = self.inspect(context).await?;
        let before = self.settle_earlier(context, &ledger, before).await?;
        must_be_removable(&before)?;
        let name = self.ask(context, &ledger, &before).await?;
        self.remove(context, &ledger, &name).await;
        Ok(())
    }

    /// The level 1 blocks whose samples the newest backup holds; none where there is no backup.
    fn sources_of_newest(&self) -> Result<BTreeSet<Ulid>, SnapshotError> {
        // What cannot be read costs only that a merged block is not recognised as such.
        let newest = self.store.newest()?.and_then(|backup| backup.contents::<SnapshotContents>().ok());
        Ok(newest.map_or_else(BTreeSet::new, |contents| sources(&contents.blocks).collect()))
    }

    /// Asks the server what it is, and whether it can take snapshots at all, before anything is begun.
    async fn look(&self, progress: &Progress) -> Result<Server, SnapshotError> {
        let flags = self.client.flags().await?;
        if flags.get("web.enable-admin-api").is_some_and(|on| on == "false") {
            let url = self.client.base_url().as_str().trim_end_matches('/').to_owned();
            return Err(ClientError::AdminApiOff { url }.into());
        }
        let server =
            Server { runtime: self.client.runtime_info().await?, build: self.client.build_info().await? };
        if let Ok(metrics) = self.client.metrics().await {
            warn_about_out_of_order(progress, &metrics, self.options.skip_head);
        }
        Ok(server)
    }

    /// Removes what an earlier run that was cut off left on the server.
    async fn settle_earlier(
        &self,
        context: &RunContext,
        ledger: &Ledger,
        state: FolderState,
    ) -> Result<FolderState, SnapshotError> {
        let Some(entry) = ledger.read()? else { return Ok(state) };
        let state = self.settle(context, &entry, state).await?;
        ledger.clear()?;
        Ok(state)
    }

    /// Removes what an entry of the ledger says is ours; what may be somebody else's is reported and left.
    async fn settle(
        &self,
        context: &RunContext,
        entry: &Entry,
        state: FolderState,
    ) -> Result<FolderState, SnapshotError> {
        match entry.settle(&set(&state)) {
            Settlement::Clean => Ok(state),
            Settlement::Remove(name) => {
                tracing::info!(snapshot = name, "removing a snapshot that was left on the server");
                self.remove_folder(context, &name).await
            }
            Settlement::InDoubt(names) => {
                let server = &self.target.name;
                context.progress.warn(format!(
                    "one of the snapshots {} on {server} may be left from the run {}, but nobody can tell which: \
                     none was removed; each pins disk space there until you remove it",
                    names.join(", "),
                    entry.run
                ));
                Ok(state)
            }
        }
    }

    /// Has the server take a snapshot, once, and returns its name, which the ledger then holds.
    async fn ask(
        &self,
        context: &RunContext,
        ledger: &Ledger,
        before: &FolderState,
    ) -> Result<String, SnapshotError> {
        let mut entry = Entry { run: context.run, asked: Timestamp::now(), before: set(before), name: None };
        ledger.note(&entry)?;
        let step = context.progress.step("take the snapshot", None);
        let mut request = Box::pin(self.client.snapshot(self.options.skip_head, self.options.idle_limit));
        let asked = tokio::select! {
            asked = &mut request => asked,
            // The server goes on with it whoever listens: what comes of it is removed here, or by the next run.
            () = context.cancel.cancelled() => match tokio::time::timeout(ANSWER_LIMIT, request).await {
                Ok(asked) => asked,
                Err(_) => return Err(SnapshotError::Cancelled),
            },
        };
        match asked {
            Ok(name) if context.cancel.is_cancelled() => {
                entry.name = Some(name.clone());
                ledger.note(&entry)?;
                self.remove(context, ledger, &name).await;
                Err(SnapshotError::Cancelled)
            }
            Ok(name) => {
                entry.name = Some(name.clone());
                ledger.note(&entry)?;
                step.finish(name.clone());
                Ok(name)
            }
            // It may still be at it: the entry stays open, and the next run removes what comes of it.
            Err(error @ (ClientError::TimedOut { .. } | ClientError::Unreachable { .. })) => {
                Err(error.into())
            }
            Err(error) => {
                self.remove_partial(context, ledger, &entry).await;
                Err(error.into())
            }
        }
    }

    /// A snapshot that failed leaves a partial folder behind, with hard links that pin the disk, and no name of it.
    async fn remove_partial(&self, context: &RunContext, ledger: &Ledger, entry: &Entry) {
        let settled = match self.inspect(context).await {
            Ok(state) => self.settle(context, entry, state).await.map(drop),
            Err(error) => Err(error),
        };
        let cleared = settled.and_then(|()| Ok(ledger.clear()?));
        if let Err(error) = cleared {
            tracing::warn!(error = %error, "what the failed snapshot left on the server is removed by the next run");
        }
    }

    /// Brings the snapshot into the pending backup and checks every block on the way.
    async fn store(
        &self,
        context: &RunContext,
        pending: Pending,
        name: &str,
        bytes: u64,
    ) -> Result<(Pending, Stored), SnapshotError> {
        let stored = match (self.find(context, name).await, self.options.layout) {
            (Err(error), _) => Err(error),
            (Ok(()), SnapshotLayout::Archive) => self.store_archive(context, pending, name, bytes).await,
            (Ok(()), SnapshotLayout::Blocks) => self.store_blocks(context, pending, name).await,
        };
        if context.cancel.is_cancelled() { Err(SnapshotError::Cancelled) } else { stored }
    }

    /// Sees that what the server has named is a snapshot, and no link to something else.
    async fn find(&self, context: &RunContext, name: &str) -> Result<(), SnapshotError> {
        match self.folder.run(&FolderOp::FindSnapshot { name: name.to_owned() }, &context.cancel).await? {
            FolderReply::Done => Ok(()),
            FolderReply::Failed(failure) => Err(SnapshotError::Folder { failure }),
            other => Err(SnapshotError::Reply { reply: format!("{other:?}") }),
        }
    }

    async fn store_archive(
        &self,
        context: &RunContext,
        pending: Pending,
        name: &str,
        bytes: u64,
    ) -> Result<(Pending, Stored), SnapshotError> {
        let step = context.progress.step("read and check the blocks", Some(bytes.max(1)));
        let writer = pending.archive(self.options.compression)?;
        let files = SnapshotFiles::open(self.folder, name).await?;
        let cancel = context.cancel.clone();
        let (files, stored) = blocking(move || {
            let mut archive = ArchiveShelf::new(writer);
            files.take_all(&mut Archiver::new(&mut archive, pending.dir(), &step, &cancel))?;
            let blocks = archive.finish()?;
            step.finish(described(blocks.iter()));
            Ok::<_, SnapshotError>((files, (pending, Stored { blocks, ..Stored::default() })))
        })
        .await?;
        files.close().await?;
        Ok(stored)
    }

    async fn store_blocks(
        &self,
        context: &RunContext,
        mut pending: Pending,
        name: &str,
    ) -> Result<(Pending, Stored), SnapshotError> {
        pending.rely_on_shared()?;
        let step = context.progress.step("compare the blocks with the store", None);
        let index = self.store.shared()?;
        let writer = pending.archive(self.options.compression)?;
        let (sender, surveyed) = std::sync::mpsc::channel();
        let sorting = tokio::task::spawn_blocking(move || {
            let sorted = sort(&surveyed, &index, writer);
            (index, sorted)
        });
        let found = move |block| drop(sender.send(block));
        let reply = self.folder.survey(name, found, &context.cancel).await;
        let (index, sorted) =
            sorting.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        match reply? {
            FolderReply::Done => {}
            FolderReply::Failed(failure) => return Err(SnapshotError::Folder { failure }),
            other => return Err(SnapshotError::Reply { reply: format!("{other:?}") }),
        }
        let Sorted { known, new } = sorted?;
        step.finish(format!("{} there already, {} new", known.len(), new.len()));
        let (pending, added) = if new.is_empty() {
            (pending, Vec::new())
        } else {
            self.add(context, pending, name, index, new, known.is_empty()).await?
        };
        let read = added.iter().map(|added| (added.report.name.clone(), added.fate)).collect();
        let added = added.into_iter().map(|added| (added.report, added.file));
        let (blocks, shared) = known.into_iter().chain(added).unzip();
        Ok((pending, Stored { blocks, shared, read }))
    }

    /// Stores the blocks that the store does not have, each as soon as it is complete.
    async fn add(
        &self,
        context: &RunContext,
        pending: Pending,
        name: &str,
        index: SharedIndex,
        new: BTreeMap<String, SurveyedBlock>,
        all: bool,
    ) -> Result<(Pending, Vec<Added>), SnapshotError> {
        let total = new.values().map(SurveyedBlock::bytes).sum();
        let step = context.progress.step("read and check the new blocks", Some(total));
        let files = SnapshotFiles::open(self.folder, name).await?;
        let (cancel, progress, compression) =
            (context.cancel.clone(), context.progress.clone(), self.options.compression);
        let names: Vec<String> = new.keys().cloned().collect();
        let (files, pending, added) = blocking(move || {
            let mut store = BlockShelf {
                pending: &pending,
                index: &index,
                surveyed: new,
                compression,
                progress: &progress,
                cancel: &cancel,
                added: Vec::new(),
                open: None,
            };
            let mut archiver = Archiver::new(&mut store, pending.dir(), &step, &cancel);
            if all {
                files.take_all(&mut archiver)?;
            } else {
                names.iter().try_for_each(|block| files.take_block(&mut archiver, block))?;
            }
            let added = store.added;
            let came: BTreeSet<&String> = added.iter().map(|added| &added.report.name).collect();
            if let Some(block) = names.iter().find(|name| !came.contains(name)) {
                return Err(SnapshotError::Vanished { block: block.clone() });
            }
            step.finish(described(added.iter().map(|added| &added.report)));
            Ok((files, pending, added))
        })
        .await?;
        files.close().await?;
        Ok((pending, added))
    }

    /// Removes our snapshot from the server and sees that it is gone. What does not work now the next run does.
    async fn remove(&self, context: &RunContext, ledger: &Ledger, name: &str) -> Option<FolderState> {
        let step = context.progress.step("remove the snapshot from the server", None);
        let removed = match self.remove_folder(context, name).await {
            Ok(state) => ledger.clear().map(|()| state).map_err(SnapshotError::from),
            Err(error) => Err(error),
        };
        match removed {
            Ok(state) => {
                step.finish("gone");
                Some(state)
            }
            Err(error) => {
                context.progress.warn(format!(
                    "the snapshot {name} could not be removed from {} and pins disk space there until the next run \
                     of a backup removes it: {}",
                    self.target.name,
                    words::chain(&error)
                ));
                None
            }
        }
    }

    async fn remove_folder(&self, context: &RunContext, name: &str) -> Result<FolderState, SnapshotError> {
        let state = self.perform(context, &FolderOp::RemoveSnapshot { name: name.to_owned() }).await?;
        if state.snapshots.iter().any(|present| present == name) {
            return Err(SnapshotError::StillThere { name: name.to_owned() });
        }
        Ok(state)
    }

    async fn inspect(&self, context: &RunContext) -> Result<FolderState, SnapshotError> {
        self.perform(context, &FolderOp::Inspect).await
    }

    /// Tidying up goes on when the run was told to stop: that is why it is not given the run's own token.
    async fn perform(&self, context: &RunContext, op: &FolderOp) -> Result<FolderState, SnapshotError> {
        let _ = context;
        match self.folder.run(op, &tokio_util::sync::CancellationToken::new()).await? {
            FolderReply::Folder(state) => Ok(state),
            FolderReply::Failed(failure) => Err(SnapshotError::Folder { failure }),
            other => Err(SnapshotError::Reply { reply: format!("{other:?}") }),
        }
    }

    fn warn_about(
        &self,
        progress: &Progress,
        contents: &SnapshotContents,
        before: &FolderState,
        after: Option<&FolderState>,
    ) {
        for block in contents.damaged() {
            let damage: Vec<String> = block.damage.iter().map(ToString::to_string).collect();
            progress.warn(format!(
                "block {} is damaged on {}: {}",
                block.name,
                self.target.name,
                damage.join("; ")
            ));
        }
        // A compaction may have replaced a block meanwhile: only what was there all the time is missed.
        let stayed = |name: &String| after.is_none_or(|after| after.blocks.iter().any(|b| &b.name == name));
        let taken: BTreeSet<&String> = contents.blocks.iter().map(|block| &block.name).collect();
        for block in before.blocks.iter().filter(|block| !taken.contains(&block.name) && stayed(&block.name))
        {
            let why = if block.meta.is_none() { ": its meta.json cannot be read" } else { "" };
            progress.warn(format!(
                "block {} lies in the data folder of {}, but Prometheus does not serve it{why}; it is not in the backup",
                block.name, self.target.name
            ));
        }
    }

    fn source(&self, server: &Server, state: &FolderState) -> Source {
        Source {
            target: self.target.name.to_string(),
            url: self.client.base_url().to_string(),
            product_version: Some(server.build.version.clone()),
            container: self.folder.container().map(str::to_owned),
            image: self.image.clone(),
            data_path: Some(self.folder.product_path()),
            retention: Some(server.runtime.storage_retention.clone()).filter(|r| !r.is_empty()),
            owner: Some(state.owner),
            ..Source::default()
        }
    }

    async fn publish(
        &self,
        context: &RunContext,
        pending: Pending,
        shared: Vec<SharedFile>,
        contents: &SnapshotContents,
        source: Source,
    ) -> Result<Backup, SnapshotError> {
        let described =
            serde_json::value::to_raw_value(contents).map_err(|source| SnapshotError::Describe { source })?;
        let draft = Draft {
            content_bytes: contents.blocks.iter().map(|block| block.bytes).sum(),
            damaged: contents.damaged().next().is_some(),
            layout: match self.options.layout {
                SnapshotLayout::Archive => Layout::Archive,
                SnapshotLayout::Blocks => Layout::Blocks,
            },
            shared,
            ..Draft::new("prometheus-snapshot", context.now, source, described)
        };
        Ok(context.publish(pending, draft).await?)
    }
}

fn described<'a>(blocks: impl Iterator<Item = &'a BlockReport>) -> String {
    let (mut all, mut damaged) = (0, 0);
    for block in blocks {
        all += 1;
        damaged += usize::from(!block.is_good());
    }
    let blocks = words::count(all, "block");
    if damaged == 0 { format!("{blocks}, all good") } else { format!("{blocks}, {damaged} damaged") }
}

fn warn_about_out_of_order(progress: &Progress, metrics: &Metrics, skip_head: bool) {
    let samples = metrics.sum(OUT_OF_ORDER).unwrap_or_default();
    if samples > 0.0 && !skip_head {
        progress.warn(format!(
            "Prometheus took {samples} out-of-order samples since it started; those that are still in its head are not \
             in a snapshot, and so not in this backup"
        ));
    }
}

/// A snapshot that could not be removed again is not taken: it would pin disk space for ever.
fn must_be_removable(state: &FolderState) -> Result<(), SnapshotError> {
    match &state.closed {
        None => Ok(()),
        Some(failure) => Err(SnapshotError::Closed { failure: (**failure).clone() }),
    }
}

fn set(state: &FolderState) -> BTreeSet<String> {
    state.snapshots.iter().cloned().collect()
}
