//! Secrets from a file: each is written, or it is said why not; and a second run does not say that there was nothing to
//! do where it wrote them again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Fault, Grafana, SECRET, Version, What};
use crate::support::grafana_keeper::{
    ADMIN, JOB, SECRETS, export, keeper, keeper_of, restore, sample, secrets,
};
use crate::support::watchkeeper::{Output, Watchkeeper};

fn entering(keeper: &Watchkeeper, text: &str) -> Output {
    let file = secrets(keeper, text);
    let restored = restore(keeper, &["--secrets", &file]);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    restored
}

fn said(output: &Output) -> String {
    format!("{}{}", output.stderr, output.stdout)
}

fn password_of_hook(grafana: &Grafana) -> Value {
    grafana.seed().contact_point_settings("hook")["password"].clone()
}

#[test]
fn a_secret_that_has_changed_is_written_and_written_again_where_nobody_can_tell_whether_it_is_there() {
    for version in [Version::V7_5, Version::V9, Version::V11_2] {
        let grafana = sample(version);
        let keeper = keeper(&grafana);
        export(&keeper);
        let mut text = "[data-sources.prom]\nbasicAuthPassword = \"rotated\"\n".to_owned();
        if version >= Version::V9 {
            text += "[contact-points.hook]\npassword = \"rotated\"\n";
        }
        for _ in 0..2 {
            let entered = entering(&keeper, &text);
            let says = "update   data-sources/prom (Prometheus) in Main Org.: enters basicAuthPassword again: Grafana does not tell whether what it has is the same";
            assert!(said(&entered).contains(says), "{version:?}: {entered:?}");
            assert!(!said(&entered).contains("Nothing to do"), "{version:?}: {entered:?}");
            assert!(!format!("{entered:?}").contains("rotated"), "{entered:?}");
            assert_eq!(
                grafana.seed().data_source_secrets("prom")["basicAuthPassword"],
                "rotated",
                "{version:?}"
            );
            if version >= Version::V9 {
                assert_eq!(password_of_hook(&grafana), "rotated", "{version:?}");
            }
        }
        let without = restore(&keeper, &[]);
        assert!(without.stdout.contains("Nothing to do"), "{version:?}: {without:?}");
        assert_eq!(grafana.seed().data_source_secrets("prom")["basicAuthPassword"], "rotated", "{version:?}");
    }
}

#[test]
fn a_secret_that_the_backup_does_not_list_is_entered_told_and_does_not_alternate() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    let text = "[contact-points.mail]\npassword = \"more\"\n[data-sources.loki]\ntoken = \"more\"\n";
    for _ in 0..3 {
        let entered = entering(&keeper, text);
        for says in [
            "contact-points/mail in Main Org.: the backup lists no secret password of it: it is entered all the same",
            "data-sources/loki in Main Org.: the backup lists no secret token of it: it is entered all the same",
        ] {
            assert!(said(&entered).contains(says), "{says}\n{entered:?}");
        }
        assert_eq!(grafana.seed().contact_point_settings("mail")["password"], "more");
        assert_eq!(grafana.seed().data_source_secrets("loki")["token"], "more");
    }
}

#[test]
fn where_grafana_shows_what_it_has_nothing_is_entered_twice_and_the_file_counts_more_than_the_backup() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper_of(&[("main", grafana.url(), ADMIN)], "include = [\"contact-point-secrets\"]");
    export(&keeper);
    assert_eq!(password_of_hook(&grafana), SECRET);
    let text = "[contact-points.hook]\npassword = \"rotated\"\n";
    assert!(
        said(&entering(&keeper, text)).contains("contact-points/hook (Hook) in Main Org.: enters password")
    );
    assert_eq!(password_of_hook(&grafana), "rotated");
    let again = entering(&keeper, text);
    assert!(again.stdout.contains("Nothing to do"), "{again:?}");
    // Changed for another reason it keeps what the file says.
    let (_, points) =
        grafana.seed().ask("GET", "/api/v1/provisioning/contact-points?name=Hook", &Value::Null);
    let mut changed = points[0].clone();
    changed["settings"]["url"] = json!("http://127.0.0.1:10/");
    let headers = [("X-Disable-Provenance", "true")];
    let put = grafana.seed().ask_with("PUT", "/api/v1/provisioning/contact-points/hook", &headers, &changed);
    assert_eq!(put.0, 202, "{put:?}");
    entering(&keeper, text);
    assert_eq!(password_of_hook(&grafana), "rotated");
}

