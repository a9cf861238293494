//! Many alerts at once are told in few messages.

use super::*;
use crate::support::receiver::Receiver;

#[test]
fn hundreds_of_alerts_are_told_together_and_one_after_the_other_only_some_at_once() {
    let receiver = Receiver::start();
    let step = "[[escalation]]\nafter = \"0s\"\nto = [\"ops\"]\ncontact = \"SRE\"\nneed = \"a look\"\n";
    let notifier = format!("[notify.ops]\ntype = \"webhook\"\nurl = \"{}\"\n", receiver.url("/ops"));
    let mut keeper = Keeper::start(&(notifier + step));
    let started = now();
    let alerts: Vec<Value> = (1..=300).map(|nth| firing(&format!("{nth:x}"), "Down", &started)).collect();
    keeper.tell(&alerts);
    wait_until("it is told", SOON, || keeper.kinds(1).contains(&"delivered".to_owned()));
    let text = receiver.posted("/ops")[0].json()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("(incident 1 and 299 more)") && text.contains("incidents 2, 3, "), "{text}");
    assert_eq!(keeper.kinds(300), ["opened", "escalated"]);
    let with = keeper.texts(300).remove(1);
    assert!(with.contains("together with incident 1, whose timeline says"), "{with}");
    // One by one: two more messages, and the rest is held until it may be told together. Another alert is not.
    for nth in 301..=306 {
        keeper.tell(&[firing(&format!("{nth:x}"), "Down", &now())]);
        let escalated = || nth > 302 || keeper.kinds(nth).contains(&"delivered".to_owned());
        wait_until("the first ones are told", SOON, escalated);
    }
    keeper.tell(&[firing("abcd", "Other", &now())]);
    wait_until("another alert is told", SOON, || keeper.kinds(307).contains(&"delivered".to_owned()));
    // Whoever looked at that one had looked at those before it.
    for nth in 303..=306 {
        assert_eq!(keeper.kinds(nth), ["opened"], "{nth}");
    }
    keeper.stop();
    assert_eq!(receiver.posted("/ops").len(), 4);
}
