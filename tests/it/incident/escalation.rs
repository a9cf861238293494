//! Who is to be told of an incident that lasts is told once, also over restarts, and by a notifier that did not take it at
//! first.

use super::*;
use crate::support::receiver::Receiver;

fn texts(receiver: &Receiver, path: &str) -> Vec<String> {
    let told = receiver.posted(path).into_iter().map(|posted| posted.json());
    told.map(|told| told["text"].as_str().unwrap().to_owned()).collect()
}

fn notifier(name: &str, receiver: &Receiver, path: &str) -> String {
    format!("[notify.{name}]\ntype = \"webhook\"\nurl = \"{}\"\n", receiver.url(path))
}

#[test]
fn each_step_is_told_once_also_over_restarts_with_what_was_done() {
    let receiver = Receiver::start();
    let step = |keys: &str| format!("[[escalation]]\n{keys}\nneed = \"a decision\"\n");
    let mut keeper = Keeper::start(
        &(notifier("ops", &receiver, "/ops")
            + &notifier("boss", &receiver, "/boss")
            + &step(
                "alert = \"Down\"\nafter = \"1s\"\nto = [\"ops\", \"boss\"]\ncontact = \"On-call Engineer\"",
            )
            + &step(
                "severity = \"critical\"\nafter = \"6s\"\nto = [\"boss\"]\ncontact = \"Senior SRE\"\nimpact = \"no logins\"",
            )
            + &step("alert = \"Other\"\nafter = \"0s\"\nto = [\"ops\"]\ncontact = \"nobody\"")),
    );
    keeper.tell(&[firing("ab", "Down", &now())]);
    keeper.watchkeeper.run(&["incident", "note", "1", "restarted by hand"]).expect(0);
    let both = || receiver.posted("/ops").len() == 1 && receiver.posted("/boss").len() == 1;
    wait_until("the first step is told by both", SOON, both);
    let first = receiver.posted("/ops")[0].json();
    assert_eq!((first["event"].as_str(), first["severity"].as_str()), (Some("escalated"), Some("critical")));
    let text = texts(&receiver, "/ops").remove(0);
    for part in [
        "ESCALATION CRITICAL Down on ",
        "Severity:       CRITICAL\nIssue:          Down: nobody can log in\n",
        "UTC restarted by hand\n",
        "Current status: it fires;",
        "Need:           a decision\nContact:        On-call Engineer\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Also over a kill, after which the next one is due.
    keeper.kill();
    keeper.begin();
    wait_until("the second step is told", SOON, || receiver.posted("/boss").len() == 2);
    let second = texts(&receiver, "/boss").remove(1);
    assert!(second.contains("Impact:         no logins") && second.contains("for: Senior SRE"), "{second}");
    assert!(second.contains("UTC On-call Engineer is to be told, by boss and ops"), "{second}");
    keeper.tell(&[resolved("ab", "Down", &now())]);
    // Whatever is still to be told is told by the end of the daemon.
    keeper.stop();
    assert_eq!((receiver.posted("/ops").len(), receiver.posted("/boss").len()), (1, 2));
    let mut kinds = keeper.kinds(1);
    // When the last one is delivered nobody waits for.
    kinds.sort_unstable();
    let delivered = ["delivered", "delivered", "delivered"];
    assert_eq!(kinds, [&["closed"], &delivered[..], &["escalated", "escalated", "note", "opened"]].concat());
}

/// The first line of this kind in the timeline of an incident.
fn of(keeper: &Keeper, number: u64, kind: &str) -> Option<String> {
    let kinds = keeper.kinds(number);
    kinds.iter().position(|one| one == kind).map(|at| keeper.texts(number).remove(at))
}

#[test]
fn an_alert_that_comes_again_and_again_is_told_and_a_notifier_that_fails_is_tried_again() {
    let receiver = Receiver::start();
    let step = "[[escalation]]\nrepeated = { times = 2, within = \"1h\" }\nto = [\"ops\"]\ncontact = \"Development Team\"\n\
                need = \"a mend\"\n";
    let mut keeper = Keeper::start(&(notifier("ops", &receiver, "/thrice") + step));
    for _ in 0..4 {
        let started = now();
        keeper.tell(&[firing("ab", "Flaps", &started)]);
        keeper.tell(&[resolved("ab", "Flaps", &started)]);
    }
    assert_eq!(keeper.incidents().len(), 4);
    // It is not said that it was told while it was not.
    let untold = || (1..=4).find_map(|number| of(&keeper, number, "undelivered"));
    let tried_often = || untold().is_some_and(|said| said.contains("(2 tries)"));
    wait_until("it is said that it was not told", SOON, tried_often);
    let said = untold().unwrap();
    assert!(said.starts_with("NOT told yet by ops (") && said.contains("500"), "{said}");
    assert!((1..=4).all(|number| of(&keeper, number, "delivered").is_none()));
    wait_until("it is taken at last", SOON, || receiver.posted("/thrice").len() == 4);
    let texts = texts(&receiver, "/thrice");
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    assert!(texts[0].contains("it began to fire more than 2 times within 1 h 00 m"), "{}", texts[0]);
    keeper.stop();
    let said = (1..=4).find_map(|number| of(&keeper, number, "delivered")).unwrap();
    assert!(said.starts_with("told by ops, after 3 tries that failed; the last one: "), "{said}");
    assert!((1..=4).all(|number| of(&keeper, number, "undelivered").is_none()));
    let told = (1..=4).filter(|number| keeper.kinds(*number).contains(&"escalated".to_owned())).count();
    assert_eq!(told, 1);
}
