//! `change dashboard`: it gets where it belongs under its own UID, the old one is kept, and of a change that fails nothing
//! stays.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::grafana::{Fault, Grafana, Version, What};
use crate::support::grafana_keeper::{ADMIN, target};
use crate::support::wait_until;
use crate::support::watchkeeper::{Output, Watchkeeper};

const SAVE: &str = "/api/dashboards/db";

/// A Grafana with the dashboard `board` in the folder `Team`.
fn scene(version: Version) -> (Grafana, Watchkeeper) {
    let grafana = Grafana::start(version);
    let folder = grafana.seed().make("/api/folders", &json!({ "uid": "team", "title": "Team" }));
    grafana.seed().make("/api/folders", &json!({ "uid": "other", "title": "Other" }));
    let body = json!({ "dashboard": board("old"), "folderUid": "team", "folderId": folder["id"] });
    grafana.seed().make(SAVE, &body);
    let watchkeeper = Watchkeeper::with_config(&target("main", &grafana.url(), ADMIN));
    (grafana, watchkeeper)
}

fn board(panel: &str) -> Value {
    let panels = json!([{ "id": 1, "type": "text", "title": panel }]);
    json!({ "uid": "board", "title": "Board", "schemaVersion": 27, "panels": panels })
}

fn put(watchkeeper: &Watchkeeper, dashboard: &Value, more: &[&str]) -> Output {
    let file = watchkeeper.folder().join("board.json");
    fs::write(&file, dashboard.to_string()).unwrap();
    watchkeeper.run(&[&["change", "dashboard", file.to_str().unwrap()], more].concat())
}

/// What is there: the title of its panel, and its folder.
fn there(grafana: &Grafana, uid: &str) -> Option<(String, String)> {
    let (status, found) = grafana.seed().ask("GET", &format!("/api/dashboards/uid/{uid}"), &Value::Null);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (status == 200)
        .then(|| (text(&found["dashboard"]["panels"][0]["title"]), text(&found["meta"]["folderTitle"])))
}

fn is(panel: &str, folder: &str) -> (String, String) {
    (panel.to_owned(), folder.to_owned())
}

fn kept(watchkeeper: &Watchkeeper) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(watchkeeper.state().join("changes")) else { return Vec::new() };
    let mut kept: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    kept.sort();
    kept
}

#[test]
fn a_dashboard_is_replaced_where_it_is_and_what_was_there_is_kept() {
    for version in [Version::V7_5, Version::V9] {
        let (grafana, watchkeeper) = scene(version);
        let plan = put(&watchkeeper, &board("new"), &["--dry-run"]).expect(0);
        assert!(
            plan.stdout.contains("-      \"title\": \"old\"")
                && plan.stdout.contains("+      \"title\": \"new\""),
            "{plan:?}"
        );
        put(&watchkeeper, &board("new"), &[]).expect(2);
        assert_eq!((there(&grafana, "board"), kept(&watchkeeper).len()), (Some(is("old", "Team")), 0));
        // As the API gives it, with a number of another server.
        let mut foreign = json!({ "dashboard": board("new"), "meta": {} });
        foreign["dashboard"]["id"] = json!(4711);
        let done = put(&watchkeeper, &foreign, &["--yes"]).expect(0);
        assert_eq!(there(&grafana, "board"), Some(is("new", "Team")), "{done:?}");
        let again = put(&watchkeeper, &board("new"), &["--yes"]).expect(0);
        assert!(again.stdout.contains("so already"), "{again:?}");
        let kept = kept(&watchkeeper);
        assert!(kept.len() == 1 && done.stdout.contains(kept[0].to_str().unwrap()), "{done:?}");
        watchkeeper.run(&["change", "dashboard", kept[0].to_str().unwrap(), "--yes"]).expect(0);
        assert_eq!(there(&grafana, "board"), Some(is("old", "Team")));
    }
}

