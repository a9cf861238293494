//! The change of a dashboard as a run: with locks, a record, and an outcome.

use std::sync::Arc;

use super::App;
use crate::config::GrafanaTarget;
use crate::config::values::JobName;
use crate::grafana::change::{Cut, DashboardChanged, DashboardError, DashboardPlan, DashboardSite, Settled};
use crate::history::{Cause, RunReport};
use crate::jobs::{JobOutput, RunContext};
use crate::progress::Sink;
use crate::runner::{Failure, Lock, Task};

/// The kind of a change's run.
const CHANGE_KIND: &str = "grafana-change";

/// What to do with a dashboard.
#[derive(Clone)]
pub enum DashboardAction {
    /// Change it as planned.
    Apply(Arc<DashboardPlan>),
    /// Settle the change that was cut.
    Settle,
}

impl App {
    /// Asks a Grafana which one it is.
    pub async fn open_dashboards(&self, target: &GrafanaTarget) -> Result<DashboardSite, Failure> {
        let client = self.shared.grafana_client(target, 1)?;
        let opened = DashboardSite::open(client, target.name.as_str(), &self.config().state_dir).await;
        opened.map_err(|error| failure(&error))
    }

    /// Does it, as a run of its own, and returns its record.
    pub async fn run_dashboard(
        &self,
        target: &GrafanaTarget,
        site: Arc<DashboardSite>,
        action: DashboardAction,
        sink: Arc<dyn Sink>,
    ) -> RunReport {
        let job: JobName =
            format!("change-grafana-{}", target.name).parse().unwrap_or_else(|_| target.name.clone());
        let locks = vec![Lock::Job(job.clone()), Lock::Target { kind: "grafana", name: target.name.clone() }];
        let task = Task { veil: self.shared.veil(), ..Task::once(&job, CHANGE_KIND, locks) };
        let work = move |context: RunContext| {
            let (site, action) = (Arc::clone(&site), action.clone());
            async move { perform(&site, action, &context).await.map_err(|error| failure(&error)) }
        };
        self.runner.run(&task, Cause::Manual, sink, work).await
    }
}

async fn perform(
    site: &DashboardSite,
    action: DashboardAction,
    context: &RunContext,
) -> Result<JobOutput, DashboardError> {
    match action {
        DashboardAction::Apply(plan) => {
            site.apply(&plan, context).await.map(|changed| output(&plan, &changed))
        }
        DashboardAction::Settle => {
            let settled = site.settle(context).await?;
            if let Some(Settled::Left(cut)) = &settled {
                context.progress.warn(left(cut));
            }
            Ok(settled.map_or_else(JobOutput::default, |settled| settled_output(&settled)))
        }
    }
}

fn left(cut: &Cut) -> String {
    let kept = cut.backup.as_ref().map(|kept| {
        format!("; what was there before the change is kept as {0}, and `watchkeeper change dashboard {0}` brings it back", kept.display())
    });
    let kept = kept.unwrap_or_default();
    format!(
        "the dashboard is neither the old nor the new one, and is left as it is: somebody has changed it since{kept}"
    )
}

fn settled_output(settled: &Settled) -> JobOutput {
    let (cut, became) = match settled {
        Settled::AsBefore(cut) => (cut, "the dashboard is as it was before"),
        Settled::Done(cut) => (cut, "it was done: what is there is what was to be written"),
        Settled::Left(cut) => (cut, "somebody has changed the dashboard since"),
    };
    let kept = cut.backup.as_ref().filter(|_| !matches!(settled, Settled::AsBefore(_)));
    JobOutput {
        summary: format!("a change that was cut, {}: {became}", cut.what),
        facts: kept.map(|kept| format!("the old one is kept as {}", kept.display())).into_iter().collect(),
        ..JobOutput::default()
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
