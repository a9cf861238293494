//! `backups`, `verify`, `pin`, `unpin`, `accept`: the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bar;
use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::session::Session;
use crate::grafana;
use crate::progress::Progress;
use crate::prometheus::contents::Covered;
use crate::prometheus::deep::DeepCheck;
use crate::retention::Hold;
use crate::store::{Backup, Broken, JobStore, Problem, Store, StoreError, Verifier};
use crate::upkeep;
use crate::words;

/// How long to wait for somebody else who uses a job's backups.
const LOCK_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

#[derive(clap::Args)]
pub(super) struct Which {
    /// JOB/ID, or an ID or `latest` where only one job has it
    backup: String,
}

#[derive(clap::Args)]
pub(super) struct VerifyArgs {
    /// Jobs or backups [default: everything]
    what: Vec<String>,
    /// Also unpack each archive and check every block in it
    #[arg(long)]
    deep: bool,
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the shape of the JSON")]
struct Shown<'a> {
    job: &'a str,
    id: &'a str,
    created: Timestamp,
    size: u64,
    /// Bytes of the files that no other backup has.
    alone: u64,
    content_bytes: u64,
    good: bool,
    damaged: bool,
    /// Paths of what it should hold and does not hold whole.
    lacks: &'a [String],
    pinned: bool,
    accepted: bool,
    /// Why it may lack what was to be in it, where it is far smaller than those before it and nobody has accepted that.
    doubt: Option<Hold>,
    verified: Option<Timestamp>,
    /// What it was made from, where that is not what its job backs up now: no rule counts it then.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_source: Option<String>,
    /// The time its data cover, where its kind tells one.
    covers: Option<Covered>,
}

pub(super) fn backups(session: &Session, job: Option<&str>) -> Result<ExitCode, CliError> {
    let store = session.store()?;
    let mut listings = Vec::new();
    for job in session.job_names(job, &store)? {
        let listing = store.job(&job).list()?;
        listings.push((job, listing));
    }
    let mut shown: Vec<Shown<'_>> = Vec::new();
    for (job, listing) in &listings {
        let (alone, doubts) = (listing.alone(), upkeep::doubts(listing, session.smaller(job)));
        let doubt = |backup: &Backup| doubts.get(backup.id()).cloned();
        let backups = listing.backups.iter();
        shown.extend(backups.map(|backup| Shown {
            other_source: session.other_source(backup),
            ..self::shown(backup, alone[backup.id()], doubt(backup))
        }));
    }
    let broken: Vec<_> = listings.iter().flat_map(|(_, listing)| &listing.broken).collect();
    let broken_json: Vec<_> = broken.iter().map(|broken| broken_json(broken)).collect();
    let warnings: Vec<&String> = listings.iter().flat_map(|(_, listing)| &listing.warnings).collect();
    session.out.result(&json!({ "backups": shown, "broken": broken_json, "warnings": warnings }), || {
        let mut text = if shown.is_empty() && broken.is_empty() {
            "No backups yet.\n".to_owned()
        } else if shown.is_empty() {
            "No backup can be used.\n".to_owned()
        } else {
            let header = ["backup", "created", "size", "of it alone", "covers", "state", "verified"];
            let backups = listings.iter().flat_map(|(_, listing)| &listing.backups);
            table(&header, backups.zip(&shown).map(|(backup, shown)| row(session, backup, shown)))
        };
        for (shown, other) in shown.iter().filter_map(|shown| Some((shown, shown.other_source.as_ref()?))) {
            let _ = writeln!(text, "{}/{}: {other}; no rule counts it", shown.job, shown.id);
        }
        for broken in &broken {
            let _ = writeln!(text, "broken: {}", told(broken));
        }
        for warning in &warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    });
    Ok(if broken.is_empty() && warnings.is_empty() { ExitCode::Ok } else { ExitCode::Warned })
}

/// The same for a program.
pub(super) fn broken_json(broken: &Broken) -> serde_json::Value {
    json!({ "path": broken.path, "problem": broken.problem })
}

/// What is wrong with something in the store, and where.
pub(super) fn told(broken: &Broken) -> String {
    let path = broken.path.display().to_string();
    let problem = &broken.problem;
    if problem.contains(&path) { problem.clone() } else { format!("{path}: {problem}") }
}

fn shown(backup: &Backup, alone: u64, doubt: Option<Hold>) -> Shown<'_> {
    let manifest = &backup.manifest;
    Shown {
        job: manifest.job.as_str(),
        id: manifest.id.as_str(),
        created: manifest.created,
        size: backup.size(),
        alone,
        content_bytes: manifest.content_bytes,
        good: backup.is_good(),
        damaged: manifest.damaged,
        lacks: &manifest.lacks,
        pinned: backup.state.pinned,
        accepted: backup.state.accepted,
        doubt,
        verified: backup.verified(),
        other_source: None,
        covers: backup.contents().ok(),
    }
}

