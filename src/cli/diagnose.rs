//! `diagnose`: makes the steps of the response to an alert, and prints what was found on one page.

use std::time::Duration;

use super::exit_code::ExitCode;
use super::output::CliError;
use super::run_now::signals;
use super::screen::Screen;
use super::session::{GRACE, Session, block_on};
use crate::config::duration;
use crate::config::response::{Labels, Response, shipped};
use crate::config::values::TargetName;
use crate::response::{Context, Severity, page};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The alert, as its rule names it
    alert: String,
    /// Look back so far, in logs and in Prometheus [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    last: Option<Duration>,
    /// A label of the alert, where several responses are for one alert: severity=critical
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// The application, where the response names none and there are several
    #[arg(long, value_name = "NAME", conflicts_with = "labels")]
    application: Option<String>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let found = text.split_once('=').filter(|(name, _)| !name.is_empty());
    found
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write NAME=VALUE".to_owned())
}

pub(super) fn run(session: &Session, args: &Args) -> Result<ExitCode, CliError> {
    let last = args.last.unwrap_or(Context::LAST);
    if last.is_zero() {
        return Err(CliError::usage("--last must be more than 0", None));
    }
    let response = response(session, args)?;
    session.start_log();
    let diagnosis = block_on(async {
        let shutdown = signals()?;
        let app = session.app_to_restore(shutdown.cancel.clone(), GRACE)?;
        let diagnosis = app.diagnose(&response, last, &shutdown.stop).await;
        app.close().await;
        Ok((diagnosis, shutdown.stop.is_cancelled()))
    });
    let (diagnosis, is_interrupted) = diagnosis?;
    session.out.result(&diagnosis, || {
        let screen = Screen::of(std::io::stdout());
        let page = page(&diagnosis, session.zone());
        page.lines().map(|line| screen.fold(line) + "\n").collect()
    });
    Ok(match diagnosis.severity() {
        _ if is_interrupted => ExitCode::Interrupted,
        Severity::Bad => ExitCode::Failed,
        Severity::Caution => ExitCode::Warned,
        Severity::Good => ExitCode::Ok,
    })
}

fn response(session: &Session, args: &Args) -> Result<Response, CliError> {
    let config = &session.config;
    let application = args.application.as_deref().map(|name| application(session, name)).transpose()?;
    let labels: Labels = args.labels.iter().cloned().collect();
    let found = if labels.is_empty() {
        config.response_named(&args.alert, application.as_ref())
    } else {
        config.response_for(&args.alert, &labels)
    };
    let response = found.ok_or_else(|| match config.response_named(&args.alert, None) {
        Some(_) => {
            let hint = "without --label the first one is taken".to_owned();
            CliError::usage(format!("No response to {:?} fits these labels", args.alert), Some(hint))
        }
        None => unknown(session, &args.alert),
    })?;
    if response.steps.is_empty() {
        let message = format!("There is nothing to look at for {}", response.alert);
        let hint = match config.application.len() {
            0 => "add an [application.NAME] with its url and its container".to_owned(),
            _ => "say which application it is about: --application NAME".to_owned(),
        };
        return Err(CliError::usage(message, Some(hint)));
    }
    Ok(response)
}

fn application(session: &Session, name: &str) -> Result<TargetName, CliError> {
    let found = session.config.application.keys().find(|known| known.as_str() == name);
    found.cloned().ok_or_else(|| {
        let names: Vec<&str> = session.config.application.keys().map(TargetName::as_str).collect();
        let hint = if names.is_empty() {
            "the file has none".to_owned()
        } else {
            format!("there is {}", names.join(", "))
        };
        CliError::usage(format!("There is no [application.{name}]"), Some(hint))
    })
}

fn unknown(session: &Session, alert: &str) -> CliError {
    let written = session.config.responses.iter().map(|response| response.alert.as_str());
    let mut names: Vec<&str> = written.chain(shipped::NAMES).collect();
    names.dedup();
    let near = names.iter().max_by(|a, b| strsim::jaro(a, alert).total_cmp(&strsim::jaro(b, alert)));
    let hint = match near.filter(|near| strsim::jaro(near, alert) > 0.8) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there is {}; others are written as [[response]]", names.join(", ")),
    };
    CliError::usage(format!("There is no response to {alert:?}"), Some(hint))
}
