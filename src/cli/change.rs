//! `change`: shows what differs, asks, does it, and tells what was proven.

mod dashboard;
mod take_back;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::bar;
use super::exit_code::ExitCode;
use super::output::CliError;
use super::restore::choose::{hint_of_targets, target};
use super::run_now::signals;
use super::session::{Session, block_on};
use crate::app::{App, ChangeAction, ChangeOpenError};
use crate::config::values::{Name, PrometheusTarget};
use crate::history::RunReport;
use crate::prometheus::config_change::{
    ChangeError, ChangePlan, Cut, EditError, Interval, Scope, Site, Wish,
};
use crate::regular;
use crate::words;

/// A change that is taken back has the server load its configuration once more: it must not be cut off in between.
const GRACE: Duration = Duration::from_mins(5);

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Change how often Prometheus scrapes, and nothing else in its file: comments, order and quotes stay
    ScrapeInterval {
        /// How often, as Prometheus writes it: 15s, 1m30s
        // One below 0 is told as what it is.
        #[arg(allow_hyphen_values = true)]
        interval: Interval,
        /// Only this scrape job [default: `global`, which all jobs have that have none of their own]
        #[arg(long, value_name = "NAME")]
        job: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Put a file in the place of Prometheus's configuration
    PrometheusConfig {
        /// The new configuration
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Add a file of rules, or replace the one of the same name, where `rule_files` of the configuration loads it
    AlertRule {
        /// The rules
        file: PathBuf,
        /// The name that it gets [default: the one it has]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Put the file of before a change that was cut back: also where Prometheus does not run, or does not start any more
    TakeBack {
        /// Leave the file as it is, and only forget the change
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Put a dashboard into Grafana, under the UID that it has, over the one that is there
    Dashboard(dashboard::Args),
}

#[derive(clap::Args)]
struct Common {
    /// The Prometheus of the configuration [default: the only one]
    #[arg(long, value_name = "NAME")]
    prometheus: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(clap::Args)]
struct Asking {
    /// Only show what differs
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Asking {
    /// Somebody has to say yes, and there is somebody. Said before any server is looked at: a script learns at once that it
    /// forgot --yes.
    fn check(&self, session: &Session, whose: &str) -> Result<(), CliError> {
        if self.yes || self.dry_run || session.out.can_ask() {
            return Ok(());
        }
        let hint = "say --yes, or look at what would be done with --dry-run".to_owned();
        Err(CliError::usage(
            format!("This changes what {whose} does, and there is nobody to ask"),
            Some(hint),
        ))
    }

    /// Whether it is to be done.
    fn agrees(&self, session: &Session, question: &str) -> bool {
        self.yes || session.out.ask(question)
    }
}

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    session.start_log();
    let (wish, common) = match &args.what {
        What::ScrapeInterval { interval, job, common } => {
            let scope = job.clone().map_or(Scope::Global, Scope::Job);
            (Wish::ScrapeInterval { scope, value: interval.clone() }, common)
        }
        What::PrometheusConfig { file, common } => {
            (Wish::Config { bytes: read(file)?, from: file.clone() }, common)
        }
        What::AlertRule { file, name, common } => {
            let name = file_name(file, name.as_deref())?;
            (Wish::Rules { bytes: read(file)?, from: file.clone(), name }, common)
        }
        What::TakeBack { keep, common } => return take_back::run(session, *keep, common),
        What::Dashboard(args) => return dashboard::run(session, args),
    };
    let target = whose(session, common.prometheus.as_deref())?;
    common.asking.check(session, "Prometheus")?;
    with_app(session, async |app| change(session, app, target, wish, &common.asking).await)
}

/// Does what signals can end, and leaves nothing behind on the Docker engine.
fn with_app(
    session: &Session,
    work: impl AsyncFnOnce(&App) -> Result<ExitCode, CliError>,
) -> Result<ExitCode, CliError> {
    block_on(async {
        let shutdown = signals()?;
        let app = session.app_now(shutdown.cancel.clone(), GRACE)?;
        let code = work(&app).await;
        app.close().await;
        code
    })
}

async fn change(
    session: &Session,
    app: &App,
    target: &PrometheusTarget,
    wish: Wish,
    asking: &Asking,
) -> Result<ExitCode, CliError> {
    let opened = |error: ChangeOpenError| CliError::of(ExitCode::Failed, &error, error.hint());
    let reach = app.reach_configuration(target).await.map_err(opened)?;
    let mut runs = Vec::new();
    if let Some(cut) = reach.cut().map_err(|error| failed(&error))? {
        session.out.say(&told(session, &cut));
        if !asking.dry_run {
            if !asking.agrees(session, "Take it back first?") {
                return Ok(nothing_done(session));
            }
            let action = ChangeAction::TakeBackCut(reach.clone());
            let report = app.run_change(target, action, bar::sink(session)).await;
            let code = ExitCode::of(&report);
            runs.push(report);
            if code != ExitCode::Ok {
                shown(session, &runs);
                return Ok(code);
            }
        }
    }
    let site = app.open_configuration(target, &reach).await;
    let site = match site {
        Ok(site) => Arc::new(site),
        Err(error) => {
            if !session.out.json {
                shown(session, &runs);
            }
            return Err(opened(error));
        }
    };
    let plan = match site.plan(wish).await {
        Ok(plan) => plan,
        Err(error) => {
            if !session.out.json {
                shown(session, &runs);
            }
            return Err(failed(&error));
        }
    };
    if asking.dry_run {
        return dry_run(session, app, target, (&site, &plan)).await;
    }
    if plan.is_done() {
        session.out.result(&json!({ "plan": plan, "runs": runs }), || {
            format!(
                "{}\nThat is so already: {} says it, and Prometheus has loaded it.\n",
                plan.what, plan.written
            )
        });
        return Ok(ExitCode::Ok);
    }
    session.out.say(text(&plan).trim_end());
    if !asking.agrees(session, "Change this?") {
        return Ok(nothing_done(session));
    }
    let action = ChangeAction::Apply(site, Arc::new(plan));
    let report = app.run_change(target, action, bar::sink(session)).await;
    let code = ExitCode::of(&report);
    runs.push(report);
    shown(session, &runs);
    Ok(code)
}

/// Shows a plan, and what promtool says of it.
async fn dry_run(
    session: &Session,
    app: &App,
    target: &PrometheusTarget,
    (site, plan): (&Site, &ChangePlan),
) -> Result<ExitCode, CliError> {
    if plan.is_done() {
        session.out.result(&json!({ "plan": plan }), || text(plan));
        return Ok(ExitCode::Ok);
    }
    let checked = app.check_change(target, site, plan).await;
    let said = match &checked {
        Ok(said) => {
            said.clone().unwrap_or_else(|| "nobody has checked it: a change of it is under way".to_owned())
        }
        Err(error) => words::chain(error),
    };
    session.out.result(&json!({ "plan": plan, "check": said }), || {
        format!("{}check: {}\n", text(plan), words::terminal(&said))
    });
    match checked {
        Ok(_) => Ok(ExitCode::Ok),
        // It is in the document.
        Err(error) if session.out.json => Ok(failed(&error).code),
        Err(error) => Err(failed(&error)),
    }
}

fn shown(session: &Session, runs: &[RunReport]) {
    if runs.is_empty() {
        return;
    }
    session.out.result(&json!({ "runs": runs }), || {
        let texts: Vec<String> = runs.iter().map(|report| session.report(report)).collect();
        texts.join("\n")
    });
}

/// The Prometheus that is meant: the one that was named, else the only one.
fn whose<'a>(session: &'a Session, named: Option<&str>) -> Result<&'a PrometheusTarget, CliError> {
    if let Some(named) = named {
        return target(session, named);
    }
    let all = &session.config.prometheus;
    match all.values().next() {
        Some(only) if all.len() == 1 => Ok(only),
        _ => {
            let known: Vec<&str> = all.keys().map(Name::as_str).collect();
            Err(CliError::usage("Which Prometheus?", Some(hint_of_targets("prometheus", &known))))
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    regular::read_named(file, regular::SMALL)
        .map_err(|error| CliError::usage(format!("Cannot read {}: {error}", file.display()), None))
}

/// The name that a file of rules gets: one part of a path.
fn file_name(file: &Path, named: Option<&str>) -> Result<String, CliError> {
    let name = named.or_else(|| file.file_name().and_then(std::ffi::OsStr::to_str)).unwrap_or_default();
    // What begins with a dot is hidden from who looks after the rules, and what a pattern is made of names no file.
    let is_odd = |c: char| c.is_control() || matches!(c, '/' | '*' | '?' | '[' | ']' | '\\');
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(is_odd);
    let hint = || Some("give one with --name NAME, such as api.yml".to_owned());
    is_plain
        .then(|| name.to_owned())
        .ok_or_else(|| CliError::usage(format!("{name:?} is no name of a file"), hint()))
}

fn told(session: &Session, cut: &Cut) -> String {
    format!("{}. It is settled before another one.", cut.words(&session.time(cut.began)))
}

fn text(plan: &ChangePlan) -> String {
    let mut out = format!("{}\n", plan.what);
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<11} {value}");
    };
    field("file", &plan.file);
    field("written", &format!("{}, {}", plan.written, plan.how));
    let _ = write!(out, "{}", plan.diff);
    if plan.diff.is_empty() {
        out.push_str(if plan.in_force {
            "  no difference, and Prometheus has loaded it\n"
        } else {
            "  no difference; Prometheus loads it again, and is asked what it has loaded\n"
        });
    }
    for note in &plan.notes {
        let _ = writeln!(out, "note: {}", words::terminal(note));
    }
    out
}

fn nothing_done(session: &Session) -> ExitCode {
    session.out.say("Nothing was changed.");
    ExitCode::Failed
}

fn failed(error: &ChangeError) -> CliError {
    let code = match error {
        _ if error.is_interruption() => ExitCode::Interrupted,
        ChangeError::Edit { source: EditError::NoJob { .. }, .. }
        | ChangeError::Zero
        | ChangeError::Interval(_) => ExitCode::Usage,
        _ => ExitCode::Failed,
    };
    CliError::of(code, error, error.hint())
}
