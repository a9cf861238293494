//! The proof that a running Prometheus serves what was restored.
//!
//! A 200 from `/-/ready` proves nothing: Prometheus gets ready with blocks skipped. So it is asked for what only the
//! restored samples can answer, and asked again after its first reload, when it deletes what its rules say.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::error::RestoreError;
use super::plan::RestorePlan;
use super::probe::{expression, shown};
use super::site::Site;
use super::source::RestoreSource;
use crate::progress::StepGuard;
use crate::prometheus::block::{BlockMeta, Probe};
use crate::prometheus::client::{ClientError, Metrics, Sample};
use crate::prometheus::folder_op::{FolderBlock, FolderState};
use crate::words;

/// Between two looks at something that changes by itself.
const LOOK: Duration = Duration::from_millis(500);

/// How long Prometheus may take to have loaded every block, once it is ready.
const LOADED_LIMIT: Duration = Duration::from_secs(30);

/// Failures named in a message.
const FAILURES_SHOWN: usize = 5;

/// What was restored and must be seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expected {
    pub(super) blocks: Vec<ExpectedBlock>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ExpectedBlock {
    pub(super) name: String,
    pub(super) meta: Option<BlockMeta>,
    /// Prometheus's own rules allow it to delete the block.
    pub(super) may_go: bool,
    pub(super) probes: Vec<Probe>,
}

/// What was verified, and what was not, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// What was seen.
    pub verified: Vec<String>,
    /// What could not be looked at, and why.
    pub unverified: Vec<String>,
}

impl Expected {
    /// What a plan puts in place.
    pub(super) fn of(plan: &RestorePlan, source: &RestoreSource) -> Self {
        let block = |(report, meta): (&crate::prometheus::block::BlockReport, &BlockMeta)| {
            let planned = plan.blocks.iter().find(|b| b.name == report.name)?;
            Some(ExpectedBlock {
                name: report.name.clone(),
                meta: Some(meta.clone()),
                may_go: planned.fate.is_gone_at_start(),
                probes: report.probes.clone(),
            })
        };
        Self { blocks: source.good().filter_map(block).collect() }
    }

    /// Blocks of which only the names are known.
    pub(super) fn named(names: &[String]) -> Self {
        let block = |name: &String| ExpectedBlock {
            name: name.clone(),
            meta: None,
            may_go: false,
            probes: Vec::new(),
        };
        Self { blocks: names.iter().map(block).collect() }
    }

    fn staying(&self) -> impl Iterator<Item = &ExpectedBlock> {
        self.blocks.iter().filter(|block| !block.may_go)
    }

    /// The probes of blocks that stay, each with its block.
    fn probes(&self) -> impl Iterator<Item = (&str, &Probe)> {
        self.staying().flat_map(|block| block.probes.iter().map(|probe| (block.name.as_str(), probe)))
    }

    /// The instants of which one must be the lowest that Prometheus knows.
    fn lowest(&self) -> Option<(i64, i64)> {
        let all = self.blocks.iter().map(|b| b.meta.as_ref().map(|m| m.min_time));
        let staying = self.staying().map(|b| b.meta.as_ref().map(|m| m.min_time));
        let all: Option<Vec<i64>> = all.collect();
        let staying: Option<Vec<i64>> = staying.collect();
        Some((all?.into_iter().min()?, staying?.into_iter().min()?))
    }
}

/// The blocks that must be there and are not: neither themselves nor a block that was made from them.
pub(super) fn missing(expected: &Expected, on_disk: &[FolderBlock]) -> Vec<String> {
    let names: BTreeSet<&str> = on_disk.iter().map(|b| b.name.as_str()).collect();
    let there = |block: &ExpectedBlock| {
        let ulid = block.name.parse::<Ulid>().ok();
        names.contains(block.name.as_str())
            || on_disk.iter().filter_map(|b| b.meta.as_ref()).any(|m| descends(m, ulid, block.meta.as_ref()))
    };
    expected.staying().filter(|block| !there(block)).map(|block| block.name.clone()).collect()
}

/// `later` holds the samples of the block: it names it as a parent, or has all its sources, since parents of parents
/// are not named.
fn descends(later: &BlockMeta, block: Option<Ulid>, meta: Option<&BlockMeta>) -> bool {
    let sources: BTreeSet<&Ulid> = later.compaction.sources.iter().collect();
    let by_sources = |meta: &BlockMeta| {
        !meta.compaction.sources.is_empty() && meta.compaction.sources.iter().all(|s| sources.contains(s))
    };
    later.compaction.parents.iter().any(|parent| Some(parent.ulid) == block) || meta.is_some_and(by_sources)
}

