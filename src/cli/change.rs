//! `change`: shows what differs, asks, does it, and tells what was proven.

mod dashboard;

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
use crate::app::{App, ChangeAction};
use crate::config::values::{Name, PrometheusTarget};
use crate::history::RunReport;
use crate::prometheus::config_change::{ChangeError, ChangePlan, Cut, EditError, Interval, Scope, Wish};
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
    let site = app.open_configuration(target).await;
    let site = Arc::new(site.map_err(|error| CliError::of(ExitCode::Failed, &error, error.hint()))?);
    let mut runs = Vec::new();
    if let Some(cut) = site.cut().map_err(|error| failed(&error))? {
        session.out.say(&told(session, &cut));
        if !asking.dry_run {
            if !asking.agrees(session, "Take it back first?") {
                return Ok(nothing_done(session));
            }
            let sink = bar::sink(session);
            let report = app.run_change(target, Arc::clone(&site), ChangeAction::TakeBackCut, sink).await;
            let code = ExitCode::of(&report);
            runs.push(report);
            if code != ExitCode::Ok {
                shown(session, &runs);
                return Ok(code);
            }
        }
    }
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
        session.out.result(&json!({ "plan": plan }), || text(&plan));
        return Ok(ExitCode::Ok);
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
    let action = ChangeAction::Apply(Arc::new(plan));
    let report = app.run_change(target, site, action, bar::sink(session)).await;
    let code = ExitCode::of(&report);
    runs.push(report);
    shown(session, &runs);
    Ok(code)
}

fn shown(session: &Session, runs: &[RunReport]) {
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
    let is_plain = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
    let hint = || Some("give one with --name NAME, such as api.yml".to_owned());
    is_plain
        .then(|| name.to_owned())
        .ok_or_else(|| CliError::usage(format!("{name:?} is no name of a file"), hint()))
}

fn told(session: &Session, cut: &Cut) -> String {
    format!(
        "A change was cut, begun {}: {}. It was not proven, and is taken back before another one.",
        session.time(cut.began),
        cut.what
    )
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
            "  no difference; Prometheus has not loaded it yet\n"
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
