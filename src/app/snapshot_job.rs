//! The job `prometheus-snapshot`: take a backup, then keep the store in order.

use super::{Hints, Shared, TargetError, policy};
use crate::config::{JobConfig, SnapshotConfig};
use crate::jobs::{JobOutput, RunContext};
use crate::prometheus::contents::SnapshotContents;
use crate::prometheus::folder::DataFolder;
use crate::prometheus::snapshot::{Options, SnapshotError, Snapshotter, Taken};
use crate::runner::Failure;
use crate::{upkeep, words};

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
    client.flags().await.map_err(|error| of_snapshot(&SnapshotError::Client(error)))?;
    let hints = Hints { access: config.access, known: None, idle: config.idle_timeout };
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
    let policy = policy(job, &shared.config.timezone);
    let reread = {
        let (store, policy, context) = (store.clone(), policy.clone(), context.clone());
        let work =
            move || upkeep::before_backup(&store, &policy, context.now, &context.progress, &context.cancel);
        blocking(work).await
    };
    let taken = snapshotter.take(&context).await.map_err(|error| of_snapshot(&error))?;
    let kept = store.clone();
    blocking(move || upkeep::after_backup(&kept, &policy, context.now, &context.progress)).await;
    Ok(output(&taken, reread))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The image that the server's container was made from, as the container names it.
async fn image(shared: &Shared, folder: &DataFolder) -> Option<String> {
    let container = shared.docker().await.ok()?.container(folder.container()?).await.ok()?;
    Some(container.info().image.clone())
}

fn output(taken: &Taken, reread: Vec<String>) -> JobOutput {
    let backup = &taken.backup;
    let mut verified = vec![
        "every chunk, series and posting of each block was read and matches its checksums and counts"
            .to_owned(),
        "every stored byte was read back and matches its SHA-256".to_owned(),
    ];
    verified.extend(reread);
    JobOutput {
        summary: summary(&taken.contents, backup.size()),
        backup: Some(backup.id().clone()),
        bytes: Some(backup.size()),
        verified,
        unverified: vec![
            "that a Prometheus serves it: each `restore` proves that for its own, and takes itself back if not".to_owned(),
        ],
    }
}

fn summary(contents: &SnapshotContents, bytes: u64) -> String {
    let damaged = contents.damaged().count();
    let damaged = if damaged == 0 { String::new() } else { format!(" ({damaged} damaged)") };
    format!("{} blocks{damaged}, {} samples, {}", contents.blocks.len(), contents.samples, words::size(bytes))
}

fn of_target(error: &TargetError) -> Failure {
    Failure::of(error, error.hint(), error.is_transient())
}

fn of_snapshot(error: &SnapshotError) -> Failure {
    Failure::of(error, error.hint(), error.is_transient())
}
