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

/// Told of at 610 seconds for the last time.
fn open(starts: i64) -> Known {
    Known { number: number(), starts: at(starts), last_notice: at(610), end: None }
}

fn closed(starts: i64, end: i64, noted: i64) -> Known {
    let end = End { at: at(end), noted: at(noted), ending: Ending::Told };
    Known { number: number(), starts: at(starts), last_notice: at(noted), end: Some(end) }
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
    // Two servers see it begin a little apart.
    becomes(open(0), (40, None), 620, Change::GoesOn(number()));
    becomes(open(0), (40, Some(700)), 705, Change::Closes(number(), at(700)));
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
fn an_end_that_nobody_heard_of_swallows_no_later_time() {
    // It began after it was last told of: a minute apart or a second.
    becomes(open(0), (700, None), 705, Change::Anew(number(), None));
    becomes(open(609), (611, None), 612, Change::Anew(number(), None));
    // Long after it began before, though it was told of meanwhile: somebody told that late.
    becomes(open(0), (300, None), 620, Change::Anew(number(), None));
    // It was over by then, too.
    becomes(open(0), (700, Some(720)), 730, Change::Anew(number(), Some(at(720))));
    // The end of the earlier time, and that it fires, told late by another Alertmanager.
    becomes(open(700), (0, Some(650)), 760, Change::Nothing);
    becomes(open(700), (0, None), 760, Change::GoesOn(number()));
}

#[test]
fn what_a_person_has_closed_and_is_told_to_fire_opens_anew_at_once() {
    let mut known = closed(0, 700, 700);
    known.end = known.end.map(|end| End { ending: Ending::ByHand, ..end });
    becomes(known, (0, None), 701, Change::Opens);
    becomes(known, (800, None), 801, Change::Opens);
    // Its end is no news.
    becomes(known, (0, Some(705)), 710, Change::Nothing);
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
    assert!(Ending::ALL.iter().all(|one| Ending::from_word(one.word()) == Some(*one)));
    assert!(EntryKind::ALL.iter().all(|one| EntryKind::from_word(one.word()) == Some(*one)));
    assert!(
        "0".parse::<Number>().is_err() && "x".parse::<Number>().is_err() && "3".parse::<Number>().is_ok()
    );
}
