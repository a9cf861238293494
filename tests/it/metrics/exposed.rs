//! What is exposed is what docs/METRICS.md says, in both formats.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::*;

/// A metric as it is told: type, unit, labels.
type Told = (String, String, BTreeSet<String>);

/// The tables of the document.
fn documented() -> BTreeMap<String, Told> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `watchkeeper_"));
    let of = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let bare = |cell: &str| cell.replace('`', "");
        let labels =
            bare(cells[4]).split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        assert!(cells[5].len() > 3, "{row}: no meaning");
        let kind = cells[2].split(' ').next().unwrap().to_owned();
        (bare(cells[1]), (kind, cells[3].to_owned(), labels))
    };
    let told: Vec<(String, Told)> = rows.map(of).collect();
    let all: BTreeMap<String, Told> = told.iter().cloned().collect();
    assert_eq!(all.len(), told.len(), "a metric stands there twice");
    all
}

/// What OpenMetrics text tells.
fn told(text: &str) -> BTreeMap<String, Told> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let (mut all, mut kinds, mut units) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["#", "TYPE", name, kind] => drop(kinds.insert(name.to_owned(), kind.to_owned())),
            ["#", "UNIT", name, unit] => drop(units.insert(name.to_owned(), unit.to_owned())),
            ["#", ..] => {}
            _ => {
                let sample = line.rsplit_once(' ').unwrap().0;
                let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
                let labels = labels.split("\",").filter_map(|label| label.split_once("=\""));
                let labels = labels.map(|(label, _)| label.to_owned()).collect();
                let family =
                    ["_total", "_info"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
                let unit = units.get(family).cloned().unwrap_or_default();
                all.insert(name.to_owned(), (kinds[family].clone(), unit, labels));
            }
        }
    }
    all
}

/// A daemon of which there is everything to say: a job with backups that has missed slots, and one that failed.
fn eventful(port: u16) -> (Watchkeeper, Child) {
    let watchkeeper = Watchkeeper::with_config("");
    let jobs = backup(&watchkeeper, "conf", "schedule = \"@every 2h\"")
        + &command("broken", "false", "schedule = \"@every 3d\"\nretries = { max = 0 }")
        + &command("off", "true", "enabled = false")
        + &command("follows", "true", "after = [\"broken\"]\nafter_outcome = \"always\"");
    watchkeeper.configure(&(listening(port) + &jobs));
    // Who follows another is watched too.
    introduce(&watchkeeper, 3);
    watchkeeper.run(&["run-now", "broken"]).expect(1);
    set_back(&watchkeeper, 9);
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    fs::write(watchkeeper.state().join(format!("history.db.damaged-{now}")), "").unwrap();
    let daemon = start(&watchkeeper);
    wait_until("what was missed is made up for", SOON, || {
        value(&metrics(port), "watchkeeper_job_backups{job_name=\"conf\"") == Some(1.0)
    });
    (watchkeeper, daemon)
}

#[test]
fn what_the_document_says_is_exposed_and_nothing_else() {
    let port = free_port();
    let (watchkeeper, daemon) = eventful(port);
    let open =
        [("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")];
    let answer = http::send(port, "GET", "/metrics", &open, "").unwrap();
    assert!(answer.headers().any(|header| {
        header
            .eq_ignore_ascii_case("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8")
    }));
    let (told, documented) = (told(&answer.body), documented());
    assert_eq!(told, documented);
    let text = metrics(port);
    let of = |name: &str, job: &str| value(&text, &format!("watchkeeper_job_{name}{{job_name=\"{job}\""));
    // Of the nine hours four or five slots, the newest of which was made up for.
    let missed = of("missed_slots_total", "conf").unwrap();
    assert!((3.0..=4.0).contains(&missed), "{missed}");
    assert_eq!(
        (of("period_seconds", "conf"), of("period_seconds", "follows")),
        (Some(7200.0), Some(259_200.0))
    );
    assert_eq!((of("period_seconds", "off"), of("enabled", "off")), (None, Some(0.0)));
    assert_eq!(
        (of("consecutive_failures", "broken"), of("consecutive_failures", "conf")),
        (Some(1.0), Some(0.0))
    );
    assert_eq!((of("backups", "conf"), of("backups", "broken")), (Some(1.0), None));
    let outcome =
        "watchkeeper_job_last_outcome{job_name=\"broken\",kind=\"command\",target=\"\",outcome=\"failed\"}";
    assert_eq!(value(&text, outcome), Some(1.0));
    assert_eq!(value(&text, &outcome.replace("failed", "done")), Some(0.0));
    assert_eq!(value(&text, "watchkeeper_history_readable"), Some(1.0));
    assert_eq!(value(&text, "watchkeeper_daemon_running"), Some(1.0));
    if promtool_is_here() {
        assert_eq!(lint(&text), "");
    }
    stop(&watchkeeper, daemon);
}

#[test]
fn what_cannot_be_read_any_more_is_left_out_and_that_is_said() {
    let port = free_port();
    let watchkeeper = Watchkeeper::with_config("");
    let job = backup(&watchkeeper, "conf", "schedule = \"@every 90d\"");
    watchkeeper
        .configure(&(listening(port) + &job + &command("nudge", "true", "schedule = \"*/2 * * * * *\"")));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let daemon = start(&watchkeeper);
    let backups = "watchkeeper_job_backups{job_name=\"conf\"";
    wait_until("the backup is seen", SOON, || value(&metrics(port), backups) == Some(1.0));
    let (store, away) = (watchkeeper.store_of("conf"), watchkeeper.folder().join("away"));
    fs::rename(&store, &away).unwrap();
    fs::write(&store, "").unwrap();
    let readable = "watchkeeper_history_readable";
    wait_until("it is not to be read", SOON, || value(&metrics(port), readable) == Some(0.0));
    let text = metrics(port);
    assert!(value(&text, backups).is_none() && !text.contains("last_success"), "{text}");
    assert_eq!(value(&text, "watchkeeper_job_enabled{job_name=\"conf\""), Some(1.0));
    fs::remove_file(&store).unwrap();
    fs::rename(&away, &store).unwrap();
    wait_until("the backup is seen again", SOON, || value(&metrics(port), backups) == Some(1.0));
    stop(&watchkeeper, daemon);
}
