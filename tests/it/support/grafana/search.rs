//! `/api/search`.

use serde_json::Value;

use super::dashboards::hit;
use super::http::{Answer, Call, Outcome};
use super::json::page;
use super::permissions::{VIEW, level};
use super::state::{Dashboard, State};

pub(super) const FOLDERS: &str = "dash-folder";
pub(super) const DASHBOARDS: &str = "dash-db";

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    match (call.method.as_str(), path) {
        ("GET", ["api", "search" | "search/"]) => Some(search(state, call)),
        _ => None,
    }
}

fn search(state: &mut State, call: &Call) -> Outcome {
    let limit = call.number("limit", 1000);
    if limit > 5000 {
        let text = "Limit is above maximum allowed (5000), use page parameter to access hits beyond limit";
        return Err(Answer::message(422, text)); // [R 081]
    }
    let nested = state.nested;
    let org = state.org(call.caller.org);
    let named = call.all("folderUIDs").into_iter().filter_map(|uid| org.by_uid(uid)).map(|f| f.id);
    let numbered = call.all("folderIds").into_iter().filter_map(|id| id.parse().ok());
    let folders: Vec<i64> = numbered.chain(named).collect();
    let query = call.param("query").unwrap_or_default().to_lowercase();
    let fits = |d: &&Dashboard| {
        let kind = match call.param("type") {
            Some(FOLDERS) => d.is_folder,
            Some(DASHBOARDS) => !d.is_folder,
            _ => true,
        };
        let folder = folders.is_empty() || folders.contains(&d.folder);
        let visible = level(org, &call.caller, d) >= VIEW;
        kind && folder && visible && d.title.to_lowercase().contains(&query)
    };
    let mut found: Vec<_> = org.dashboards.values().filter(fits).collect();
    found.sort_by_cached_key(|d| (d.title.to_lowercase(), d.id));
    // Past the end there is an empty list, and no error [R 083].
    let shown = page(found, limit, call.number("page", 1));
    Ok(Answer::ok(&shown.into_iter().map(|d| hit(org, d, nested)).collect::<Value>()))
}
