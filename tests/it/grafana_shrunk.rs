//! An export that has less than the one before it, because something hides a part of the Grafana.

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Fault, Role, Version, What};
use crate::support::grafana_keeper::{ADMIN, JOB, export, keeper, keeper_of, sample, target};
use crate::support::watchkeeper::Watchkeeper;

const NOT_FOUND: &str = "{\"message\":\"Not found\"}";

#[test]
fn a_list_of_alerting_that_is_hidden_beside_others_fails_the_export() {
    for version in [Version::V9, Version::V11_2] {
        let grafana = sample(version);
        let keeper = keeper(&grafana);
        for (path, what) in [
            ("/api/v1/provisioning/policies", "policies"),
            ("/api/v1/provisioning/mute-timings", "mute-timings"),
            ("/api/v1/provisioning/contact-points", "contact-points"),
            ("/api/v1/provisioning/alert-rules", "rule-groups"),
        ] {
            grafana.inject(Fault::new(What::answers(404, NOT_FOUND)).on("GET", path));
            let failed = keeper.run(&["run-now", JOB]).expect(1);
            assert!(failed.stdout.contains(&format!("Cannot list the {what}")), "{failed:?}");
            assert!(failed.stdout.contains("it has no such list, and it has one of"), "{failed:?}");
            grafana.heal();
        }
    }
}

#[test]
fn alerting_that_is_hidden_as_a_whole_is_warned_of() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    grafana.inject(Fault::new(What::answers(404, NOT_FOUND)).on("GET", "/api/v1/provisioning/"));
    let warned = keeper.run(&["run-now", JOB]).expect(3);
    assert!(
        warned.stdout.contains("nothing of alerting in \"Main Org.\" (1) is in the backup"),
        "{warned:?}"
    );
}

#[test]
fn credentials_that_reach_less_than_before_are_warned_of() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    let token = format!("token = {{ plain = \"{}\" }}", grafana.token(1, Role::Admin));
    let text = target("main", &grafana.url(), &token);
    keeper.configure(&format!(
        "{text}[[job]]\nname = \"{JOB}\"\nkind = \"grafana-export\"\ngrafana = \"main\"\nkeep = {{ last = 9 }}\n"
    ));
    let warned = keeper.run(&["run-now", JOB]).expect(3);
    let says = "the backup before this one had the organisation \"Second\", 3 users; these credentials no longer reach them";
    assert!(warned.stdout.contains(says), "{warned:?}");
}

#[test]
fn dashboards_that_are_gone_hold_the_older_backups_until_somebody_accepts_that() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper_of(&[("main", grafana.url(), ADMIN)], "");
    export(&keeper);
    grafana.inject(Fault::new(What::answers(200, "[]")).on("GET", "/api/search?type=dash-db"));
    let warned = keeper.run(&["run-now", JOB]).expect(3);
    assert!(warned.stdout.contains("0 dashboards (4)"), "{warned:?}");
    assert!(warned.stdout.contains("`watchkeeper accept grafana/latest`"), "{warned:?}");
    assert!(keeper.run(&["prune", "--dry-run"]).stdout.contains("far fewer"), "held");
    let accepted = keeper.run(&["accept", JOB]).expect(0);
    assert!(accepted.stdout.starts_with("grafana/2"), "{accepted:?}");
    let after = keeper.run(&["run-now", JOB]);
    assert!(!after.stdout.contains("far fewer"), "{after:?}");
}

#[test]
fn secrets_that_grafana_itself_shows_are_announced() {
    let grafana = Builder::default().version(Version::V11_2).start();
    let keeper = keeper(&grafana);
    export(&keeper);
    let quiet = keeper.run(&["run-now", JOB]);
    assert!(!quiet.stdout.contains("in the clear"), "{quiet:?}");
    let source = json!({ "uid": "i", "name": "Influx", "type": "influxdb", "access": "proxy", "url": "http://u:hunter2@i" });
    grafana.seed().make("/api/datasources", &source);
    grafana.seed().make("/api/dashboards/db", &json!({ "dashboard": { "uid": "open", "title": "Open" } }));
    let public = json!({ "uid": "p", "accessToken": "0123456789abcdef0123456789abcdef", "isEnabled": true });
    grafana.seed().make("/api/dashboards/uid/open/public-dashboards", &public);
    let told = keeper.run_json(&["run-now", JOB]).json();
    let facts = told.to_string();
    for says in ["in the clear", "url of data-sources", "accessToken of public-dashboards"] {
        assert!(facts.contains(says), "{says}: {facts}");
    }
    assert!(!facts.contains("hunter2"), "{facts}");
    let manifest =
        std::fs::read_to_string(crate::support::grafana_keeper::newest(&keeper.store_of(JOB), ".json"))
            .unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["contents"]["holds_secrets"], true);
    assert_eq!(manifest["contents"]["clear"].as_array().unwrap().len(), 2);
}