#[test]
fn why_a_secret_is_not_entered_is_said() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.seed().provisioned_data_source("prom");
    grafana.forget_requests();
    let text = "[users.ann]\npassword = \"another\"\n[data-sources.prom]\nbasicAuthPassword = \"rotated\"\n";
    let told = entering(&keeper, text);
    for says in [
        "the file of secrets has passwords of users who are there already, and keep theirs: ann",
        "data-sources/prom in Main Org.: basicAuthPassword is not entered: it comes from a file on the server",
        "Nothing to do",
    ] {
        assert!(said(&told).contains(says), "{says}\n{told:?}");
    }
    assert!(grafana.writes().is_empty(), "{:?}", grafana.writes());
    assert_eq!(told.code, 3);
}

#[test]
fn a_secret_inside_of_another_setting_gets_back_to_its_place_and_what_is_beside_it_stays() {
    let (here, there) = (Builder::default().version(Version::V12), Builder::default().version(Version::V12));
    let (here, there) = (here.start(), there.ids_from(300).start());
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    let settings = json!({ "url": "http://127.0.0.1:9/", "password": SECRET,
        "tlsConfig": { "clientKey": "a key", "caCertificate": "a certificate" } });
    let body = json!({ "uid": "nested", "name": "Nested", "type": "webhook", "settings": settings });
    let headers = [("X-Disable-Provenance", "true")];
    let path = "/api/v1/provisioning/contact-points";
    assert_eq!(here.seed().ask_with("POST", path, &headers, &body).0, 202);
    let exported = keeper.run(&["run-now", JOB]);
    let asked = "password, tlsConfig.clientKey of contact-points";
    assert!(exported.stdout.contains(asked), "{exported:?}");
    let to_other = |more: &[&str]| {
        let restored =
            restore(&keeper, &[&["--grafana", "other", "--only", "contact-points"], more].concat());
        assert!(matches!(restored.code, 0 | 3), "{restored:?}");
        restored
    };
    let without = to_other(&[]);
    assert!(without.stdout.contains(&format!("enter again: {asked}/nested")), "{without:?}");
    let stored = there.seed().contact_point_settings("nested");
    assert_eq!(stored["tlsConfig"], json!({ "caCertificate": "a certificate" }));
    let table =
        "[contact-points.nested]\npassword = \"p\"\n[contact-points.nested.tlsConfig]\nclientKey = \"k\"\n";
    let dotted = "[contact-points.nested]\npassword = \"p\"\n\"tlsConfig.clientKey\" = \"k\"\n";
    for text in [table, dotted] {
        let entered = to_other(&["--secrets", &secrets(&keeper, text)]);
        assert!(said(&entered).contains("enters password, tlsConfig.clientKey"), "{entered:?}");
        assert!(!said(&entered).contains("enter again:"), "{entered:?}");
        let expected = json!({ "url": "http://127.0.0.1:9/", "password": "p",
            "tlsConfig": { "clientKey": "k", "caCertificate": "a certificate" } });
        assert_eq!(there.seed().contact_point_settings("nested"), expected);
    }
    // What is there is kept where something else of it changes.
    let mut changed = body.clone();
    changed["settings"] =
        json!({ "url": "http://127.0.0.1:10/", "password": "p", "tlsConfig": { "clientKey": "k" } });
    assert_eq!(there.seed().ask_with("PUT", &format!("{path}/nested"), &headers, &changed).0, 202);
    assert!(!said(&to_other(&[])).contains("enter again:"));
    assert_eq!(there.seed().contact_point_settings("nested")["tlsConfig"]["clientKey"], "k");
}

#[test]
fn a_password_that_an_old_grafana_has_in_the_clear_comes_back() {
    let here = Builder::default().version(Version::V7_5).start();
    here.seed().make(
        "/api/datasources",
        &json!({ "uid": "old", "name": "Old", "type": "mysql", "access": "proxy",
        "url": "http://127.0.0.1:9", "user": "reader", "password": "in the clear", "basicAuth": true,
        "basicAuthUser": "b", "basicAuthPassword": "that, too" }),
    );
    for version in [Version::V7_5, Version::V11_2] {
        let there = Builder::default().version(version).ids_from(300).start();
        let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
        export(&keeper);
        let restored = restore(&keeper, &["--grafana", "other"]);
        assert!(matches!(restored.code, 0 | 3), "{version:?}: {restored:?}");
        assert!(!said(&restored).contains("in the clear"), "{version:?}: {restored:?}");
        let passwords = if version == Version::V7_5 {
            there.seed().ask("GET", "/api/datasources/name/Old", &Value::Null).1
        } else {
            Value::Object(there.seed().data_source_secrets("old"))
        };
        assert_eq!(passwords["password"], "in the clear", "{version:?}");
        assert_eq!(passwords["basicAuthPassword"], "that, too", "{version:?}");
        let again = restore(&keeper, &["--grafana", "other"]);
        assert!(again.stdout.contains("Nothing to do"), "{version:?}: {again:?}");
    }
}

