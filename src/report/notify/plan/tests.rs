//! Times are given in minutes after the notifier became known.

mod alert;
mod hidden;
mod known;
mod ping;

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::config::notify::{Address, Alerts, Healthchecks, Rhythm, Web, Webhook};
use crate::config::values::{Auth, Endpoint};
use crate::report::notify::Limits;
use crate::standing::{LastRun, PastRun, StoreStanding};

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

fn name() -> JobName {
    "nightly".parse().unwrap()
}

fn url() -> url::Url {
    "http://h/hook".parse().unwrap()
}

fn webhook() -> Notifier {
    let web = Web { address: Address::Plain(url()), ca_file: None };
    let webhook = Webhook {
        web,
        auth: Auth::None,
        headers: vec![],
        content_type: "application/json".into(),
        template: None,
    };
    Notifier {
        name: "ops".parse().unwrap(),
        on: Event::ALL.into(),
        jobs: None,
        rhythm: Rhythm { remind: Some(minutes(24 * 60)), cooldown: minutes(60) },
        channel: Channel::Webhook(webhook),
    }
}

fn alertmanager() -> Notifier {
    let endpoint =
        Endpoint { url: url(), auth: Auth::None, ca_file: None, client_certificate: None, insecure: false };
    let alerts = Alerts { endpoint, resend: minutes(1), labels: std::collections::BTreeMap::default() };
    Notifier { channel: Channel::Alertmanager(Box::new(alerts)), ..webhook() }
}

fn healthchecks() -> Notifier {
    let of_job = [(name(), Address::Plain(url()))].into();
    let checks = Healthchecks { one: None, of_job, ca_file: None };
    Notifier { channel: Channel::Healthchecks(checks), ..webhook() }
}

/// A job and who tells of it.
struct World {
    job: JobStanding,
    notifier: Notifier,
    entry: Option<Entry>,
    known: Known,
    is_last: bool,
    others_are_bad: bool,
}

impl World {
    fn new(notifier: Notifier) -> Self {
        let job = JobStanding {
            job: name(),
            kind: "command",
            target: None,
            enabled: true,
            last: None,
            last_success: None,
            failures: 0,
            restore: None,
            watched_since: None,
            next: None,
            pause: None,
            paused_before: vec![],
            waits_for: vec![],
            overdue: None,
            too_long: None,
            missed: 0,
            last_missed: None,
            past: vec![],
            bad: vec![],
            store: StoreStanding::default(),
        };
        let known = Known::NotifierSince(minute(0));
        Self { job, notifier, entry: None, known, is_last: false, others_are_bad: false }
    }

    /// A run begins at this minute and does not end.
    fn begins(&mut self, at: i64) {
        let started = minute(at);
        self.job.last = Some(LastRun {
            run: format!("RUN{at}"),
            outcome: "running",
            started,
            finished: None,
            reason: None,
            warnings: vec![],
            data_not_back: false,
        });
        let run = format!("RUN{at}");
        self.job.past.push(PastRun { run, started, outcome: "running", millis: None, bytes: None });
    }

    /// A run begins and ends at this minute.
    fn ran(&mut self, at: i64, outcome: &'static str) {
        self.begins(at);
        let last = self.job.last.as_mut().unwrap();
        (last.outcome, last.finished) = (outcome, Some(minute(at)));
        last.reason = (outcome != "done").then(|| "no space".to_owned());
        let past = self.job.past.last_mut().unwrap();
        (past.outcome, past.millis) = (outcome, Some(10));
        if outcome != "done" {
            self.job.bad.push(past.clone());
        }
        self.job.failures = if outcome == "failed" { self.job.failures + 1 } else { 0 };
    }

    fn look(&mut self, at: i64) -> Option<Draft> {
        let limits = Limits { whole: Some(minutes(60)) };
        let view = View::of(&self.job, limits, minute(at));
        let look = Look {
            job: &self.job,
            view: &view,
            others_are_bad: self.others_are_bad,
            is_last: self.is_last,
            now: minute(at),
        };
        let (entry, draft) = plan(self.entry.as_ref(), &self.notifier, self.known, look);
        // It is noted as text.
        self.entry = Some(serde_json::from_str(&serde_json::to_string(&entry).unwrap()).unwrap());
        draft
    }

    fn says(&mut self, at: i64) -> Option<Say> {
        self.look(at).map(|draft| draft.say)
    }
}

fn notice(draft: Draft) -> Notice {
    let zone = &jiff::tz::TimeZone::UTC;
    let ground = crate::report::notify::Ground { host: "vm", zone, now: minute(0), holds: false };
    crate::report::notify::notice(draft, None, &[], ground)
}

