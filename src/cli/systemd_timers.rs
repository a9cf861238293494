//! `systemd-timers`: a timer of systemd for each job, for those who let systemd keep the time. Each starts
//! `watchkeeper-job@JOB.service`, which is `run-now --scheduled JOB`; the daemon must not run beside them.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::exit_code::ExitCode;
use super::output::CliError;
use super::session::Session;
use crate::config::JobConfig;
use crate::config::values::{OnMissed, OnOverlap, SlotRules};
use crate::schedule::{OnCalendar, Schedule};
use crate::words;

/// The file that `watchkeeper-job@.service` names.
const CONFIG: &str = "/etc/watchkeeper/jobs.toml";
const UNIT: &str = "watchkeeper-job@";
const TIMER: &str = ".timer";

#[derive(clap::Args)]
pub(super) struct Args {
    /// Write one file for each job there, such as /etc/systemd/system; print them otherwise
    dir: Option<PathBuf>,
}

/// The timer of a job.
#[derive(Serialize)]
struct Timer {
    job: String,
    unit: String,
    text: String,
    /// What systemd does otherwise than the daemon.
    notes: Vec<String>,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    let timers = timers(session)?;
    let (masked, timers): (Vec<Timer>, Vec<Timer>) =
        timers.into_iter().partition(|timer| args.dir.as_deref().is_some_and(|dir| is_masked(dir, timer)));
    let masked: Vec<String> = masked.into_iter().map(|timer| timer.unit).collect();
    let stale = args.dir.as_deref().map(|dir| written(dir, &timers)).transpose()?.unwrap_or_default();
    let stale: Vec<String> = stale.into_iter().filter(|unit| !masked.contains(unit)).collect();
    let result = json!({ "folder": args.dir, "timers": timers, "stale": stale, "masked": masked });
    session.out.result(&result, || match &args.dir {
        Some(_) => timers.iter().flat_map(|timer| [timer.unit.as_str(), "\n"]).collect(),
        None => timers.iter().map(Timer::printed).collect::<Vec<_>>().join("\n"),
    });
    for note in notes(session, &timers) {
        session.out.say(&note);
    }
    if let Some(dir) = &args.dir {
        tell_masked(session, dir, &masked);
        tell_next(session, dir, &timers, &stale);
    }
    Ok(if stale.is_empty() && masked.is_empty() { ExitCode::Ok } else { ExitCode::Warned })
}

/// All of them, or what is wrong with those that cannot be.
fn timers(session: &Session) -> Result<Vec<Timer>, CliError> {
    let mut timers = Vec::new();
    let mut problems = Vec::new();
    for job in session.config.jobs.iter().filter(|job| job.enabled) {
        if job.after.is_some() {
            problems
                .push(format!("job {:?}: it runs after other jobs, which no timer does", job.name.as_str()));
        }
        let Some(schedule) = &job.schedule else { continue };
        match schedule.on_calendar(session.now) {
            Ok(calendar) => timers.push(Timer::of(session, job, schedule, &calendar)),
            Err(error) => problems.push(format!("job {:?}: {error}", job.name.as_str())),
        }
    }
    if problems.is_empty() {
        return Ok(timers);
    }
    let message = format!("No timers were written, because of\n  {}", problems.join("\n  "));
    let hint = "give each times of its own, such as \"0 2 1,15 * *\", or an interval that a day holds as a whole, such as \
                @every 6h, or @every 7d; or let watchkeeper.service run the jobs";
    Err(CliError { code: ExitCode::Failed, message, hint: Some(hint.to_owned()) })
}

impl Timer {
    fn of(session: &Session, job: &JobConfig, schedule: &Schedule, calendar: &OnCalendar) -> Self {
        let mut notes = deviations(job.slots);
        if let Some(until) = calendar.until {
            notes
                .push(format!("clock changes are in it until {}: write it anew before", session.time(until)));
        }
        let path = session.config.path.display();
        let mut text =
            format!("# By `watchkeeper systemd-timers` from {path}; write it anew when that changes.\n");
        for note in &notes {
            let _ = writeln!(text, "# Note: {note}.");
        }
        let meaning = format!("{schedule}: {}", schedule.describe()).replace('%', "%%");
        let _ = write!(
            text,
            "[Unit]\nDescription=Watchkeeper job {}, {meaning}\nDocumentation=man:watchkeeper-systemd-timers(1)\n\n[Timer]\n",
            job.name
        );
        for line in &calendar.lines {
            let _ = writeln!(text, "OnCalendar={line}");
        }
        if !calendar.clock_changes.is_empty() {
            text.push_str("# What these leave out on days when clocks change:\n");
        }
        for line in &calendar.clock_changes {
            let _ = writeln!(text, "OnCalendar={line}");
        }
        text.push_str(&keys(job.slots));
        text.push_str("\n[Install]\nWantedBy=timers.target\n");
        Self { job: job.name.to_string(), unit: format!("{UNIT}{}{TIMER}", job.name), text, notes }
    }

