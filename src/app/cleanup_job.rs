//! The job `block-cleanup`: which backups count, the cleanup, and what it says.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::iter::successors;
use std::sync::atomic::AtomicBool;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Hints, Shared, TargetError};
use crate::blocking::blocking;
use crate::config::values::PrometheusTarget;
use crate::config::{CleanupConfig, JobConfig, RequireBackup};
use crate::jobs::{JobOutput, RunContext};
use crate::prometheus::cleanup::{
    self, Cleaned, Cleanup, CleanupError, CleanupPolicy, Copies, Decision, Holder, must_be_open,
    must_be_quiet,
};
use crate::prometheus::folder_op::FolderState;
use crate::prometheus::preflight::Finding;
use crate::prometheus::restore::{Limits, Retention, Site};
use crate::prometheus::snapshot::{Options, Snapshotter};
use crate::runner::Failure;
use crate::service::Service;
use crate::words;

/// So many coming backups are played through to tell until when one is kept.
const SLOTS: usize = 2000;

/// What a cleanup would do with every block.
#[derive(Debug, Serialize)]
pub struct BlockPlan {
    /// All samples of what goes are older than this.
    pub cutoff: Option<Timestamp>,
    /// Every block, oldest first.
    pub decisions: Vec<Decision>,
    #[serde(skip)]
    zone: TimeZone,
}

/// A Prometheus that is to be cleaned up.
struct Opened {
    site: Site,
    retention: String,
}

pub(super) async fn run(
    shared: &Shared,
    job: &JobConfig,
    config: &CleanupConfig,
    begun: &AtomicBool,
    context: RunContext,
) -> Result<JobOutput, Failure> {
    let target = target(shared, config)?;
    let opening = context.cancel.run_until_cancelled(open(shared, job, target));
    let opened = match opening.await {
        Some(opened) => opened?,
        None => return Err(failure(&CleanupError::Cancelled)),
    };
    // It is only asked for a snapshot, which is not stored: the store is not touched.
    let store = shared.store.job(&job.name);
    let options = Options {
        skip_head: true,
        compression: crate::config::values::Compression::default(),
        layout: crate::config::values::DEFAULT_LAYOUT,
        idle_limit: opened.site.limits.ready,
    };
    let site = &opened.site;
    let snapshotter = Snapshotter {
        target,
        client: &site.client,
        folder: &site.folder,
        store: &store,
        image: None,
        options,
    };
    let cleanup = Cleanup { site, snapshotter, policy: policy(config), restart: config.restart, begun };
    let cleaned = cleanup.run(holders(shared, config, context.now), &context).await;
    let cleaned = cleaned.map_err(|error| failure(&error))?;
    let failures = cleaned.failures.join("; ");
    let output = output(config, cleaned, &shared.config.timezone);
    if failures.is_empty() {
        return Ok(output);
    }
    let hint = "what was deleted is in the backups that are named above: `watchkeeper restore BACKUP` brings all of \
                one back, `--into DIR` unpacks it";
    Err(Failure {
        hint: Some(hint.to_owned()),
        output: Some(Box::new(output)),
        ..Failure::new(format!("After blocks were deleted, Prometheus is not as it should be: {failures}"))
    })
}

fn target<'a>(shared: &'a Shared, config: &CleanupConfig) -> Result<&'a PrometheusTarget, Failure> {
    let target = shared.config.prometheus.get(&config.prometheus);
    target.ok_or_else(|| Failure::new(format!("There is no [prometheus.{}]", config.prometheus)))
}

/// Asks the server, which must answer, and finds its data folder and its service.
async fn open(shared: &Shared, job: &JobConfig, target: &PrometheusTarget) -> Result<Opened, Failure> {
    let found = async {
        let client = shared.client(target)?;
        let retention = match client.runtime_info().await {
            Ok(runtime) => runtime.storage_retention,
            Err(error) => return Err(shared.unanswered(target, error).await),
        };
        let hints = Hints { access: shared.access(&target.name), ..Hints::default() };
        let folder = shared.folder(target, &client, hints).await?;
        let docker = match folder.container() {
            Some(_) => Some(shared.docker().await?),
            None => None,
        };
        Ok((client, retention, folder, docker))
    };
    let (client, retention, folder, docker) =
        found.await.map_err(|error: TargetError| Failure::of(&error, error.hint(), error.is_transient()))?;
    let service = Service::of(target, docker).map_err(|error| Failure::of(&error, error.hint(), false))?;
    let (name, command) = (target.name.to_string(), format!("watchkeeper restore {}", job.name));
    let site = Site { target: name, folder, service, client, limits: Limits::default(), command };
    Ok(Opened { site, retention })
}

