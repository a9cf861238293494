//! A real Alertmanager and a real SMTP server.

use serde_json::Value;

use super::{Flagged, SOON};
use crate::support::alertmanager::Alertmanager;
use crate::support::smtp::{Smtp, USER};
use crate::support::{http, wait_until};

/// Name and severity of each alert that fires.
fn alerts(server: &Alertmanager) -> Vec<(String, String)> {
    let (status, body) = http::get(server.port, "/api/v2/alerts").unwrap();
    assert_eq!(status, 200, "{body}");
    let all: Value = serde_json::from_str(&body).unwrap();
    let text = |alert: &Value, label: &str| alert["labels"][label].as_str().unwrap().to_owned();
    let mut all: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| (text(alert, "alertname"), text(alert, "severity")))
        .collect();
    all.sort();
    all
}

#[test]
fn an_alertmanager_gets_an_alert_that_ends_by_itself() {
    let Some(server) = Alertmanager::start() else { return };
    wait_until("the Alertmanager is up", SOON, || server.is_up());
    let notifier =
        "[notify.am]\ntype = \"alertmanager\"\nalertmanager = \"main\"\nlabels = { team = \"ops\" }\n";
    let flagged = Flagged::new("", &format!("{}{notifier}", server.target()));
    let failed = ("WatchkeeperJobFailed".to_owned(), "critical".to_owned());
    flagged.run(1);
    assert_eq!(alerts(&server), std::slice::from_ref(&failed));
    let (_, body) = http::get(server.port, "/api/v2/alerts").unwrap();
    let alert: Value = serde_json::from_str::<Value>(&body).unwrap()[0].clone();
    assert_eq!((&alert["labels"]["job"], &alert["labels"]["team"]), (&"j".into(), &"ops".into()));
    assert!(alert["annotations"]["summary"].as_str().unwrap().starts_with("FAILED j on "), "{alert}");
    flagged.raise();
    flagged.run(0);
    wait_until("the alert has ended", SOON, || alerts(&server).is_empty());
    // One of a job that is taken out ends, too.
    flagged.lower();
    flagged.run(1);
    assert_eq!(alerts(&server), [failed]);
    let other = "[[job]]\nname = \"k\"\nkind = \"command\"\ncommand = [\"true\"]\n";
    flagged.watchkeeper.configure(&format!("{other}{}{notifier}", server.target()));
    flagged.watchkeeper.run(&["run-now", "k"]).expect(0);
    wait_until("that alert has ended", SOON, || alerts(&server).is_empty());
    let tested = flagged.watchkeeper.run(&["notify-test"]).expect(0);
    assert!(tested.stdout.contains("delivered"), "{tested:?}");
    let checked = flagged.watchkeeper.run(&["check", "--online"]);
    assert!(checked.stdout.contains("the Alertmanager is ready"), "{checked:?}");
}

#[test]
fn a_mail_server_gets_one_mail_for_each_change_encrypted_and_with_a_password() {
    const PASSWORD: &str = "secret-of-the-mail";
    let Some(server) = Smtp::start(PASSWORD) else { return };
    let flagged = Flagged::new("", "");
    let file = flagged.watchkeeper.folder().join("password");
    let configure = |password: &str| {
        std::fs::write(&file, password).unwrap();
        flagged.configure(
            "",
            &format!(
                "[notify.mail]\ntype = \"email\"\nhost = \"localhost\"\nport = {}\nca_file = \"{}\"\n\
                 user = \"{USER}\"\npassword = {{ file = \"{}\" }}\nfrom = \"Watchkeeper <keeper@example.org>\"\n\
                 to = [\"ops@example.org\", \"Boss <boss@example.org>\"]\ncooldown = \"0s\"\n",
                server.port,
                server.authority().display(),
                file.display()
            ),
        );
    };
    configure(PASSWORD);
    let checked = flagged.watchkeeper.run(&["check", "--online"]);
    assert!(checked.stdout.contains("answers, and takes the password"), "{checked:?}");
    assert!(server.mails().is_empty());
    flagged.run(1);
    flagged.run(1);
    flagged.raise();
    flagged.run(0);
    flagged.run(0);
    let mails = server.mails();
    assert_eq!(mails.len(), 2, "{mails:?}");
    assert!(
        mails[0].contains("Subject: FAILED j on ") && mails[0].contains("boss@example.org"),
        "{}",
        mails[0]
    );
    assert!(mails[0].contains("`watchkeeper show "), "{}", mails[0]);
    assert!(mails[1].contains("Subject: RECOVERED j on "), "{}", mails[1]);
    configure("another-secret");
    let tested = flagged.watchkeeper.run_json(&["notify-test"]).expect(1);
    let said = tested.json()["notifiers"][0]["said"].as_str().unwrap().to_owned();
    assert!(said.contains("did not take the mail") && said.contains("535"), "{said}");
    assert!(!said.contains("another-secret"), "{said}");
    // Whoever has another certificate is told nothing.
    let text = std::fs::read_to_string(flagged.watchkeeper.config()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("ca_file")).collect();
    std::fs::write(flagged.watchkeeper.config(), lines.join("\n")).unwrap();
    let tested = flagged.watchkeeper.run(&["notify-test"]).expect(1);
    assert!(tested.stdout.contains("ertificate"), "{tested:?}");
    assert_eq!(server.mails().len(), 2);
}
