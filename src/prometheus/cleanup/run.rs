//! A cleanup from the first look to the proof that Prometheus is well without the blocks that went.
//!
//! Everything up to the removal can fail without harm. After it nothing is tried again by itself: a second attempt would
//! count its share anew.

mod after;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{CleanupError, CleanupPolicy, Copies, Decision, Holder, mapped};
use crate::blocking::blocking;
use crate::jobs::RunContext;
use crate::prometheus::client::PrometheusClient;
use crate::prometheus::folder_op::{DoomedBlock, FolderOp, FolderReply, FolderState, RemovedBlock};
use crate::prometheus::restore::Site;
use crate::prometheus::snapshot::Snapshotter;
use crate::store::StoreError;
use crate::words;

/// Blocks that one helper is told of: its command line has an end.
const BATCH: usize = 500;
/// Prometheus writes a block, be it for a compaction or for a snapshot of its head.
const WRITING: &str = "prometheus_tsdb_compaction_populating_block";
/// Where the kernel tells what is mapped.
const PROC: &str = "/proc";

/// Deletes old blocks of one Prometheus.
pub struct Cleanup<'a> {
    /// The Prometheus.
    pub site: &'a Site,
    /// Takes the snapshot that proves that it still can.
    pub snapshotter: Snapshotter<'a>,
    /// What may go.
    pub policy: CleanupPolicy,
    /// Restart it, so that the disk space is free at once.
    pub restart: bool,
    /// Set when the first block is about to go. What is tried again after that, at a timeout, would count its share anew.
    pub begun: &'a AtomicBool,
}

/// What a cleanup did.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// What was decided about every block.
    pub decisions: Vec<Decision>,
    /// All samples of what went are older than this.
    pub cutoff: Option<Timestamp>,
    /// What went, with what an earlier removal that was cut off had left.
    pub removed: Vec<RemovedBlock>,
    /// Bytes that Prometheus still maps, so that they are free only after its restart; nothing where nobody can see.
    pub mapped: Option<u64>,
    /// It was restarted.
    pub restarted: bool,
    /// What was seen afterwards.
    pub verified: Vec<String>,
    /// What could not be looked at, and why.
    pub unverified: Vec<String>,
    /// What is not as it should be now.
    pub failures: Vec<String>,
}

impl Cleaned {
    /// Bytes of what was removed.
    pub fn bytes(&self) -> u64 {
        self.removed.iter().map(|block| block.bytes).sum()
    }

    /// Bytes of it that something else still links, such as a snapshot.
    pub fn linked_bytes(&self) -> u64 {
        self.removed.iter().map(|block| block.linked_bytes).sum()
    }
}

/// Prometheus does not write a block, as far as can be seen. It must not be disturbed then, and a block that vanishes
/// lets its snapshot fail.
pub async fn must_be_quiet(client: &PrometheusClient, folder: &FolderState) -> Result<(), CleanupError> {
    if let Some(restore) = folder.unfinished() {
        return Err(CleanupError::RestoreUnfinished { source_name: restore.note.source.clone() });
    }
    let name = folder.creating.first().cloned();
    let metrics = client.metrics().await?;
    if name.is_some() || metrics.value(WRITING).is_some_and(|writing| writing > 0.0) {
        return Err(CleanupError::Compacting { name });
    }
    Ok(())
}

/// This user may remove blocks.
pub fn must_be_open(folder: &FolderState) -> Result<(), CleanupError> {
    match &folder.closed {
        None => Ok(()),
        Some(failure) => Err(CleanupError::Closed { failure: (**failure).clone() }),
    }
}