const FAILED: Option<Say> = Some(Say::Bad(Event::Failed));
const RECOVERED: Option<Say> = Some(Say::Recovered);

#[test]
fn one_message_when_it_fails_and_one_line_when_it_is_well_again() {
    let mut world = World::new(webhook());
    world.ran(1, "done");
    assert_eq!(world.says(1), None);
    world.ran(100, "failed");
    let draft = world.look(100).unwrap();
    assert_eq!(
        (draft.say, draft.run.as_deref(), draft.reason.as_deref()),
        (Say::Bad(Event::Failed), Some("RUN100"), Some("no space"))
    );
    assert_eq!(world.says(101), None);
    world.ran(200, "failed");
    assert_eq!(world.says(200), None, "it is known");
    world.ran(300, "done");
    let draft = world.look(300).unwrap();
    assert_eq!((draft.say, draft.failures, draft.held), (Say::Recovered, 2, 0));
    assert_eq!(draft.ends[0].what.since, minute(100));
    assert_eq!(world.says(10_000), None);
}

#[test]
fn a_hundred_failures_in_a_row_make_as_many_messages_as_cooldown_and_reminders_allow() {
    let told = |remind: Option<u64>| {
        let mut world = World::new(webhook());
        world.notifier.rhythm.remind = remind.map(minutes);
        let mut failed = |at| {
            world.ran(at, "failed");
            world.says(at).map(|say| (at, say))
        };
        (1..=100).filter_map(&mut failed).collect::<Vec<_>>()
    };
    let (first, again) = (Say::Bad(Event::Failed), Say::Still(Event::Failed));
    assert_eq!(told(None), [(1, first)]);
    // Whoever wants to be reminded each minute is not louder than the cool-down.
    assert_eq!(told(Some(1)), [(1, first), (61, again)]);
    assert_eq!(told(Some(70)), [(1, first), (71, again)]);
}

#[test]
fn a_job_that_flaps_is_not_louder_than_the_cooldown_and_what_was_held_back_is_counted() {
    let mut world = World::new(webhook());
    let mut told = Vec::new();
    for at in 1..=180 {
        world.ran(at, if at % 2 == 0 { "done" } else { "failed" });
        told.extend(world.look(at).map(|draft| (at, draft.say, draft.held)));
    }
    let (failed, recovered) = (Say::Bad(Event::Failed), Say::Recovered);
    // At minute 61 it has failed, as was told before; a minute later it is well. What came since then is told when it is over.
    assert_eq!(told, [(1, failed, 0), (62, recovered, 60), (122, recovered, 59)]);
}

#[test]
fn a_failure_within_the_cooldown_that_is_over_before_its_end_is_told_all_the_same() {
    let mut world = World::new(webhook());
    world.ran(1, "failed");
    assert_eq!(world.says(1), FAILED);
    world.ran(70, "done");
    assert_eq!(world.says(70), RECOVERED);
    world.ran(80, "failed");
    assert_eq!(world.says(80), None);
    world.ran(90, "done");
    assert_eq!(world.says(90), None);
    let draft = world.look(130).unwrap();
    assert_eq!((draft.say, draft.failures, draft.held), (Say::Recovered, 1, 1));
    assert_eq!(world.says(200), None);
}

#[test]
fn a_run_that_is_under_way_neither_repeats_nor_ends_what_was_told() {
    let mut world = World::new(webhook());
    world.ran(1, "failed");
    assert_eq!(world.says(1), FAILED);
    world.begins(100);
    assert_eq!(world.says(100), None);
    // The one before it, which nobody saw end, is told now and not when this one ends.
    let mut world = World::new(webhook());
    world.ran(1, "failed");
    world.begins(2);
    assert_eq!(world.says(2), FAILED);
}

#[test]
fn what_did_not_start_what_runs_too_long_and_what_failed_are_told_apart() {
    let mut world = World::new(webhook());
    world.notifier.rhythm.cooldown = Duration::ZERO;
    world.ran(1, "failed");
    assert_eq!(world.says(1), FAILED);
    world.job.overdue = Some(crate::standing::Overdue { since: minute(60) });
    let draft = world.look(70).unwrap();
    assert_eq!((draft.say, draft.since), (Say::Bad(Event::Overdue), minute(60)));
    world.job.overdue = None;
    world.begins(80);
    let draft = world.look(90).unwrap();
    assert_eq!(
        (draft.say, draft.ends[0].what.event),
        (Say::Still(Event::Failed), Event::Overdue),
        "it has begun"
    );
    assert_eq!(world.says(91), None);
    assert_eq!(world.says(80 + 71), Some(Say::Bad(Event::TooLong)), "all its attempts may take an hour");
    world.ran(160, "failed");
    world.job.last.as_mut().unwrap().reason = Some("Timed out after 1 h 00 m".into());
    assert_eq!(world.says(160), Some(Say::Still(Event::Failed)), "it does not run any more");
    world.ran(170, "warned");
    assert_eq!(world.says(170), Some(Say::Bad(Event::Warned)));
    world.ran(180, "done");
    assert_eq!(world.says(180), RECOVERED);
}

