//! Changes of dashboards that are neither proven nor taken back, for `status`.

use crate::cli::session::Session;
use crate::config::values::Name;
use crate::grafana::change::{Cut, cut};
use crate::words;

/// A change of a dashboard that is not settled.
#[derive(serde::Serialize)]
pub(super) struct OpenChange {
    grafana: Name,
    #[serde(flatten)]
    cut: Option<Cut>,
    /// Why nobody can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn open_changes(session: &Session) -> Vec<OpenChange> {
    let look = |grafana: &Name| match cut(&session.config.state_dir, grafana.as_str()) {
        Ok(None) => None,
        Ok(cut) => Some(OpenChange { grafana: grafana.clone(), cut, error: None }),
        Err(error) => {
            Some(OpenChange { grafana: grafana.clone(), cut: None, error: Some(words::chain(&error)) })
        }
    };
    session.config.grafana.keys().filter_map(look).collect()
}

pub(super) fn of_change(session: &Session, change: &OpenChange) -> String {
    let name = &change.grafana;
    let Some(cut) = &change.cut else {
        let error = change.error.as_deref().unwrap_or_default();
        return format!(
            "CAUTION: whether a change of a dashboard of Grafana {name} is open cannot be told: {error}"
        );
    };
    let kept = cut.backup.as_ref().map(|kept| format!(" The old one is kept as {}.", kept.display()));
    format!(
        "CAUTION: a change is open, begun {}: {}. Unless it still runs it was cut; the next `watchkeeper change dashboard` \
         settles it.{}",
        session.time(cut.began),
        cut.what,
        kept.unwrap_or_default()
    )
}
