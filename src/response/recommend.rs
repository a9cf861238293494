//! What the runbook says to do about an alert as such, beside what its findings call for.

use super::{Context, Severity};
use crate::config::response::{Response, shipped};

/// For what is not good.
pub(super) fn for_alert(
    response: &Response,
    context: &Context,
    severity: Severity,
) -> Vec<(Severity, String)> {
    let mut all: Vec<String> = Vec::new();
    if severity > Severity::Good {
        all.extend(allowed(response));
        let application = context.application.as_ref().map(|application| &application.name);
        let restart = application.map(|name| format!("`watchkeeper recover application/{name}`"));
        all.extend(of_runbook(shipped::canonical(&response.alert), severity, restart));
    }
    all.into_iter().map(|text| (severity, text)).collect()
}

fn allowed(response: &Response) -> Option<String> {
    let commands: Vec<String> =
        response.allow.iter().map(|job| format!("`watchkeeper run-now {job}`")).collect();
    (!commands.is_empty()).then(|| format!("run what this response allows: {}", commands.join(", ")))
}

fn of_runbook(alert: Option<&str>, severity: Severity, restart: Option<String>) -> Vec<String> {
    let restart = restart.unwrap_or_else(|| "restart the application".to_owned());
    let texts: &[&str] = match alert {
        Some("ServiceDown") if severity == Severity::Bad => {
            return vec![
                format!(
                    "where nothing above helps: {restart}, and `watchkeeper diagnose ServiceDown` again after 30 s"
                ),
                "not solved after 15 minutes: escalate to the engineer on call".to_owned(),
            ];
        }
        Some("ServiceDown") => &["look again in a minute: it may be on its way up or down"],
        Some("HighSessionFailureRate") => &[
            "mend the most frequent error first: validation, database, vector store or timeouts; then look again",
        ],
        Some("TooManyActiveSessions") => {
            &["find out why sessions are not ended: a missing end_work_session, or the errors above"]
        }
        Some("SlowReflectionGeneration") => {
            return vec![
                format!("load the model anew: {restart}"),
                "rebuild the vector index (after a backup), take a faster model, or cache".to_owned(),
            ];
        }
        Some("HighCpu") => &["profile the process that takes most; cache, or run more than one"],
        Some("HighMemory") => {
            return vec![format!(
                "{restart} gives the memory back; then look for what leaks, or make its caches smaller"
            )];
        }
        _ => &[],
    };
    texts.iter().map(|text| (*text).to_owned()).collect()
}
