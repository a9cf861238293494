//! What each channel is sent, what it may answer, and what is never seen.

use std::fs;
use std::path::Path;

use super::{Flagged, events, webhook};
use crate::support::receiver::Receiver;
use crate::support::scratch::files_below;
use crate::support::watchkeeper::Output;

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

/// No secret is in what the program keeps.
#[track_caller]
fn keeps_no_secret(folder: &Path) {
    for file in files_below(folder) {
        let text = String::from_utf8_lossy(&fs::read(folder.join(&file)).unwrap()).into_owned();
        is_clean(&file.display().to_string(), &text);
    }
}

#[test]
fn every_channel_is_told_in_its_own_way_and_no_secret_is_seen_anywhere() {
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
    is_clean("check", &see(&keeper.run(&["check", "--online"])));
    let tested = keeper.run_json(&["notify-test"]).expect(0);
    is_clean("notify-test", &see(&tested));
    let tested = tested.json();
    assert_eq!(tested["notifiers"].as_array().unwrap().len(), 4, "{tested}");
    assert!(tested["notifiers"].as_array().unwrap().iter().all(|one| one["delivered"] == true), "{tested}");
    is_clean("run-now", &see(&keeper.run(&["-vv", "run-now", "j"]).expect(1)));
    for command in [&["status"][..], &["history"], &["--json", "show", "0"], &["explain", "j"]] {
        is_clean(command[0], &see(&keeper.run(command)));
    }
    keeps_no_secret(&keeper.state());

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
    for posted in receiver.posted("/") {
        is_clean("a message", &posted.body);
    }
}

#[test]
fn an_answer_of_200_that_says_no_is_a_no_and_its_words_are_told_without_the_secret() {
    let receiver = Receiver::start();
    let flagged = Flagged::new("", "");
    let file = flagged.watchkeeper.folder().join("url");
    let secret = format!("/invalid{PATH}");
    fs::write(&file, receiver.url(&secret)).unwrap();
    let (notfound, moved) = (receiver.url("/notfound"), receiver.url("/moved"));
    flagged.configure(
        "",
        &format!(
            "[notify.a]\ntype = \"slack\"\nurl = {{ file = \"{}\" }}\n\
             [notify.b]\ntype = \"healthchecks\"\nurl = \"{notfound}\"\n\
             [notify.c]\ntype = \"webhook\"\nurl = \"{moved}\"\n\
             [notify.d]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/x\"\n\
             [notify.e]\ntype = \"slack\"\nurl = {{ env = \"NOT_SET_AT_ALL\" }}\n{}",
            file.display(),
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
    flagged.watchkeeper.run(&["notify-test", "f"]).expect(0);
    let unknown = flagged.watchkeeper.run(&["notify-test", "g"]).expect(2);
    assert!(unknown.stderr.contains("the notifiers are: a, b, c, d, e, f"), "{unknown:?}");
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
    assert_eq!(events(&receiver, "/good"), ["test", "test", "failed", "recovered"]);
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
