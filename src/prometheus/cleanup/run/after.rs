//! That Prometheus is well without the blocks that went: it has loaded the rest, answers with what they hold, and can
//! take a snapshot.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Cleaned, Cleanup, Copies};
use crate::jobs::RunContext;
use crate::prometheus::folder_op::{FolderBlock, FolderState};
use crate::prometheus::restore::{expression, verdict};
use crate::words;

/// How long Prometheus may take to have loaded what is there, once it has reloaded.
const LOADED_LIMIT: Duration = Duration::from_mins(1);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// So many of the oldest and of the newest blocks are asked for a series.
const ASKED: usize = 5;

impl Cleanup<'_> {
    /// Looks at everything, and tells in `cleaned` what was seen. It is not cut when the run is told to stop before the
    /// limit of its grace: who deletes looks afterwards.
    pub(super) async fn look_after(
        &self,
        copies: &Copies,
        reloads: Option<f64>,
        context: &RunContext,
        cleaned: &mut Cleaned,
    ) {
        let step = context.progress.step("see that Prometheus is well without them", None);
        // Until its reload it believes that the blocks are there, and its snapshots fail.
        if !cleaned.restarted && !self.site.has_reloaded(reloads, &context.cancel).await {
            let limit = self.site.limits.reload.as_secs();
            cleaned.unverified.push(format!("how Prometheus is without them: no reload came in {limit} s"));
            return;
        }
        let folder = match self.loaded(cleaned).await {
            Ok(folder) => folder,
            Err(failure) => return cleaned.failures.push(failure),
        };
        self.ask(copies, &folder, cleaned).await;
        match self.snapshotter.try_out(context).await {
            Ok(()) => cleaned.verified.push("it took a snapshot, which was removed again".to_owned()),
            Err(error) => {
                cleaned.failures.push(format!("Prometheus takes no snapshot: {}", words::chain(&error)));
            }
        }
        step.finish(if cleaned.failures.is_empty() { "it is" } else { "it is not" });
    }

    /// Waits until Prometheus has loaded the blocks that are there.
    async fn loaded(&self, cleaned: &mut Cleaned) -> Result<FolderState, String> {
        let deadline = Instant::now() + LOADED_LIMIT;
        loop {
            let folder = self.site.inspect(&CancellationToken::new()).await;
            let folder = folder.map_err(|error| words::chain(&error))?;
            let there = folder.blocks.iter().filter(|block| block.meta.is_some()).count();
            let metrics = self.site.client.metrics().await.map_err(|error| words::chain(&error));
            let loaded = metrics.map(|metrics| metrics.value("prometheus_tsdb_blocks_loaded"));
            #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "whole numbers far below 2^52")]
            match loaded {
                Ok(Some(loaded)) if loaded == there as f64 => {
                    let rest = words::count(there, "block");
                    cleaned.verified.push(format!("Prometheus has loaded the {rest} that are there"));
                    return Ok(folder);
                }
                Ok(None) => {
                    cleaned.unverified.push("how many blocks are loaded: it does not say".to_owned());
                    return Ok(folder);
                }
                Ok(Some(loaded)) if Instant::now() >= deadline => {
                    return Err(format!("Prometheus has loaded {loaded} blocks, and {there} are there"));
                }
                Err(error) if Instant::now() >= deadline => return Err(error),
                Ok(Some(_)) | Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Asks for series of blocks that stayed, those that were next to what went first.
    async fn ask(&self, copies: &Copies, folder: &FolderState, cleaned: &mut Cleaned) {
        let mut blocks: Vec<&FolderBlock> =
            folder.blocks.iter().filter(|block| is_alone(block, folder)).collect();
        blocks.sort_by_key(|block| block.meta.as_ref().map(|meta| meta.min_time));
        let last = blocks.len().saturating_sub(ASKED).max(ASKED);
        let ends = blocks.iter().take(ASKED).chain(blocks.iter().skip(last));
        let (mut asked, mut samples) = (0, 0);
        for block in ends {
            let Some(probe) = copies.probe(block) else { continue };
            let at = Timestamp::from_millisecond(probe.last).unwrap_or(Timestamp::UNIX_EPOCH);
            let failure = match self.site.client.query(&expression(probe), at).await {
                Ok(answer) => verdict(&block.name, probe, &answer),
                Err(error) => Some(words::chain(&error)),
            };
            match failure {
                None => (asked, samples) = (asked + 1, samples + probe.samples),
                // Its own retention or compaction may have taken the block meanwhile.
                Some(failure) if self.is_there(&block.name).await => cleaned.failures.push(failure),
                Some(_) => {}
            }
        }
        if asked > 0 {
            let (blocks, samples) = (words::count(asked, "block"), words::grouped(samples));
            cleaned
                .verified
                .push(format!("a series of each of {blocks} answers with the {samples} samples it had"));
            return;
        }
        match self.site.client.query("vector(1)", Timestamp::UNIX_EPOCH).await {
            Ok(_) => cleaned.verified.push("it answers queries".to_owned()),
            Err(error) => cleaned.failures.push(words::chain(&error)),
        }
    }

    async fn is_there(&self, name: &str) -> bool {
        let folder = self.site.inspect(&CancellationToken::new()).await;
        folder.is_ok_and(|folder| folder.blocks.iter().any(|block| block.name == name))
    }
}

/// No other block covers a part of its time: what it holds is what a query answers.
fn is_alone(block: &FolderBlock, folder: &FolderState) -> bool {
    let Some(meta) = &block.meta else { return false };
    let others = folder.blocks.iter().filter(|other| other.name != block.name);
    others
        .filter_map(|other| other.meta.as_ref())
        .all(|other| other.max_time <= meta.min_time || meta.max_time <= other.min_time)
}
