//! What each channel is sent, what it may answer, and what is never seen.

use std::fs;
use std::process::Command;

use super::{Flagged, SOON, events, webhook};
use crate::support::past::history;
use crate::support::receiver::Receiver;
use crate::support::watchkeeper::Output;
use crate::support::{run, wait_until};

const PATH: &str = "/services/T0000/B0000/XlookLikeASecretX";
const TOKEN: &str = "tk-secret-of-ntfy";
const HEADER: &str = "secret-of-the-header";
const PING: &str = "/ping/0f3c1c9e-secret-check";
const SECRETS: [&str; 4] = [PATH, TOKEN, HEADER, PING];

/// All channels over HTTP, with secrets in files.
fn all_channels(flagged: &Flagged, receiver: &Receiver) -> String {
    let secret = |name: &str, text: &str| {
        let path = flagged.watchkeeper.folder().join(name);
        fs::write(&path, text).unwrap();
        format!("{{ file = \"{}\" }}", path.display())
    };
    let slack = secret("slack", &receiver.url(PATH));
    let (token, header) = (secret("token", TOKEN), secret("header", HEADER));
    let ping = secret("ping", &receiver.url(PING));
    let (ntfy, hook) = (receiver.url("/"), receiver.url("/hook"));
    format!(
        "[notify.chat]\ntype = \"slack\"\nurl = {slack}\n\
         [notify.phone]\ntype = \"ntfy\"\nserver = \"{ntfy}\"\ntopic = \"backups\"\ntoken = {token}\n\
         [notify.hook]\ntype = \"webhook\"\nurl = \"{hook}\"\nheaders = {{ X-Key = {header}, X-Plain = \"yes\" }}\n\
         template = '{{ \"say\": \"{{{{headline}}}}\", \"job\": \"{{{{job}}}}\", \"n\": {{{{failures}}}} }}'\n\
         [notify.checks]\ntype = \"healthchecks\"\nurls = {{ j = {ping} }}\n"
    )
}

fn see(output: &Output) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

/// No secret is in a text.
#[track_caller]
fn is_clean(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in {what}: {text}");
    }
    // Its key alone would do.
    assert!(!text.contains("XlookLikeASecretX"), "in {what}: {text}");
}

