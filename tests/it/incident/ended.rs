//! The end of an incident that nobody tells of: it swallows no later alert, it is told, and a person can say it.

use super::response::response;
use super::*;
use crate::support::alertmanager::Alertmanager;
use crate::support::receiver::Receiver;

#[test]
fn an_end_that_was_never_heard_does_not_swallow_the_next_time() {
    let receiver = Receiver::start();
    let step = "[[escalation]]\nafter = \"0s\"\nto = [\"ops\"]\ncontact = \"SRE\"\nneed = \"a look\"\n";
    let notifier = format!("[notify.ops]\ntype = \"webhook\"\nurl = \"{}\"\n", receiver.url("/ops"));
    let mut keeper = Keeper::start(&(notifier + step + &response("cooldown = \"0s\"", "exit 0")));
    let first = now();
    keeper.tell(&[firing("ab", "Down", &first)]);
    keeper.wait_for(1, "done");
    wait_until("it is told", SOON, || receiver.posted("/ops").len() == 1);
    keeper.tell(&[firing("ab", "Down", &first)]);
    assert_eq!(keeper.incidents().len(), 1);
    // Nobody has told that it ended.
    keeper.tell(&[firing("ab", "Down", &now())]);
    keeper.wait_for(2, "done");
    wait_until("the second one is told", SOON, || receiver.posted("/ops").len() == 2);
    let old = keeper.show(1);
    assert_eq!((old["open"].as_bool(), old["ending"].as_str()), (Some(false), Some("unheard")));
    assert!(keeper.texts(1).last().unwrap().starts_with("its end was not heard"), "{:?}", keeper.texts(1));
    let shown = keeper.watchkeeper.run(&["incident", "show", "1"]).expect(0).stdout;
    assert!(shown.contains("closed, end not heard, fired for at least"), "{shown}");
    wait_until("one is open", SOON, || keeper.metric("watchkeeper_incidents_open") == Some(1.0));
    // The end of the first one, told late, ends the second one not.
    let mut late = resolved("ab", "Down", &first);
    late["endsAt"] = json!(first);
    keeper.tell(&[late]);
    assert_eq!(keeper.show(2)["open"], true);
    keeper.stop();
}

#[test]
fn a_real_alertmanager_that_tells_no_ends_has_each_time_noted_and_a_later_start_of_what_still_fires_is_none()
{
    let mut keeper = Keeper::start("");
    let silent = alertmanager::routed_to(keeper.port).replace("send_resolved: true", "send_resolved: false");
    let Some(server) = Alertmanager::start_with(&silent) else { return };
    wait_until("the Alertmanager is up", SOON, || server.is_up());
    let alert = |starts: &str, ends: Option<String>| {
        let mut alert = json!({ "labels": { "alertname": "AppDown" }, "startsAt": starts });
        if let Some(ends) = ends {
            alert["endsAt"] = json!(ends);
        }
        alert
    };
    let first = now();
    alertmanager::fire(&server, &alert(&first, None));
    wait_until("an incident opens", SOON, || keeper.incidents().len() == 1);
    // A Prometheus that was started anew has forgotten when it began; the Alertmanager has not.
    let told = keeper.show(1)["notices"].as_u64().unwrap();
    alertmanager::fire(&server, &alert(&now(), None));
    wait_until("it is told again", SOON, || keeper.show(1)["notices"].as_u64().unwrap() > told + 2);
    assert_eq!(keeper.incidents().len(), 1);
    alertmanager::fire(&server, &alert(&first, Some(now())));
    let fires = || {
        let answer = http::get(server.port, "/api/v2/alerts?active=true").unwrap();
        answer.1.contains("AppDown")
    };
    wait_until("it does not fire any more", SOON, || !fires());
    assert_eq!(keeper.show(1)["open"], true);
    alertmanager::fire(&server, &alert(&now(), None));
    wait_until("another incident opens", SOON, || keeper.incidents().len() == 2);
    assert_eq!(
        (keeper.show(1)["ending"].as_str(), keeper.show(2)["open"].as_bool()),
        (Some("unheard"), Some(true))
    );
    keeper.stop();
}