fn row(session: &Session, backup: &Backup, shown: &Shown<'_>) -> Vec<String> {
    let manifest = &backup.manifest;
    let mut state = vec![if backup.is_good() {
        "good".to_owned()
    } else if manifest.damaged {
        "damaged at the source".to_owned()
    } else {
        "BAD".to_owned()
    }];
    if shown.doubt.is_some() {
        state.push("in doubt".to_owned());
    }
    if !manifest.lacks.is_empty() {
        state.push(format!("lacks {}", words::count(manifest.lacks.len(), "path")));
    }
    if backup.state.pinned {
        state.push("pinned".to_owned());
    }
    if shown.other_source.is_some() {
        state.push("of another source".to_owned());
    }
    vec![
        format!("{}/{}", manifest.job, manifest.id),
        session.time(manifest.created),
        words::size(backup.size()),
        words::size(shown.alone),
        shown.covers.as_ref().map(|covers| covers.text(session.zone())).unwrap_or_default(),
        state.join(", "),
        backup.verified().map(|at| session.time(at)).unwrap_or_default(),
    ]
}

/// What `verify` was asked to read.
#[derive(Default)]
struct Asked {
    backups: Vec<(JobStore, Backup)>,
    /// What is no backup any more: that nobody can read it is no reason to say nothing.
    broken: Vec<Broken>,
    /// What is wrong beside the backups, and costs none.
    warnings: BTreeSet<String>,
}

impl Asked {
    /// All of it, each once.
    fn of(session: &Session, store: &Store, what: &[String]) -> Result<Self, CliError> {
        let mut asked = Self::default();
        if what.is_empty() {
            asked.add(session, store, None)?;
        }
        for what in what {
            asked.add(session, store, Some(what))?;
        }
        let mut seen = BTreeSet::new();
        asked.backups.retain(|(job, backup)| seen.insert((job.job().clone(), backup.id().clone())));
        let mut seen = BTreeSet::new();
        asked.broken.retain(|broken| seen.insert(broken.path.clone()));
        Ok(asked)
    }

