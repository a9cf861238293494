//! `change take-back`: settles a change that was cut, and nothing else.

use serde_json::json;

use super::{Common, failed, nothing_done, shown, whose, with_app};
use crate::app::{App, ChangeAction};
use crate::cli::bar;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::CliError;
use crate::cli::session::Session;
use crate::config::values::PrometheusTarget;
use crate::prometheus::config_change::ChangeError;

pub(super) fn run(session: &Session, keep: bool, common: &Common) -> Result<ExitCode, CliError> {
    let target = whose(session, common.prometheus.as_deref())?;
    common.asking.check(session, "Prometheus")?;
    with_app(session, async |app| settle(session, app, (target, keep), common).await)
}

async fn settle(
    session: &Session,
    app: &App,
    (target, keep): (&PrometheusTarget, bool),
    common: &Common,
) -> Result<ExitCode, CliError> {
    let reach = app.reach_configuration(target).await;
    let reach = reach.map_err(|error| CliError::of(ExitCode::Failed, &error, error.hint()))?;
    let told = match reach.cut() {
        Ok(None) => {
            session.out.result(&json!({ "cut": null, "runs": [] }), || {
                format!("No change of Prometheus {} was cut.\n", target.name)
            });
            return Ok(ExitCode::Ok);
        }
        Ok(Some(cut)) => {
            session.out.say(&cut.words(&session.time(cut.began)));
            json!(cut)
        }
        // It is forgotten unread.
        Err(error @ ChangeError::BadNote { .. }) if keep => json!(error.to_string()),
        Err(error) => return Err(failed(&error)),
    };
    if common.asking.dry_run {
        let would = if keep { "It would be forgotten." } else { "The old file would be put back." };
        session.out.result(&json!({ "cut": told }), || format!("{would}\n"));
        return Ok(ExitCode::Ok);
    }
    let question = if keep { "Leave the file as it is?" } else { "Put the old file back?" };
    if !common.asking.agrees(session, question) {
        return Ok(nothing_done(session));
    }
    let action = if keep { ChangeAction::KeepCut(reach) } else { ChangeAction::TakeBackCut(reach) };
    let report = app.run_change(target, action, bar::sink(session)).await;
    let code = ExitCode::of(&report);
    shown(session, &[report]);
    Ok(code)
}
