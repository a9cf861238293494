//! What a restore will do, as data: made before anything is touched, shown to a person, then applied as it is.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::fate::{Candidate, Fate, Retention, fates};
use super::source::RestoreSource;
use super::warn::{Refusal, Warning, span};
use crate::prometheus::block::{BlockMeta, BlockReport};
use crate::prometheus::folder_op::{FolderState, Phase};

/// Room beside the staged data: Prometheus makes a WAL and its query log when it starts.
const MARGIN_BYTES: u64 = 64 << 20;

/// Where the data will go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// The target's name in the configuration.
    pub target: String,
    /// Its base URL.
    pub url: String,
    /// The container, where it runs in one.
    pub container: Option<String>,
    /// The data folder as Prometheus sees it.
    pub data_path: String,
    /// It runs, and will be stopped. `None` where nobody can tell.
    pub running: Option<bool>,
    /// This program can stop and start it.
    pub controllable: bool,
    /// `2.42.0`, where it said so.
    pub version: Option<String>,
    /// The retention as it words it: `15d or 1GiB`.
    pub retention: Option<String>,
}

/// A block that will be put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedBlock {
    /// Its folder's name.
    pub name: String,
    /// First instant, Unix milliseconds.
    pub min_time: i64,
    /// Exclusive end, Unix milliseconds.
    pub max_time: i64,
    /// Samples in it.
    pub samples: u64,
    /// Series in it.
    pub series: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// What Prometheus will do with it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// A block of the backup that is not put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its folder's name.
    pub name: String,
    /// What is wrong with it.
    pub damage: Vec<String>,
    /// The time that will be missing, where it is known, Unix milliseconds.
    pub time: Option<(i64, i64)>,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.name, span(self.time), self.damage.join("; "))
    }
}

/// What lies in the data folder now, and will be set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Live {
    /// Blocks.
    pub blocks: usize,
    /// Blocks without a readable `meta.json`.
    pub unreadable: usize,
    /// Bytes of the blocks.
    pub bytes: u64,
    /// Bytes of WAL and head chunks.
    pub head_bytes: u64,
    /// The time that the blocks cover, Unix milliseconds.
    pub time: Option<(i64, i64)>,
}

/// Free space, needed and there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Space {
    /// Bytes of the blocks, with room for a start.
    pub needed: u64,
    /// Bytes that are free.
    pub free: u64,
}

/// What a restore will do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RestorePlan {
    /// What is restored: `prometheus-snapshot/20261123T020000Z`, or a path.
    pub source: String,
    /// When the backup was made.
    pub created: Option<Timestamp>,
    /// Where to.
    pub destination: Destination,
    /// What is put in place, oldest first.
    pub blocks: Vec<PlannedBlock>,
    /// What is not.
    pub left_out: Vec<LeftOut>,
    /// Every stored file was read for this plan. Else they are read before anything is touched.
    pub is_read: bool,
    /// Samples that are put in place.
    pub samples: u64,
    /// Bytes that are put in place.
    pub bytes: u64,
    /// The time covered, Unix milliseconds; the end is exclusive.
    pub time: (i64, i64),
    /// Free space, needed and there.
    pub space: Space,
    /// What is set aside.
    pub live: Live,
    /// What a person should know before saying yes.
    pub warnings: Vec<Warning>,
    /// Why it cannot be done as things are.
    pub refusals: Vec<Refusal>,
}

/// Works out what restoring `source` into the folder described by `folder` means.
pub fn plan(
    source: &RestoreSource,
    folder: &FolderState,
    destination: Destination,
    now: Timestamp,
) -> RestorePlan {
    let told = destination.retention.as_deref().or(source.origin.retention.as_deref());
    let retention = told.and_then(Retention::parse);
    let blocks = planned(source, retention.unwrap_or_default(), now);
    let bytes = blocks.iter().map(|b| b.bytes).fold(0, u64::saturating_add);
    let time = (
        blocks.iter().map(|b| b.min_time).min().unwrap_or_default(),
        blocks.iter().map(|b| b.max_time).max().unwrap_or_default(),
    );
    let mut plan = RestorePlan {
        source: source.title.clone(),
        created: source.created,
        destination,
        samples: blocks.iter().map(|b| b.samples).fold(0, u64::saturating_add),
        bytes,
        time,
        left_out: source.damaged().map(left_out).collect(),
        is_read: source.is_read,
        blocks,
        space: Space { needed: bytes.saturating_add(bytes / 20 + MARGIN_BYTES), free: folder.free_bytes },
        live: live(folder),
        warnings: Vec::new(),
        refusals: Vec::new(),
    };
    plan.refusals = refusals(&plan, source, folder);
    plan.warnings = warnings(&plan, source, retention);
    plan
}

impl RestorePlan {
    /// The names of the blocks that are put in place.
    pub fn names(&self) -> Vec<String> {
        self.blocks.iter().map(|b| b.name.clone()).collect()
    }
}

fn planned(source: &RestoreSource, retention: Retention, now: Timestamp) -> Vec<PlannedBlock> {
    let good: Vec<(&BlockReport, &BlockMeta)> = source.good().collect();
    let candidates: Vec<Candidate<'_>> =
        good.iter().map(|(report, meta)| Candidate { meta, bytes: report.bytes }).collect();
    let fates = fates(&candidates, retention, now);
    let block = |((report, meta), fate): (&(&BlockReport, &BlockMeta), Fate)| PlannedBlock {
        name: report.name.clone(),
        min_time: meta.min_time,
        max_time: meta.max_time,
        samples: meta.stats.num_samples,
        series: meta.stats.num_series,
        bytes: report.bytes,
        fate,
    };
    good.iter().zip(fates).map(block).collect()
}

