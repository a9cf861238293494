//! Restores to a Grafana that answers wrongly: another organisation, bad credentials, 200 but something else, no answer.

use serde_json::Value;

use crate::support::grafana::{Builder, Fault, Role, Version, What};
use crate::support::grafana_keeper::{
    ADMIN, SECRETS, export, keeper, keeper_of, lose_hosts, restore, sample, secrets,
};

#[test]
fn a_token_of_another_organisation_is_noticed_before_anything_is_written() {
    let here = sample(Version::V9);
    let second = here.contents()["orgs"]["Second"].is_object();
    assert!(second);
    let (_, org) = here.seed().ask("GET", "/api/orgs/name/Second", &Value::Null);
    let of_second =
        format!("token = {{ plain = \"{}\" }}", here.token(org["id"].as_i64().unwrap(), Role::Admin));
    let of_main = format!("token = {{ plain = \"{}\" }}", here.token(1, Role::Admin));
    let keeper = keeper_of(&[("main", here.url(), &of_second), ("other", here.url(), &of_main)], "");
    export(&keeper);
    here.seed().org(org["id"].as_i64().unwrap()).ask("DELETE", "/api/dashboards/uid/second", &Value::Null);
    here.forget_requests();
    let refused = restore(&keeper, &["--grafana", "other"]).expect(1);
    assert!(
        refused
            .stderr
            .contains("the token belongs to the organisation \"Main Org.\", and the backup is of \"Second\""),
        "{refused:?}"
    );
    assert!(here.writes().is_empty(), "{:?}", here.writes());
    // The right one does it.
    let restored = restore(&keeper, &[]);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    assert!(here.contents()["orgs"]["Second"]["dashboards"]["second"].is_object());
}

#[test]
fn a_200_that_did_something_else_ends_the_restore_and_is_no_success() {
    // It says that it has saved it as another one.
    let grafana = sample(Version::V9);
    let keeper = keeper(&grafana);
    export(&keeper);
    lose_hosts(&grafana);
    let other =
        r#"{"id":1,"slug":"x","status":"success","uid":"overview","url":"/d/overview/x","version":2}"#;
    grafana.inject(Fault::new(What::answers(200, other)).on("POST", "/api/dashboards/db"));
    let failed = restore(&keeper, &["--only", "dashboards"]).expect(4);
    assert!(failed.stdout.contains("has saved it as \"overview\""), "{failed:?}");
    // It says that it has saved it, and has not.
    grafana.heal();
    let right = r#"{"id":1,"slug":"x","status":"success","uid":"hosts","url":"/d/hosts/x","version":2}"#;
    grafana.inject(Fault::new(What::answers(200, right)).on("POST", "/api/dashboards/db"));
    let failed = restore(&keeper, &["--only", "dashboards"]).expect(4);
    assert!(failed.stdout.contains("and does not have it"), "{failed:?}");
    // It takes a playlist, and loses it.
    grafana.heal();
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    let (_, all) = grafana.seed().ask("GET", "/api/playlists", &Value::Null);
    let uid = all[0]["uid"].as_str().unwrap();
    grafana.seed().ask("DELETE", &format!("/api/playlists/{uid}"), &Value::Null);
    grafana.inject(Fault::new(What::answers(200, "{}")).on("POST", "/api/playlists"));
    let failed = restore(&keeper, &["--only", "playlists"]);
    assert_ne!(failed.code, 0);
    assert!(
        failed.stdout.contains("playlists/Wall: Grafana says that it is written, but it is not there"),
        "{failed:?}"
    );
}

#[test]
fn folders_that_a_server_puts_side_by_side_are_told_as_not_restored() {
    let here = sample(Version::V11_2);
    let there = Builder::default().version(Version::V10).nested_folders(false).start();
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    let failed = restore(&keeper, &["--grafana", "other"]).expect(4);
    assert!(
        failed.stdout.contains("folders/databases in Main Org.: Grafana says 200, and has put it at the top"),
        "{failed:?}"
    );
    let dashboards = &there.contents()["orgs"]["Main Org."]["dashboards"];
    assert_eq!(dashboards["postgres"]["folder"], "databases", "the others are restored");
    let again = restore(&keeper, &["--grafana", "other"]).expect(1);
    let told = again.stdout.lines().find(|line| line.contains("folders/databases in Main Org.: Cannot move"));
    assert!(told.is_some_and(|line| line.contains("the feature toggle nestedFolders")), "{again:?}");
}

