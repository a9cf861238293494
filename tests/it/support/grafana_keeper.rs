//! A Grafana, an export job of it, and restores.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::grafana::{Builder, Grafana, Version};
use super::scratch;
use super::watchkeeper::{Output, Watchkeeper};

pub(crate) const JOB: &str = "grafana";
pub(crate) const ADMIN: &str = "user = \"admin\"\npassword = { plain = \"admin\" }";
/// Every secret of the sample.
pub(crate) const SECRETS: &str = "[data-sources.prom]\nbasicAuthPassword = \"sample-secret\"\n\
                       [contact-points.hook]\npassword = \"sample-secret\"\n\
                       [alert-channels.channel]\npassword = \"sample-secret\"\n\
                       [users.ann]\npassword = \"long enough\"\n[users.bob]\npassword = \"long enough\"\n";
/// How long a restore may take to come to a moment.
pub(crate) const COMING: Duration = Duration::from_secs(30);

pub(crate) fn target(name: &str, url: &str, credentials: &str) -> String {
    format!("[grafana.{name}]\nurl = \"{url}\"\n{credentials}\n")
}

/// The program with one export job of this Grafana, and others to restore to.
pub(crate) fn keeper_of(targets: &[(&str, String, &str)], keys: &str) -> Watchkeeper {
    let targets: String =
        targets.iter().map(|(name, url, credentials)| target(name, url, credentials)).collect();
    Watchkeeper::with_config(&format!(
        "{targets}[[job]]\nname = \"{JOB}\"\nkind = \"grafana-export\"\ngrafana = \"main\"\nkeep = {{ last = 9 }}\n{keys}\n"
    ))
}

pub(crate) fn keeper(grafana: &Grafana) -> Watchkeeper {
    keeper_of(&[("main", grafana.url(), ADMIN)], ALL)
}

/// Also what is exported only where it is asked for.
pub(crate) const ALL: &str = "include = [\"annotations\", \"snapshots\"]";

pub(crate) fn export(keeper: &Watchkeeper) {
    let exported = keeper.run(&["run-now", JOB]);
    assert!(matches!(exported.code, 0 | 3), "{exported:?}");
}

/// The files of the newest export, byte by byte. Only the day on which a snapshot goes is another one after a restore:
/// "never" is so many years from then.
pub(crate) fn files(keeper: &Watchkeeper) -> BTreeMap<String, String> {
    let into = tempfile::tempdir_in(keeper.folder()).unwrap();
    let archive = newest(&keeper.store_of(JOB), ".tar.gz");
    let tar = std::process::Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(into.path()).status();
    assert!(tar.unwrap().success());
    let read = |path: PathBuf| {
        let text = fs::read_to_string(into.path().join(&path)).unwrap();
        let is_day = |line: &&str| line.trim_start().starts_with("\"expires\": ");
        let kept = text.lines().filter(|line| !is_day(line));
        (path.display().to_string(), kept.collect::<Vec<_>>().join("\n"))
    };
    scratch::files_below(into.path()).into_iter().map(read).collect()
}

pub(crate) fn newest(folder: &Path, ending: &str) -> PathBuf {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(ending) && !name.ends_with(".state.json") && !name.starts_with('.')
    };
    // The second one of a second has more behind its time, and the end of a name sorts above that.
    let id = |path: &PathBuf| path.to_str().unwrap().strip_suffix(ending).unwrap().to_owned();
    all.filter(is_it).max_by_key(id).unwrap()
}

/// A file of secrets that only its owner may read.
pub(crate) fn secrets(keeper: &Watchkeeper, text: &str) -> String {
    let path = keeper.folder().join("secrets.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

pub(crate) fn sample(version: Version) -> Grafana {
    let grafana = Builder::default().version(version).start();
    grafana.seed().one_of_everything();
    grafana
}

/// Somebody deletes one of the sample's dashboards.
pub(crate) fn lose_hosts(grafana: &Grafana) {
    grafana.seed().ask("DELETE", "/api/dashboards/uid/hosts", &Value::Null);
}

/// Somebody gives another of its dashboards this title, and takes all else out of it.
pub(crate) fn change_overview(grafana: &Grafana, title: &str) {
    let changed = json!({ "dashboard": { "uid": "overview", "title": title }, "overwrite": true });
    grafana.seed().make("/api/dashboards/db", &changed);
}

pub(crate) fn restore(keeper: &Watchkeeper, more: &[&str]) -> Output {
    keeper.run(&[&["restore", JOB, "--yes"], more].concat())
}

pub(crate) fn actions(planned: &Output) -> Vec<(String, String)> {
    let plan = planned.json()["plan"].clone();
    let items = plan["items"].as_array().unwrap_or_else(|| panic!("{planned:?}")).clone();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    items
        .iter()
        .map(|item| (text(item, "action"), format!("{}/{}", text(item, "type"), text(item, "key"))))
        .collect()
}

/// Without these fields, wherever they stand.
pub(crate) fn without(value: &Value, names: &[&str]) -> Value {
    match value {
        Value::Array(all) => all.iter().map(|one| without(one, names)).collect(),
        Value::Object(all) => {
            let kept = all.iter().filter(|(name, _)| !names.contains(&name.as_str()));
            Value::Object(kept.map(|(name, one)| (name.clone(), without(one, names))).collect())
        }
        other => other.clone(),
    }
}

/// Where two values first differ, for a message that can be read.
pub(crate) fn difference(a: &Value, b: &Value, path: &str) -> Option<String> {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let names: std::collections::BTreeSet<&String> = x.keys().chain(y.keys()).collect();
            names.into_iter().find_map(|name| {
                let of =
                    |object: &serde_json::Map<String, Value>| object.get(name).cloned().unwrap_or_default();
                difference(&of(x), &of(y), &format!("{path}/{name}"))
            })
        }
        _ if a == b => None,
        _ => Some(format!("{path}: {a} and {b}")),
    }
}

#[track_caller]
pub(crate) fn assert_same(a: &Value, b: &Value, why: &str) {
    if let Some(difference) = difference(a, b, "") {
        panic!("{why}\n{difference}");
    }
}

/// A Grafana that is empty but for something that keeps one object of the backup out of it, the backup's, and the program.
pub(crate) fn with_one_in_the_way() -> (Grafana, Grafana, Watchkeeper) {
    let here = sample(Version::V11_2);
    let there = Builder::default().version(Version::V11_2).ids_from(300).start();
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    there.seed().make(
        "/api/datasources",
        &json!({ "uid": "own", "name": "Loki", "type": "loki", "access": "proxy" }),
    );
    (here, there, keeper)
}

pub(crate) fn dashboards_of(grafana: &Grafana) -> Vec<String> {
    let hits = grafana.seed().ask("GET", "/api/search?type=dash-db", &Value::Null).1;
    let mut uids: Vec<String> =
        hits.as_array().unwrap().iter().map(|hit| hit["uid"].as_str().unwrap().to_owned()).collect();
    uids.sort();
    uids
}
