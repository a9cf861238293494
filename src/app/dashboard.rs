//! The change of a dashboard as a run: with locks, a record, and an outcome.

use std::sync::Arc;

use super::App;
use crate::config::GrafanaTarget;
use crate::config::values::JobName;
use crate::grafana::change::{DashboardChanged, DashboardError, DashboardPlan, DashboardSite};
use crate::history::{Cause, RunReport};
use crate::jobs::{JobOutput, RunContext};
use crate::progress::Sink;
use crate::runner::{Failure, Lock, Task};

/// The kind of a change's run.
const CHANGE_KIND: &str = "grafana-change";

impl App {
    /// Asks a Grafana which one it is.
    pub async fn open_dashboards(&self, target: &GrafanaTarget) -> Result<DashboardSite, Failure> {
        let client = self.shared.grafana_client(target, 1)?;
        DashboardSite::open(client, target.name.as_str()).await.map_err(|error| failure(&error))
    }

    /// Does it, as a run of its own, and returns its record.
    pub async fn run_dashboard(
        &self,
        target: &GrafanaTarget,
        site: Arc<DashboardSite>,
        plan: Arc<DashboardPlan>,
        sink: Arc<dyn Sink>,
    ) -> RunReport {
        let job: JobName =
            format!("change-grafana-{}", target.name).parse().unwrap_or_else(|_| target.name.clone());
        let locks = vec![Lock::Job(job.clone()), Lock::Target { kind: "grafana", name: target.name.clone() }];
        let task = Task { veil: self.shared.veil(), ..Task::once(&job, CHANGE_KIND, locks) };
        let work = move |context: RunContext| {
            let (site, plan) = (Arc::clone(&site), Arc::clone(&plan));
            async move {
                let changed = site.apply(&plan, &context).await;
                changed.map(|changed| output(&plan, &changed)).map_err(|error| failure(&error))
            }
        };
        self.runner.run(&task, Cause::Manual, sink, work).await
    }
}

fn output(plan: &DashboardPlan, changed: &DashboardChanged) -> JobOutput {
    let kept = changed.backup.as_ref().map(|path| path.display().to_string());
    let next = match &kept {
        Some(kept) => format!("`watchkeeper change dashboard {kept}` brings back what was there before"),
        None => "there was none before: deleting it in Grafana takes it away again".to_owned(),
    };
    JobOutput {
        summary: plan.what.clone(),
        facts: kept.map(|kept| format!("the old one is kept as {kept}")).into_iter().collect(),
        verified: vec![format!(
            "read back by its UID {}, it is what was written, and it is in the folder {:?}",
            plan.uid, plan.folder
        )],
        next: vec![next],
        ..JobOutput::default()
    }
}

fn failure(error: &DashboardError) -> Failure {
    let (data_not_back, is_refusal) = (error.not_back(), error.is_refusal());
    Failure { is_refusal, data_not_back, ..Failure::of(error, error.hint(), false) }
}
