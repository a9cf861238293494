//! `status`: how every job stands, a line each, and below that what somebody has to look at.

mod dashboards;

use std::io;

use dashboards::{OpenChange, of_change, open_changes};

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::screen::Screen;
use super::session::{Session, block_on, environment};
use crate::app::{LeftStopped, left_stopped};
use crate::history::NotifierTrouble;
use crate::standing::{JobStanding, LastRun, Listings, NO_DAEMON, Standing, StateStanding, View, WAITING};
use crate::words::{self, sparkline};

/// So many of the newest runs are drawn.
const DRAWN: usize = 12;

pub(super) fn run(session: &Session) -> Result<ExitCode, CliError> {
    let stopped = block_on(async {
        let host = environment("DOCKER_HOST");
        Ok(left_stopped(&session.config, host.as_deref(), session.now).await)
    })?;
    let store = session.store_that_stands()?;
    let ((standing, state), code) = session.read_history(|history| {
        let view = View { store: store.as_ref(), ..session.view(history) };
        Ok((Standing::of(view, &mut Listings::default())?, StateStanding::of(view)))
    })?;
    let all = All { standing, state, open_changes: open_changes(session), stopped };
    session.out.result(&all, || text(session, &all));
    let cannot_keep = all.state.not_writable.is_some() || all.standing.store_away.is_some();
    let is_cut = !all.standing.cut_changes.is_empty() || !all.stopped.is_empty();
    let is_bad = cannot_keep || is_cut || all.standing.jobs.iter().any(JobStanding::is_bad);
    Ok(if is_bad { ExitCode::Failed } else { code })
}

#[derive(serde::Serialize)]
struct All {
    #[serde(flatten)]
    standing: Standing,
    /// How it stands with the program's own folder.
    state: StateStanding,
    /// Changes of dashboards that are neither proven nor taken back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    open_changes: Vec<OpenChange>,
    /// What recoveries have stopped and nobody has started since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stopped: Vec<LeftStopped>,
}

/// What runs is not noted, or what ran is lost.
fn of_state(session: &Session, state: &StateStanding) -> Vec<String> {
    let full = state.not_writable.as_ref().map(|why| {
        format!(
            "CAUTION: what runs cannot be noted: {why}. What stands above may be OLD, and nobody is told of failures. Free some \
             space there, or make it writable"
        )
    });
    let aside = state.set_aside.as_ref().map(|aside| {
        let ago = words::duration(session.now.duration_since(aside.at).unsigned_abs());
        format!(
            "CAUTION: {ago} ago {}; this is said for 7 days, or until it is moved away",
            aside.words(session.zone())
        )
    });
    let founded =
        state.founded.as_ref().map(|founded| format!("CAUTION: {}.", founded.words(session.zone())));
    full.into_iter().chain(aside).chain(founded).collect()
}

fn text(session: &Session, all: &All) -> String {
    let All { standing, state, open_changes, stopped } = all;
    let header = ["job", "last", "age", "next", "took", "backups", "newest"];
    let mut text = table(&header, standing.jobs.iter().map(|job| row(session, job)));
    let screen = Screen::of(io::stdout());
    let daemon = standing.daemon.words(session.zone()).map(|words| format!("CAUTION: {words}."));
    let stopped = stopped.iter().map(|left| format!("CAUTION: {}", left.words(session.zone())));
    let away = standing.store_away.as_ref().map(|away| format!("CAUTION: {away}."));
    let changes = open_changes.iter().map(|change| of_change(session, change));
    let cut = standing.cut_changes.iter().map(|cut| format!("CAUTION: {}.", cut.words())).chain(changes);
    let cautions = away.into_iter().chain(stopped).chain(of_state(session, state)).chain(daemon);
    let cautions = cautions.chain(cut).chain(troubles(session, standing));
    let cautions = cautions.fold(String::new(), |text, line| text + "\n" + &screen.fold(&line) + "\n");
    // The prompt, and a line between the two.
    let others = text.lines().count() + cautions.lines().count() + 2;
    let told = screen.fit(&told(session, standing), others, |left| {
        format!(
            "and {left} more: `watchkeeper explain JOB` has those of a job, `watchkeeper --json status` all"
        )
    });
    if !told.is_empty() {
        text = text + "\n" + &told.join("\n") + "\n";
    }
    text + &cautions
}

/// What is to be said of the jobs, of those that are bad first.
fn told(session: &Session, standing: &Standing) -> Vec<String> {
    let mut jobs: Vec<&JobStanding> = standing.jobs.iter().collect();
    jobs.sort_by_key(|job| !job.is_bad());
    let notes = |job: &JobStanding| {
        let notes = notes(session, job).into_iter();
        notes.map(|note| format!("{}: {note}", job.job)).collect::<Vec<_>>()
    };
    jobs.into_iter().flat_map(notes).collect()
}

/// Of a configuration nobody knows whether it is the old or the new one.
/// Who does not learn what happens, what the history will lack, and why.
fn troubles(session: &Session, standing: &Standing) -> Vec<String> {
    let line = |trouble: &NotifierTrouble| {
        let (name, since) = (&trouble.notifier, session.time(trouble.since));
        let waiting = words::count(trouble.waiting, "message");
        let reason = &trouble.reason;
        format!("CAUTION: notifier {name}: not delivered since {since}, {waiting} waiting: {reason}")
    };
    let no_reserve = standing.no_reserve.as_ref().map(|why| format!("CAUTION: {why}."));
    standing.notifiers.iter().map(line).chain(no_reserve).chain(silence(session, standing)).collect()
}

