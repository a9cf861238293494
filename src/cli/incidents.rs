//! `incidents` and `incident`: what Alertmanagers told of, what was done about it, and what a person has to say of it. They
//! work beside the daemon and without one.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::session::Session;
use crate::history::History;
use crate::incident::{Entry, EntryKind, Incident, Number};
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
        /// What, in one line
        #[arg(value_parser = one_line)]
        text: String,
    },
}

/// An incident as programs read it.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    incident: &'a Incident,
    open: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<&'a [Entry]>,
}

fn one_line(text: &str) -> Result<String, String> {
    let text = text.trim();
    let length = text.chars().count();
    if text.is_empty() {
        Err("it is empty".to_owned())
    } else if text.chars().any(char::is_control) {
        Err("it must be one line, without tabs and other control characters".to_owned())
    } else if length > LONGEST_NOTE {
        Err(format!("it has {length} characters, and {LONGEST_NOTE} is the most: note it in parts"))
    } else {
        Ok(text.to_owned())
    }
}

pub(super) fn list(session: &Session, args: &ListArgs) -> Result<ExitCode, CliError> {
    let history = session.history()?;
    let incidents = match &history {
        Some(history) => history.incidents(args.open, args.n)?,
        None => Vec::new(),
    };
    let told = |incident| Told { incident, open: incident.is_open(), timeline: None };
    let all: Vec<Told<'_>> = incidents.iter().map(told).collect();
    session.out.result(&json!({ "incidents": all }), || {
        if incidents.is_empty() {
            return if args.open { "No incident is open.\n" } else { "There was no incident.\n" }.to_owned();
        }
        let header = ["number", "alert", "severity", "fires since", "for", "state", ""];
        table(&header, incidents.iter().map(|incident| row(session, incident)))
    });
    Ok(ExitCode::Ok)
}

fn row(session: &Session, incident: &Incident) -> Vec<String> {
    vec![
        incident.number.to_string(),
        in_one_line(&incident.alert),
        incident.severity.as_deref().map(in_one_line).unwrap_or_default(),
        session.time(incident.since()),
        words::duration(incident.length(session.now)),
        if incident.is_open() { "open" } else { "closed" }.to_owned(),
        incident.summary().map(in_one_line).unwrap_or_default(),
    ]
}

pub(super) fn one(session: &Session, command: &One) -> Result<ExitCode, CliError> {
    match command {
        One::Show { number } => show(session, *number),
        One::Note { number, text } => note(session, *number, text),
    }
}

fn show(session: &Session, number: Number) -> Result<ExitCode, CliError> {
    let history = session.history()?;
    let found = history.as_ref().map(|history| history.incident(number)).transpose()?.flatten();
    let (incident, timeline) = found.ok_or_else(|| unknown(number))?;
    let told = Told { incident: &incident, open: incident.is_open(), timeline: Some(&timeline) };
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

fn unknown(number: Number) -> CliError {
    let hint = "`watchkeeper incidents` lists them".to_owned();
    CliError::usage(format!("There is no incident {number}"), Some(hint))
}

fn text(session: &Session, incident: &Incident, timeline: &[Entry]) -> String {
    let mut out = String::new();
    let severity = incident.severity.as_deref().map(|severity| format!(" ({})", in_one_line(severity)));
    let length = words::duration(incident.length(session.now));
    let state = if incident.is_open() { "open, fires for" } else { "closed, fired for" };
    let (number, alert) = (incident.number, in_one_line(&incident.alert));
    line(&mut out, &format!("incident {number}: {alert}{}: {state} {length}", severity.unwrap_or_default()));
    for (name, value) in fields(session, incident) {
        line(&mut out, &format!("  {name:<9}{value}"));
    }
    line(&mut out, "  timeline");
    for entry in timeline {
        line(
            &mut out,
            &format!(
                "    {}  {:<9}  {}",
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
    fields.extend(incident.ended.map(|ended| ("ended", time(ended))));
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
