//! The job `prometheus-snapshot`: take a backup, then keep the store in order.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::{Hints, Shared, TargetError, blocking};
use crate::config::{JobConfig, SnapshotConfig};
use crate::jobs::{JobOutput, RunContext};
use crate::prometheus::contents::SnapshotContents;
use crate::prometheus::coverage::{Coverage, rewritten};
use crate::prometheus::folder::DataFolder;
use crate::prometheus::snapshot::{Options, SnapshotError, Snapshotter, Taken};
use crate::runner::Failure;
use crate::store::{Layout, shared_key};
use crate::upkeep::{self, Policy};
use crate::words;

pub(super) async fn run(
    shared: &Shared,
    job: &JobConfig,
    config: &SnapshotConfig,
    context: RunContext,
) -> Result<JobOutput, Failure> {
    let target = shared.config.prometheus.get(&config.prometheus);
    let target =
        target.ok_or_else(|| Failure::new(format!("There is no [prometheus.{}]", config.prometheus)))?;
    let client = shared.client(target).map_err(|error| of_target(&error))?;
    // Asked first: an unreachable server is told as such, and not as a folder that cannot be found.
    match context.cancel.run_until_cancelled(client.flags()).await {
        Some(Ok(_)) => {}
        Some(Err(error)) => return Err(of_target(&shared.unanswered(target, error).await)),
        None => return Err(of_snapshot(&SnapshotError::Cancelled)),
    }
    let hints = Hints { access: config.access, idle: config.idle_timeout, ..Hints::default() };
    let folder = shared.folder(target, &client, hints).await.map_err(|error| of_target(&error))?;
    let store = shared.store.job(&job.name);
    let options = Options {
        skip_head: config.skip_head,
        compression: config.compression,
        layout: config.layout,
        idle_limit: config.idle_timeout,
    };
    let image = image(shared, &folder).await;
    let snapshotter = Snapshotter { target, client: &client, folder: &folder, store: &store, image, options };
    let policy = policy(config, &shared.config.timezone);
    let reread = {
        let (store, policy, context) = (store.clone(), policy.clone(), context.clone());
        let work =
            move || upkeep::before_backup(&store, &policy, context.now, &context.progress, &context.cancel);
        blocking(work).await
    };
    let taken = snapshotter.take(&context).await.map_err(|error| of_snapshot(&error))?;
    let kept = store.clone();
    blocking(move || upkeep::after_backup(&kept, &policy, context.now, &context.progress)).await;
    Ok(output(shared, &taken, reread))
}

/// What its backups are kept by.
pub(super) fn policy(config: &SnapshotConfig, zone: &TimeZone) -> Policy {
    Policy { keep: config.keep.clone(), zone: zone.clone(), verify_within: config.verify_within }
}

/// The image that the server's container was made from, as the container names it.
async fn image(shared: &Shared, folder: &DataFolder) -> Option<String> {
    let container = shared.docker().await.ok()?.container(folder.container()?).await.ok()?;
    Some(container.info().image.clone())
}

fn output(shared: &Shared, taken: &Taken, reread: Vec<String>) -> JobOutput {
    let (backup, contents) = (&taken.backup, &taken.contents);
    let share = Share::of(taken);
    let mut verified = share.verified();
    verified.extend(reread);
    JobOutput {
        summary: share.summary(contents),
        backup: Some(backup.id().clone()),
        bytes: Some(backup.size()),
        new_bytes: share.layout_shares.then_some(share.new_bytes),
        facts: share.facts(taken, &shared.config.timezone),
        verified,
        unverified: vec![
            "that a Prometheus serves it: each `restore` proves that for its own, and takes itself back if not".to_owned(),
        ],
        ..JobOutput::default()
    }
}

/// What of a backup is new, and what it shares with earlier ones.
struct Share {
    /// Of an archive everything is new.
    layout_shares: bool,
    new: usize,
    new_bytes: u64,
    shared: usize,
    shared_bytes: u64,
}

impl Share {
    fn of(taken: &Taken) -> Self {
        let (manifest, contents) = (&taken.backup.manifest, &taken.contents);
        let is_new = |block: &str| contents.new.iter().any(|new| new == block);
        let layout_shares = manifest.layout == Layout::Blocks;
        let mut share =
            Self { layout_shares, new: contents.blocks.len(), new_bytes: 0, shared: 0, shared_bytes: 0 };
        for file in &manifest.files {
            match shared_key(&file.name).filter(|block| !is_new(block)) {
                Some(_) => {
                    share.shared += 1;
                    share.shared_bytes += file.size;
                }
                None => share.new_bytes += file.size,
            }
        }
        share.new -= share.shared.min(share.new);
        share
    }

    fn summary(&self, contents: &SnapshotContents) -> String {
        let of_these = [(contents.damaged().count(), "damaged"), (self.new, "new")];
        let of_these = of_these.iter().take(if self.layout_shares { 2 } else { 1 });
        let of_these: Vec<String> =
            of_these.filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let of_these =
            if of_these.is_empty() { String::new() } else { format!(" ({})", of_these.join(", ")) };
        let (blocks, samples) =
            (words::count(contents.blocks.len(), "block"), words::grouped(contents.samples));
        let size = words::size(self.new_bytes + self.shared_bytes);
        format!("{blocks}{of_these}, {samples} samples, {size}")
    }

    fn verified(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.new > 0 {
            let which = if self.layout_shares { "each new block" } else { "each block" };
            lines.push(format!(
                "every chunk, series and posting of {which} was read and matches its checksums and counts"
            ));
            lines.push("every byte that was stored was read back and matches its SHA-256".to_owned());
        }
        if self.shared > 0 {
            lines.push(format!(
                "{} had been stored and checked before: names, sizes and times of their files are still the same",
                words::count(self.shared, "block")
            ));
        }
        lines
    }

    fn facts(&self, taken: &Taken, zone: &TimeZone) -> Vec<String> {
        let contents = &taken.contents;
        let mut facts = Vec::new();
        if self.layout_shares {
            let new = (self.new, "new block", self.new_bytes);
            let told = [new, (self.shared, "shared block", self.shared_bytes)].into_iter();
            let told = told.filter(|(number, ..)| *number > 0).map(|(number, what, bytes)| {
                format!("{}, {}", words::count(number, what), words::size(bytes))
            });
            facts.push(told.collect::<Vec<_>>().join("; "));
        }
        if let Some(coverage) = Coverage::of(&contents.blocks) {
            facts.push(coverage.text(zone));
        }
        let new: BTreeSet<&str> = contents.new.iter().map(String::as_str).collect();
        let rewritten: BTreeSet<&str> = rewritten(&contents.blocks, &new, &taken.stored_before)
            .iter()
            .map(|block| block.name.as_str())
            .collect();
        if !rewritten.is_empty() {
            let files = taken.backup.manifest.files.iter();
            let files =
                files.filter(|file| shared_key(&file.name).is_some_and(|key| rewritten.contains(key)));
            let bytes = words::size(files.map(|file| file.size).sum());
            let blocks = words::count(rewritten.len(), "new block");
            facts.push(format!(
                "compaction merged what was stored before: {blocks}, {bytes}, without new samples"
            ));
        }
        facts
    }
}

fn of_target(error: &TargetError) -> Failure {
    Failure::of(error, error.hint(), error.is_transient())
}

fn of_snapshot(error: &SnapshotError) -> Failure {
    Failure::of(error, error.hint(), error.is_transient())
}
