//! The job `prometheus-snapshot`: take a backup, then keep the store in order.

mod share;

use super::upkept::{Upkept, with_upkeep};
use super::{Hints, Shared, TargetError};
use crate::config::{JobConfig, SnapshotConfig};
use crate::jobs::{JobOutput, RunContext};
use crate::prometheus::folder::DataFolder;
use crate::prometheus::snapshot::{Options, SnapshotError, Snapshotter, Taken};
use crate::runner::Failure;
use crate::words;
use share::Share;

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
    let folder = shared.folder(target, &client, hints).await.map_err(|error| of_target(&error))?.attended();
    let store = shared.store.job(&job.name);
    let options = Options {
        skip_head: config.skip_head,
        compression: config.compression,
        layout: config.layout,
        idle_limit: config.idle_timeout,
    };
    let image = image(shared, &folder).await;
    let snapshotter = Snapshotter { target, client: &client, folder: &folder, store: &store, image, options };
    let made = async { snapshotter.take(&context).await.map_err(|error| of_snapshot(&error)) };
    let made = Box::pin(with_upkeep((shared, job), &context, made)).await;
    if let Err(error) = folder.close().await {
        context.progress.warn(format!(
            "a helper container was left for the next run to remove: {}",
            words::chain(&error)
        ));
    }
    let (taken, upkept) = made?;
    Ok(output(shared, &taken, upkept))
}

/// The image that the server's container was made from, as the container names it.
async fn image(shared: &Shared, folder: &DataFolder) -> Option<String> {
    let container = shared.docker().await.ok()?.container(folder.container()?).await.ok()?;
    Some(container.info().image.clone())
}

fn output(shared: &Shared, taken: &Taken, upkept: Upkept) -> JobOutput {
    let (backup, contents) = (&taken.backup, &taken.contents);
    let share = Share::of(taken);
    let mut verified = share.verified();
    verified.extend(upkept.verified);
    let mut facts = share.facts(taken, &shared.config.timezone);
    facts.extend(upkept.facts);
    JobOutput {
        summary: share.summary(contents),
        backup: Some(backup.id().clone()),
        bytes: Some(backup.size()),
        new_bytes: share.layout_shares.then_some(share.stored_bytes()),
        facts,
        verified,
        unverified: vec![
            "that a Prometheus serves it: each `restore` proves that for its own, and takes itself back if not".to_owned(),
        ],
        ..JobOutput::default()
    }
}

fn of_target(error: &TargetError) -> Failure {
    Failure::of(error, error.hint(), error.is_transient())
}

fn of_snapshot(error: &SnapshotError) -> Failure {
    Failure::of(error, error.hint(), error.is_transient())
}
