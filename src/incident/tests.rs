//! Which notices open, go on with and close an incident, in whatever order they come.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn number() -> Number {
    Number::new(7).unwrap()
}

fn notice(starts: i64, ended: Option<i64>) -> Notice {
    Notice {
        fingerprint: "ab".into(),
        alert: "A".into(),
        severity: None,
        labels: Labels::new(),
        annotations: Labels::new(),
        starts: at(starts),
        ended: ended.map(at),
    }
}

fn open(starts: i64) -> Known {
    Known { number: number(), starts: at(starts), end: None }
}

fn closed(starts: i64, end: i64, noted: i64) -> Known {
    Known { number: number(), starts: at(starts), end: Some(End { at: at(end), noted: at(noted) }) }
}

#[track_caller]
fn becomes(known: impl Into<Option<Known>>, (starts, ended): (i64, Option<i64>), now: i64, wanted: Change) {
    assert_eq!(change(known.into().as_ref(), &notice(starts, ended), at(now)), wanted);
}

#[test]
fn an_alert_opens_one_incident_goes_on_with_it_and_closes_it() {
    becomes(None, (0, None), 5, Change::Opens);
    becomes(open(0), (0, None), 600, Change::GoesOn(number()));
    becomes(open(0), (0, Some(700)), 705, Change::Closes(number(), at(700)));
    // A Prometheus that was started anew tells another start of what still fires.
    becomes(open(0), (300, None), 600, Change::GoesOn(number()));
    // Of two that tell the same, the Alertmanager takes the earlier start.
    becomes(open(300), (0, Some(700)), 705, Change::Closes(number(), at(700)));
    // Its clock is ahead.
    becomes(open(0), (0, Some(900)), 705, Change::Closes(number(), at(705)));
}

#[test]
fn a_new_start_after_the_end_is_a_new_incident_and_so_is_one_that_goes_on_firing() {
    becomes(closed(0, 700, 705), (800, None), 801, Change::Opens);
    becomes(closed(0, 700, 705), (700, None), 706, Change::Opens);
    becomes(closed(0, 700, 705), (0, None), 705 + 300, Change::Opens);
}

#[test]
fn notices_that_come_late_open_and_close_nothing() {
    // Fires, told after its end.
    becomes(closed(0, 700, 705), (0, None), 706, Change::Nothing);
    becomes(closed(300, 700, 705), (0, None), 740, Change::Nothing);
    // The end of an earlier time, told after it fires anew.
    becomes(open(800), (0, Some(700)), 805, Change::Nothing);
    // Its end twice.
    becomes(closed(0, 700, 705), (0, Some(700)), 710, Change::Nothing);
}

#[test]
fn an_alert_that_was_over_before_it_was_told_of_is_noted_as_one_and_fires_no_more() {
    becomes(None, (0, Some(10)), 12, Change::WasOver(at(10)));
    becomes(closed(0, 10, 12), (0, None), 13, Change::Nothing);
    becomes(closed(0, 10, 12), (50, Some(60)), 70, Change::WasOver(at(60)));
}

#[test]
fn words_read_back() {
    assert!(Response::ALL.iter().all(|one| Response::from_word(one.word()) == Some(*one)));
    assert!(EntryKind::ALL.iter().all(|one| EntryKind::from_word(one.word()) == Some(*one)));
    assert!(
        "0".parse::<Number>().is_err() && "x".parse::<Number>().is_err() && "3".parse::<Number>().is_ok()
    );
}
