//! Permissions that nobody has set are not in an export, and are what a restore brings back all the same.

use serde_json::{Value, json};

use crate::support::grafana::{Grafana, Version};
use crate::support::grafana_keeper::{ADMIN, JOB, export, keeper, keeper_of, restore, sample};

/// Who may do what with a folder: all that holds, own or inherited.
fn rows(grafana: &Grafana, path: &str) -> Vec<String> {
    let (status, rows) = grafana.seed().ask("GET", path, &Value::Null);
    assert_eq!(status, 200, "{path}: {rows}");
    let text =
        |row: &Value| format!("{}{}{} {}", row["role"], row["team"], row["userLogin"], row["permission"]);
    let mut rows: Vec<String> = rows.as_array().unwrap().iter().map(text).collect();
    rows.sort();
    rows
}

fn of_dashboard(grafana: &Grafana, uid: &str) -> String {
    let (_, found) = grafana.seed().ask("GET", &format!("/api/dashboards/uid/{uid}"), &Value::Null);
    format!("/api/dashboards/id/{}/permissions", found["dashboard"]["id"])
}

#[test]
fn permissions_that_nobody_had_set_come_back_and_the_next_restore_has_nothing_to_do() {
    for version in Version::ALL {
        let grafana = sample(version);
        let keeper = keeper(&grafana);
        export(&keeper);
        let at_the_top = ["/api/folders/empty/permissions".to_owned(), of_dashboard(&grafana, "overview")];
        let paths = [&at_the_top[..], &[of_dashboard(&grafana, "postgres")]].concat();
        let before: Vec<_> = paths.iter().map(|path| rows(&grafana, path)).collect();
        for path in &at_the_top {
            grafana.seed().make(path, &json!({ "items": [] }));
        }
        grafana.seed().make(&paths[2], &json!({ "items": [{ "role": "Viewer", "permission": 4 }] }));
        let locked: Vec<_> = paths.iter().map(|path| rows(&grafana, path)).collect();
        let restored = restore(&keeper, &[]);
        assert!(matches!(restored.code, 0 | 3), "{version:?}: {restored:?}");
        let says = "update   folder-permissions/empty (Empty) in Main Org.: goes back to what holds where nobody has set any";
        assert!(format!("{restored:?}").contains(says), "{version:?}: {restored:?}");
        let after: Vec<_> = paths.iter().map(|path| rows(&grafana, path)).collect();
        assert_eq!(after, before, "{version:?}");
        grafana.forget_requests();
        let again = restore(&keeper, &[]);
        assert!(again.stdout.contains("Nothing to do"), "{version:?}: {again:?}");
        assert!(grafana.writes().is_empty(), "{version:?}: {:?}", grafana.writes());
        let undone = keeper.run(&["restore", JOB, "--undo", "--yes"]);
        assert!(matches!(undone.code, 0 | 3), "{version:?}: {undone:?}");
        let after: Vec<_> = paths.iter().map(|path| rows(&grafana, path)).collect();
        assert_eq!(after, locked, "{version:?}: as before the restore");
    }
}

#[test]
fn an_export_without_permissions_says_nothing_about_them() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper_of(&[("main", grafana.url(), ADMIN)], "exclude = [\"folder-permissions\"]");
    export(&keeper);
    let path = "/api/folders/empty/permissions";
    grafana.seed().make(path, &json!({ "items": [] }));
    let restored = restore(&keeper, &[]);
    assert!(restored.stdout.contains("Nothing to do"), "{restored:?}");
    assert!(rows(&grafana, path).is_empty());
}
