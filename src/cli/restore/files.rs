//! `restore` of named files: shows what differs, asks, writes that, and can take it back.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::choose::{self, Found};
use super::{Args, GRACE, nothing_done};
use crate::app::FilesAction;
use crate::cli::bar;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::CliError;
use crate::cli::run_now::signals;
use crate::cli::session::{Session, block_on};
use crate::config::values::JobName;
use crate::files::restore::{Change, FilesBackup, FilesPlan};
use crate::files::{FilePath, FilesError, Held, Lack};
use crate::words;

/// The arguments make sense for files.
pub(super) fn check(args: &Args) -> Result<(), CliError> {
    if !(args.after.resume || args.after.discard_old) {
        return Ok(());
    }
    let hint = "run the restore again: it writes only what still differs".to_owned();
    Err(CliError::usage("A restore of files is never half done: nothing is set aside", Some(hint)))
}

/// Restores, or tells what that would do.
pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    if args.after.undo {
        let job = choose::job_called(session, args.what.as_deref())?;
        let Some(job) = job else { return Err(CliError::usage("Which job?", None)) };
        return undo(session, args, &job);
    }
    let found = match &args.from {
        Some(path) => choose::outside(session, path)?,
        None => choose::backup(session, args.wanted())?,
    };
    let Found { backup, job, reading: _reading } = found;
    let mut source = FilesBackup::of(backup).map_err(|error| failed(&error))?;
    let cancel = CancellationToken::new();
    if args.dry_run {
        choose::must_be_whole(session, &source.backup, &cancel)?;
    }
    if let Some(folder) = &args.into {
        let written = source.unpack(folder, &cancel).map_err(|error| failed(&error))?;
        let (title, lacks) = (source.title(), &source.contents.lacks);
        let document = json!({ "source": title, "into": folder, "written": written, "lacks": lacks });
        session.out.result(&document, || {
            let mut text = format!("{title}: {} in {}\n", words::entries(written), folder.display());
            for lack in lacks {
                let _ = writeln!(text, "lacks {lack}");
            }
            text
        });
        return Ok(if lacks.is_empty() { ExitCode::Ok } else { ExitCode::Warned });
    }
    if source.contents.container.is_some() {
        let places = block_on(async {
            let app = session.app_to_restore(cancel.clone(), GRACE)?;
            let places = app.places_of(&source.contents).await.map_err(|error| failed(&error));
            app.close().await;
            places
        });
        source.places = places?;
    }
    let plan = source.plan(&cancel).map_err(|error| failed(&error))?;
    let older = older_with(session, &job, &source);
    let from = source.backup.manifest.made_from();
    let told = || text(&plan, &older) + &choose::from_text(Some(&from));
    let nothing_to_do = plan.changes.is_empty() && plan.refusals.is_empty();
    if args.dry_run || nothing_to_do {
        session.out.result(&json!({ "plan": plan, "made_from": from }), told);
        return Ok(if plan.refusals.is_empty() { ExitCode::Ok } else { ExitCode::Failed });
    }
    session.out.say(told().trim_end());
    if let Some(refusal) = plan.refusals.first() {
        return Err(failed(&FilesError::InTheWay { what: refusal.clone() }));
    }
    if !args.yes && !session.out.ask("Restore this?") {
        return Ok(nothing_done(session));
    }
    let mounted = plan.changes.iter().any(|change| source.places.is_mount(change.entry.path.as_path()));
    let code = perform(session, &job, FilesAction::Apply(Box::new((source, plan))))?;
    if mounted && code == ExitCode::Ok {
        session
            .out
            .say("A file that is mounted by itself is seen by its container only after a restart of that.");
    }
    Ok(code)
}

fn undo(session: &Session, args: &Args, job: &JobName) -> Result<ExitCode, CliError> {
    let question = format!("Bring back the files of before the newest restore of {job}?");
    if !args.yes && !session.out.ask(&question) {
        return Ok(nothing_done(session));
    }
    perform(session, job, FilesAction::Undo)
}

fn perform(session: &Session, job: &JobName, action: FilesAction) -> Result<ExitCode, CliError> {
    block_on(async {
        let shutdown = signals()?;
        let app = session.app_to_restore(shutdown.cancel.clone(), GRACE)?;
        let report = app.run_files(job, action, bar::sink(session)).await;
        app.close().await;
        session.out.result(&json!({ "runs": [report] }), || session.report(&report));
        Ok(ExitCode::of(&report))
    })
}

/// The newest older backup of the job that has it, for each that this one lacks.
fn older_with(session: &Session, job: &JobName, source: &FilesBackup) -> BTreeMap<FilePath, String> {
    let mut found = BTreeMap::new();
    let lacks = &source.contents.lacks;
    let Some(store) = session.store().ok().filter(|_| !lacks.is_empty()) else { return found };
    let backups = store.job(job).list().unwrap_or_default().backups;
    let older =
        backups.into_iter().rev().filter(|backup| backup.is_good() && backup.id() < source.backup.id());
    for older in older.filter_map(|backup| FilesBackup::of(backup).ok()) {
        for Lack { path, .. } in lacks.iter().filter(|lack| older.contents.has(&lack.path)) {
            found.entry(path.clone()).or_insert_with(|| older.title());
        }
        if found.len() == lacks.len() {
            break;
        }
    }
    found
}

fn text(plan: &FilesPlan, older: &BTreeMap<FilePath, String>) -> String {
    let mut out = format!("Restore {}\n", plan.source);
    for change in &plan.changes {
        let Change { entry, how, diff } = change;
        let _ = writeln!(out, "  {:17}  {}", how.verb(), entry.path);
        for line in diff.iter().flat_map(|diff| diff.lines()) {
            let _ = writeln!(out, "      {line}");
        }
    }
    for lack in &plan.lacks {
        let what = match lack.held {
            Held::Nothing => "  not in the backup",
            Held::Doubtful => "  only where missing",
            Held::Part => "  only in part     ",
        };
        let has = older.get(&lack.path).map(|title| format!(" ({title} has it)")).unwrap_or_default();
        let _ = writeln!(out, "{what}  {lack}{has}");
    }
    for refusal in &plan.refusals {
        let _ = writeln!(out, "  in the way         {refusal}");
    }
    let same = plan.same;
    let _ = match plan.changes.len() {
        0 if !plan.refusals.is_empty() => Ok(()),
        0 => writeln!(out, "  Nothing to do: all is as the backup has it, {}", words::entries(same)),
        _ => writeln!(out, "  as it is           {}", words::entries(same)),
    };
    out
}

fn failed(error: &FilesError) -> CliError {
    CliError::of(ExitCode::Failed, error, error.hint())
}
