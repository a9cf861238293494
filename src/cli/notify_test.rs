//! `notify-test`: sends a message by each notifier, and says what came back.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::session::{GRACE, Session, block_on, host};
use crate::config::notify::Notifier;

pub(super) fn run(session: &Session, names: &[String]) -> Result<ExitCode, CliError> {
    let notifiers = chosen(session, names)?;
    session.start_log();
    let tested = block_on(async {
        let app = session.app_now(CancellationToken::new(), GRACE)?;
        Ok(app.notify_test(notifiers, &host()).await)
    })?;
    session.out.result(&json!({ "notifiers": tested }), || {
        let row = |tested: &crate::app::Tested| {
            let came = if tested.delivered { "delivered" } else { "FAILED" };
            vec![tested.notifier.clone(), tested.kind.to_owned(), came.to_owned(), tested.said.clone()]
        };
        table(&["notifier", "type", "message", "answer"], tested.iter().map(row))
    });
    Ok(if tested.iter().all(|tested| tested.delivered) { ExitCode::Ok } else { ExitCode::Failed })
}

/// Those that are called so, or all, as they stand in the file.
fn chosen(session: &Session, names: &[String]) -> Result<Vec<Notifier>, CliError> {
    let all = &session.config.notify;
    if all.is_empty() {
        let message = format!("There is no notifier in {}", session.config.path.display());
        let hint = "add one, such as [notify.ops] with type = \"email\"".to_owned();
        return Err(CliError::usage(message, Some(hint)));
    }
    let known: Vec<&str> = all.keys().map(crate::config::values::Name::as_str).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let hint = format!("the notifiers are: {}", known.join(", "));
        return Err(CliError::usage(format!("There is no notifier {unknown:?}"), Some(hint)));
    }
    let is_meant =
        |notifier: &&Notifier| names.is_empty() || names.iter().any(|name| notifier.name.as_str() == name);
    Ok(all.values().filter(is_meant).cloned().collect())
}