fn left_out((report, damage): (&BlockReport, Vec<String>)) -> LeftOut {
    let time = report.meta.as_ref().map(|meta| (meta.min_time, meta.max_time));
    LeftOut { name: report.name.clone(), damage, time }
}

/// The times that the samples of these blocks have, those that touch each other as one.
fn gaps(left_out: &[LeftOut]) -> Vec<(i64, i64)> {
    let mut times: Vec<(i64, i64)> = left_out.iter().filter_map(|block| block.time).collect();
    times.sort_unstable();
    let mut gaps: Vec<(i64, i64)> = Vec::new();
    for (from, until) in times {
        match gaps.last_mut().filter(|(_, end)| from <= *end) {
            Some((_, end)) => *end = until.max(*end),
            None => gaps.push((from, until)),
        }
    }
    gaps
}

fn live(folder: &FolderState) -> Live {
    let metas = || folder.blocks.iter().filter_map(|b| b.meta.as_ref());
    let min = metas().map(|m| m.min_time).min();
    let max = metas().map(|m| m.max_time).max();
    Live {
        blocks: folder.blocks.len(),
        unreadable: folder.blocks.len() - metas().count(),
        bytes: folder.blocks.iter().map(|b| b.bytes).sum(),
        head_bytes: folder.head_bytes,
        time: min.zip(max),
    }
}

fn refusals(plan: &RestorePlan, source: &RestoreSource, folder: &FolderState) -> Vec<Refusal> {
    let mut refusals: Vec<Refusal> = source.stands_in_the_way().map(Refusal::Damaged).into_iter().collect();
    if let Some(unfinished) = folder.unfinished() {
        refusals.push(Refusal::Unfinished {
            what: unfinished.note.source.clone(),
            began: unfinished.note.began,
            touched: unfinished.phase != Phase::Staging,
        });
    }
    if plan.blocks.is_empty() {
        refusals.push(Refusal::Empty);
    }
    if plan.space.needed > plan.space.free {
        refusals.push(Refusal::NoSpace { needed: plan.space.needed, free: plan.space.free });
    }
    // Nobody else can stop it, and swapping under a running Prometheus would lose what it writes then.
    let (running, locked) = (plan.destination.running == Some(true), folder.locked);
    if !plan.destination.controllable && (running || locked) {
        refusals.push(Refusal::CannotStop { target: plan.destination.target.clone() });
    }
    refusals
}

fn warnings(plan: &RestorePlan, source: &RestoreSource, retention: Option<Retention>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let named = |is: &dyn Fn(&Fate) -> bool| -> Vec<String> {
        plan.blocks.iter().filter(|b| is(&b.fate)).map(|b| b.name.clone()).collect()
    };
    let mut add = |blocks: Vec<String>, warning: &dyn Fn(Vec<String>) -> Warning| {
        if !blocks.is_empty() {
            warnings.push(warning(blocks));
        }
    };
    let words = || plan.destination.retention.clone().or_else(|| source.origin.retention.clone());
    let text = words().unwrap_or_else(|| "15d".to_owned());
    add(plan.left_out.iter().map(|b| b.name.clone()).collect(), &|blocks| Warning::LeftOut {
        blocks,
        gaps: gaps(&plan.left_out),
    });
    add(named(&|f| matches!(f, Fate::TooOld | Fate::TooMuch)), &|blocks| Warning::RetentionAtStart {
        retention: text.clone(),
        blocks,
    });
    add(named(&|f| *f == Fate::TooOldSoon), &|blocks| Warning::RetentionSoon {
        retention: text.clone(),
        blocks,
    });
    add(named(&|f| matches!(f, Fate::Superseded { .. })), &|blocks| Warning::Superseded { blocks });
    add(named(&|f| *f == Fate::Emptied), &|blocks| Warning::Emptied { blocks });
    if retention.is_none() || plan.destination.retention.is_none() {
        warnings.push(Warning::RetentionAssumed { retention: text });
    }
    if let Some((_, until)) = plan.live.time.filter(|(_, until)| *until > plan.time.1) {
        warnings.push(Warning::NewerSetAside { from: plan.time.1, until: Some(until) });
    } else if plan.live.head_bytes > 0 {
        warnings.push(Warning::NewerSetAside { from: plan.time.1, until: None });
    }
    let backup = source.origin.product_version.clone();
    if let (Some(server), Some(backup)) = (plan.destination.version.clone(), backup)
        && older(&server, &backup)
    {
        warnings.push(Warning::OlderServer { server, backup });
    }
    if let Some(server) = plan.destination.version.clone()
        && older(&server, "2.39.0")
        && overlap(&plan.blocks)
    {
        warnings.push(Warning::Overlap { server });
    }
    if !plan.destination.controllable {
        warnings.push(Warning::NotControlled);
    }
    warnings.extend(source.notes.iter().map(|text| Warning::Source { text: text.clone() }));
    warnings
}

/// `a` is an older version than `b`, as far as both can be read; patch releases keep the format.
fn older(a: &str, b: &str) -> bool {
    let read = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.trim_start_matches('v').split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    read(a).zip(read(b)).is_some_and(|(a, b)| a < b)
}

/// Two blocks share time. Blocks come oldest first.
fn overlap(blocks: &[PlannedBlock]) -> bool {
    let mut end = i64::MIN;
    blocks.iter().any(|block| {
        let overlaps = block.min_time < end;
        end = end.max(block.max_time);
        overlaps
    })
}

#[cfg(test)]
mod tests;
