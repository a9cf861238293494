//! `notify-test`: sends a message by each notifier, and says what came back.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::exit_code::ExitCode;
use super::output::{CliError, table};
use super::session::{GRACE, Session, block_on, host};
use crate::config::notify::Notifier;

pub(super) fn run(session: &Session, name: Option<&str>) -> Result<ExitCode, CliError> {
    let notifiers = chosen(session, name)?;
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

/// The one that is called so, or all.
fn chosen(session: &Session, name: Option<&str>) -> Result<Vec<Notifier>, CliError> {
    let all = &session.config.notify;
    if all.is_empty() {
        let message = format!("There is no notifier in {}", session.config.path.display());
        let hint = "add one, such as [notify.ops] with type = \"email\"".to_owned();
        return Err(CliError::usage(message, Some(hint)));
    }
    let Some(name) = name else { return Ok(all.values().cloned().collect()) };
    let found = all.values().find(|notifier| notifier.name.as_str() == name);
    found.map(|notifier| vec![notifier.clone()]).ok_or_else(|| {
        let names: Vec<&str> = all.keys().map(crate::config::values::Name::as_str).collect();
        let hint = format!("the notifiers are: {}", names.join(", "));
        CliError::usage(format!("There is no notifier {name:?}"), Some(hint))
    })
}
