//! What a run would do, looked up without doing it: `run-now --dry-run`.

use std::fmt::Write as _;

use serde::Serialize;

use super::cleanup_job::{self, BlockPlan};
use super::{App, command_job, deployment_job, grafana_job, policy, sqlite_job, stale_job};
use crate::config::{JobConfig, JobKind};
use crate::prometheus::preflight::{Finding, Severity};
use crate::upkeep::Plan;
use crate::words;

/// What a run would do.
#[derive(Debug, Default, Serialize)]
pub struct Preview {
    /// Whether it could.
    pub findings: Vec<Finding>,
    /// Where the backup would go, where the job makes one.
    pub folder: Option<std::path::PathBuf>,
    /// What retention decides now, before there is a new backup.
    pub retention: Option<Plan>,
    /// Which blocks a cleanup would delete, and why the others stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<BlockPlan>,
}

impl App {
    /// Looks up what a run of this job would do.
    pub async fn preview(&self, job: &JobConfig) -> Preview {
        let mut preview = match self.store_problem(job) {
            Some(problem) => Preview { findings: vec![problem], ..Preview::default() },
            None => self.look_ahead(job).await,
        };
        let veil = self.shared.veil();
        let hooks = job.hooks.all().map(|(moment, hook)| {
            let timeout = words::duration(hook.timeout);
            Finding::ok(format!(
                "would run the hook {moment}, {timeout} at the most: {}",
                hook.program.shown(&veil)
            ))
        });
        preview.findings.extend(hooks);
        // Hooks and programs may have secrets among their arguments.
        for finding in &mut preview.findings {
            finding.text = veil.over(&finding.text);
        }
        for hint in preview.findings.iter_mut().filter_map(|finding| finding.hint.as_mut()) {
            *hint = words::for_job(hint, job.name.as_str());
        }
        preview
    }

    async fn look_ahead(&self, job: &JobConfig) -> Preview {
        let store = self.shared.store.job(&job.name);
        let mut findings = match &job.kind {
            JobKind::PrometheusSnapshot(config) => {
                match self.shared.config.prometheus.get(&config.prometheus) {
                    Some(target) => self.check_prometheus(target).await,
                    None => Vec::new(),
                }
            }
            JobKind::GrafanaExport(config) => grafana_job::preview(&self.shared, config).await,
            JobKind::FilesBackup(_) => Vec::new(),
            JobKind::VerifyDeployment(config) => deployment_job::preview(config),
            JobKind::Command(config) => command_job::preview(&self.shared, config),
            JobKind::SqliteBackup(config) => sqlite_job::preview(&self.shared, &job.name, config).await,
            JobKind::CloseStaleSessions(config) => {
                stale_job::preview(&self.shared, &job.name, config, (self.runner.clock)()).await
            }
            JobKind::BlockCleanup(config) => {
                let (findings, blocks) =
                    cleanup_job::preview(&self.shared, job, config, (self.runner.clock)()).await;
                return Preview { findings, folder: None, retention: None, blocks };
            }
        };
        let Some(policy) = policy(job, &self.shared.config.timezone) else {
            return Preview { findings, folder: None, retention: None, blocks: None };
        };
        let retention = match store.list() {
            Ok(listing) => Some(Plan::of(&listing, &policy, (self.runner.clock)())),
            Err(error) => {
                findings.push(Finding::problem(words::chain(&error), error.hint()));
                None
            }
        };
        Preview { findings, folder: Some(store.folder().to_path_buf()), retention, blocks: None }
    }
}

impl Preview {
    /// The run would fail.
    pub fn has_problem(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Problem)
    }

    /// As a person reads it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&finding.text_lines());
        }
        if let Some(blocks) = &self.blocks {
            text.push_str(&blocks.text());
        }
        if let Some(folder) = &self.folder {
            let _ = writeln!(text, "  would make a backup in {}", folder.display());
        }
        let deletions = self.retention.as_ref().map(Plan::deletions).unwrap_or_default();
        for id in deletions {
            let _ = writeln!(text, "  would delete the backup {id}: no rule keeps it");
        }
        text
    }
}
