//! `incidents` and `incident`: what Alertmanagers told of, what was done about it, and what a person has to say of it. They
//! work beside the daemon and without one.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::session::Session;
use crate::history::{ClosedByHand, History};
use crate::incident::{Ending, Entry, EntryKind, Incident, Number};
use crate::words;

/// Characters of a note.
const LONGEST_NOTE: usize = 1_000;

#[derive(clap::Args)]
pub(super) struct ListArgs {
    /// Only those that are open
    #[arg(long)]
    open: bool,
    /// How many, the newest first
    #[arg(short, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    n: u32,
}

#[derive(clap::Subcommand)]
pub(super) enum One {
    /// Show an incident with its timeline
    Show {
        /// Its number
        number: Number,
    },
    /// Note something in the timeline of an incident, such as what was tried by hand
    Note {
        /// Its number
        number: Number,
        /// What, in one line of at most 1000 characters
        text: String,
    },
    /// Close an incident that is over although no Alertmanager says so. If its alert still fires, the next notice of it opens
    /// another one: what is to be quiet has to be silenced in the Alertmanager
    Close {
        /// Its number
        number: Number,
        /// Why, in one line of at most 1000 characters
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

/// An incident as programs read it.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    incident: &'a Incident,
    open: bool,
    /// It is open, and nobody has told of its alert for long.
    silent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<&'a [Entry]>,
}

impl<'a> Told<'a> {
    fn of(session: &Session, incident: &'a Incident) -> Self {
        let silent = incident.is_silent(session.now, session.config.silent_after());
        Self { incident, open: incident.is_open(), silent, timeline: None }
    }
}

/// A note as it is kept. What is wrong with it is said without it: whoever has just typed a line knows it, and a file that
/// got there by mistake would fill the screen.
fn one_line(text: &str) -> Result<&str, CliError> {
    let text = text.trim();
    let length = text.chars().count();
    let wrong =
        |why: String, hint: &str| Err(CliError::usage(format!("The note {why}"), Some(hint.to_owned())));
    if text.is_empty() {
        wrong("is empty".to_owned(), "write what is to be noted, in quotes")
    } else if length > LONGEST_NOTE {
        wrong(format!("has {length} characters, and {LONGEST_NOTE} is the most"), "note it in parts")
    } else if text.chars().any(char::is_control) {
        let hint = "note line by line, without tabs and other control characters";
        wrong("is more than one line of text".to_owned(), hint)
    } else {
        Ok(text)
    }
}

pub(super) fn list(session: &Session, args: &ListArgs) -> Result<ExitCode, CliError> {
    let history = session.history()?;
    let incidents = match &history {
        Some(history) => history.incidents(args.open, args.n)?,
        None => Vec::new(),
    };
    let all: Vec<Told<'_>> = incidents.iter().map(|incident| Told::of(session, incident)).collect();
    session.out.result(&json!({ "incidents": all }), || {
        if incidents.is_empty() {
            return if args.open { "No incident is open.\n" } else { "There was no incident.\n" }.to_owned();
        }
        let header = ["number", "alert", "severity", "fires since", "for", "state", ""];
        let table = table(&header, incidents.iter().map(|incident| row(session, incident)));
        let silent = all.iter().filter(|told| told.silent).count();
        table + &(if silent > 0 { silence(session, silent) } else { String::new() })
    });
    Ok(ExitCode::Ok)
}

/// What a person can do about incidents of which nobody has told for long.
fn silence(session: &Session, silent: usize) -> String {
    let limit = words::duration(session.config.silent_after());
    format!(
        "\nOf {} nothing was heard for {limit}: the end may have gone unheard. `watchkeeper incident close N` closes one that is \
         over.\n",
        words::count(silent, "open incident")
    )
}

/// How an incident stands, in a few words.
fn state(session: &Session, incident: &Incident) -> String {
    match incident.ending {
        Some(Ending::Unheard) => "closed, end not heard".to_owned(),
        Some(Ending::ByHand) => "closed by hand".to_owned(),
        Some(Ending::Told) => "closed".to_owned(),
        None if incident.is_silent(session.now, session.config.silent_after()) => {
            format!("open, silent for {}", ago(session, incident.last_notice))
        }
        None => "open".to_owned(),
    }
}

fn ago(session: &Session, at: Timestamp) -> String {
    words::duration(session.now.duration_since(at).unsigned_abs())
}

fn row(session: &Session, incident: &Incident) -> Vec<String> {
    vec![
        incident.number.to_string(),
        in_one_line(&incident.alert),
        incident.severity.as_deref().map(in_one_line).unwrap_or_default(),
        session.time(incident.since()),
        words::duration(incident.length(session.now)),
        state(session, incident),
        incident.summary().map(in_one_line).unwrap_or_default(),
    ]
}

pub(super) fn one(session: &Session, command: &One) -> Result<ExitCode, CliError> {
    match command {
        One::Show { number } => show(session, *number),
        One::Note { number, text } => note(session, *number, one_line(text)?),
        One::Close { number, note } => close(session, *number, note.as_deref().map(one_line).transpose()?),
    }
}

fn show(session: &Session, number: Number) -> Result<ExitCode, CliError> {
    let history = session.history()?;
    let found = history.as_ref().map(|history| history.incident(number)).transpose()?.flatten();
    let (incident, timeline) = found.ok_or_else(|| unknown(number))?;
    let told = Told { timeline: Some(&timeline), ..Told::of(session, &incident) };
    session.out.result(&told, || text(session, &incident, &timeline));
    Ok(ExitCode::Ok)
}

fn note(session: &Session, number: Number, text: &str) -> Result<ExitCode, CliError> {
    // What nobody has written yet has no incident, and is not made for one.
    let Some(history) = History::open_existing(&session.config.state_dir)? else {
        return Err(unknown(number));
    };
    let entry = Entry::new(session.now, EntryKind::Note, text);
    if !history.add_to_incident(number, &entry)? {
        return Err(unknown(number));
    }
    session
        .out
        .result(&json!({ "number": number, "noted": entry }), || format!("noted in incident {number}\n"));
    Ok(ExitCode::Ok)
}

fn close(session: &Session, number: Number, note: Option<&str>) -> Result<ExitCode, CliError> {
    let Some(history) = History::open_existing(&session.config.state_dir)? else {
        return Err(unknown(number));
    };
    let why = note.map(|note| format!(": {note}")).unwrap_or_default();
    let entry = Entry::new(session.now, EntryKind::Closed, format!("closed by hand{why}"));
    match history.close_incident(number, &entry)? {
        ClosedByHand::Now => {}
        ClosedByHand::Before(at, ending) => return Err(closed_before(session, number, (at, ending))),
        ClosedByHand::Unknown => return Err(unknown(number)),
    }
    session.out.result(&json!({ "number": number, "closed": entry }), || {
        format!(
            "closed incident {number}; if its alert still fires, the next notice of it opens another one\n"
        )
    });
    Ok(ExitCode::Ok)
}

fn closed_before(session: &Session, number: Number, (at, ending): (Timestamp, Ending)) -> CliError {
    let how = match ending {
        Ending::Told => "its alert has ended",
        Ending::Unheard => "its end was not heard, and its alert has begun to fire anew",
        Ending::ByHand => "by hand",
    };
    let hint = format!(
        "`watchkeeper incident note {number} \"…\"` adds to it; `watchkeeper incidents --open` lists what is open"
    );
    CliError::usage(
        format!("Incident {number} is closed already, since {}: {how}", session.time(at)),
        Some(hint),
    )
}

fn unknown(number: Number) -> CliError {
    let hint = "`watchkeeper incidents` lists them".to_owned();
    CliError::usage(format!("There is no incident {number}"), Some(hint))
}

fn text(session: &Session, incident: &Incident, timeline: &[Entry]) -> String {
    let mut out = String::new();
    let severity = incident.severity.as_deref().map(|severity| format!(" ({})", in_one_line(severity)));
    let length = words::duration(incident.length(session.now));
    let fires = match incident.ending {
        None => "fires for",
        Some(Ending::Unheard) => "fired for at least",
        Some(_) => "fired for",
    };
    let (number, alert, state) = (incident.number, in_one_line(&incident.alert), state(session, incident));
    let severity = severity.unwrap_or_default();
    line(&mut out, &format!("incident {number}: {alert}{severity}: {state}, {fires} {length}"));
    for (name, value) in fields(session, incident) {
        line(&mut out, &format!("  {name:<9}{value}"));
    }
    line(&mut out, "  timeline");
    for entry in timeline {
        line(
            &mut out,
            &format!(
                "    {}  {:<11}  {}",
                session.time(entry.at),
                entry.kind.word(),
                in_one_line(&entry.text)
            ),
        );
        for detail in entry.detail.iter().flat_map(|detail| detail.lines()) {
            line(&mut out, &format!("      {detail}"));
        }
        if let Some(run) = &entry.run {
            line(&mut out, &format!("      `watchkeeper show {run}` shows its run"));
        }
    }
    out
}

fn fields(session: &Session, incident: &Incident) -> Vec<(&'static str, String)> {
    let time = |at: Timestamp| session.time(at);
    let labels = incident.labels.iter().map(|(name, value)| format!("{}={value:?}", in_one_line(name)));
    let labels: Vec<String> = labels.collect();
    let told = words::counted(usize::try_from(incident.notices).unwrap_or(usize::MAX), "time", "times");
    let mut fields = vec![
        ("began", format!("{}, noted {}", time(incident.began), time(incident.opened))),
        ("told", format!("{told}, last {}", time(incident.last_notice))),
        ("labels", labels.join(" ")),
    ];
    fields.extend(incident.ended.map(|ended| {
        let unheard = incident.ending == Some(Ending::Unheard);
        ("ended", if unheard { format!("after {}, and nobody heard when", time(ended)) } else { time(ended) })
    }));
    for (name, text) in &incident.annotations {
        fields.push(("says", format!("{}: {}", in_one_line(name), in_one_line(text))));
    }
    fields
}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{}", text.trim_end());
}

/// What comes from an alert makes no lines of its own.
fn in_one_line(text: &str) -> String {
    let text: String =
        text.trim().chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c }).collect();
    words::clipped(&text, LONGEST_NOTE).into_owned()
}
