//! What a person types.
//!
//! Data go to stdout, talk goes to stderr; `--json` gives one document on stdout for every command. This is the only
//! room, with `main`, that prints, reads the environment and the clock, and ends the program.

mod alert_rules;
mod bar;
mod change;
mod check;
mod diagnose;
pub mod exit_code;
mod explain;
mod export;
mod folder_op;
mod help;
mod history;
mod incidents;
mod junit;
mod next;
mod notify_test;
mod output;
mod pause;
mod prune;
mod recover;
mod restore;
mod run;
mod run_now;
mod screen;
mod session;
mod status;
mod store;
mod systemd_timers;

use std::io::Write as _;
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::rights;
use exit_code::ExitCode;
use output::{CliError, Output};
use session::Session;

/// Backs up a Prometheus, proves that the backup restores, and tells when it does not.
#[derive(Parser)]
#[command(name = "watchkeeper", version, about, after_help = help::EXIT_CODES, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args)]
struct Global {
    /// The configuration [default: ./jobs.toml, else /etc/watchkeeper/jobs.toml]
    #[arg(long, global = true, value_name = "FILE", env = "WATCHKEEPER_CONFIG")]
    config: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Say more (-vv: even more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the jobs on their schedules, until SIGTERM
    Run,
    /// Run jobs now, also disabled ones, and print the report
    #[command(after_help = help::RUN_NOW)]
    RunNow(run_now::Args),
    /// Bring a backup back, prove it, and take it back if the proof fails
    #[command(after_help = help::RESTORE)]
    Restore(restore::Args),
    /// Back up what is down, restart it, and wait until it is back
    #[command(after_help = help::RECOVER)]
    Recover(recover::Args),
    /// Change a Prometheus's configuration or a dashboard, prove it, and take it back if the proof fails
    #[command(after_help = help::CHANGE)]
    Change(change::Args),
    /// List the backups
    Backups {
        /// Only this job's
        job: Option<String>,
    },
    /// Read stored backups back and compare every byte
    Verify(store::VerifyArgs),
    /// Delete the backups that no retention rule keeps
    Prune(prune::Args),
    /// Keep a backup whatever the rules say
    Pin(store::Which),
    /// Leave a backup to the rules again
    Unpin(store::Which),
    /// Say that a suspiciously small backup is right: retention goes on
    Accept(store::Which),
    /// Write a backup into one archive, as `tar` opens it
    Export(export::Args),
    /// List what ran
    History(history::HistoryArgs),
    /// Show one run with its steps, attempts and log lines
    Show(history::ShowArgs),
    /// List the incidents: alerts that an Alertmanager told of
    Incidents(incidents::ListArgs),
    /// Show one incident, note something in it, or close it
    #[command(subcommand)]
    Incident(incidents::One),
    /// Tell when jobs are due
    Next(next::Args),
    /// Keep a job from running on its schedule, until `resume`; the daemon need not be told
    Pause(pause::Args),
    /// Let a paused job run on its schedule again
    Resume {
        /// Which
        job: String,
    },
    /// Tell how every job stands; exit code 1 where one failed last or is overdue
    Status,
    /// Explain a job: why it ran or did not, which backups stay and why, what each costs
    Explain(explain::Args),
    /// Check the configuration
    Check {
        /// Also try every secret and every target
        #[arg(long)]
        online: bool,
    },
    /// Look at what an alert is about, and print what was found; changes nothing
    #[command(after_help = help::DIAGNOSE)]
    Diagnose(diagnose::Args),
    /// Send a message by each notifier, and say what came back
    NotifyTest {
        /// Only by these
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Print or write a systemd timer for each job, to be used in place of the daemon
    SystemdTimers(systemd_timers::Args),
    /// Print rules for Prometheus that alert when a job fails, is late, or is not heard of
    AlertRules(alert_rules::Args),
    /// Print a dashboard for Grafana that shows how the jobs stand
    Dashboard(alert_rules::DashboardArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual, or write a page for each command into a folder
    Man {
        /// The folder
        dir: Option<PathBuf>,
    },
    /// Perform one operation inside a data folder
    #[command(hide = true)]
    FolderOp(folder_op::Args),
}

/// Runs the program.
pub fn main() -> std::process::ExitCode {
    rights::leave_no_core();
    rights::outlive_file_limit();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    let out = Output { json: cli.global.json, quiet: cli.global.quiet };
    let code = perform(cli, out).unwrap_or_else(|error| out.fail(&error));
    output::ended(code).into()
}

/// A command line that makes no sense, or a plea for help. With `--json` it ends in a document, too.
fn misunderstood(error: &clap::Error) -> std::process::ExitCode {
    if !error.use_stderr() || std::env::args_os().all(|word| word != "--json") {
        let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok };
        output::written(error.print().and_then(|()| std::io::stdout().flush()));
        return output::ended(code).into();
    }
    let text = error.render().to_string();
    let (message, hint) = text.split_once("\n\n").unwrap_or((&text, ""));
    let message = message.trim_start_matches("error: ").trim().to_owned();
    let hint = hint.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    Output { json: true, quiet: false }.fail(&CliError::usage(message, hint)).into()
}

fn perform(cli: Cli, out: Output) -> Result<ExitCode, CliError> {
    let Cli { global, command } = cli;
    match command {
        Command::Completions { shell } => Ok(help::completions(out, shell)),
        Command::Man { dir } => help::man(out, dir.as_deref()),
        Command::FolderOp(args) => Ok(folder_op::run(&args)),
        Command::Check { online } => check::run(&global, out, online),
        Command::Run => run::run(&Session::open(&global, out)?),
        Command::RunNow(args) => changing(&global, out, |session| run_now::run(session, &args)),
        Command::Restore(args) => changing(&global, out, |session| restore::run(session, &args)),
        Command::Recover(args) => changing(&global, out, |session| recover::run(session, &args)),
        Command::Change(args) => changing(&global, out, |session| change::run(session, &args)),
        Command::Backups { job } => store::backups(&Session::open(&global, out)?, job.as_deref()),
        Command::Verify(args) => changing(&global, out, |session| store::verify(session, &args)),
        Command::Prune(args) => changing(&global, out, |session| prune::run(session, &args)),
        Command::Pin(which) => store::pin(&Session::open(&global, out)?, &which, true),
        Command::Unpin(which) => store::pin(&Session::open(&global, out)?, &which, false),
        Command::Accept(which) => changing(&global, out, |session| store::accept(session, &which)),
        Command::Export(args) => export::run(&Session::open(&global, out)?, &args),
        Command::History(args) => history::list(&Session::open(&global, out)?, &args),
        Command::Show(args) => history::show(&Session::open(&global, out)?, &args),
        Command::Incidents(args) => incidents::list(&Session::open(&global, out)?, &args),
        Command::Incident(command) => incidents::one(&Session::open(&global, out)?, &command),
        Command::Pause(args) => changing(&global, out, |session| pause::pause(session, &args)),
        Command::Resume { job } => changing(&global, out, |session| pause::resume(session, &job)),
        Command::Next(args) => next::run(&Session::open(&global, out)?, &args),
        Command::Explain(args) => explain::run(&Session::open(&global, out)?, &args),
        Command::Status => status::run(&Session::open(&global, out)?),
        Command::Diagnose(args) => diagnose::run(&Session::open(&global, out)?, &args),
        Command::AlertRules(args) => alert_rules::rules(&Session::open(&global, out)?, args),
        Command::Dashboard(args) => alert_rules::dashboard(out, &args),
        Command::NotifyTest { names } => notify_test::run(&Session::open(&global, out)?, &names),
        Command::SystemdTimers(args) => systemd_timers::run(&Session::open(&global, out)?, &args),
    }
}

/// A command that may change how a job stands, which the metrics are to say.
fn changing(
    global: &Global,
    out: Output,
    command: impl FnOnce(&Session) -> Result<ExitCode, CliError>,
) -> Result<ExitCode, CliError> {
    let session = Session::open(global, out)?;
    let ended = command(&session);
    session.write_metrics();
    ended
}

/// The command line as clap knows it.
fn command() -> clap::Command {
    Cli::command()
}
