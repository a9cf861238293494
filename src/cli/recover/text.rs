//! What a recovery will do, as a person reads it.

use std::fmt::Write as _;
use std::time::Duration;

use crate::app::{PlannedPart, RecoveryPlan};
use crate::config::values::JobName;
use crate::words;

/// The parts in a few words.
pub(super) fn parts(plan: &RecoveryPlan) -> String {
    match plan.parts.as_slice() {
        [one] => one.name.clone(),
        all => format!("these {} parts", all.len()),
    }
}

pub(super) fn plan(plan: &RecoveryPlan) -> String {
    let mut out = match &plan.project {
        Some(project) => format!("Recover {}, with all of its compose project {project}\n", plan.target),
        None => format!("Recover {}\n", plan.target),
    };
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<9} {value}");
    };
    field("backs up", &jobs(&plan.backups, "nothing"));
    for part in plan.parts.iter().rev() {
        field("stops", &format!("{} ({}), which {}", part.name, part.runs_as, part.state));
    }
    for part in &plan.parts {
        field("starts", &format!("{}{}", part.name, after(part)));
    }
    let limit = words::duration(Duration::from_secs(plan.limit_seconds));
    for part in &plan.parts {
        field("waits", &format!("{limit} at most for {}: {}", part.name, asks(part)));
    }
    field("looks", &jobs(&plan.checks, "as the runbook does: no verify-deployment is about it"));
    for warning in &plan.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    for refusal in &plan.refusals {
        let _ = writeln!(out, "cannot be done: {refusal}");
    }
    out
}

fn jobs(names: &[JobName], none: &str) -> String {
    if names.is_empty() {
        return none.to_owned();
    }
    let names: Vec<&str> = names.iter().map(JobName::as_str).collect();
    format!("by {}", names.join(", "))
}

fn after(part: &PlannedPart) -> String {
    let of = |after: &crate::app::PlannedAfter| format!("{} is {}", after.part, after.until);
    let all: Vec<String> = part.after.iter().map(of).collect();
    if all.is_empty() { String::new() } else { format!(" once {}", all.join(" and ")) }
}

fn asks(part: &PlannedPart) -> String {
    if part.asks.is_empty() {
        "its health check, or that it goes on running".to_owned()
    } else {
        part.asks.join(", ")
    }
}
