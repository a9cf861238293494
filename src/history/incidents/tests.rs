//! Incidents as they are kept.

use std::time::Duration;

use super::*;
use crate::config::values::Remembered;
use crate::history::{NotesChange, PostEnd};
use crate::incident::Labels;
use crate::incident::{EntryKind, Notice};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn notice(fingerprint: &str, starts: i64, ended: Option<i64>) -> Notice {
    Notice {
        fingerprint: fingerprint.into(),
        alert: "Down".into(),
        severity: Some("critical".into()),
        labels: Labels::from([("alertname".into(), "Down".into())]),
        annotations: Labels::new(),
        starts: at(starts),
        ended: ended.map(at),
    }
}

fn history() -> (tempfile::TempDir, History) {
    let folder = tempfile::tempdir().unwrap();
    let history = History::open(folder.path()).unwrap();
    (folder, history)
}

fn texts(history: &History, number: Number) -> Vec<String> {
    let timeline = history.incident(number).unwrap().unwrap().1;
    timeline.into_iter().map(|entry| entry.text).collect()
}

#[test]
fn a_notice_opens_one_incident_that_goes_on_and_is_closed() {
    let (_folder, history) = history();
    let first = history.note_notices(&[notice("ab", 0, None), notice("cd", 0, None)], at(5)).unwrap();
    assert_eq!(first.opened.len(), 2);
    for nth in 0..100 {
        let again = history.note_notices(&[notice("ab", 0, None)], at(6 + nth)).unwrap();
        assert_eq!((again.opened.len(), again.go_on), (0, 1));
    }
    assert_eq!(history.open_incidents().unwrap(), 2);
    let closed = history.note_notices(&[notice("ab", 0, Some(200))], at(205)).unwrap();
    assert_eq!(closed.closed, [first.opened[0]]);
    let (incident, _) = history.incident(first.opened[0]).unwrap().unwrap();
    assert_eq!((incident.notices, incident.ended, incident.closed), (102, Some(at(200)), Some(at(205))));
    assert_eq!(incident.labels["alertname"], "Down");
    assert_eq!(texts(&history, incident.number), ["Down fires", "the alert has ended"]);
    let open = history.incidents(true, 10).unwrap();
    assert_eq!((open.len(), history.incidents(false, 10).unwrap().len()), (1, 2));
    let over = history.note_notices(&[notice("ef", 0, Some(3))], at(206)).unwrap();
    assert_eq!((over.opened.len(), over.closed.len()), (0, 1));
}

#[test]
fn a_step_of_the_escalation_is_told_once_with_its_messages() {
    let (_folder, history) = history();
    let number = history.note_notices(&[notice("ab", 0, None)], at(5)).unwrap().opened[0];
    let posts = vec![(("ops".parse().unwrap(), "incident-1-1".parse().unwrap()), "message".to_owned())];
    let entry = Entry::new(at(900), EntryKind::Escalated, "told");
    let told = [(number, entry)];
    assert!(history.escalate("after 900", &told, &posts).unwrap());
    assert!(!history.escalate("after 900", &told, &posts).unwrap());
    assert_eq!(history.notes().unwrap().posts.len(), 1);
    let watched = history.watched_incidents(at(0)).unwrap();
    assert_eq!(watched[0].told, ["after 900"]);
    assert_eq!((watched[0].openings.clone(), watched[0].last["after 900"]), (vec![at(5)], at(900)));
    assert_eq!(texts(&history, number), ["Down fires", "told"]);
}