#[test]
fn bad_credentials_and_other_servers_are_told_before_anything_is_written() {
    let here = sample(Version::V9);
    let viewer = format!("token = {{ plain = \"{}\" }}", here.token(1, Role::Viewer));
    let keeper = keeper_of(
        &[
            ("main", here.url(), ADMIN),
            ("wrong", here.url(), "user = \"admin\"\npassword = { plain = \"wrong\" }"),
            ("viewer", here.url(), &viewer),
        ],
        "",
    );
    export(&keeper);
    here.forget_requests();
    let denied = restore(&keeper, &["--grafana", "wrong"]).expect(1);
    assert!(denied.stderr.contains("401") && denied.stderr.contains("lock"), "{denied:?}");
    assert_eq!(here.requests().iter().filter(|request| request.status == Some(401)).count(), 1, "asked once");
    let denied = restore(&keeper, &["--grafana", "viewer"]).expect(1);
    assert!(denied.stderr.contains("403") && denied.stderr.contains("the role Admin"), "{denied:?}");
    for (fault, says) in [
        (What::html(200, "<!DOCTYPE html><html>Welcome</html>"), "an HTML page came back"),
        (What::redirect_to_login(), "log-in page"),
    ] {
        here.inject(Fault::new(fault).at("/api/"));
        let failed = restore(&keeper, &[]).expect(1);
        assert!(failed.stderr.contains(says), "{failed:?}");
        here.heal();
    }
    assert!(here.writes().is_empty(), "{:?}", here.writes());
}

#[test]
fn a_server_that_goes_away_in_the_middle_is_told_with_what_was_done() {
    let grafana = sample(Version::V9);
    let keeper = keeper(&grafana);
    export(&keeper);
    for uid in ["hosts", "overview", "postgres"] {
        grafana.seed().ask("DELETE", &format!("/api/dashboards/uid/{uid}"), &Value::Null);
    }
    grafana.inject(
        Fault::new(What::html(502, "<html>Bad gateway</html>")).on("POST", "/api/dashboards/db").after(1),
    );
    let failed = restore(&keeper, &["--only", "dashboards"]).expect(4);
    assert!(failed.stdout.contains("The restore stopped in the middle"), "{failed:?}");
    assert!(failed.stdout.contains("run the restore again"), "{failed:?}");
    grafana.heal();
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    assert!(grafana.contents()["orgs"]["Main Org."]["dashboards"]["postgres"].is_object());
}

#[test]
fn an_answer_that_is_lost_is_no_failure_where_it_was_done() {
    let grafana = sample(Version::V9);
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.wipe();
    for (method, path) in [
        ("POST", "/api/dashboards/db"),
        ("POST", "/api/folders"),
        ("POST", "/api/teams"),
        ("POST", "/api/playlists"),
    ] {
        grafana.inject(Fault::new(What::CutAfter).on(method, path).times(1));
    }
    let file = secrets(&keeper, SECRETS);
    let restored = restore(&keeper, &["--secrets", &file]);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    let again = restore(&keeper, &[]);
    assert!(again.stdout.contains("Nothing to do"), "{again:?}");
}

#[test]
fn what_is_accepted_and_not_saved_is_no_success() {
    let grafana = sample(Version::V12);
    let keeper = keeper(&grafana);
    export(&keeper);
    lose_hosts(&grafana);
    let pending = r#"{"status":"pending","message":"queued"}"#;
    grafana.inject(Fault::new(What::answers(202, pending)).on("POST", "/api/dashboards/db"));
    let failed = restore(&keeper, &["--only", "dashboards"]).expect(4);
    assert!(failed.stdout.contains("it is only pending, and not saved"), "{failed:?}");
}
