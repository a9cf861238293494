//! `/api/plugins`: what 7.5.5 has of its own. Nothing here can be changed, so the record itself is the answer.

use super::http::{Answer, Call, Outcome};
use super::state::State;

const RECORD: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/grafana-7.5.5/109-plugins.http"));

pub(super) fn route(_: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    if call.method != "GET" || path != ["api", "plugins"] {
        return None;
    }
    let (_, body) = RECORD.split_once("\n<\n").expect("a record has a head and a body");
    Some(Ok(Answer::text(200, "application/json", body.trim_end())))
}