#[test]
fn a_person_closes_what_is_over_and_what_fires_all_the_same_opens_anew() {
    let mut keeper = Keeper::start("");
    let started = now();
    keeper.tell(&[firing("ab", "Down", &started)]);
    let close = |arguments: &[&str], code: i32| {
        keeper.watchkeeper.run(&[&["incident", "close"], arguments].concat()).expect(code)
    };
    assert!(close(&["9"], 2).stderr.contains("There is no incident 9"));
    let done = close(&["1", "--note", "restarted by hand"], 0);
    assert!(done.stdout.contains("closed incident 1; if its alert still fires, the next notice"), "{done:?}");
    let again = close(&["1"], 2);
    assert!(
        again.stderr.contains("Incident 1 is closed already, since ") && again.stderr.contains(": by hand"),
        "{again:?}"
    );
    assert_eq!(keeper.texts(1).last().unwrap(), "closed by hand: restarted by hand");
    let list = keeper.watchkeeper.run(&["incidents"]).expect(0).stdout;
    assert!(list.contains("closed by hand"), "{list}");
    // Its end, told then, is no news; that it still fires is, although it began before.
    keeper.tell(&[resolved("ab", "Down", &started)]);
    assert_eq!(keeper.incidents().len(), 1);
    keeper.tell(&[firing("ab", "Down", &started)]);
    assert_eq!((keeper.incidents().len(), keeper.show(2)["open"].as_bool()), (2, Some(true)));
    keeper.stop();
}

#[test]
fn an_incident_of_which_nothing_is_heard_is_told_as_silent() {
    let mut keeper = Keeper::start("");
    keeper.tell(&[firing("ab", "Down", &now())]);
    let status = || keeper.watchkeeper.run(&["status"]).stdout;
    assert!(keeper.incidents()[0]["silent"] == false && !status().contains("nothing was heard"));
    let text = fs::read_to_string(keeper.watchkeeper.folder().join("jobs.toml")).unwrap();
    fs::write(
        keeper.watchkeeper.folder().join("jobs.toml"),
        text.replace("[webhook]\n", "[webhook]\nsilent_after = \"1s\"\n"),
    )
    .unwrap();
    wait_until("it is silent", SOON, || keeper.incidents()[0]["silent"] == true);
    let list = keeper.watchkeeper.run(&["incidents"]).expect(0).stdout;
    assert!(list.contains("open, silent for ") && list.contains("`watchkeeper incident close N`"), "{list}");
    let said = status();
    assert!(
        said.contains(
            "CAUTION: of 1 open incident nothing was heard for 1.0 s and more, of incident 1 (Down)"
        ),
        "{said}"
    );
    // Who tells of it ends that.
    fs::write(
        keeper.watchkeeper.folder().join("jobs.toml"),
        text.replace("[webhook]\n", "[webhook]\nsilent_after = \"1h\"\n"),
    )
    .unwrap();
    assert!(!status().contains("nothing was heard"));
    keeper.stop();
}

#[test]
fn a_note_that_is_too_long_is_refused_without_repeating_it() {
    let mut keeper = Keeper::start("");
    keeper.tell(&[firing("ab", "Down", &now())]);
    let long = "x".repeat(100_000);
    for arguments in [&["incident", "note", "1", &long][..], &["incident", "close", "1", "--note", &long]] {
        let said = keeper.watchkeeper.run(arguments).expect(2);
        assert!(
            said.stderr.contains("has 100 000 characters, and 1000 is the most")
                || said.stderr.contains("has 100000 characters"),
            "{said:?}"
        );
        assert!(said.stderr.len() < 500 && !said.stderr.contains("xxx"), "{}", said.stderr.len());
    }
    assert!(
        keeper
            .watchkeeper
            .run(&["incident", "note", "1", "a\nb"])
            .expect(2)
            .stderr
            .contains("more than one line")
    );
    let help = keeper.watchkeeper.run(&["incident", "note", "--help"]).expect(0).stdout;
    assert!(help.contains("1000 characters"), "{help}");
    assert_eq!(keeper.kinds(1), ["opened"]);
    keeper.stop();
}
