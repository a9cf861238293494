//! `[[escalation]]` and `[webhook]`: what is right, and what is said of what is not.

use super::*;
use crate::config::escalation::{Escalation, When};

const MAIL: &str = "[notify.mail]\ntype = \"ntfy\"\ntopic = \"x\"\n[notify.am]\ntype = \"alertmanager\"\nurl = \"http://h:9093\"\n";

fn said(text: &str) -> Vec<String> {
    parse(text).err().map(|errors| errors.problems.iter().map(short).collect()).unwrap_or_default()
}

#[test]
fn the_table_of_the_runbook_as_it_is_shipped_is_read() {
    let shipped = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs.toml")).unwrap();
    let start = shipped.find("#   [webhook]").unwrap();
    let lines = shipped[start..].lines().take_while(|line| line.starts_with('#'));
    let lines: Vec<&str> = lines.filter_map(|line| line.strip_prefix("#   ")).collect();
    let listen = "[metrics]\nlisten = \"127.0.0.1:9469\"\n";
    let phone = "[notify.phone]\ntype = \"ntfy\"\ntopic = \"y\"\n";
    let config = good(&(MAIL.to_owned() + phone + listen), &lines.join("\n"));
    assert_eq!((config.escalation.len(), config.webhook.is_some()), (6, true));
    let first = &config.escalation[0];
    assert_eq!((first.alert.as_deref(), first.contact.as_str()), (Some("ServiceDown"), "On-call Engineer"));
    assert_eq!(first.when, When::After(Duration::from_mins(15)));
    let repeated = config.escalation.iter().find(|step| matches!(step.when, When::Repeated { .. })).unwrap();
    assert_eq!(
        repeated.when,
        When::Repeated { times: 5.try_into().unwrap(), within: Duration::from_hours(1) }
    );
    let keys: std::collections::BTreeSet<String> = config.escalation.iter().map(Escalation::key).collect();
    assert_eq!(keys.len(), 6);
    assert_eq!(config.secrets().count(), 1);
    assert_eq!(config.silent_after(), WebhookConfig::SILENT_AFTER);
}

#[test]
fn what_is_wrong_with_a_step_is_said() {
    let step =
        |keys: &str| said(&format!("{MAIL}[[escalation]]\n{keys}\ncontact = \"SRE\"\nneed = \"help\"\n"));
    assert_eq!(step("after = \"1m\"\nto = [\"mail\"]"), Vec::<String>::new());
    for (keys, wanted) in [
        ("to = [\"mail\"]", "has neither \"after\" nor \"repeated\""),
        (
            "after = \"1m\"\nrepeated = { times = 5, within = \"1h\" }\nto = [\"mail\"]",
            "has both \"after\" and \"repeated\"",
        ),
        ("after = \"1m\"", "has no \"to\""),
        ("after = \"1m\"\nto = []", "\"to\" is empty: nobody would be told"),
        ("after = \"1m\"\nto = [\"mial\"]", "there is no notifier \"mial\" -> did you mean \"mail\"?"),
        (
            "after = \"1m\"\nto = [\"am\"]",
            "\"am\" cannot be told: an Alertmanager has told of the alert itself",
        ),
        (
            "repeated = { times = 0, within = \"1h\" }\nto = [\"mail\"]",
            "must be a whole number from 1 to 1000",
        ),
        ("repeated = { times = 5 }\nto = [\"mail\"]", "has no \"within\""),
        ("after = \"1m\"\nto = [\"mail\"]\nalert = 5", "\"alert\" must be a string"),
        ("after = \"1m\"\nto = [\"mail\"]\nimpact = \"a\\nb\"", "\"impact\" must be one line"),
        (
            "after = \"1m\"\nto = [\"mail\"]\nseverty = \"x\"",
            "unknown key \"severty\" -> did you mean \"severity\"?",
        ),
    ] {
        let problems = step(keys);
        assert!(problems.len() == 1 && problems[0].contains(wanted), "{keys}: {problems:?}");
    }
    let twice = "[[escalation]]\nafter = \"1m\"\nto = [\"mail\"]\ncontact = \"a\"\nneed = \"b\"\n".repeat(2);
    assert!(said(&(MAIL.to_owned() + &twice))[0].contains("stands there twice"));
}

#[test]
fn a_webhook_needs_a_token_and_who_listens() {
    let token = "[webhook]\ntoken = { env = \"X\" }\n";
    assert!(said(token)[0].contains("[webhook] has nobody who listens -> add [metrics] with listen"));
    assert!(
        said("[metrics]\nlisten = \"127.0.0.1:1\"\n[webhook]\n")[0].contains("[webhook] has no \"token\"")
    );
    let silent =
        |text: &str| format!("[metrics]\nlisten = \"127.0.0.1:1\"\n{token}silent_after = \"{text}\"\n");
    assert_eq!(good(&silent("30h"), "").silent_after(), Duration::from_hours(30));
    assert!(said(&silent("0s"))[0].contains("\"silent_after\""));
    let name = "[[job]]\nname = \"incident-3-1\"\nkind = \"command\"\ncommand = [\"true\"]\n";
    assert!(said(name)[0].contains("\"incident-3-1\" is the name of a message about an incident"));
    assert_eq!(said(&name.replace("-3-1", "-report")), Vec::<String>::new());
}