#[test]
fn what_was_begun_is_found_again_and_nobody_writes_into_an_incident_that_is_none() {
    let (_folder, history) = history();
    let number = history.note_notices(&[notice("ab", 0, None)], at(5)).unwrap().opened[0];
    let other = history.note_notices(&[notice("cd", 0, None)], at(5)).unwrap().opened[0];
    history.note_response(other, Response::None, None, &[]).unwrap();
    assert_eq!(history.last_response("Down", other).unwrap(), None);
    history.note_response(number, Response::Runs, Some(("Down", at(6))), &[]).unwrap();
    assert_eq!(history.incidents_to_respond().unwrap()[0].response, Response::Runs);
    // One that is begun again does not wait for itself.
    assert_eq!(history.last_response("Down", number).unwrap(), None);
    assert_eq!(history.last_response("Down", other).unwrap(), Some((number, at(6))));
    history.note_response(number, Response::Done, None, &[]).unwrap();
    assert!(history.incidents_to_respond().unwrap().is_empty());
    assert_eq!(history.last_response("Down", other).unwrap(), Some((number, at(6))));
    let note = Entry::new(at(9), EntryKind::Note, "x".repeat(5_000));
    assert!(history.add_to_incident(number, &note).unwrap());
    assert!(!history.add_to_incident(Number::new(99).unwrap(), &note).unwrap());
    assert!(texts(&history, number)[1].chars().count() == 1_000);
}

#[test]
fn closed_incidents_are_forgotten_by_age_and_open_ones_never() {
    let (_folder, history) = history();
    history.note_notices(&[notice("ab", 0, None), notice("cd", 0, Some(1))], at(5)).unwrap();
    let later = at(5) + jiff::SignedDuration::from_hours(100 * 24);
    let keep = Remembered { age: Duration::from_hours(99 * 24), runs: 100 };
    let pruned = history.prune(keep, later, Duration::from_mins(1)).unwrap().unwrap();
    assert_eq!(pruned.incidents, 1);
    let left = history.incidents(false, 10).unwrap();
    assert_eq!((left.len(), left[0].fingerprint.as_str()), (1, "ab"));
    // Its number is never another one's.
    let new = history.note_notices(&[notice("ef", 0, None)], later).unwrap();
    assert_eq!(new.opened[0].get(), 3);
}

#[test]
fn a_timeline_has_an_end_and_the_end_of_the_incident_is_always_in_it() {
    let (_folder, history) = history();
    let number = history.note_notices(&[notice("ab", 0, None)], at(5)).unwrap().opened[0];
    let lines = vec![Entry::new(at(6), EntryKind::Step, "step"); 1_200];
    history.note_response(number, Response::Done, None, &lines).unwrap();
    history.note_notices(&[notice("ab", 0, Some(10))], at(11)).unwrap();
    let texts = texts(&history, number);
    assert_eq!((texts.len(), texts.last().unwrap().as_str()), (1_001, "the alert has ended"));
}

#[test]
fn a_later_start_closes_what_nobody_heard_the_end_of_and_opens_another() {
    let (_folder, history) = history();
    let first = history.note_notices(&[notice("ab", 0, None)], at(5)).unwrap().opened[0];
    history.note_notices(&[notice("ab", 0, None)], at(60)).unwrap();
    let again = history.note_notices(&[notice("ab", 900, None)], at(905)).unwrap();
    assert_eq!((again.unheard.as_slice(), again.opened.len(), again.go_on), ([first].as_slice(), 1, 0));
    let (old, timeline) = history.incident(first).unwrap().unwrap();
    assert_eq!((old.ended, old.closed, old.ending), (Some(at(60)), Some(at(905)), Some(Ending::Unheard)));
    assert!(timeline[1].text.starts_with("its end was not heard"), "{timeline:?}");
    // It is one of its own, with nothing told yet.
    let new = &history.watched_incidents(at(0)).unwrap()[1];
    assert_eq!((new.incident.number, new.incident.began, new.told.len()), (again.opened[0], at(900), 0));
    assert_eq!(new.incident.response, Response::Due);
    // Over before it was heard of, and the one before it, too.
    let over = history.note_notices(&[notice("ab", 2_000, Some(2_010))], at(2_020)).unwrap();
    assert_eq!((over.unheard.len(), over.closed.len(), history.open_incidents().unwrap()), (1, 1, 0));
}