fn policy(config: &CleanupConfig) -> CleanupPolicy {
    CleanupPolicy {
        older_than: config.older_than,
        require_backup: config.require_backup != RequireBackup::No,
        max_permille: config.max_permille,
    }
}

/// The jobs whose backups count.
fn holders(shared: &Shared, config: &CleanupConfig, now: Timestamp) -> Vec<Holder> {
    let zone = &shared.config.timezone;
    let of_job = |job: &JobConfig| {
        let snapshot = job.kind.snapshot().filter(|snapshot| snapshot.prometheus == config.prometheus)?;
        if matches!(&config.require_backup, RequireBackup::Job(name) if *name != job.name) {
            return None;
        }
        let schedule = job.schedule.as_ref().filter(|_| job.enabled);
        let slots = schedule.map(|schedule| {
            successors(schedule.next_after(now), |slot| schedule.next_after(*slot)).take(SLOTS).collect()
        });
        Some(Holder {
            store: shared.store.job(&job.name),
            keep: snapshot.keep.clone(),
            zone: zone.clone(),
            slots: slots.unwrap_or_default(),
        })
    };
    shared.config.jobs.iter().filter_map(of_job).collect()
}

fn failure(error: &CleanupError) -> Failure {
    Failure::of(error, error.hint(), error.is_transient())
}

/// What a run would do, without reading what is stored.
pub(super) async fn preview(
    shared: &Shared,
    job: &JobConfig,
    config: &CleanupConfig,
    now: Timestamp,
) -> (Vec<Finding>, Option<BlockPlan>) {
    let opening = async { open(shared, job, target(shared, config)?).await };
    let opened = match opening.await {
        Ok(opened) => opened,
        Err(failure) => return (vec![Finding::problem(failure.reason, failure.hint)], None),
    };
    let mut findings =
        vec![Finding::ok(format!("Prometheus answers, its data folder is {}", opened.site.folder))];
    findings.extend(pointless(config, &opened.retention));
    if config.restart && !opened.site.is_controllable() {
        let error = CleanupError::NoRestart { target: opened.site.target.clone() };
        findings.push(Finding::problem(error.to_string(), error.hint()));
    }
    match look(shared, config, &opened.site, now).await {
        Ok((folder, blocks)) => {
            if let Err(error) = must_be_quiet(&opened.site.client, &folder).await {
                findings.push(Finding::problem(words::chain(&error), error.hint()));
            }
            if let Err(error) = must_be_open(&folder) {
                findings.push(Finding::problem(words::chain(&error), error.hint()));
            }
            (findings, Some(blocks))
        }
        Err(error) => {
            findings.push(Finding::problem(words::chain(&error), error.hint()));
            (findings, None)
        }
    }
}

async fn look(
    shared: &Shared,
    config: &CleanupConfig,
    site: &Site,
    now: Timestamp,
) -> Result<(FolderState, BlockPlan), CleanupError> {
    let folder = site.inspect(&CancellationToken::new()).await?;
    let (holders, policy) = (holders(shared, config, now), policy(config));
    let zone = shared.config.timezone.clone();
    blocking(move || {
        let mut decisions = Copies::look_up(holders, &folder)?.preview(&folder, &policy, now);
        decisions.sort_by_key(|decision| decision.covered.map(|covered| covered.min_time));
        let cutoff = cleanup::cutoff(&folder, now, policy.older_than);
        Ok((folder, BlockPlan { cutoff, decisions, zone }))
    })
    .await
}

/// Prometheus deletes by itself what this job would delete.
pub(super) fn pointless(config: &CleanupConfig, retention: &str) -> Option<Finding> {
    // An old server does not tell.
    let told = Some(retention.trim()).filter(|text| !text.is_empty())?;
    let kept = Retention::parse(told)?.time_ms?;
    let limit = SignedDuration::try_from(config.older_than).unwrap_or(SignedDuration::MAX);
    (SignedDuration::from_millis(kept) <= limit).then(|| {
        Finding::warning(
            format!("Prometheus itself deletes what is older than {retention}: this job will find nothing"),
            "raise --storage.tsdb.retention.time, or remove the job",
        )
    })
}