#[test]
fn a_folder_is_meant_by_its_title_and_a_new_dashboard_keeps_its_uid() {
    let (grafana, watchkeeper) = scene(Version::V9);
    put(&watchkeeper, &board("old"), &["--folder", "Other", "--yes"]).expect(0);
    assert_eq!(there(&grafana, "board"), Some(is("old", "Other")), "it moves");
    let mut new = board("one");
    (new["uid"], new["title"]) = (json!("fresh"), json!("Fresh"));
    put(&watchkeeper, &new, &["--folder", "team", "--yes"]).expect(0);
    assert_eq!(there(&grafana, "fresh"), Some(is("one", "Team")));
    let nowhere = put(&watchkeeper, &new, &["--folder", "Nowhere", "--yes"]).expect(2);
    assert!(nowhere.stderr.contains("Other, Team"), "{nowhere:?}");
    put(&watchkeeper, &json!({ "title": "No UID" }), &["--yes"]).expect(2);
    grafana.seed().provisioned_dashboard("board");
    let provisioned = put(&watchkeeper, &board("new"), &["--yes"]).expect(1);
    assert!(provisioned.stderr.contains("comes from a file on the server"), "{provisioned:?}");
}

#[test]
fn what_grafana_did_not_do_as_it_was_told_is_taken_back() {
    let (grafana, watchkeeper) = scene(Version::V9);
    // It is saved, and nobody hears of it.
    grafana.inject(Fault::new(What::CutAfter).on("POST", SAVE).times(1));
    let cut = put(&watchkeeper, &board("new"), &["--yes"]).expect(1);
    assert!(cut.stdout.contains("the dashboard is as it was before"), "{cut:?}");
    assert_eq!(there(&grafana, "board"), Some(is("old", "Team")));
    grafana.heal();
    // Once it was saved, something else is there: one look plans, two are before the save, one after it.
    let target = SAVE.to_owned();
    let body = json!({ "dashboard": board("else"), "folderUid": "team", "overwrite": true });
    let meanwhile = What::Meanwhile { method: "POST", target, body };
    grafana.inject(Fault::new(meanwhile).on("GET", "/api/dashboards/uid/board").after(4).times(1));
    let differs = put(&watchkeeper, &board("new"), &["--yes"]).expect(1);
    assert!(differs.stdout.contains("it differs in dashboard"), "{differs:?}");
    assert_eq!(there(&grafana, "board"), Some(is("old", "Team")));
    grafana.heal();
    // One that was not there goes again.
    let mut new = board("one");
    (new["uid"], new["title"]) = (json!("fresh"), json!("Fresh"));
    grafana.inject(Fault::new(What::CutAfter).on("POST", SAVE).times(1));
    put(&watchkeeper, &new, &["--yes"]).expect(1);
    assert_eq!(there(&grafana, "fresh"), None);
    grafana.heal();
    // It does all that it is asked, and never says so: what is read back counts.
    for what in [What::CutAfter, What::DoneBut { status: 500, body: "{}".to_owned() }] {
        grafana.inject(Fault::new(what).on("POST", SAVE));
        let back = put(&watchkeeper, &board("new"), &["--yes"]).expect(1);
        assert!(back.stdout.contains("the dashboard is as it was before"), "{back:?}");
        assert_eq!((there(&grafana, "board"), is_open(&watchkeeper)), (Some(is("old", "Team")), false));
        grafana.heal();
    }
}

/// Whether the note of a change is there, and status says so.
fn is_open(watchkeeper: &Watchkeeper) -> bool {
    let is_noted = watchkeeper.state().join("changes/grafana-main.json").exists();
    let status = watchkeeper.run(&["status"]).stdout;
    assert_eq!(status.contains("CAUTION: a change is open, begun "), is_noted, "{status}");
    is_noted
}