#[test]
fn a_person_closes_an_incident_once_and_what_still_fires_opens_another() {
    let (_folder, history) = history();
    let number = history.note_notices(&[notice("ab", 0, None)], at(5)).unwrap().opened[0];
    assert!(history.silent_incidents(at(4)).unwrap().is_empty());
    assert_eq!(history.silent_incidents(at(5)).unwrap()[0].number, number);
    let entry = Entry::new(at(100), EntryKind::Closed, "closed by hand");
    assert_eq!(history.close_incident(number, &entry).unwrap(), ClosedByHand::Now);
    assert_eq!(
        history.close_incident(number, &entry).unwrap(),
        ClosedByHand::Before(at(100), Ending::ByHand)
    );
    assert_eq!(history.close_incident(Number::new(99).unwrap(), &entry).unwrap(), ClosedByHand::Unknown);
    assert_eq!(history.incident(number).unwrap().unwrap().0.ending, Some(Ending::ByHand));
    assert!(history.silent_incidents(at(1_000)).unwrap().is_empty());
    assert_eq!(history.note_notices(&[notice("ab", 0, None)], at(101)).unwrap().opened.len(), 1);
}

#[test]
fn what_became_of_each_message_is_in_the_timeline() {
    let (_folder, history) = history();
    let number = history.note_notices(&[notice("ab", 0, None)], at(5)).unwrap().opened[0];
    let about = |notifier: &str| (notifier.parse().unwrap(), "incident-1-1".parse().unwrap());
    let posts: Vec<_> =
        ["chat", "gone", "hook", "mail"].map(|name| (about(name), "message".to_owned())).into();
    let told = [(number, Entry::new(at(10), EntryKind::Escalated, "SRE is to be told"))];
    assert!(history.escalate("after 1", &told, &posts).unwrap());
    assert_eq!(texts(&history, number), ["Down fires", "SRE is to be told"]);
    let id = |notifier: &str| history.notes().unwrap().posts[&about(notifier)].id;
    for try_at in [20, 30] {
        history.post_waits(id("chat"), at(40), "it answered 500", Some(at(try_at))).unwrap();
    }
    history.post_waits(id("mail"), at(40), "it is down", Some(at(31))).unwrap();
    history.post_ends(id("hook"), PostEnd::Delivered, at(32)).unwrap();
    let timeline = history.incident(number).unwrap().unwrap().1;
    let last: Vec<(EntryKind, Timestamp, &str)> =
        timeline[2..].iter().map(|entry| (entry.kind, entry.at, entry.text.as_str())).collect();
    assert_eq!(
        last,
        [
            (EntryKind::Delivered, at(32), "told by hook"),
            (
                EntryKind::Undelivered,
                at(30),
                "NOT told yet by chat (2 tries), and tried again: it answered 500"
            ),
            (EntryKind::Undelivered, at(31), "NOT told yet by mail (1 try), and tried again: it is down"),
        ]
    );
    history.post_ends(id("chat"), PostEnd::Delivered, at(50)).unwrap();
    history.post_ends(id("mail"), PostEnd::GivenUp, at(51)).unwrap();
    let gone = NotesChange { gone: vec!["gone".parse().unwrap()], at: at(52), ..NotesChange::default() };
    history.note(&gone).unwrap();
    assert_eq!(
        texts(&history, number)[3..],
        [
            "told by chat, after 2 tries that failed; the last one: it answered 500",
            "NEVER told by mail: given up (1 try; the last one: it is down)",
            "NEVER told by gone: the configuration has it no more (0 tries)",
        ]
    );
}

#[test]
fn messages_of_a_step_about_an_alert_are_counted_whatever_they_hold() {
    let (_folder, history) = history();
    let opened = history.note_notices(&[notice("ab", 0, None), notice("cd", 0, None)], at(5)).unwrap().opened;
    let told = |at| {
        opened.iter().map(|number| (*number, Entry::new(at, EntryKind::Escalated, "x"))).collect::<Vec<_>>()
    };
    assert!(history.escalate("after 1", &told(at(10)), &[]).unwrap());
    assert_eq!(history.escalated_at("Down", "after 1", at(0)).unwrap(), [at(10)]);
    assert!(history.escalated_at("Down", "after 2", at(0)).unwrap().is_empty());
    assert!(history.escalated_at("Down", "after 1", at(10)).unwrap().is_empty());
}
