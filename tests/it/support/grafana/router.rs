//! From a request to the subject that answers it.

use serde_json::json;

use super::http::{Answer, Call, Outcome};
use super::state::State;
use super::{
    alerting, annotations, auth, contacts, correlations, dashboards, data_sources, folders, legacy, library,
    orgs, people, permissions, playlists, plugins, preferences, public_dashboards, search, service_accounts,
    snapshots, teams,
};

/// What a subject makes of a request; `None` for one that is none of its own.
type Route = fn(&mut State, &Call, &[&str]) -> Option<Outcome>;

const ROUTES: [Route; 21] = [
    alerting::route,
    annotations::route,
    auth::route,
    contacts::route,
    correlations::route,
    dashboards::route,
    data_sources::route,
    folders::route,
    legacy::route,
    library::route,
    orgs::route,
    people::route,
    permissions::route,
    playlists::route,
    plugins::route,
    preferences::route,
    public_dashboards::route,
    search::route,
    service_accounts::route,
    snapshots::route,
    teams::route,
];

/// The answer to a request; fills in who it came from.
pub(super) fn answer(state: &mut State, call: &mut Call) -> Answer {
    if call.method == "GET"
        && let Some(answer) = open(state, call)
    {
        return answer;
    }
    call.caller = match auth::identify(state, call) {
        Ok(caller) => caller,
        Err(answer) => return answer,
    };
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match ROUTES.iter().find_map(|route| route(state, call, &path)) {
        Some(Ok(answer) | Err(answer)) => answer,
        // The text tells a route that is not there from an object that is not there [R 115, 116].
        None => Answer::front(404, "Not found"),
    }
}

/// What anyone may see.
fn open(state: &State, call: &Call) -> Option<Answer> {
    let path = call.target.split('?').next().unwrap_or_default();
    match path {
        "/api/health" if state.hide_version => Some(health(&json!({ "database": "ok" }))),
        "/api/health" => {
            let number = state.version.number();
            Some(health(&json!({ "commit": "6130ba8b4c", "database": "ok", "version": number })))
        }
        // Asks no database [S].
        "/healthz" => Some(Answer::text(200, "text/plain; charset=UTF-8", "Ok")),
        "/login" | "/" => {
            let page = "<!DOCTYPE html><html><head><title>Grafana</title></head><body>Log in</body></html>";
            Some(Answer::text(200, "text/html; charset=UTF-8", page))
        }
        _ => None,
    }
}

/// With spaces and line ends [R 001].
fn health(body: &serde_json::Value) -> Answer {
    let pretty = serde_json::to_string_pretty(body).expect("a value is JSON");
    Answer::text(200, "application/json; charset=UTF-8", &pretty)
}