#[test]
fn every_channel_is_told_in_its_own_way() {
    let receiver = Receiver::start();
    let flagged = Flagged::new("", "");
    let channels = all_channels(&flagged, &receiver);
    // A program that says what it should not.
    let tell = |name: &str| format!("echo \"$(cat {})\"", flagged.watchkeeper.folder().join(name).display());
    let says = format!("{}; {}; {} >&2; exit 3", tell("slack"), tell("token"), tell("header"));
    flagged.watchkeeper.configure(&format!(
        "[[job]]\nname = \"j\"\nkind = \"command\"\nshell = true\ncommand = '''{says}'''\n{channels}"
    ));
    let keeper = &flagged.watchkeeper;
    let tested = keeper.run_json(&["notify-test"]).expect(0);
    let tested = tested.json();
    assert_eq!(tested["notifiers"].as_array().unwrap().len(), 4, "{tested}");
    assert!(tested["notifiers"].as_array().unwrap().iter().all(|one| one["delivered"] == true), "{tested}");
    keeper.run(&["run-now", "j"]).expect(1);

    let slack = receiver.posted(PATH);
    assert!(slack[0].json()["text"].as_str().unwrap().starts_with("*TEST from watchkeeper on "), "{slack:?}");
    let text = slack[1].json()["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("*FAILED j on ") && text.contains("[redacted]"), "{text}");
    assert!(text.contains("`watchkeeper show "), "{text}");
    let ntfy = receiver.posted("/").into_iter().filter(|posted| posted.path == "/").collect::<Vec<_>>();
    assert_eq!(ntfy[1].headers["authorization"], format!("Bearer {TOKEN}"));
    let body = ntfy[1].json();
    assert_eq!(
        (&body["topic"], &body["priority"], &body["tags"][1]),
        (&"backups".into(), &5.into(), &"failed".into())
    );
    let hook = &receiver.posted("/hook")[1];
    assert_eq!((hook.headers["x-key"].as_str(), hook.headers["x-plain"].as_str()), (HEADER, "yes"));
    assert_eq!((&hook.json()["job"], &hook.json()["n"]), (&"j".into(), &1.into()));
    let pings: Vec<String> = receiver.posted(PING).into_iter().map(|posted| posted.path).collect();
    assert!(pings[0].starts_with(&format!("{PING}/log")), "{pings:?}");
    assert!(pings[1].starts_with(&format!("{PING}/fail?rid=0")), "{pings:?}");
}

#[test]
fn an_answer_of_200_that_says_no_is_a_no_and_its_words_are_told_without_the_secret() {
    let receiver = Receiver::start();
    let flagged = Flagged::new("", "");
    let file = flagged.watchkeeper.folder().join("url");
    let secret = format!("/invalid{PATH}");
    fs::write(&file, receiver.url(&secret)).unwrap();
    let no_url = flagged.watchkeeper.folder().join("no-url");
    fs::write(&no_url, "hooks.slack.com/XlookLikeASecretX").unwrap();
    let (notfound, moved) = (receiver.url("/notfound"), receiver.url("/moved"));
    flagged.configure(
        "",
        &format!(
            "[notify.a]\ntype = \"slack\"\nurl = {{ file = \"{}\" }}\n\
             [notify.b]\ntype = \"healthchecks\"\nurl = \"{notfound}\"\n\
             [notify.c]\ntype = \"webhook\"\nurl = \"{moved}\"\n\
             [notify.d]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/x\"\n\
             [notify.e]\ntype = \"slack\"\nurl = {{ env = \"NOT_SET_AT_ALL\" }}\n\
             [notify.g]\ntype = \"slack\"\nurl = {{ file = \"{}\" }}\n{}",
            file.display(),
            no_url.display(),
            webhook("f", &receiver, "/good"),
        ),
    );
    let output = flagged.watchkeeper.run_json(&["notify-test"]).expect(1);
    is_clean("notify-test", &see(&output));
    let json = output.json();
    let said = |nth: usize| json["notifiers"][nth]["said"].as_str().unwrap().to_owned();
    assert!(said(0).contains("answered 200: invalid_token in /[redacted]"), "{}", said(0));
    assert!(said(1).contains("OK (not found)"), "{}", said(1));
    assert!(said(2).contains("answered 302: go to /login"), "{}", said(2));
    assert!(said(3).contains("refused"), "{}", said(3));
    assert_eq!(said(4), "The environment variable NOT_SET_AT_ALL is not set");
    assert_eq!(json["notifiers"][5]["delivered"], true, "{json}");
    assert!(said(6).contains(&format!("The secret from the file {} ", no_url.display())), "{}", said(6));
    flagged.watchkeeper.run(&["notify-test", "f"]).expect(0);
    let two = flagged.watchkeeper.run_json(&["notify-test", "f", "b"]).expect(1).json();
    let names = [&two["notifiers"][0]["notifier"], &two["notifiers"][1]["notifier"], &two["notifiers"][2]];
    assert_eq!(names, [&"b".into(), &"f".into(), &serde_json::Value::Null], "as they stand in the file");
    let unknown = flagged.watchkeeper.run(&["notify-test", "f", "h"]).expect(2);
    assert!(unknown.stderr.contains("the notifiers are: a, b, c, d, e, f, g"), "{unknown:?}");
    // The run fails for its own reason, and for none of theirs.
    flagged.run(1);
    flagged.raise();
    flagged.run(0);
    let status = flagged.watchkeeper.run(&["status"]).expect(0);
    is_clean("status", &see(&status));
    for name in ["a", "c", "d", "e"] {
        assert!(
            status.stdout.contains(&format!("CAUTION: notifier {name}: not delivered since ")),
            "{status:?}"
        );
    }
    assert_eq!(events(&receiver, "/good"), ["test", "test", "test", "failed", "recovered"]);
}

#[test]
fn a_run_by_hand_tells_of_a_change_once_and_of_one_that_is_taken_out_that_it_is_closed() {
    let receiver = Receiver::start();
    let hook = webhook("ops", &receiver, "/hook");
    let flagged = Flagged::new("", &hook);
    flagged.run(1);
    flagged.run(1);
    assert_eq!(events(&receiver, "/hook"), ["failed"]);
    let posted = receiver.posted("/hook")[0].json();
    let text = posted["text"].as_str().unwrap();
    assert!(text.starts_with("FAILED j on ") && text.contains("\n  run "), "{text}");
    flagged.raise();
    flagged.run(0);
    let recovered = receiver.posted("/hook")[1].json();
    let line = recovered["text"].as_str().unwrap();
    assert!(line.starts_with("RECOVERED j on ") && !line.contains('\n'), "{line}");
    assert!(line.ends_with("(failed); 2 runs had not been good"), "{line}");
    flagged.lower();
    flagged.run(1);
    let other = "[[job]]\nname = \"k\"\nkind = \"command\"\ncommand = [\"true\"]\n";
    flagged.watchkeeper.configure(&format!("{other}{hook}"));
    flagged.watchkeeper.run(&["run-now", "k"]).expect(0);
    assert_eq!(events(&receiver, "/hook"), ["failed", "recovered", "failed", "closed"]);
    flagged.watchkeeper.run(&["run-now", "k"]).expect(0);
    assert_eq!(receiver.posted("/hook").len(), 4);
}

/// How many seconds the message of a notifier waits, and those of what it is told while it waits.
fn waits(flagged: &Flagged) -> i64 {
    let sql = "SELECT due - (SELECT max(finished) FROM run) FROM post";
    history(&flagged.watchkeeper).query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() / 1_000
}

#[test]
fn a_receiver_that_says_when_to_come_again_is_asked_then_and_not_too_late() {
    let receiver = Receiver::start();
    let asked = |after: &str| {
        let flagged = Flagged::new("", &webhook("ops", &receiver, &format!("/later/{after}")));
        let said = flagged.run(1);
        assert!(said.contains("answered 503: try later"), "{said}");
        waits(&flagged)
    };
    assert!((590..=610).contains(&asked("600")), "{}", asked("600"));
    assert!((3_590..=3_610).contains(&asked("99999999999")), "an hour at most");
    let date = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(900);
    let date = date.strftime("%a,_%d_%b_%Y_%H:%M:%S_GMT").to_string();
    let waits = asked(&date);
    assert!((800..=910).contains(&waits), "{date}: {waits}");
    assert!((0..=10).contains(&asked("soon")) && (0..=10).contains(&asked("0")), "as without it");
}

#[test]
fn a_ping_that_nobody_took_is_not_lost_behind_the_one_that_all_is_well() {
    let receiver = Receiver::start();
    let checks =
        |url: &str| format!("[notify.checks]\ntype = \"healthchecks\"\nurls = {{ j = \"{url}\" }}\n");
    let flagged = Flagged::new("", &checks("http://127.0.0.1:1/ping"));
    let said = flagged.run(1);
    assert!(said.contains("warning: notifier checks: not delivered"), "{said}");
    flagged.raise();
    flagged.run(0);
    flagged.configure("", &checks(&receiver.url("/ping/j")));
    let daemon = flagged.watchkeeper.spawn(&["run"]);
    wait_until("both are told", SOON, || receiver.posted("/ping").len() == 2);
    run(Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    flagged.watchkeeper.wait(daemon, &["run"]).expect(0);
    let pings = receiver.posted("/ping");
    assert!(pings[0].path.starts_with("/ping/j/fail"), "{pings:?}");
    assert!(pings[0].body.contains("FAILED j on "), "{pings:?}");
    assert!(pings[1].path.starts_with("/ping/j?rid="), "{pings:?}");
    assert_eq!(pings.len(), 2);
}