#[test]
fn secrets_that_are_not_used_are_told_with_the_reason() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    let text = "[orgs.\"Typo\".data-sources.prom]\nbasicAuthPassword = \"rotated\"\n\
                [data-sources.prm]\npassword = \"rotated\"\n[contact-points.hook]\npassword = \"rotated\"\n";
    let told = restore(&keeper, &["--secrets", &secrets(&keeper, text), "--only", "data-sources"]).expect(3);
    for says in [
        "the file of secrets has some for data-sources/prom in the organisation \"Typo\", which the backup does not have",
        "the file of secrets has some for data-sources/prm, which the backup does not have",
        "the file of secrets has some for contact-points/hook, which is not among what is restored: it is not used",
    ] {
        assert!(said(&told).contains(says), "{says}\n{told:?}");
    }
    assert_eq!(grafana.seed().data_source_secrets("prom")["basicAuthPassword"], SECRET);
    let twice = r#"{"users": {"ann": {"password": "rotated", "password": "rotated2"}}}"#;
    let refused = restore(&keeper, &["--secrets", &secrets(&keeper, twice)]).expect(1);
    assert!(refused.stderr.contains("\"password\" stands there twice"), "{refused:?}");
    assert!(!refused.stderr.contains("rotated"), "{refused:?}");
}