#[test]
fn a_run_far_longer_than_those_before_it_runs_too_long() {
    let mut world = World::new(webhook());
    world.begins(100);
    assert_eq!(world.says(115), None);
    world.job.too_long = Some(crate::standing::TooLong { since: minute(100), usual_millis: 5 * 60_000 });
    let draft = world.look(116).unwrap();
    assert_eq!(draft.say, Say::Bad(Event::TooLong));
    let reason = draft.reason.unwrap();
    assert_eq!(reason, "it has run for 16 m 00 s; 5 m 00 s is usual");
}

fn missed(last: i64, reason: &str) -> MissedSlots {
    let (first, last) = (minute(last - 2), minute(last));
    MissedSlots { first, last, count: 3, at_least: false, reason: reason.into() }
}

#[test]
fn missed_slots_are_told_once_and_those_of_a_pause_are_not() {
    let mut world = World::new(webhook());
    world.job.last_missed = Some(missed(50, "no daemon ran"));
    let draft = world.look(51).unwrap();
    assert_eq!((draft.say, draft.missed.unwrap().count), (Say::Missed, 3));
    assert_eq!(world.says(500), None);
    world.job.last_missed = Some(missed(600, "paused since yesterday"));
    assert_eq!(world.says(601), None);
    // With something else that is wrong they are one message.
    world.job.last_missed = Some(missed(700, "no daemon ran"));
    world.ran(701, "failed");
    let draft = world.look(701).unwrap();
    assert!(draft.say == Say::Bad(Event::Failed) && draft.missed.is_some(), "{draft:?}");
    assert_eq!(world.says(702), None);
}

#[test]
fn a_paused_or_disabled_job_is_quiet() {
    let pause = crate::history::Pause { since: minute(5), reason: None };
    let mut world = World::new(webhook());
    world.ran(1, "failed");
    assert_eq!(world.says(1), FAILED);
    world.job.pause = Some(pause.clone());
    world.ran(10, "done");
    world.ran(11, "failed");
    assert_eq!(world.says(5_000), None, "no reminder either");
    world.job.pause = None;
    world.ran(5_001, "done");
    assert_eq!(world.says(5_001), RECOVERED);
    world.job.enabled = false;
    world.ran(6_000, "failed");
    assert_eq!(world.says(6_000), None);
    let mut world = World::new(alertmanager());
    world.ran(1, "failed");
    assert_eq!(world.says(1), FAILED);
    world.job.pause = Some(pause);
    assert_eq!(world.says(2), RECOVERED, "its alert ends");
    assert_eq!(world.says(3), None);
}

proptest::proptest! {
    #[test]
    fn whatever_happens_no_two_messages_are_nearer_than_the_cooldown_and_no_failure_stays_unsaid(
        runs in proptest::collection::vec((1_i64..40, 0_usize..4, proptest::bool::ANY), 1..60),
    ) {
        let mut world = World::new(webhook());
        let mut at = 0;
        let mut told: Vec<i64> = Vec::new();
        let mut untold = false;
        for (after, outcome, seen) in runs {
            at += after;
            world.ran(at, ["done", "failed", "warned", "interrupted"][outcome]);
            untold |= outcome != 0;
            if seen && world.look(at).is_some() {
                told.push(at);
                untold = false;
            }
        }
        for later in [at + 30, at + 60, at + 61] {
            if let Some(draft) = world.look(later) {
                told.push(later);
                untold = false;
                // What is told at the end is how it is.
                let is_bad = matches!(draft.say, Say::Bad(_) | Say::Still(_));
                proptest::prop_assert_eq!(is_bad, world.job.last.as_ref().unwrap().outcome != "done");
            }
        }
        proptest::prop_assert!(told.windows(2).all(|two| two[1] - two[0] >= 60), "{:?}", told);
        // One that fails still is what was told before.
        let is_known = !world.entry.as_ref().unwrap().told.is_empty();
        proptest::prop_assert!(!untold || is_known, "{:?}", told);
    }
}
