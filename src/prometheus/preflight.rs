//! What would keep a backup of a Prometheus from working, found before it is needed: `check --online`.
//!
//! Each finding says what to change. Nothing is changed here, and no snapshot is taken.

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::client::{Metrics, PrometheusClient};
use super::folder::DataFolder;
use super::folder_op::{FolderOp, FolderReply, FolderState};
use crate::words::{count, size};

/// The head's chunk segment is allocated in full, however little goes into it.
const HEAD_SEGMENT: u64 = 512 << 20;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// It works, with a restriction.
    Warning,
    /// A backup will not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was found: `its admin API is off`.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(text: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, text: text.into(), hint: None }
    }

    /// It works, with a restriction.
    pub fn warning(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, text: text.into(), hint: Some(hint.into()) }
    }

    /// A backup will not work.
    pub fn problem(text: impl Into<String>, hint: Option<String>) -> Self {
        Self { severity: Severity::Problem, text: text.into(), hint }
    }
}

impl Finding {
    /// As a person reads it: a line, and one for what to do.
    pub fn text_lines(&self) -> String {
        let mark = match self.severity {
            Severity::Ok => "ok     ",
            Severity::Warning => "warning",
            Severity::Problem => "PROBLEM",
        };
        let hint = self.hint.as_ref().map(|hint| format!("           {hint}\n")).unwrap_or_default();
        format!("  {mark}  {}\n{hint}", self.text)
    }
}

/// Looks at the server through its API.
pub async fn server(client: &PrometheusClient) -> Vec<Finding> {
    let mut findings = Vec::new();
    match client.build_info().await {
        Ok(build) => findings.push(Finding::ok(format!("Prometheus {} answers", build.version))),
        Err(error) => return vec![Finding::problem(crate::words::chain(&error), error.hint())],
    }
    match client.flags().await {
        Ok(flags) if flags.get("web.enable-admin-api").is_some_and(|on| on == "false") => {
            findings.push(Finding::problem(
                "its admin API is off, so that it takes no snapshot",
                Some("start Prometheus with --web.enable-admin-api".into()),
            ));
        }
        Ok(_) => findings.push(Finding::ok("its admin API is on")),
        Err(error) => findings.push(Finding::problem(crate::words::chain(&error), error.hint())),
    }
    match client.metrics().await {
        Ok(metrics) => findings.extend(out_of_order(&metrics)),
        Err(error) => findings.push(Finding::warning(
            format!("its metrics cannot be read: {}", crate::words::chain(&error)),
            "a restore proves less without them",
        )),
    }
    findings
}

/// Looks into the data folder.
pub async fn folder(folder: &DataFolder, skip_head: bool) -> Vec<Finding> {
    match folder.run(&FolderOp::Inspect, &CancellationToken::new()).await {
        Ok(FolderReply::Folder(state)) => {
            let mut findings = vec![Finding::ok(format!(
                "its data folder is {} with {}",
                folder.product_path(),
                count(state.blocks.len(), "block")
            ))];
            findings.extend(judge(&state, skip_head));
            findings
        }
        Ok(FolderReply::Failed(failure)) => vec![Finding::problem(failure.reason, failure.hint)],
        Ok(other) => {
            vec![Finding::problem(format!("the helper in the data folder answered {other:?}"), None)]
        }
        Err(error) => vec![Finding::problem(crate::words::chain(&error), error.hint())],
    }
}

fn out_of_order(metrics: &Metrics) -> Option<Finding> {
    let samples = metrics.sum("prometheus_tsdb_head_out_of_order_samples_appended_total")?;
    (samples > 0.0).then(|| {
        Finding::warning(
            format!("it took {samples} out-of-order samples since it started"),
            "those that are still in its head are in no snapshot, and so in no backup until they are in a block",
        )
    })
}

