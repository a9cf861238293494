//! Names that several have, and names that look like keys: nothing is lost, and nothing is called what it was not called.

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Grafana, Version};
use crate::support::grafana_keeper::{ADMIN, export, keeper, keeper_of, restore, sample};

/// Name and interval of each playlist, in order.
fn playlists(grafana: &Grafana) -> Vec<(String, String)> {
    let all = grafana.seed().ask("GET", "/api/playlists?limit=100", &Value::Null).1;
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let mut all: Vec<_> =
        all.as_array().unwrap().iter().map(|row| (text(row, "name"), text(row, "interval"))).collect();
    all.sort();
    all
}

fn remove_playlists(grafana: &Grafana) {
    let all = grafana.seed().ask("GET", "/api/playlists?limit=100", &Value::Null).1;
    for row in all.as_array().unwrap() {
        let key = row["uid"].as_str().map_or_else(|| row["id"].to_string(), str::to_owned);
        let gone = grafana.seed().ask("DELETE", &format!("/api/playlists/{key}"), &Value::Null);
        assert_eq!(gone.0, 200, "{gone:?}");
    }
}

fn make_playlists(grafana: &Grafana, all: &[(&str, &str)]) {
    let items = json!([{ "type": "dashboard_by_tag", "value": "a", "title": "a", "order": 1 }]);
    for (name, interval) in all {
        grafana.seed().make("/api/playlists", &json!({ "name": name, "interval": interval, "items": items }));
    }
}

#[test]
fn playlists_of_one_name_come_back_each_as_it_was_whatever_they_are_called() {
    for version in [Version::V7_5, Version::V11_2] {
        let grafana = Builder::default().version(version).start();
        let keeper = keeper(&grafana);
        let mut all = vec![
            ("Wall (2)", "2m"),
            ("Wall", "1m"),
            ("Wall", "3m"),
            ("Wall (2)", "4m"),
            ("Screen (1)", "5m"),
        ];
        all.extend((10..20).map(|_| ("Many", "6m")));
        make_playlists(&grafana, &all);
        let before = playlists(&grafana);
        export(&keeper);
        // One is another one now, and the other of its name is not.
        let list = grafana.seed().ask("GET", "/api/playlists?limit=100", &Value::Null).1;
        let second = list.as_array().unwrap().iter().find(|row| row["interval"] == "3m").unwrap().clone();
        let key = second["uid"].as_str().map_or_else(|| second["id"].to_string(), str::to_owned);
        let changed = json!({ "name": "Wall", "interval": "9m", "items": [] });
        assert_eq!(grafana.seed().ask("PUT", &format!("/api/playlists/{key}"), &changed).0, 200);
        let restored = restore(&keeper, &["--only", "playlists"]).expect(0);
        assert!(restored.stderr.contains("update   playlists/Wall (2) (Wall)"), "{restored:?}");
        assert_eq!(playlists(&grafana), before, "{version:?}");
        // All are lost.
        remove_playlists(&grafana);
        restore(&keeper, &["--only", "playlists"]).expect(0);
        assert_eq!(playlists(&grafana), before, "{version:?}");
        assert!(restore(&keeper, &["--only", "playlists"]).expect(0).stdout.contains("Nothing to do"));
        keeper.run(&["restore", "grafana", "--undo", "--yes"]).expect(0);
        assert_eq!(playlists(&grafana), [], "{version:?}");
        export(&keeper);
    }
}

#[test]
fn the_second_of_a_name_is_not_restored_in_the_place_of_the_first() {
    let grafana = Builder::default().version(Version::V11_2).start();
    let keeper = keeper(&grafana);
    make_playlists(&grafana, &[("Wall", "1m"), ("Wall", "3m")]);
    export(&keeper);
    remove_playlists(&grafana);
    let failed = restore(&keeper, &["--only", "playlists/Wall (2)"]).expect(1);
    let says = "its namesake Wall is not there, and not among what is restored";
    assert!(failed.stderr.contains(says), "{failed:?}");
    assert_eq!(playlists(&grafana), []);
}

#[test]
fn correlations_that_differ_only_in_what_they_do_come_back_each_as_it_was() {
    let here = sample(Version::V11_2);
    let there = Builder::default().version(Version::V11_2).ids_from(300).start();
    let link = |description: &str, label: &str| {
        let body = json!({ "targetUID": "loki", "label": label, "description": description, "config": {} });
        here.seed().make("/api/datasources/uid/prom/correlations", &body);
    };
    for (description, label) in [("a", "Twice"), ("b", "Twice"), ("c", "Twice (2)")] {
        link(description, label);
    }
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    let only = ["--grafana", "other", "--only", "correlations", "--only", "data-sources"];
    let restored = restore(&keeper, &only);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    let of = |grafana: &Grafana| {
        let all = grafana.seed().ask("GET", "/api/datasources/uid/prom/correlations", &Value::Null).1;
        let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
        let mut all: Vec<_> = all
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (text(row, "label"), text(row, "description")))
            .collect();
        all.sort();
        all
    };
    assert_eq!(of(&there), of(&here));
    assert!(restore(&keeper, &only).stdout.contains("Nothing to do"));
}