    fn printed(&self) -> String {
        format!("# {}\n{}", self.unit, self.text)
    }
}

fn keys(rules: SlotRules) -> String {
    let persistent = rules.on_missed != OnMissed::Skip;
    // Without it systemd may begin up to a minute late.
    let mut keys = format!("Persistent={persistent}\nAccuracySec=1s\n");
    if rules.jitter > Duration::ZERO {
        let _ = writeln!(keys, "RandomizedDelaySec={}ms\nFixedRandomDelay=true", rules.jitter.as_millis());
    }
    keys
}

/// What the job asks for and a timer cannot do.
fn deviations(rules: SlotRules) -> Vec<String> {
    let mut notes = Vec::new();
    if rules.on_missed == OnMissed::All {
        notes.push("on_missed = \"all\": systemd makes up for one missed slot, not for each".to_owned());
    }
    if let Some(age) = rules.max_age.filter(|_| rules.on_missed != OnMissed::Skip) {
        let age = words::duration(age);
        notes.push(format!("max_age: systemd also makes up for a slot that is older than {age}"));
    }
    if rules.on_overlap == OnOverlap::Queue {
        notes.push("on_overlap = \"queue\": systemd skips a slot that comes while the job runs".to_owned());
    }
    notes
}

fn notes(session: &Session, timers: &[Timer]) -> Vec<String> {
    let of = |timer: &Timer| {
        timer.notes.iter().map(|note| format!("note: job {:?}: {note}", timer.job)).collect::<Vec<_>>()
    };
    let mut notes: Vec<String> = timers.iter().flat_map(of).collect();
    if session.config.path != Path::new(CONFIG) {
        notes.push(format!("note: {UNIT}.service reads {CONFIG}: for another file it needs a drop-in"));
    }
    notes
}

/// Whether systemd was told never to start it: what is written to it would be written to nowhere.
fn is_masked(dir: &Path, timer: &Timer) -> bool {
    fs::read_link(dir.join(&timer.unit)).is_ok_and(|target| target == Path::new("/dev/null"))
}

fn tell_masked(session: &Session, dir: &Path, masked: &[String]) {
    for unit in masked {
        session.out.say(&format!(
            "warning: {unit} was not written, because it is masked: {} is a link to /dev/null. `systemctl unmask {unit}` ends \
             that; or give its job `enabled = false`",
            dir.join(unit).display()
        ));
    }
}

/// Writes them, and gives the names of timers that are there for jobs that are not, or no longer due.
fn written(dir: &Path, timers: &[Timer]) -> Result<Vec<String>, CliError> {
    let failed = |what: &str, path: &Path, error: &io::Error| CliError {
        code: ExitCode::Failed,
        message: format!("Cannot {what} {}: {error}", path.display()),
        hint: None,
    };
    fs::create_dir_all(dir).map_err(|error| failed("create", dir, &error))?;
    for timer in timers {
        let path = dir.join(&timer.unit);
        File::create(&path)
            .and_then(|mut file| file.write_all(timer.text.as_bytes()))
            .map_err(|error| failed("write", &path, &error))?;
    }
    let names = fs::read_dir(dir).map_err(|error| failed("list", dir, &error))?;
    let names = names.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let is_timer = |name: &String| name.starts_with(UNIT) && name.ends_with(TIMER);
    let is_stale = |name: &String| timers.iter().all(|timer| timer.unit != *name);
    let mut stale: Vec<String> = names.filter(is_timer).filter(is_stale).collect();
    stale.sort();
    Ok(stale)
}

fn tell_next(session: &Session, dir: &Path, timers: &[Timer], stale: &[String]) {
    for unit in stale {
        session.out.say(&format!(
            "warning: {unit} is of no job with a schedule: `systemctl disable --now {unit}`, then delete {}",
            dir.join(unit).display()
        ));
    }
    if timers.is_empty() {
        // Where all of them are masked, that was said.
        session.out.say("No job that is enabled has a schedule: there is no timer to write.");
        return;
    }
    let units: Vec<&str> = timers.iter().map(|timer| timer.unit.as_str()).collect();
    session.out.say(&format!(
        "Next, where the daemon does not run: `systemctl daemon-reload`, `systemctl enable --now {}`",
        units.join(" ")
    ));
}
