//! A restore that is killed after each of its writes, one after the other: the next one finishes it, and an undo brings
//! back what was there before it, also once it is finished, and also where the undo is killed. `WATCHKEEPER_SWEEP=all`
//! kills at every write; otherwise it is every third, of an undo every sixth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::reliability::figure;
use crate::support;
use crate::support::grafana::{Fault, Grafana, Saved, Version, What};
use crate::support::grafana_keeper::{COMING, JOB, export, files, keeper, lose_hosts, newest, sample};
use crate::support::watchkeeper::Watchkeeper;

type Files = BTreeMap<String, String>;

/// A Grafana that is half as its backup has it, and from which a restore sets out again and again.
struct Sweep {
    grafana: Grafana,
    keeper: Watchkeeper,
    /// The backup: `grafana/ID`.
    backup: String,
    /// Its files.
    wanted: Files,
    /// The files of an export of what was there before the restore.
    before: Files,
    start: Moment,
}

/// Everything, at some time: what Grafana knows, and what lies on the disk.
struct Moment {
    grafana: Saved,
    disk: PathBuf,
}

impl Sweep {
    fn new(version: Version) -> Self {
        let grafana = sample(version);
        let keeper = keeper(&grafana);
        export(&keeper);
        let newest = newest(&keeper.store_of(JOB), ".json");
        let backup = format!("{JOB}/{}", newest.file_stem().unwrap().to_str().unwrap());
        let wanted = files(&keeper);
        make_another(&grafana, version);
        export(&keeper);
        let before = files(&keeper);
        let start = Self::moment(&grafana, &keeper, "start");
        Self { grafana, keeper, backup, wanted, before, start }
    }

    fn moment(grafana: &Grafana, keeper: &Watchkeeper, name: &str) -> Moment {
        let disk = keeper.folder().join(name);
        let _ = std::fs::remove_dir_all(&disk);
        std::fs::create_dir(&disk).unwrap();
        copy(&[keeper.state(), keeper.folder().join("backups")], &disk);
        Moment { grafana: grafana.saved(), disk }
    }

    fn go_back(&self, moment: &Moment) {
        for name in ["state", "backups"] {
            std::fs::remove_dir_all(self.keeper.folder().join(name)).unwrap();
        }
        copy(&[moment.disk.join("state"), moment.disk.join("backups")], self.keeper.folder());
        self.grafana.go_back(&moment.grafana);
        self.grafana.forget_requests();
    }

    fn restore(&self) -> String {
        let restored = self.keeper.run(&["restore", &self.backup, "--yes"]);
        assert!(matches!(restored.code, 0 | 3), "{restored:?}");
        restored.stdout
    }

    fn undo(&self) -> String {
        let undone = self.keeper.run(&["restore", JOB, "--undo", "--yes"]);
        assert!(matches!(undone.code, 0 | 3), "{undone:?}");
        undone.stdout
    }

    /// Runs it until so many writes are done, and the next one, if there is one, is asked for.
    fn run_until(&self, arguments: &[&str], (writes, all): (usize, usize)) {
        self.grafana.inject(Fault::new(What::Hangs).on_writes().after(writes));
        let mut cut = self.keeper.spawn(arguments);
        let since = Instant::now();
        while self.grafana.writes().len() < all.min(writes + 1) {
            assert!(since.elapsed() < COMING, "{writes} of {all}: {:?}", self.grafana.writes().len());
            std::thread::sleep(Duration::from_millis(2));
        }
        cut.kill().unwrap();
        cut.wait().unwrap();
        // What had been sent before is still done, and what hangs is not.
        while self.grafana.writes().iter().filter(|write| write.status.is_some()).count() < writes {
            assert!(since.elapsed() < COMING, "{writes} of {all} are never done");
            std::thread::sleep(Duration::from_millis(2));
        }
        self.grafana.heal();
    }

    fn export(&self) -> Files {
        export(&self.keeper);
        files(&self.keeper)
    }