/// Incidents that may be over, of which nobody says so.
fn silence(session: &Session, standing: &Standing) -> Option<String> {
    let oldest = standing.silent_incidents.iter().min_by_key(|incident| incident.last_notice)?;
    let silent = words::count(standing.silent_incidents.len(), "open incident");
    let ago = words::duration(session.now.duration_since(oldest.last_notice).unsigned_abs());
    let limit = words::duration(session.config.silent_after());
    let number = oldest.number;
    Some(format!(
        "CAUTION: of {silent} nothing was heard for {limit} and more, of incident {number} ({}) for {ago}: the end may have gone \
         unheard. See `watchkeeper incident show {number}`; `watchkeeper incident close {number}` closes it",
        oldest.alert.escape_debug()
    ))
}

fn row(session: &Session, job: &JobStanding) -> Vec<String> {
    let between = |from, to: jiff::Timestamp| words::duration(to.duration_since(from).unsigned_abs());
    let last = job.last.as_ref();
    let restore = if job.failed_restore().is_some() { ", restore failed" } else { "" };
    let next = match job.next {
        _ if job.pause.is_some() => "paused".to_owned(),
        _ if !job.enabled => "disabled".to_owned(),
        Some(next) => format!("in {}", between(session.now, next)),
        None => String::new(),
    };
    let newest = job.store.newest.as_ref();
    vec![
        job.job.to_string(),
        format!("{}{restore}", last.map_or("never ran", |last| last.outcome)),
        last.map(|last| between(last.started, session.now)).unwrap_or_default(),
        next,
        took(job),
        if job.store.backups > 0 { job.store.backups.to_string() } else { String::new() },
        newest.map(|newest| words::size(newest.bytes)).unwrap_or_default(),
    ]
}

/// How long the newest run took that has ended, after a picture of those before it.
fn took(job: &JobStanding) -> String {
    let millis: Vec<u64> = job.past.iter().filter_map(|run| run.millis).collect();
    let Some(last) = millis.last() else { return String::new() };
    let drawn = sparkline(&millis[millis.len().saturating_sub(DRAWN)..]);
    format!("{drawn:>DRAWN$} {}", words::duration(std::time::Duration::from_millis(*last)))
}

/// What is to be said of a job beside its line.
fn notes(session: &Session, job: &JobStanding) -> Vec<String> {
    let ago = |at| format!("{} ago", words::duration(session.now.duration_since(at).unsigned_abs()));
    let mut notes = Vec::new();
    notes.extend(job.last.as_ref().and_then(|last| of_last(job, last)));
    if job.failures > 0 && job.last.as_ref().is_some_and(|last| last.finished.is_none()) {
        let times = if job.failures > 1 { format!("{} runs", job.failures) } else { "the run".to_owned() };
        notes.push(format!("{times} before this one failed, see `watchkeeper history {} --failed`", job.job));
    }
    if job.last.as_ref().is_some_and(|last| last.outcome == WAITING) {
        notes.push(NO_DAEMON.to_owned());
    }
    if let Some(long) = &job.too_long {
        let usual = words::duration(std::time::Duration::from_millis(long.usual_millis));
        notes.push(format!("runs too long: since {}, where {usual} is usual", session.time(long.since)));
    }
    if let Some(restore) = job.failed_restore() {
        let (outcome, ago) = (restore.outcome, ago(restore.started));
        let back = if restore.data_not_back { "; the old data are NOT back" } else { "" };
        let why = restore.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let was = if outcome == "interrupted" { "was interrupted" } else { outcome };
        notes.push(format!("the last restore {was} {ago}{why}{back}"));
    }
    if let Some(pause) = &job.pause {
        let why = pause.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        notes.push(format!("PAUSED since {}{why}", session.time(pause.since)));
    }
    notes.extend(job.paused_before.iter().map(|paused| paused.words(session.zone())));
    if let Some(what) = job.waits_for.first() {
        notes.push(format!("a slot waits for {what}"));
    }
    if let Some(overdue) = &job.overdue {
        let (due, name) = (session.time(overdue.since), &job.job);
        notes.push(format!("overdue: did not start at {due}, see `watchkeeper explain {name}`"));
    }
    if job.store.broken > 0 {
        notes.push(format!("{} broken, see `watchkeeper backups {}`", job.store.broken, job.job));
    }
    if job.store.bad > 0 {
        notes.push(format!("{} BAD, see `watchkeeper verify {}`", job.store.bad, job.job));
    }
    if let Some(held) = &job.store.held {
        notes.push(format!("retention is held: {held}; `watchkeeper accept {}/latest` ends that", job.job));
    }
    notes
}

/// What came of the last run, where it was not simply done.
fn of_last(job: &JobStanding, last: &LastRun) -> Option<String> {
    let (first, more) = (last.warnings.first(), last.warnings.len().saturating_sub(1));
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    let why = last.reason.as_ref().or(first).map(|why| format!(": {why}{more}"));
    let times = if job.failures > 1 { format!(", {} times in a row", job.failures) } else { String::new() };
    let is_worth_it = last.failed() || last.outcome == "warned" || why.is_some();
    let see = format!("; see `watchkeeper show {}`", last.run);
    is_worth_it.then(|| format!("{}{times}{}{see}", last.outcome, why.unwrap_or_default()))
}
