//! Secrets from a file: each is written, or it is said why not; and a second run does not say that there was nothing to
//! do where it wrote them again.

use serde_json::{Value, json};

use crate::support::grafana::{Grafana, SECRET, Version};
use crate::support::grafana_keeper::{ADMIN, export, keeper, keeper_of, restore, sample, secrets};
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