    #[track_caller]
    fn assert_is(&self, wanted: &Files, but: &[&str], why: &str) {
        let is = self.export();
        let counts = |name: &&String| !but.iter().any(|but| name.contains(but));
        let names: BTreeSet<&String> = wanted.keys().chain(is.keys()).filter(counts).collect();
        let others: Vec<&&String> =
            names.iter().filter(|name| is.get(**name) != wanted.get(**name)).collect();
        // What counts them differs with them.
        if let Some(name) = others.last() {
            let (is, wanted) = (is.get(**name), wanted.get(**name));
            panic!("{others:?}\n{why}\nis {}\nwas {}", text(is), text(wanted));
        }
    }
}

fn text(file: Option<&String>) -> &str {
    file.map_or("not there", String::as_str)
}

fn copy(what: &[PathBuf], into: &std::path::Path) {
    support::run(std::process::Command::new("cp").arg("-a").args(what).arg(into));
}

/// Some of it is gone, some is another one, and some is not of the backup.
fn make_another(grafana: &Grafana, version: Version) {
    let ask = |method: &str, path: &str, body: Value| {
        let headers = [("X-Disable-Provenance", "true")];
        let (status, said) = grafana.seed().ask_with(method, path, &headers, &body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {said}");
    };
    let get = |path: &str| grafana.seed().ask("GET", path, &Value::Null).1;
    let user = |login: &str| get(&format!("/api/users/lookup?loginOrEmail={login}"))["id"].clone();
    let gone = Value::Null;
    lose_hosts(grafana);
    ask("DELETE", &format!("/api/orgs/{}", get("/api/orgs/name/Second")["id"]), gone.clone());
    ask("DELETE", &format!("/api/admin/users/{}", user("bob")), gone.clone());
    ask(
        "PUT",
        &format!("/api/users/{}", user("ann")),
        json!({ "login": "ann", "name": "Of old", "email": "ann@example.org" }),
    );
    ask("PATCH", &format!("/api/org/users/{}", user("ann")), json!({ "role": "Viewer" }));
    let team = get("/api/teams/search?name=ops")["teams"][0]["id"].clone();
    ask("DELETE", &format!("/api/teams/{team}/members/{}", user("ann")), gone.clone());
    ask("DELETE", "/api/folders/empty", gone.clone());
    ask("PUT", "/api/folders/infra", json!({ "title": "Of old", "overwrite": true }));
    ask(
        "POST",
        "/api/folders/infra/permissions",
        json!({ "items": [{ "role": "Editor", "permission": 1 }] }),
    );
    let infra = get("/api/folders/infra")["id"].clone();
    for (uid, title) in [("mine", "Mine"), ("overview", "Overview of old")] {
        let body = json!({ "dashboard": { "uid": uid, "title": title }, "folderUid": "infra", "folderId": infra, "overwrite": true });
        ask("POST", "/api/dashboards/db", body);
    }
    let loki = get("/api/datasources/uid/loki")["id"].clone();
    ask("DELETE", &format!("/api/datasources/{loki}"), gone.clone());
    let mut prom = get("/api/datasources/uid/prom");
    prom["url"] = json!("http://127.0.0.1:1");
    ask("PUT", &format!("/api/datasources/{}", prom["id"]), prom);
    let playlist = get("/api/playlists")[0].clone();
    let playlist = if version >= Version::V9 {
        playlist["uid"].as_str().unwrap().to_owned()
    } else {
        playlist["id"].to_string()
    };
    ask("DELETE", &format!("/api/playlists/{playlist}"), gone.clone());
    ask("PUT", "/api/org/preferences", json!({ "theme": "light", "timezone": "browser" }));
    ask("DELETE", "/api/snapshots/frozen", gone.clone());
    if version <= Version::V10 {
        let channel =
            json!({ "name": "Of old", "type": "webhook", "settings": { "url": "http://127.0.0.1:1/" } });
        ask("PUT", "/api/alert-notifications/uid/channel", channel);
    }
    if version >= Version::V9 {
        make_another_alerting(&ask);
    }
}

fn make_another_alerting(ask: &dyn Fn(&str, &str, Value)) {
    let settings = json!({ "url": "http://127.0.0.1:1/", "username": "u", "password": "[REDACTED]" });
    let hook = json!({ "uid": "hook", "name": "Hook", "type": "webhook", "settings": settings });
    ask("PUT", "/api/v1/provisioning/contact-points/hook", hook);
    let tree = json!({ "receiver": "grafana-default-email", "group_by": ["alertname"], "routes": [{ "receiver": "Hook" }] });
    ask("PUT", "/api/v1/provisioning/policies", tree);
    ask("DELETE", "/api/v1/provisioning/mute-timings/nights", Value::Null);
    ask(
        "PUT",
        "/api/v1/provisioning/templates/short",
        json!({ "template": "{{ define \"short\" }}old{{ end }}" }),
    );
    ask("DELETE", "/api/v1/provisioning/alert-rules/rule-a", Value::Null);
    let rule = json!({ "uid": "own", "title": "Own", "condition": "A", "folderUID": "databases", "ruleGroup": "own",
        "for": "1m", "data": [{ "refId": "A", "datasourceUid": "prom" }] });
    ask("POST", "/api/v1/provisioning/alert-rules", rule);
}

/// No Grafana removes an annotation by its content: the undo says that it stays.
const STAYS: [&str; 1] = ["/annotations/"];

/// The cuts of so many writes that are tried.
fn cuts(all: usize, first: usize, sample: usize) -> impl Iterator<Item = usize> {
    let thorough = std::env::var("WATCHKEEPER_SWEEP").is_ok_and(|value| value == "all");
    let (first, step) = if thorough { (0, 1) } else { (first, sample) };
    (first..=all).step_by(step)
}

fn sweep(version: Version, first: usize) {
    let sweep = Sweep::new(version);
    sweep.grafana.forget_requests();
    sweep.restore();
    let all = sweep.grafana.writes().len();
    let done = sweep.export();
    // What else is there stays, and is counted.
    for (name, content) in sweep.wanted.iter().filter(|(name, _)| *name != "export.json") {
        assert_eq!(done.get(name), Some(content), "{name}: it does what it is to do");
    }
    let kills = cuts(all, first, 3).count();
    for cut in cuts(all, first, 3) {
        let why = format!("{version:?}: killed after {cut} of {all} writes");
        sweep.go_back(&sweep.start);
        sweep.run_until(&["restore", &sweep.backup, "--yes"], (cut, all));
        let moment = Sweep::moment(&sweep.grafana, &sweep.keeper, "cut");
        let said = sweep.undo();
        sweep.assert_is(&sweep.before, &STAYS, &format!("{why}, and taken back\n{said}"));
        sweep.go_back(&moment);
        let said = sweep.restore();
        sweep.assert_is(&done, &[], &format!("{why}, and restored again\n{said}"));
        let said = sweep.undo();
        sweep.assert_is(&sweep.before, &STAYS, &format!("{why}, restored again, and taken back\n{said}"));
    }
    figure(
        &format!("kill -9: restore of Grafana {version:?}"),
        &format!("{kills} kills, over {all} writes; all were finished, and taken back"),
    );
}

fn sweep_of_the_undo(version: Version, first: usize) {
    let sweep = Sweep::new(version);
    sweep.restore();
    let restored = Sweep::moment(&sweep.grafana, &sweep.keeper, "restored");
    sweep.grafana.forget_requests();
    sweep.undo();
    let all = sweep.grafana.writes().len();
    assert!(all > 10, "{version:?}: {all}");
    for cut in cuts(all, first, 6) {
        sweep.go_back(&restored);
        sweep.run_until(&["restore", JOB, "--undo", "--yes"], (cut, all));
        let said = sweep.undo();
        let why = format!("{version:?}: the undo killed after {cut} of {all} writes, and run again\n{said}");
        sweep.assert_is(&sweep.before, &STAYS, &why);
    }
    let kills = cuts(all, first, 6).count();
    figure(
        &format!("kill -9: undo of a restore of Grafana {version:?}"),
        &format!("{kills} kills, over {all} writes; all were finished by the next undo"),
    );
}

#[test]
fn a_restore_that_is_killed_at_any_write_is_finished_or_taken_back_on_7_5() {
    sweep(Version::V7_5, 0);
}

#[test]
fn a_restore_that_is_killed_at_any_write_is_finished_or_taken_back_on_12() {
    sweep(Version::V12, 1);
}

#[test]
fn an_undo_that_is_killed_at_any_write_is_finished_by_the_next_one() {
    sweep_of_the_undo(Version::V7_5, 2);
    sweep_of_the_undo(Version::V12, 2);
}
