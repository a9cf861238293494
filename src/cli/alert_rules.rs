//! `alert-rules` and `dashboard`: what a Prometheus and a Grafana need to make use of the metrics.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::exit_code::ExitCode;
use super::output::{CliError, Output};
use super::session::Session;
use crate::config::duration;
use crate::report::metrics::{self, RuleOptions, Watch};
use crate::store::atomic;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Write them into this file instead of printing them
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How long something must be wrong until an alert fires
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse, default_value = "5m")]
    hold: Duration,
    /// The `job_name` by which Prometheus scrapes the daemon
    #[arg(long, value_name = "NAME", default_value = "watchkeeper")]
    scrape_job: String,
    /// The metrics come by the textfile collector of node_exporter, and nobody scrapes the daemon [default where only
    /// "textfile" is configured]
    #[arg(long, conflicts_with = "scrape_job")]
    textfile: bool,
}

#[derive(clap::Args)]
pub(super) struct DashboardArgs {
    /// Write it into this file instead of printing it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn rules(session: &Session, args: Args) -> Result<ExitCode, CliError> {
    let shown = &session.config.metrics;
    if !shown.is_wanted() {
        session.out.say(
            "note: nobody has these metrics yet: jobs.toml has no [metrics] with \"listen\" or \"textfile\"",
        );
    }
    let by_file = args.textfile || (shown.listen.is_none() && shown.textfile.is_some());
    let watch = if by_file { Watch::Textfile } else { Watch::Scrape { job: args.scrape_job } };
    let groups = metrics::rules(&session.config, &RuleOptions { hold: args.hold, watch });
    let yaml = metrics::yaml(&groups);
    if let Some(path) = &args.file {
        write(path, &yaml)?;
        let next =
            format!("Next: name {} in rule_files of prometheus.yml, and reload Prometheus.", path.display());
        session.out.say(&next);
        session.out.result(&json!({ "file": path, "groups": groups }), String::new);
    } else {
        session.out.result(&json!({ "groups": groups }), || yaml);
    }
    Ok(ExitCode::Ok)
}

pub(super) fn dashboard(out: Output, args: &DashboardArgs) -> Result<ExitCode, CliError> {
    let dashboard = metrics::dashboard();
    let text = format!("{dashboard:#}\n");
    if let Some(path) = &args.file {
        write(path, &text)?;
        out.say("Next: import it in Grafana (Dashboards, Import), or put it into a folder that Grafana is provisioned from.");
        out.result(&json!({ "file": path }), String::new);
    } else {
        out.data(&text);
    }
    Ok(ExitCode::Ok)
}

/// Prometheus and Grafana are other users.
fn write(path: &Path, text: &str) -> Result<(), CliError> {
    atomic::replace(path, text.as_bytes(), 0o644).map_err(|error| CliError {
        code: ExitCode::Failed,
        message: format!("Cannot write {}: {error}", path.display()),
        hint: None,
    })
}
