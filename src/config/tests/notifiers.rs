//! `[notify.NAME]`: what is right, and what is said of what is not.

use super::*;
use crate::config::notify::{Address, Channel, Event, SmtpTls};

const ALL: &str = r#"
[alertmanager.main]
url = "http://localhost:9093"
[notify.hook]
type = "webhook"
url = "https://example.org/hook"
template = '{ "text": "{{headline}}", "n": {{failures}} }'
headers = { X-Key = { env = "KEY" }, X-Plain = "yes" }
[notify.chat]
type = "slack"
url = { env = "SLACK_URL" }
on = ["failed", "recovered"]
jobs = ["a"]
remind = "never"
cooldown = "0s"
[notify.phone]
type = "ntfy"
topic = "backups"
[notify.mail]
type = "email"
host = "mail.example.org"
tls = "tls"
from = "keeper@example.org"
to = ["Ops <ops@example.org>"]
user = "keeper"
password = { file = "/etc/password" }
[notify.checks]
type = "healthchecks"
urls = { a = { env = "PING" } }
[notify.am]
type = "alertmanager"
alertmanager = "main"
resend = "30s"
"#;

#[test]
fn every_type_of_notifier_is_read_with_its_defaults() {
    let config = good(JOB, ALL);
    let notifier = |text: &str| &config.notify[&name(text)];
    let hook = notifier("hook");
    assert_eq!((hook.on.len(), hook.jobs.as_ref()), (Event::ALL.len(), None));
    assert_eq!(hook.rhythm.remind, Some(Duration::from_hours(24)));
    assert_eq!(hook.rhythm.cooldown, Duration::from_hours(1));
    let chat = notifier("chat");
    assert!(matches!(&chat.channel, Channel::Slack(web) if matches!(web.address, Address::Secret(_))));
    assert_eq!((chat.rhythm.remind, chat.rhythm.cooldown), (None, Duration::ZERO));
    assert!(chat.is_for(&name("a")) && !chat.is_for(&name("b")));
    let Channel::Ntfy(ntfy) = &notifier("phone").channel else { panic!() };
    assert_eq!(ntfy.server.as_str(), "https://ntfy.sh/");
    let Channel::Email(email) = &notifier("mail").channel else { panic!() };
    assert_eq!((email.port, email.tls), (465, SmtpTls::Tls));
    let Channel::Alertmanager(alerts) = &notifier("am").channel else { panic!() };
    assert_eq!(alerts.endpoint.url.as_str(), "http://localhost:9093/");
    // Every one of them is under the veil.
    assert_eq!(config.secrets().count(), 4);
}

/// What the shipped file says in comments.
#[test]
fn the_notifiers_of_the_shipped_file_are_right() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs.toml")).unwrap();
    let (_, after) = text.split_once("── Who is told").unwrap();
    let (notifiers, _) = after.split_once("── Incidents").unwrap();
    let notifiers: Vec<&str> = notifiers.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    let config = good(&text, &notifiers.join("\n"));
    assert_eq!(config.notify.len(), 6);
}

const SLACK: &str = "[notify.x]\ntype = \"slack\"\n";
const HOOK: &str = "[notify.x]\ntype = \"webhook\"\nurl = \"http://h/\"\n";