/// What a probe's answer says against the restore; nothing where it is right.
pub(super) fn verdict(block: &str, probe: &Probe, answer: &[Sample]) -> Option<String> {
    let mut wanted = probe.labels.clone();
    wanted.remove("__name__");
    // The selector also matches series that have more labels.
    let found = answer.iter().find(|sample| {
        let mut labels = sample.labels.clone();
        labels.remove("__name__");
        labels == wanted
    });
    let series = shown(&probe.labels);
    match found {
        None => Some(format!("block {block}: {series} is not there, {} samples were", probe.samples)),
        #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "PromQL counts in f64 too")]
        Some(sample) if sample.value == probe.samples as f64 => None,
        Some(sample) => {
            Some(format!("block {block}: {series} has {} samples instead of {}", sample.value, probe.samples))
        }
    }
}

/// Proves it, waits for the first reload, and proves it again.
pub(super) async fn prove(
    site: &Site,
    expected: &Expected,
    step: &StepGuard,
    cancel: &CancellationToken,
) -> Result<Proof, RestoreError> {
    let started = reloads(site).await;
    let first = look(site, expected, step, cancel).await?;
    if !wait_for_reload(site, started, cancel).await? {
        let mut proof = first;
        let limit = site.limits.reload.as_secs();
        proof.unverified.push(format!("what Prometheus deletes at its first reload: none came in {limit} s"));
        return Ok(proof);
    }
    let mut proof = look(site, expected, step, cancel).await?;
    proof.verified.push("all of it again after Prometheus's first reload".to_owned());
    Ok(proof)
}

async fn look(
    site: &Site,
    expected: &Expected,
    step: &StepGuard,
    cancel: &CancellationToken,
) -> Result<Proof, RestoreError> {
    let mut proof = Proof::default();
    blocks(site, expected, &mut proof, cancel).await?;
    probes(site, expected, &mut proof, step, cancel).await?;
    Ok(proof)
}

/// The blocks on the disk, those that are loaded, and the lowest timestamp.
async fn blocks(
    site: &Site,
    expected: &Expected,
    proof: &mut Proof,
    cancel: &CancellationToken,
) -> Result<(), RestoreError> {
    let folder = site.inspect(cancel).await?;
    let missing = missing(expected, &folder.blocks);
    if !missing.is_empty() {
        let failure = format!("{} gone from the data folder: {}", missing.len(), some(&missing));
        return Err(RestoreError::Unproven { failures: vec![failure] });
    }
    let staying = expected.staying().count();
    let deadline = Instant::now() + LOADED_LIMIT;
    loop {
        let metrics = match site.client.metrics().await {
            Ok(metrics) => metrics,
            Err(error) if error.is_transient() && Instant::now() < deadline => {
                pause(cancel).await?;
                continue;
            }
            Err(error) => {
                proof.unverified.push(format!("how many blocks are loaded: {}", words::chain(&error)));
                return Ok(());
            }
        };
        let failures = wrong_metrics(&metrics, expected, &folder);
        if failures.is_empty() {
            note_blocks(&metrics, staying, expected, proof);
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(RestoreError::Unproven { failures });
        }
        pause(cancel).await?;
    }
}

fn wrong_metrics(metrics: &Metrics, expected: &Expected, folder: &FolderState) -> Vec<String> {
    let mut failures = Vec::new();
    let superseded_at_most = folder.blocks.iter().filter(|b| is_expected_to_go(expected, b)).count();
    let least = folder.blocks.len().saturating_sub(superseded_at_most);
    if let Some(loaded) = metrics.value("prometheus_tsdb_blocks_loaded") {
        #[expect(clippy::cast_precision_loss, reason = "no folder holds 2^52 blocks")]
        if loaded < least as f64 {
            failures.push(format!("{loaded} blocks are loaded, and {least} lie in the data folder"));
        }
    }
    if let Some((lowest, (all, staying))) = lowest_in(metrics).zip(expected.lowest())
        && (lowest > staying || lowest < all)
    {
        failures.push(format!("its lowest timestamp is {lowest} ms instead of {staying} ms"));
    }
    failures
}