    /// What one word means.
    fn add(&mut self, session: &Session, store: &Store, what: Option<&str>) -> Result<(), CliError> {
        let is_backup = |what: &&str| {
            what.contains('/') || *what == "latest" || what.parse::<crate::store::BackupId>().is_ok()
        };
        if let Some(what) = what.filter(is_backup) {
            let found = session.backup(what)?;
            let id = found.backup.id().to_string();
            let warnings = found.job.list()?.warnings;
            self.warnings.extend(warnings.into_iter().filter(|warning| warning.contains(&id)));
            self.backups.push((found.job, found.backup));
            return Ok(());
        }
        for job in session.job_names(what, store)? {
            let job = store.job(&job);
            let listing = job.list()?;
            self.warnings.extend(job.description_problems(&listing));
            self.warnings.extend(listing.warnings);
            self.backups.extend(listing.backups.into_iter().map(|backup| (job.clone(), backup)));
            self.broken.extend(listing.broken);
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct VerifiedBackup {
    backup: String,
    /// Every stored byte is right, and so were the data when they were stored.
    good: bool,
    /// Some of the data were damaged when they were stored: right bytes of wrong data.
    damaged: bool,
    problems: Vec<String>,
    /// What it was made from, where that is not what its job backs up now: no rule counts it then.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_source: Option<String>,
}

impl VerifiedBackup {
    fn new(backup: String, damaged: bool, problems: Vec<String>) -> Self {
        Self { backup, good: problems.is_empty() && !damaged, damaged, problems, other_source: None }
    }

    fn lines(&self) -> String {
        let bad = self.problems.iter().map(|problem| format!("BAD      {}: {problem}\n", self.backup));
        let damaged = self.damaged.then(|| {
            format!("DAMAGED  {}: some of it was damaged at its source when it was backed up\n", self.backup)
        });
        let other = self
            .other_source
            .iter()
            .map(|other| format!("OTHER    {}: {other}; no rule counts it\n", self.backup));
        bad.chain(damaged).chain(other).collect()
    }
}

pub(super) fn verify(session: &Session, args: &VerifyArgs) -> Result<ExitCode, CliError> {
    let store = session.store()?;
    let Asked { backups: chosen, broken, warnings } = Asked::of(session, &store, &args.what)?;
    let cancel = CancellationToken::new();
    let progress = Progress::new(bar::sink(session));
    let (mut verified, mut unread, mut shared) = (Vec::new(), false, false);
    let mut deep = DeepCheck::new(&std::env::temp_dir());
    let mut readings: BTreeMap<&str, Verifier<'_>> = BTreeMap::new();
    for (job, backup) in &chosen {
        let name = format!("{}/{}", job.job(), backup.id());
        let _reading = job.lock_shared(LOCK_LIMIT)?;
        // Only what is there now that nobody can remove it: a run may have pruned meanwhile.
        let backup = match job.get(backup.id()) {
            Err(StoreError::NotFound { .. }) => continue,
            Err(StoreError::Broken { problem, .. }) => {
                verified.push(VerifiedBackup::new(name, false, vec![problem]));
                continue;
            }
            found => found?,
        };
        let total = backup.size();
        let step = progress.step(&format!("read {name}"), Some(total));
        let reading = readings.entry(job.job().as_str()).or_insert_with(|| Verifier::new(job, session.now));
        let report = reading.backup(&backup, &step, &cancel)?;
        drop(step);
        shared |= report.files.iter().any(|file| file.problem.is_some() && file.file.is_shared());
        unread |= report.files.iter().any(|file| matches!(file.problem, Some(Problem::Unread(_))));
        let mut problems: Vec<String> = report
            .files
            .iter()
            .filter_map(|file| file.problem.as_ref().map(|problem| format!("{}: {problem}", file.file.name)))
            .collect();
        if let Some(why) = &report.unrecorded {
            session.out.say(&format!("warning: that {name} was read could not be noted: {why}"));
        }
        // Of other kinds a stored file is as good as its bytes.
        if args.deep && backup.manifest.kind == crate::prometheus::restore::KIND {
            let step =
                progress.step(&format!("check the blocks of {name}"), Some(backup.manifest.content_bytes));
            problems.extend(deep.check(&backup, &step, &cancel));
        }
        if args.deep && backup.manifest.kind == grafana::KIND {
            let _step = progress.step(&format!("read the objects of {name}"), None);
            problems.extend(grafana::bundle::problem_of(&backup, &std::env::temp_dir(), &cancel));
        }
        let other_source = session.other_source(&backup);
        verified.push(VerifiedBackup {
            other_source,
            ..VerifiedBackup::new(name, backup.manifest.damaged, problems)
        });
    }
    shared |= broken.iter().any(|broken| broken.problem.contains("blocks/"));
    let lost: Vec<String> = broken.iter().map(told).collect();
    let json = json!({ "backups": verified, "broken": lost, "warnings": warnings, "deep": args.deep });
    session.out.result(&json, || {
        let mut text: String = verified.iter().map(VerifiedBackup::lines).collect();
        let all = verified.len() + lost.len();
        if all == 0 {
            return "There are no backups to verify yet.\n".to_owned();
        }
        text.extend(lost.iter().map(|broken| format!("BAD      {broken}\n")));
        text.extend(warnings.iter().map(|warning| format!("WARNING  {warning}\n")));
        let good = verified.iter().filter(|backup| backup.good).count();
        let read = match (unread || !lost.is_empty(), args.deep) {
            (true, _) => "what is there and may be read was read",
            (false, true) => "every byte, every block and every object was read",
            (false, false) => "every byte was read",
        };
        let _ = writeln!(text, "{good} of {} good: {read}.", words::count(all, "backup"));
        if !lost.is_empty() || verified.iter().any(|backup| !backup.problems.is_empty()) {
            text.push_str(if shared {
                "A run of its job stores anew what is bad while its source has it.\n"
            } else {
                "What is bad stays so; a run of its job makes a new backup.\n"
            });
        }
        text
    });
    let bad = !lost.is_empty() || verified.iter().any(|backup| !backup.problems.is_empty());
    let doubtful = !warnings.is_empty() || verified.iter().any(|backup| backup.damaged);
    Ok(match (bad, doubtful) {
        (true, _) => ExitCode::Failed,
        (false, true) => ExitCode::Warned,
        (false, false) => ExitCode::Ok,
    })
}

pub(super) fn pin(session: &Session, which: &Which, pinned: bool) -> Result<ExitCode, CliError> {
    let found = session.backup(&which.backup)?;
    let id = found.backup.id();
    if pinned {
        found.job.pin(id)?;
    } else {
        found.job.unpin(id)?;
    }
    let name = format!("{}/{id}", found.job.job());
    session.out.result(&json!({ "backup": name, "pinned": pinned }), || {
        if pinned {
            format!("{name} is kept whatever the rules say.\n")
        } else {
            format!("{name} is left to the rules.\n")
        }
    });
    Ok(ExitCode::Ok)
}

pub(super) fn accept(session: &Session, which: &Which) -> Result<ExitCode, CliError> {
    // Of a job that is named alone it can only be the newest one.
    let is_job = session.job_names(None, &session.store()?)?.iter().any(|job| job.as_str() == which.backup);
    let spec = if is_job { format!("{}/latest", which.backup) } else { which.backup.clone() };
    let found = session.backup(&spec)?;
    found.job.accept(found.backup.id())?;
    let name = format!("{}/{}", found.job.job(), found.backup.id());
    session.out.result(&json!({ "backup": name, "accepted": true }), || {
        format!("{name} is accepted: retention goes on with the next run or `prune`.\n")
    });
    Ok(ExitCode::Ok)
}