/// The job keeps two of its backups.
fn keeps_two(targets: &str, keys: &str) -> String {
    format!(
        "{targets}[[job]]\nname = \"{JOB}\"\nkind = \"grafana-export\"\ngrafana = \"main\"\nkeep = {{ last = 2 }}\n{keys}\n"
    )
}

/// The second and the third run say what is missing, and the first backup, which has it, goes only after `accept`.
fn assert_held_until_accepted(keeper: &Watchkeeper, says: &str, why: &str) {
    for _ in 0..2 {
        let warned = keeper.run(&["run-now", JOB]).expect(3);
        assert!(warned.stdout.contains(says), "{why}: {says}\n{warned:?}");
        assert!(warned.stdout.contains("`watchkeeper accept grafana/latest`"), "{why}: {warned:?}");
    }
    let listed = keeper.run_json(&["backups", JOB]).expect(0).json().to_string();
    assert_eq!(listed.matches("\"missing\"").count(), 2, "{why}: {listed}");
    keeper.run(&["accept", "grafana/latest"]).expect(0);
    let after = keeper.run(&["run-now", JOB]);
    assert!(!after.stdout.contains("has nothing any more"), "{why}: {after:?}");
    assert_eq!(archives(keeper), 2, "{why}");
}

fn archives(keeper: &Watchkeeper) -> usize {
    let is_archive = |path: &std::path::PathBuf| path.to_string_lossy().ends_with(".tar.gz");
    let all = std::fs::read_dir(keeper.store_of(JOB)).unwrap();
    all.map(|entry| entry.unwrap().path()).filter(is_archive).count()
}

#[test]
fn a_list_that_vanishes_from_the_same_version_holds_the_older_backups_until_somebody_accepts_that() {
    for (version, path, says) in [
        (Version::V11_2, "/api/playlists", "playlists of \"Main Org.\""),
        (Version::V11_2, "/api/library-elements", "library-panels of \"Main Org.\""),
        (Version::V9, "/api/serviceaccounts", "service-accounts of \"Main Org.\""),
        (Version::V11_2, "/api/v1/provisioning/", "policies of \"Main Org.\""),
    ] {
        let grafana = sample(version);
        let keeper = Watchkeeper::with_config(&keeps_two(&target("main", &grafana.url(), ADMIN), ""));
        export(&keeper);
        grafana.inject(Fault::new(What::answers(404, NOT_FOUND)).on("GET", path));
        assert_held_until_accepted(&keeper, says, path);
    }
}

#[test]
fn credentials_that_lose_an_organisation_hold_the_older_backups_until_somebody_accepts_that() {
    let grafana = sample(Version::V11_2);
    let without_users = "exclude = [\"users\"]";
    let of = |credentials: &str| keeps_two(&target("main", &grafana.url(), credentials), without_users);
    let keeper = Watchkeeper::with_config(&of(ADMIN));
    export(&keeper);
    keeper.configure(&of(&format!("token = {{ plain = \"{}\" }}", grafana.token(1, Role::Admin))));
    assert_held_until_accepted(&keeper, "organisation \"Second\"", "a token");
}

#[test]
fn what_is_left_out_by_configuration_is_not_missed() {
    let grafana = sample(Version::V11_2);
    let of = |keys: &str| keeps_two(&target("main", &grafana.url(), ADMIN), keys);
    let keeper = Watchkeeper::with_config(&of(""));
    export(&keeper);
    keeper.configure(&of("exclude = [\"playlists\"]"));
    for _ in 0..3 {
        let quiet = keeper.run(&["run-now", JOB]);
        assert!(!quiet.stdout.contains("has nothing any more"), "{quiet:?}");
    }
    assert_eq!(archives(&keeper), 2);
}