impl Cleanup<'_> {
    /// Deletes what every rule allows.
    pub async fn run(&self, holders: Vec<Holder>, context: &RunContext) -> Result<Cleaned, CleanupError> {
        if self.begun.load(Ordering::Relaxed) {
            return Err(CleanupError::Begun);
        }
        if self.restart && !self.site.is_controllable() {
            return Err(CleanupError::NoRestart { target: self.site.target.clone() });
        }
        let step = context.progress.step("look at the blocks", None);
        let folder = self.look(context).await?;
        step.finish(words::count(folder.blocks.len(), "block"));
        let copies = self.prove(holders, &folder, context).await?;

        // Reading took its time: what is decided is decided about what is there now.
        let folder = self.look(context).await?;
        let decisions = copies.decide(&folder, &self.policy, context.now);
        let cutoff = super::cutoff(&folder, context.now, self.policy.older_than);
        let mut cleaned = Cleaned { decisions, cutoff, ..Cleaned::default() };
        let doomed = doomed(&cleaned.decisions, &folder);
        if doomed.is_empty() && folder.deleting.is_empty() {
            return Ok(cleaned);
        }
        must_be_open(&folder)?;
        let reloads = self.site.reloads().await;
        self.remove(&doomed, context, &mut cleaned).await?;
        self.finish(&copies, &doomed, reloads, context, &mut cleaned).await;
        Ok(cleaned)
    }

    async fn look(&self, context: &RunContext) -> Result<FolderState, CleanupError> {
        let folder = self.site.inspect(&context.cancel).await?;
        let looked = context.cancel.run_until_cancelled(must_be_quiet(&self.site.client, &folder)).await;
        looked.unwrap_or(Err(CleanupError::Cancelled))?;
        Ok(folder)
    }

    /// Reads the stored files of what may go.
    async fn prove(
        &self,
        holders: Vec<Holder>,
        folder: &FolderState,
        context: &RunContext,
    ) -> Result<Copies, CleanupError> {
        let (folder, policy, context) = (folder.clone(), self.policy.clone(), context.clone());
        let work = move || -> Result<Copies, StoreError> {
            let mut copies = Copies::hold(holders, &folder)?;
            copies.prove(&folder, &policy, context.now, &context.progress, &context.cancel)?;
            Ok(copies)
        };
        match blocking(work).await {
            Err(StoreError::Cancelled) => Err(CleanupError::Cancelled),
            done => Ok(done?),
        }
    }

    /// Removes the blocks. That it fails in the middle is told in `cleaned`, and what then still went.
    async fn remove(
        &self,
        doomed: &[DoomedBlock],
        context: &RunContext,
        cleaned: &mut Cleaned,
    ) -> Result<(), CleanupError> {
        if context.cancel.is_cancelled() {
            return Err(CleanupError::Cancelled);
        }
        self.begun.store(true, Ordering::Relaxed);
        let step = context.progress.step("remove the blocks", None);
        // Not cut in the middle: it takes a moment only.
        let uncut = CancellationToken::new();
        let mut batches: Vec<&[DoomedBlock]> = doomed.chunks(BATCH).collect();
        if batches.is_empty() {
            batches.push(&[]);
        }
        for batch in batches {
            let op = FolderOp::RemoveBlocks { blocks: batch.to_vec() };
            match self.site.run("remove the blocks", &op, &uncut).await {
                Ok(FolderReply::Removed { blocks }) => cleaned.removed.extend(blocks),
                Ok(other) => {
                    cleaned.failures.push(format!("the helper in the data folder answered {other:?}"));
                }
                Err(error) if self.are_all_there(doomed, &uncut).await => {
                    self.begun.store(false, Ordering::Relaxed);
                    return Err(error.into());
                }
                Err(error) => cleaned.failures.push(words::chain(&error)),
            }
        }
        step.finish(words::count(cleaned.removed.len(), "block"));
        Ok(())
    }

    async fn are_all_there(&self, doomed: &[DoomedBlock], cancel: &CancellationToken) -> bool {
        let folder = self.site.inspect(cancel).await;
        folder.is_ok_and(|folder| {
            doomed.iter().all(|block| folder.blocks.iter().any(|there| there.name == block.name))
        })
    }

    /// What is left to do and to look at when the blocks are gone.
    async fn finish(
        &self,
        copies: &Copies,
        doomed: &[DoomedBlock],
        reloads: Option<f64>,
        context: &RunContext,
        cleaned: &mut Cleaned,
    ) {
        let folder = match self.site.inspect(&CancellationToken::new()).await {
            Ok(folder) => folder,
            Err(error) => return cleaned.failures.push(words::chain(&error)),
        };
        note(copies, doomed, &folder, cleaned, context);
        let gone: BTreeSet<&str> = cleaned.removed.iter().map(|block| block.name.as_str()).collect();
        cleaned.mapped =
            mapped::bytes(Path::new(PROC), &gone, &folder).map(|bytes| bytes.min(cleaned.bytes()));
        if self.restart {
            match self.restart(context).await {
                Ok(()) => cleaned.restarted = true,
                Err(error) => return cleaned.failures.push(words::chain(&error)),
            }
        }
        self.look_after(copies, reloads, context, cleaned).await;
    }

    async fn restart(&self, context: &RunContext) -> Result<(), crate::prometheus::restore::RestoreError> {
        self.site.stop(&context.progress).await?;
        self.site.start(&context.progress).await?;
        // It must come up again, whoever wants to stop this run.
        self.site.wait_ready(&context.progress, &CancellationToken::new()).await
    }
}

/// The blocks that go, as they were when that was decided.
fn doomed(decisions: &[Decision], folder: &FolderState) -> Vec<DoomedBlock> {
    let meta = |name: &str| folder.blocks.iter().find(|block| block.name == name)?.meta.as_ref();
    let one = |decision: &Decision| {
        let meta = meta(&decision.block)?;
        let (name, samples) = (decision.block.clone(), meta.stats.num_samples);
        Some(DoomedBlock { name, max_time: meta.max_time, samples })
    };
    decisions.iter().filter(|decision| decision.goes()).filter_map(one).collect()
}

/// Notes in the backups what went.
fn note(
    copies: &Copies,
    doomed: &[DoomedBlock],
    folder: &FolderState,
    cleaned: &Cleaned,
    context: &RunContext,
) {
    let is_there = |name: &str| folder.blocks.iter().any(|block| block.name == name);
    let bytes = |name: &str| cleaned.decisions.iter().find(|d| d.block == name).map_or(0, |d| d.bytes);
    let gone: BTreeMap<String, u64> = doomed
        .iter()
        .filter(|block| !is_there(&block.name))
        .map(|block| (block.name.clone(), bytes(&block.name)))
        .collect();
    if let Err(error) = copies.note_cleaned(&gone) {
        let problem = words::chain(&error);
        context.progress.warn(format!(
            "the backups could not be told what was deleted, so that the next one may be taken for too small: {problem}"
        ));
    }
}