/// What a data folder's state means for a backup.
fn judge(state: &FolderState, skip_head: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if state.free_bytes < HEAD_SEGMENT && !skip_head {
        findings.push(Finding::problem(
            format!("only {} are free on its data volume", size(state.free_bytes)),
            Some(
                "free at least 512 MiB: a snapshot of the head needs them, however small the head is; skip_head = \
                 true does without, and leaves the last hours out"
                    .into(),
            ),
        ));
    } else {
        findings.push(Finding::ok(format!("{} are free on its data volume", size(state.free_bytes))));
    }
    let foreign = names(state, |block| block.foreign_owner);
    if !foreign.is_empty() {
        let (uid, gid) = (state.owner.uid, state.owner.gid);
        findings.push(Finding::problem(
            format!("blocks belong to another user than its data folder does: {}", foreign.join(", ")),
            Some(format!(
                "chown -R {uid}:{gid} them: Prometheus can neither link nor delete what is not its own"
            )),
        ));
    }
    let skipped = names(state, |block| block.meta.is_none());
    if !skipped.is_empty() {
        findings.push(Finding::warning(
            format!("blocks without a meta.json that can be read: {}", skipped.join(", ")),
            "Prometheus skips them without an error: their data are in no query and in no backup",
        ));
    }
    if !state.snapshots.is_empty() {
        findings.push(Finding::warning(
            format!(
                "{} in its data folder: {}",
                count(state.snapshots.len(), "snapshot"),
                state.snapshots.join(", ")
            ),
            "Prometheus never removes one, and each pins disk space; remove those that nobody needs",
        ));
    }
    if let Some(closed) = &state.closed {
        findings.push(Finding::problem(
            format!("snapshots, blocks and restores could not be removed again: {closed}"),
            closed.hint.clone(),
        ));
    }
    if let Some(restore) = state.unfinished() {
        findings.push(Finding::problem(
            format!("a restore of {} is not finished", restore.note.source),
            Some("finish it with `watchkeeper restore JOB --resume`, or take it back with `--undo`".into()),
        ));
    }
    findings
}

fn names(state: &FolderState, of: impl Fn(&super::folder_op::FolderBlock) -> bool) -> Vec<String> {
    state.blocks.iter().filter(|block| of(block)).map(|block| block.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::folder_op::FolderBlock;
    use crate::store::Owner;

    fn state() -> FolderState {
        FolderState {
            owner: Owner { uid: 65534, gid: 65534, mode: 0o755 },
            free_bytes: HEAD_SEGMENT,
            blocks: Vec::new(),
            head_bytes: 0,
            snapshots: Vec::new(),
            restores: Vec::new(),
            past: Vec::new(),
            past_problem: None,
            creating: Vec::new(),
            deleting: Vec::new(),
            locked: false,
            closed: None,
        }
    }

    fn worst(state: &FolderState) -> Severity {
        judge(state, false).iter().map(|finding| finding.severity).max().unwrap()
    }

    #[test]
    fn a_sound_folder_has_nothing_to_complain_about() {
        assert_eq!(worst(&state()), Severity::Ok);
    }

    #[test]
    fn less_than_the_heads_segment_is_a_problem_unless_the_head_is_left_out() {
        let short = FolderState { free_bytes: HEAD_SEGMENT - 1, ..state() };
        assert_eq!(worst(&short), Severity::Problem);
        assert!(judge(&short, true).iter().all(|finding| finding.severity == Severity::Ok));
    }

    #[test]
    fn blocks_of_another_owner_are_named_with_the_owner_they_need() {
        let block = FolderBlock { name: "01B".into(), meta: None, bytes: 1, foreign_owner: true };
        let findings = judge(&FolderState { blocks: vec![block], ..state() }, false);
        let problem = findings.iter().find(|finding| finding.severity == Severity::Problem).unwrap();
        assert!(problem.text.ends_with("01B"), "{problem:?}");
        assert!(problem.hint.as_ref().unwrap().contains("chown -R 65534:65534"), "{problem:?}");
    }

    #[test]
    fn snapshots_on_the_server_are_a_warning() {
        assert_eq!(worst(&FolderState { snapshots: vec!["a".into()], ..state() }), Severity::Warning);
    }
}