fn output(config: &CleanupConfig, cleaned: Cleaned, zone: &TimeZone) -> JobOutput {
    let mut facts = vec![limit(cleaned.cutoff, zone)];
    facts.extend(
        cleaned
            .decisions
            .iter()
            .filter(|decision| decision.goes())
            .map(|decision| format!("deleted {}: {}", shown(decision, zone), held(decision))),
    );
    facts.extend(stayed(&cleaned.decisions));
    facts.extend(freed(&cleaned));
    let mut next = Vec::new();
    if !cleaned.removed.is_empty() && !cleaned.restarted && cleaned.mapped != Some(0) {
        next.push(format!(
            "restart Prometheus to free the space; restart = true in the job does it ([prometheus.{}])",
            config.prometheus
        ));
    }
    let ending = cleaned.decisions.iter().filter(|decision| decision.goes());
    let ending = ending.filter(|decision| decision.kept.as_ref().is_some_and(|kept| kept.until.is_some()));
    let ending: BTreeSet<&String> = ending.filter_map(|decision| decision.backup.as_ref()).collect();
    next.extend(
        ending.iter().map(|backup| format!("`watchkeeper pin {backup}` keeps what it holds for good")),
    );
    let summary = match cleaned.removed.len() {
        0 => {
            let all = cleaned.decisions.len();
            format!("nothing to delete: {} {}", words::count(all, "block"), stay(all))
        }
        gone => {
            let left = cleaned.decisions.iter().filter(|decision| !decision.goes()).count();
            let (gone, bytes) = (words::count(gone, "block"), words::size(cleaned.bytes()));
            format!("{gone} deleted, {bytes}; {left} {}", stay(left))
        }
    };
    JobOutput {
        summary,
        facts,
        next,
        verified: cleaned.verified,
        unverified: cleaned.unverified,
        ..JobOutput::default()
    }
}

fn limit(cutoff: Option<Timestamp>, zone: &TimeZone) -> String {
    match cutoff {
        Some(cutoff) => {
            format!("may go: blocks all of whose samples are older than {}", words::time(cutoff, zone))
        }
        None => "there is no block".to_owned(),
    }
}

/// A block.
fn shown(decision: &Decision, zone: &TimeZone) -> String {
    let covered = decision.covered.map(|covered| format!(", {}", covered.text(zone))).unwrap_or_default();
    format!("{} ({}{covered})", decision.block, words::size(decision.bytes))
}

/// Where it can still be had.
fn held(decision: &Decision) -> String {
    match (&decision.backup, &decision.kept) {
        (Some(backup), Some(kept)) => format!("in {backup}, {}", kept.words),
        (Some(backup), None) => format!("in {backup}, which may be deleted at any time"),
        (None, _) => "in no backup".to_owned(),
    }
}

/// Why the others stay, each reason once.
fn stayed(decisions: &[Decision]) -> Vec<String> {
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for decision in decisions.iter().filter(|decision| !decision.goes()) {
        match reasons.iter_mut().find(|(reason, _)| *reason == decision.reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((&decision.reason, 1)),
        }
    }
    reasons
        .into_iter()
        .map(|(reason, count)| format!("{} {}: {reason}", words::count(count, "block"), stay(count)))
        .collect()
}

const fn stay(number: usize) -> &'static str {
    if number == 1 { "stays" } else { "stay" }
}

/// How much of the space is free now.
fn freed(cleaned: &Cleaned) -> Option<String> {
    if cleaned.removed.is_empty() {
        return None;
    }
    let linked = cleaned.linked_bytes();
    let linked = if linked > 0 {
        format!("; {} of it when the snapshots are removed that link them", words::size(linked))
    } else {
        String::new()
    };
    let bytes = cleaned.bytes();
    Some(match cleaned.mapped {
        _ if cleaned.restarted => {
            format!("freed: {}, by the restart of Prometheus{linked}", words::size(bytes))
        }
        Some(mapped) => format!(
            "freed: {} now, {} when Prometheus is restarted: it still maps their files{linked}",
            words::size(bytes.saturating_sub(mapped.max(cleaned.linked_bytes()))),
            words::size(mapped)
        ),
        None => format!(
            "freed: up to {} when Prometheus is restarted: until then it maps the files of what it had loaded{linked}",
            words::size(bytes)
        ),
    })
}

impl BlockPlan {
    /// As a person reads it: two lines for each block.
    pub fn text(&self) -> String {
        let mut text = format!("  {}\n", limit(self.cutoff, &self.zone));
        for decision in &self.decisions {
            let verb = if decision.goes() { "would delete" } else { "would keep  " };
            let _ = writeln!(text, "  {verb} {}: {}", shown(decision, &self.zone), decision.reason);
            let _ = writeln!(text, "               {}", held(decision));
        }
        text
    }
}