#[test]
fn what_could_not_be_taken_back_is_by_the_next_change() {
    let (grafana, watchkeeper) = scene(Version::V9);
    // It is saved, nobody hears of it, and from then on nothing is saved any more.
    grafana.inject(Fault::new(What::CutAfter).on("POST", SAVE).times(1));
    grafana.inject(Fault::new(What::answers(500, "{}")).on("POST", SAVE));
    let not_back = put(&watchkeeper, &board("new"), &["--yes"]).expect(4);
    assert_eq!(there(&grafana, "board"), Some(is("new", "Team")));
    assert!(not_back.stdout.contains("the old dashboard is NOT back"), "{not_back:?}");
    let kept = kept(&watchkeeper).into_iter().find(|kept| !kept.ends_with("grafana-main.json")).unwrap();
    let way = format!("`watchkeeper change dashboard {}` brings the old one back", kept.display());
    assert!(not_back.stdout.contains(&way) && !not_back.stdout.contains("--undo"), "{not_back:?}");
    assert!(is_open(&watchkeeper));
    // It still is not, which ends as badly as before.
    let still = put(&watchkeeper, &board("new"), &["--yes"]).expect(4);
    assert!(still.stdout.contains("still NOT back"), "{still:?}");
    grafana.heal();
    let dry = put(&watchkeeper, &board("next"), &["--dry-run"]).expect(0);
    assert!(dry.stderr.contains("A change was cut, begun ") && is_open(&watchkeeper), "{dry:?}");
    let done = put(&watchkeeper, &board("next"), &["--yes"]).expect(0);
    assert!(
        done.stdout.contains("a change that was cut") && done.stdout.contains("as it was before"),
        "{done:?}"
    );
    assert_eq!((there(&grafana, "board"), is_open(&watchkeeper)), (Some(is("next", "Team")), false));
    // It was the old one again before that.
    watchkeeper.run(&["change", "dashboard", newest(&watchkeeper).to_str().unwrap(), "--yes"]).expect(0);
    assert_eq!(there(&grafana, "board"), Some(is("old", "Team")));
}

/// What was kept last.
fn newest(watchkeeper: &Watchkeeper) -> PathBuf {
    let written = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    kept(watchkeeper).into_iter().max_by_key(written).unwrap()
}

#[test]
fn a_change_that_was_killed_is_told_and_settled_by_the_next() {
    for (passes, was_done) in [(2, false), (3, true)] {
        let (grafana, watchkeeper) = scene(Version::V9);
        // One look plans, two are before the save, and two after it.
        let fault = Fault::new(What::Hangs).on("GET", "/api/dashboards/uid/board");
        grafana.inject(fault.after(passes));
        let file = watchkeeper.folder().join("board.json");
        fs::write(&file, board("new").to_string()).unwrap();
        let mut change = watchkeeper.command(&["change", "dashboard", file.to_str().unwrap(), "--yes"]);
        let mut change = change.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let note = watchkeeper.state().join("changes/grafana-main.json");
        wait_until("it is noted", Duration::from_mins(1), || note.exists());
        let wanted = if was_done { is("new", "Team") } else { is("old", "Team") };
        wait_until("it is so far", Duration::from_mins(1), || {
            there(&grafana, "board") == Some(wanted.clone())
        });
        change.kill().unwrap();
        change.wait().unwrap();
        grafana.heal();
        assert!(is_open(&watchkeeper));
        let next = put(&watchkeeper, &board("new"), &["--yes"]).expect(0);
        let said = if was_done {
            "it was done: what is there is what was to be written"
        } else {
            "as it was before"
        };
        assert!(next.stdout.contains(said), "{next:?}");
        assert_eq!(next.stdout.contains("That is so already"), was_done, "{next:?}");
        assert_eq!((there(&grafana, "board"), is_open(&watchkeeper)), (Some(is("new", "Team")), false));
    }
}

#[test]
fn what_somebody_else_has_made_of_a_change_that_was_killed_is_left() {
    let (grafana, watchkeeper) = scene(Version::V9);
    grafana.inject(Fault::new(What::CutAfter).on("POST", SAVE).times(1));
    grafana.inject(Fault::new(What::answers(500, "{}")).on("POST", SAVE));
    put(&watchkeeper, &board("new"), &["--yes"]).expect(4);
    grafana.heal();
    let body = json!({ "dashboard": board("else"), "folderUid": "team", "overwrite": true });
    grafana.seed().make(SAVE, &body);
    let left = put(&watchkeeper, &board("else"), &["--yes"]).expect(3);
    assert!(
        left.stdout.contains("somebody has changed it since; what was there before the change is kept as "),
        "{left:?}"
    );
    assert_eq!((there(&grafana, "board"), is_open(&watchkeeper)), (Some(is("else", "Team")), false));
}
