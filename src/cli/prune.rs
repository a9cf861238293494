//! `prune`: deletes what no rule keeps, or tells what that would be.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::session::Session;
use super::store::{broken_json, told};
use crate::store::{Broken, Left, Listing, Store, StoredName, Unclaimed};
use crate::upkeep::{self, Plan, Pruned};
use crate::{app, identity, words};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Only this job's backups
    job: Option<String>,
    /// Only tell what would be deleted, and why the rest stays
    #[arg(long)]
    dry_run: bool,
}

/// What became, or would become, of a job's backups.
struct Told {
    job: String,
    plan: Plan,
    /// Nothing where nothing was done.
    swept: Option<Vec<StoredName>>,
    /// What should have gone and is still there.
    left: Vec<Left>,
    /// Bytes that are, or would be, free again.
    freed: u64,
    /// Files that no backup names.
    unclaimed: Unclaimed,
    /// What cannot be used, and stays.
    broken: Vec<Broken>,
}

#[derive(Serialize)]
struct Document<'a> {
    job: &'a str,
    plan: &'a Plan,
    deleted: Vec<crate::store::BackupId>,
    freed_bytes: u64,
    /// Files that no backup had named for days, and that went too.
    swept: &'a [StoredName],
    /// What should have gone and could not be removed.
    left: &'a [Left],
    /// Files that no backup names and that stay for now.
    unclaimed: &'a [StoredName],
    /// What cannot be used. No rule counts it, and it stays.
    broken: Vec<serde_json::Value>,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    let jobs = match &args.job {
        Some(name) => vec![session.job(name)?],
        None => session.config.jobs.iter().collect(),
    };
    identity::check(&session.config)?;
    let store = if args.dry_run { session.store()? } else { Store::open(&session.config.backup_dir)? };
    let mut all = Vec::new();
    for job in jobs {
        let job_store = store.job(&job.name);
        let Some(policy) = app::policy(job, session.zone()) else { continue };
        let name = job.name.to_string();
        if args.dry_run {
            let listing = job_store.list()?;
            all.push(Told::planned(name, Plan::of(&listing, &policy, session.now), listing));
        } else if job_store.folder().is_dir() {
            let (plan, pruned) = upkeep::prune(&job_store, &policy, session.now)?;
            all.push(Told::done(name, plan, pruned, job_store.list()?));
        }
    }
    let documents: Vec<_> = all.iter().map(Told::document).collect();
    session.out.result(&json!({ "dry_run": args.dry_run, "jobs": documents }), || {
        all.iter().map(Told::text).collect()
    });
    let left = all.iter().any(|told| !told.left.is_empty());
    let needs_a_look = all.iter().any(|told| told.plan.hold.is_some() || !told.broken.is_empty());
    Ok(match (left, needs_a_look) {
        (true, _) => ExitCode::Failed,
        (false, true) => ExitCode::Warned,
        (false, false) => ExitCode::Ok,
    })
}

impl Told {
    fn planned(job: String, plan: Plan, listing: Listing) -> Self {
        let freed = listing.freed_by(&plan.deletions());
        let Listing { unclaimed, broken, .. } = listing;
        Self { job, plan, swept: None, left: Vec::new(), freed, unclaimed, broken }
    }

    fn done(job: String, plan: Plan, pruned: Pruned, listing: Listing) -> Self {
        let freed = pruned.bytes();
        let Listing { unclaimed, broken, .. } = listing;
        Self { job, plan, swept: Some(pruned.swept), left: pruned.left, freed, unclaimed, broken }
    }

    fn document(&self) -> Document<'_> {
        Document {
            job: &self.job,
            plan: &self.plan,
            deleted: self.plan.deletions(),
            freed_bytes: self.freed,
            swept: self.swept.as_deref().unwrap_or_default(),
            left: &self.left,
            unclaimed: &self.unclaimed.files,
            broken: self.broken.iter().map(broken_json).collect(),
        }
    }

    fn text(&self) -> String {
        let Self { job, plan, .. } = self;
        let deletions = plan.deletions();
        let rows = plan.decisions.iter().map(|decision| {
            let reasons: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
            let verdict = if deletions.contains(&decision.id) { "delete" } else { "keep" };
            vec![format!("{job}/{}", decision.id), verdict.to_owned(), reasons.join(", ")]
        });
        let mut text = match (plan.decisions.is_empty(), self.broken.is_empty()) {
            (false, _) => table(&["backup", "verdict", "because"], rows),
            (true, true) => format!("{job}: no backups\n"),
            (true, false) => format!("{job}: no backup can be used\n"),
        };
        for broken in &self.broken {
            let _ = writeln!(text, "broken: {}; no rule counts it, and it stays", told(broken));
        }
        if let Some(hold) = &plan.hold {
            let _ = writeln!(
                text,
                "Nothing is deleted: the newest backup {hold}. `watchkeeper accept {job}/latest` says that this is right."
            );
        }
        let (number, freed) = (deletions.len(), words::size(self.freed));
        let _ = match &self.swept {
            Some(swept) if swept.is_empty() => writeln!(text, "{number} deleted, {freed} free again."),
            Some(swept) => {
                let files = words::count(swept.len(), "file");
                writeln!(
                    text,
                    "{number} deleted, and {files} that no backup has named for days; {freed} free again."
                )
            }
            None => writeln!(text, "{number} would be deleted, {freed} would be free again."),
        };
        for left in &self.left {
            let _ = writeln!(text, "{left}");
        }
        text + &unclaimed(&self.unclaimed)
    }
}

/// A line about the files that no backup names; nothing where there are none.
pub(super) fn unclaimed(unclaimed: &Unclaimed) -> String {
    if unclaimed.files.is_empty() {
        return String::new();
    }
    let (files, size) = (words::count(unclaimed.files.len(), "stored block"), words::size(unclaimed.bytes()));
    let fate = if unclaimed.in_doubt {
        "they stay as long as it is not known what some backup names: see `watchkeeper verify`"
    } else {
        "the next backup uses those that it needs; the others go 7 days after they were stored"
    };
    format!("No backup names {files}, {size}: {fate}.\n")
}