#[test]
fn secrets_are_listed_or_taken_from_a_file_and_a_hidden_one_is_never_sent() {
    let grafana = sample(Version::V10);
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.wipe();
    grafana.forget_requests();
    // As the restore itself ends.
    keeper.run(&["restore", JOB, "--dry-run"]).expect(3);
    let restored = restore(&keeper, &[]).expect(3);
    for line in [
        "enter again: basicAuthPassword of data-sources/prom (Prometheus) in Main Org.",
        "enter again: password of contact-points/hook (Hook) in Main Org.",
        "enter again: password of users/ann",
    ] {
        assert!(restored.stdout.contains(line), "{line}\n{}", restored.stdout);
    }
    let sent = grafana.writes();
    assert!(sent.iter().all(|request| !request.body.contains("[REDACTED]")), "{sent:?}");
    assert!(grafana.seed().data_source_secrets("prom").is_empty());
    // What others may read is refused, and nothing is done.
    let file = secrets(&keeper, SECRETS);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let open = restore(&keeper, &["--secrets", &file]).expect(1);
    assert!(open.stderr.contains("Others than its owner") && open.stderr.contains("chmod 600"), "{open:?}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let entered = restore(&keeper, &["--secrets", &file]);
    assert!(matches!(entered.code, 0 | 3), "{entered:?}");
    assert_eq!(grafana.seed().data_source_secrets("prom")["basicAuthPassword"], SECRET);
    assert_eq!(grafana.seed().contact_point_settings("hook")["password"], SECRET);
    assert!(!format!("{entered:?}").contains(SECRET));
    // What is stored stays when something else of it is changed.
    let (_, mut source) = grafana.seed().ask("GET", "/api/datasources/uid/prom", &Value::Null);
    source["url"] = json!("http://elsewhere");
    grafana.seed().ask("PUT", "/api/datasources/uid/prom", &source);
    restore(&keeper, &[]);
    assert_eq!(grafana.seed().data_source_secrets("prom")["basicAuthPassword"], SECRET);
    let (_, source) = grafana.seed().ask("GET", "/api/datasources/uid/prom", &Value::Null);
    assert_eq!(source["url"], "http://127.0.0.1:9090");
}

#[test]
fn a_secret_that_could_be_of_several_organisations_is_refused_until_it_is_said_whose_it_is() {
    let grafana = sample(Version::V11_2);
    let second = grafana.seed().ask("GET", "/api/orgs/name/Second", &Value::Null).1["id"].as_i64().unwrap();
    let source = json!({ "uid": "prom", "name": "Prometheus", "type": "prometheus", "access": "proxy",
        "url": "http://127.0.0.1:9090", "basicAuth": true, "secureJsonData": { "basicAuthPassword": "theirs" } });
    grafana.seed().org(second).make("/api/datasources", &source);
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.forget_requests();
    let file = secrets(&keeper, "[data-sources.prom]\nbasicAuthPassword = \"rotated\"\n");
    let refused = restore(&keeper, &["--secrets", &file]).expect(1);
    for says in ["\"Main Org.\", \"Second\"", "[orgs.Second.data-sources.prom]"] {
        assert!(said(&refused).contains(says), "{says}: {refused:?}");
    }
    assert!(grafana.writes().is_empty(), "{:?}", grafana.writes());
    let stored = |org: i64| grafana.seed().org(org).data_source_secrets("prom")["basicAuthPassword"].clone();
    let text = "[orgs.\"Second\".data-sources.prom]\nbasicAuthPassword = \"rotated\"\n";
    entering(&keeper, text);
    assert_eq!((stored(1), stored(second)), (json!(SECRET), json!("rotated")));
    // What the undo cannot bring back is said with its organisation.
    let undone = keeper.run(&["restore", JOB, "--undo", "--yes"]);
    assert!(
        said(&undone).contains("data-sources/prom in Second: it keeps the basicAuthPassword"),
        "{undone:?}"
    );
    let wrong = secrets(&keeper, "[\"Main Org.\".data-sources.prom]\nbasicAuthPassword = \"x\"\n");
    let refused = restore(&keeper, &["--secrets", &wrong]).expect(1);
    assert!(refused.stderr.contains("it is [orgs.\"Main Org.\".data-sources.UID]"), "{refused:?}");
}

#[test]
fn whom_a_restore_has_made_gets_the_password_of_a_file_that_comes_later() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    let own =
        json!({ "login": "own", "email": "own@example.org", "name": "Own", "password": "own password" });
    grafana.wipe();
    grafana.seed().make("/api/admin/users", &own);
    // It is killed, as it were, in the middle: users are there, and the dashboards are not.
    grafana.inject(Fault::new(What::html(200, "<!DOCTYPE html><html>")).on("POST", "/api/folders"));
    restore(&keeper, &[]).expect(4);
    grafana.heal();
    let log_in = |login: &str, password: &str| {
        grafana.forgive_logins();
        let who = crate::support::grafana::basic(login, password);
        grafana.seed().ask_with("GET", "/api/user", &[("Authorization", &who)], &Value::Null).0
    };
    let second = restore(&keeper, &[]).expect(3);
    assert!(said(&second).contains("enter again: password of users/ann"), "{second:?}");
    let later = restore(&keeper, &["--only", "users", "--dry-run"]).expect(3);
    assert!(said(&later).contains("enter again: password of users/ann"), "{later:?}");
    assert_eq!(log_in("ann", "long enough"), 401);
    let text = "[users.ann]\npassword = \"long enough\"\n[users.own]\npassword = \"not this one\"\n";
    let entered = entering(&keeper, text);
    assert!(said(&entered).contains("users/ann (ann): enters password"), "{entered:?}");
    assert_eq!(log_in("ann", "long enough"), 200);
    assert_eq!(log_in("own", "own password"), 200);
    // It is hers now: nothing sets it again, and nothing lists it.
    let file = secrets(&keeper, "[users.ann]\npassword = \"another one\"\n");
    let kept = restore(&keeper, &["--only", "users", "--secrets", &file]);
    assert!(said(&kept).contains("keep theirs: ann"), "{kept:?}");
    assert!(!said(&kept).contains("password of users/ann"), "{kept:?}");
    assert_eq!(log_in("ann", "long enough"), 200);
}

#[test]
fn who_was_made_anew_with_the_login_of_one_that_a_restore_had_made_keeps_his_own_password() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.wipe();
    restore(&keeper, &[]).expect(3);
    let path = "/api/users/lookup?loginOrEmail=ann";
    let id = || grafana.seed().ask("GET", path, &Value::Null).1["id"].clone();
    let first = id();
    grafana.seed().ask("DELETE", &format!("/api/admin/users/{first}"), &Value::Null);
    let own = json!({ "login": "ann", "email": "ann@example.org", "name": "Ann", "password": "her own one" });
    grafana.seed().make("/api/admin/users", &own);
    assert_ne!(id(), first);
    // Of somebody else who was made by the restore it is set.
    let text = "[users.ann]\npassword = \"long enough\"\n[users.bob]\npassword = \"long enough\"\n";
    let file = secrets(&keeper, text);
    let kept = restore(&keeper, &["--only", "users", "--secrets", &file]);
    assert!(said(&kept).contains("keep theirs: ann"), "{kept:?}");
    assert!(said(&kept).contains("users/bob (bob): enters password"), "{kept:?}");
    let log_in = |login: &str, password: &str| {
        grafana.forgive_logins();
        let who = crate::support::grafana::basic(login, password);
        grafana.seed().ask_with("GET", "/api/user", &[("Authorization", &who)], &Value::Null).0
    };
    assert_eq!((log_in("ann", "her own one"), log_in("bob", "long enough")), (200, 200));
}