fn is_expected_to_go(expected: &Expected, block: &FolderBlock) -> bool {
    expected.blocks.iter().any(|b| b.may_go && b.name == block.name)
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds of any year fit")]
fn lowest_in(metrics: &Metrics) -> Option<i64> {
    metrics.value("prometheus_tsdb_lowest_timestamp").map(|ms| ms as i64)
}

fn note_blocks(metrics: &Metrics, staying: usize, expected: &Expected, proof: &mut Proof) {
    match metrics.value("prometheus_tsdb_blocks_loaded") {
        Some(loaded) => {
            #[expect(clippy::cast_precision_loss, reason = "no folder holds 2^52 blocks")]
            let merged = if loaded < staying as f64 { ", merged" } else { "" };
            let blocks = words::count(staying, "restored block");
            proof.verified.push(format!("{blocks} in place{merged}: Prometheus has loaded {loaded}"));
        }
        None => proof.unverified.push("how many blocks are loaded: it does not say".to_owned()),
    }
    match (lowest_in(metrics), expected.lowest()) {
        (Some(lowest), Some(_)) => {
            proof.verified.push(format!("data begin at {}", super::warn::utc(lowest)));
        }
        _ => proof.unverified.push("where the data begin".to_owned()),
    }
}

async fn probes(
    site: &Site,
    expected: &Expected,
    proof: &mut Proof,
    step: &StepGuard,
    cancel: &CancellationToken,
) -> Result<(), RestoreError> {
    let (mut failures, mut asked, mut samples) = (Vec::new(), 0, 0);
    for (block, probe) in expected.probes() {
        let answer = ask(site, probe, cancel).await?;
        match answer {
            Ok(answer) => failures.extend(verdict(block, probe, &answer)),
            Err(error) => failures.push(format!(
                "block {block}: {} cannot be queried: {}",
                shown(&probe.labels),
                words::chain(&error)
            )),
        }
        asked += 1;
        samples += probe.samples;
        step.add(0);
    }
    if !failures.is_empty() {
        let more = failures.len().saturating_sub(FAILURES_SHOWN);
        failures.truncate(FAILURES_SHOWN);
        if more > 0 {
            failures.push(format!("and {more} more"));
        }
        return Err(RestoreError::Unproven { failures });
    }
    if asked > 0 {
        let blocks = expected.staying().filter(|b| !b.probes.is_empty()).count();
        proof.verified.push(format!(
            "{asked} series of {} answer with the {} samples that they had",
            words::count(blocks, "block"),
            words::grouped(samples)
        ));
    }
    let silent = expected.staying().filter(|b| b.probes.is_empty()).count();
    if silent > 0 {
        proof
            .unverified
            .push(format!("sample counts of {} for which there is no probe", words::count(silent, "block")));
    }
    Ok(())
}

/// Asks one probe; what passes by itself is tried again.
async fn ask(
    site: &Site,
    probe: &Probe,
    cancel: &CancellationToken,
) -> Result<Result<Vec<Sample>, ClientError>, RestoreError> {
    let at = Timestamp::from_millisecond(probe.last).unwrap_or(Timestamp::UNIX_EPOCH);
    for _ in 0..2 {
        match site.client.query(&expression(probe), at).await {
            Err(error) if error.is_transient() => pause(cancel).await?,
            answer => return Ok(answer),
        }
    }
    Ok(site.client.query(&expression(probe), at).await)
}

/// Whether Prometheus reloaded its blocks since it had done so `before` times. False where that cannot be seen.
async fn wait_for_reload(
    site: &Site,
    before: Option<f64>,
    cancel: &CancellationToken,
) -> Result<bool, RestoreError> {
    let Some(before) = before else { return Ok(false) };
    let deadline = Instant::now() + site.limits.reload;
    while Instant::now() < deadline {
        if reloads(site).await.is_some_and(|now| now > before) {
            return Ok(true);
        }
        pause(cancel).await?;
    }
    Ok(false)
}

async fn reloads(site: &Site) -> Option<f64> {
    site.client.metrics().await.ok()?.value("prometheus_tsdb_reloads_total")
}

pub(super) async fn pause(cancel: &CancellationToken) -> Result<(), RestoreError> {
    tokio::select! {
        () = tokio::time::sleep(LOOK) => Ok(()),
        () = cancel.cancelled() => Err(RestoreError::Cancelled),
    }
}

fn some(names: &[String]) -> String {
    let shown = names.iter().take(FAILURES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > FAILURES_SHOWN { format!("{shown}, …") } else { shown }
}

#[cfg(test)]
mod tests;