#[rustfmt::skip]
const BAD: &[(&str, &str, &[&str])] = &[
    (NOTHING, "[notify.x]", &[r#"1:1: [notify.x] has no "type" -> add type = "email""#]),
    (NOTHING, "[notify.x]\ntype = \"sms\"", &[r#"2:8: "type" cannot be "sms" -> write "webhook" or "slack" or "ntfy" or "email" or "healthchecks" or "alertmanager""#]),
    (SLACK, "", &[r#"1:1: [notify.x] has no "url" -> add url = { env = "SLACK_URL" }"#]),
    (SLACK, "url = \"https://hooks.slack.com/services/T/B/key\"", &[r#"3:7: "url": a secret as plain text needs { plain = "…" } -> better { env = "NAME" }, { file = "/path" } or { credential = "name" }"#]),
    (HOOK, "on = [\"fail\"]", &[r#"4:7: each of "on" cannot be "fail" -> write "failed" or "warned" or "too-long" or "missed" or "overdue" or "recovered""#]),
    (HOOK, "on = []", &[r#"4:6: "on" is empty: it would tell nothing -> remove it to be told everything"#]),
    (HOOK, "jobs = [\"nightly\"]", &[r#"4:9: there is no job "nightly" -> the file has no job"#]),
    (HOOK, "cooldwn = \"1h\"", &[r#"4:1: unknown key "cooldwn" -> did you mean "cooldown"?"#]),
    (HOOK, "template = '{ \"a\": \"{{hedline}}\" }'", &[r#"4:12: "template" is wrong: there is no field "hedline" -> did you mean "headline"?"#]),
    (HOOK, "template = '{ \"a\": {{job}} }'", &[r#"4:12: "template" is wrong: it makes no JSON: expected value at line 1 column 8 -> a value stands within quotes: { "text": "{{headline}}" }; or name another content_type"#]),
    (NOTHING, "[notify.x]\ntype = \"webhook\"\nurl = \"https://me:pw@h/\"", &["3:7: the URL must not hold a user or password -> use the user and password keys, or make the whole URL a secret"]),
    (NOTHING, "[notify.x]\ntype = \"healthchecks\"\nurls = { b = \"http://h/1\" }", &[r#"3:10: there is no job "b" -> the file has no job"#]),
    (NOTHING, "[notify.x]\ntype = \"healthchecks\"\nurl = \"http://h/1\"\nremind = \"1d\"", &[r#"4:1: unknown key "remind" -> known here: type, jobs, url, urls, ca_file"#]),
    (NOTHING, "[notify.x]\ntype = \"alertmanager\"\nalertmanager = \"main\"", &["3:16: there is no [alertmanager.main] -> add [alertmanager.main]"]),
    (NOTHING, "[notify.x]\ntype = \"email\"\nhost = \"h\"\nfrom = \"keeper\"\nto = []", &[r#"4:8: "keeper" is not an address -> such as "ops@example.org" or "Operators <ops@example.org>""#, r#"5:6: "to" is empty: nobody would get the mail"#]),
    (HOOK, "on = [\"fail\", \"warn\"]\njobs = [\"a\", \"b\"]\nheaders = { \"a b\" = \"c\", \"d e\" = \"f\" }", &[
        r#"4:7: each of "on" cannot be "fail" -> write "failed" or "warned" or "too-long" or "missed" or "overdue" or "recovered""#,
        r#"4:15: each of "on" cannot be "warn" -> write "failed" or "warned" or "too-long" or "missed" or "overdue" or "recovered""#,
        r#"5:9: there is no job "a" -> the file has no job"#,
        r#"5:14: there is no job "b" -> the file has no job"#,
        r#"6:13: "a b" is not the name of a header"#,
        r#"6:26: "d e" is not the name of a header"#,
    ]),
];

#[test]
fn a_bad_notifier_is_refused_with_a_message_that_says_what_to_change() {
    for (start, rest, wanted) in BAD {
        assert_eq!(problems(&format!("{start}{rest}\n")), *wanted, "{rest}");
    }
}

#[test]
fn a_secret_url_that_stands_in_the_wrong_place_is_not_shown() {
    for line in
        ["url = \"https://hooks.slack.com/services/T/B/key\"", "url = { plian = \"https://h/T/B/key\" }"]
    {
        let errors = parse(&format!("{SLACK}{line}\n")).unwrap_err().to_string();
        assert!(!errors.contains("key\""), "{errors}");
    }
    let warned = good(JOB, &format!("{SLACK}url = {{ plain = \"https://h/T/B/key\" }}\n"));
    let shown = warned.warnings[0].show(Path::new("jobs.toml")).to_string();
    assert!(!shown.contains("/T/B/key") && shown.contains("stands here for every reader"), "{shown}");
}
