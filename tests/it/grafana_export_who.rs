//! Who exports a Grafana: by password or token, with all rights, with few, and with none.

use serde_json::{Value, json};
use watchkeeper::grafana::object::{Object, ObjectType};

use crate::support::grafana::{Fault, Role, Version, What};
use crate::support::grafana_export::{
    JOB, PASSWORD, archives, by_token, fails, find, objects, sample, watchkeeper, with_retries,
};

#[test]
fn wrong_credentials_are_sent_once() {
    let grafana = sample(Version::V10);
    for credentials in ["user = \"admin\"\npassword = { plain = \"wrong\" }".to_owned(), by_token("nobodys")]
    {
        grafana.forget_requests();
        let watchkeeper = with_retries(&grafana, &credentials, 3, "");
        fails(&watchkeeper, &["401", "five bad log-ins"]);
        let sent = grafana.requests().iter().filter(|request| request.authorization.is_some()).count();
        assert_eq!(sent, 1, "{credentials}");
    }
}

#[test]
fn a_password_that_is_changed_in_the_middle_is_not_tried_again() {
    let grafana = sample(Version::V10);
    let denied = What::answers(401, r#"{"message":"invalid username or password"}"#);
    grafana.inject(Fault::new(denied).at("/api/").after(30));
    let watchkeeper = watchkeeper(&grafana, PASSWORD, "");
    fails(&watchkeeper, &["401", "invalid username or password", "lock"]);
    let bad = grafana.requests().iter().filter(|request| request.status == Some(401)).count();
    assert!(bad <= 8, "{bad}: only those that were on their way");
}

#[test]
fn a_viewer_is_told_what_is_missing() {
    let grafana = sample(Version::V9);
    let token = by_token(&grafana.token(1, Role::Viewer));
    fails(&watchkeeper(&grafana, &token, ""), &["403", "role Admin"]);
}

#[test]
fn a_token_exports_its_own_organisation_and_says_what_it_never_sees() {
    let grafana = sample(Version::V9);
    let second = grafana.seed().ask("GET", "/api/orgs/name/Second", &Value::Null).1["id"].as_i64().unwrap();
    let token = by_token(&grafana.token(second, Role::Admin));
    let watchkeeper = watchkeeper(&grafana, &token, "");
    let report = watchkeeper.run(&["run-now", JOB]).expect(0).stdout;
    assert!(report.contains("only a server administrator with user and password sees them"), "{report}");
    let all = objects(&watchkeeper);
    find(&all, ObjectType::Dashboards, "second");
    assert!(all.iter().all(|object| object.organisation.as_deref().is_none_or(|name| name == "Second")));
}

#[test]
fn an_organisation_that_the_user_is_no_member_of_is_warned_about() {
    let grafana = sample(Version::V10);
    let seed = grafana.seed();
    let closed = seed.make("/api/orgs", &json!({ "name": "Closed" }))["orgId"].as_i64().unwrap();
    let users = format!("/api/orgs/{closed}/users");
    seed.make(&users, &json!({ "loginOrEmail": "bob", "role": "Admin" }));
    assert_eq!(seed.ask("DELETE", &format!("{users}/1"), &Value::Null).0, 200);
    let watchkeeper = watchkeeper(&grafana, PASSWORD, "");
    let report = watchkeeper.run(&["run-now", JOB]).expect(3).stdout;
    assert!(report.contains("organisation \"Closed\"") && report.contains("no member"), "{report}");
    let of_it = |object: &Object| object.organisation.as_deref() == Some("Closed");
    assert!(!objects(&watchkeeper).iter().any(of_it));
}

#[test]
fn who_administers_an_organisation_and_not_the_server_exports_it_without_users() {
    let grafana = sample(Version::V10);
    let ann = grafana.seed().ask("GET", "/api/users/lookup?loginOrEmail=ann", &Value::Null).1["id"].clone();
    let role = json!({ "role": "Admin" });
    assert_eq!(grafana.seed().ask("PATCH", &format!("/api/org/users/{ann}"), &role).0, 200);
    let ann = "user = \"ann\"\npassword = { plain = \"long enough\" }";
    let watchkeeper = watchkeeper(&grafana, ann, "");
    watchkeeper.run(&["run-now", JOB]).expect(0);
    let all = objects(&watchkeeper);
    find(&all, ObjectType::Members, "bob");
    find(&all, ObjectType::Dashboards, "hosts");
    assert!(all.iter().all(|object| object.kind != ObjectType::Users));
}

#[test]
fn a_dry_run_and_check_online_say_what_the_credentials_reach_and_write_nothing() {
    let grafana = sample(Version::V10);
    let watchkeeper = watchkeeper(&grafana, PASSWORD, "");
    for command in [&["run-now", JOB, "--dry-run"][..], &["check", "--online"]] {
        let output = watchkeeper.run(command);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains("Grafana 10.4.19 answers") && said.contains("\"Second\""), "{said}");
    }
    assert!(archives(&watchkeeper).is_empty());
    watchkeeper.run(&["run-now", JOB]).expect(0);
    watchkeeper.run(&["explain", JOB]).expect(0);
    assert_eq!(watchkeeper.run_json(&["backups"]).expect(0).json()["backups"].as_array().unwrap().len(), 1);
}
