//! Times are given in minutes after the notifier became known.

use std::collections::BTreeSet;

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
fn a_failure_that_nobody_saw_before_the_next_run_was_good_is_told() {
    let mut world = World::new(webhook());
    world.ran(1, "failed");
    world.ran(2, "done");
    let draft = world.look(3).unwrap();
    assert_eq!((draft.say, draft.failures), (Say::Recovered, 1));
    // Also where nobody wants to hear of what is well.
    let mut world = World::new(webhook());
    world.notifier.on.remove(&Event::Recovered);
    world.ran(1, "failed");
    world.ran(2, "done");
    assert_eq!(world.says(3), FAILED);
    assert_eq!(world.says(100), None);
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
fn an_alert_is_told_once_more_when_nobody_looks_again_for_long() {
    let mut world = World::new(alertmanager());
    world.ran(1, "failed");
    assert_eq!(world.says(1), FAILED);
    assert_eq!(world.says(1), None);
    world.is_last = true;
    assert_eq!(world.says(1), FAILED);
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

#[test]
fn a_notifier_that_is_new_or_whose_notes_are_lost_makes_no_storm() {
    let mut world = World::new(webhook());
    (-200..0).for_each(|at| world.ran(at, "failed"));
    world.job.last_missed = Some(missed(-5, "no daemon ran"));
    world.job.overdue = Some(crate::standing::Overdue { since: minute(-3) });
    assert_eq!(world.says(0), None);
    world.job.overdue = None;
    assert_eq!(world.says(1), None);
    // It is not forgotten.
    assert_eq!(world.says(24 * 60 + 1), Some(Say::Still(Event::Failed)));
}

#[test]
fn what_nobody_wants_to_hear_is_not_said() {
    let mut world = World::new(webhook());
    world.notifier.on = BTreeSet::from([Event::Failed]);
    world.ran(1, "warned");
    world.job.overdue = Some(crate::standing::Overdue { since: minute(1) });
    world.job.last_missed = Some(missed(50, "no daemon ran"));
    assert_eq!(world.says(60), None);
    world.ran(61, "failed");
    assert_eq!(world.says(61), FAILED);
    world.ran(300, "done");
    assert_eq!(world.says(300), None);
    world.ran(301, "failed");
    assert_eq!(world.says(301), FAILED, "it was well meanwhile");
}

#[test]
fn a_job_that_is_no_longer_configured_is_closed_where_it_was_bad() {
    for notifier in [webhook(), alertmanager()] {
        let mut world = World::new(notifier);
        world.ran(1, "done");
        world.look(1);
        assert_eq!(plan_removed(world.entry.as_ref().unwrap(), &world.notifier, &name(), minute(1)), None);
        world.ran(2, "failed");
        world.look(2);
        let entry = world.entry.as_ref().unwrap();
        let draft = plan_removed(entry, &world.notifier, &name(), minute(3)).unwrap();
        assert_eq!((draft.say, draft.ends[0].what.event), (Say::Closed, Event::Failed));
        let closed = entry.clone().closed();
        assert_eq!(plan_removed(&closed, &world.notifier, &name(), minute(4)), None, "once");
    }
}

#[test]
fn an_alert_is_repeated_while_it_lasts_and_ends_when_its_kind_changes() {
    let mut world = World::new(alertmanager());
    world.ran(1, "failed");
    let at = |world: &mut World, at| {
        world.look(at).map(|draft| (draft.say, draft.ends.first().map(|ends| ends.what.event)))
    };
    let failed = Some((Say::Bad(Event::Failed), None));
    assert_eq!(at(&mut world, 1), failed);
    assert_eq!(at(&mut world, 1), None);
    assert_eq!(at(&mut world, 2), failed);
    world.begins(3);
    assert_eq!(at(&mut world, 3), failed, "also while it runs");
    world.ran(4, "warned");
    assert_eq!(at(&mut world, 4), Some((Say::Bad(Event::Warned), Some(Event::Failed))));
    world.ran(5, "done");
    assert_eq!(at(&mut world, 5), Some((Say::Recovered, Some(Event::Warned))));
    assert_eq!(at(&mut world, 6), None);
    world.ran(7, "failed");
    world.ran(8, "done");
    assert_eq!(at(&mut world, 8), failed, "it fires once");
    assert_eq!(at(&mut world, 9), Some((Say::Recovered, Some(Event::Failed))));
}

#[test]
fn what_nobody_wants_to_hear_of_is_no_recovery_unless_it_is_milder() {
    let mut world = World::new(webhook());
    world.notifier.on = BTreeSet::from([Event::Warned, Event::Recovered]);
    world.ran(1, "warned");
    assert_eq!(world.says(1), Some(Say::Bad(Event::Warned)));
    world.ran(100, "failed");
    assert_eq!(world.says(100), None, "it is not well again");
    world.ran(200, "done");
    assert_eq!(world.says(200), RECOVERED);
    let mut world = World::new(webhook());
    world.notifier.on = BTreeSet::from([Event::Failed, Event::Recovered]);
    world.ran(1, "failed");
    assert_eq!(world.says(1), FAILED);
    world.ran(100, "failed");
    world.job.last.as_mut().unwrap().reason = Some("Timed out after 2 s".into());
    assert_eq!(world.says(100), None, "a run that was cut off has failed");
    world.ran(200, "warned");
    let draft = world.look(200).unwrap();
    assert!(draft.say == Say::Recovered && draft.warns, "{draft:?}");
}

#[test]
fn trouble_that_lasts_hides_no_run_that_fails() {
    for notifier in [webhook(), alertmanager()] {
        let mut world = World::new(notifier);
        world.notifier.rhythm.cooldown = Duration::ZERO;
        world.ran(1, "done");
        world.job.restore = world.job.last.clone();
        world.job.restore.as_mut().unwrap().outcome = "failed";
        world.job.store.bad = 1;
        let draft = world.look(2).unwrap();
        assert_eq!((draft.say, draft.standing.len()), (Say::Bad(Event::Failed), 2));
        world.ran(3, "failed");
        let draft = world.look(3).unwrap();
        assert_eq!((draft.say, draft.run.as_deref()), (Say::Bad(Event::Failed), Some("RUN3")));
        assert_eq!(draft.standing.len(), 3, "what lasts is told with it");
        world.ran(4, "done");
        let draft = world.look(4).unwrap();
        assert!(draft.say != Say::Recovered, "the restore has failed still: {draft:?}");
        assert_eq!((draft.ends.len(), draft.standing.len()), (1, 2));
        world.ran(5, "failed");
        assert_eq!(world.says(5), FAILED, "again");
    }
}

#[test]
fn a_failure_between_two_warnings_is_told_though_both_are_one_state() {
    let mut world = World::new(webhook());
    world.ran(1, "warned");
    assert_eq!(world.says(1), Some(Say::Bad(Event::Warned)));
    world.ran(2, "failed");
    assert_eq!(world.says(2), None, "within the cool-down");
    world.ran(3, "warned");
    assert_eq!(world.says(3), None);
    let draft = world.look(70).unwrap();
    assert_eq!((draft.say, draft.meanwhile), (Say::Still(Event::Warned), 1));
    world.ran(75, "failed");
    assert_eq!(world.says(75), None);
    world.ran(76, "done");
    let draft = world.look(140).unwrap();
    assert_eq!((draft.say, draft.meanwhile), (Say::Recovered, 1));
}

#[test]
fn another_warning_is_told_and_the_same_with_other_numbers_is_not() {
    let mut world = World::new(webhook());
    let mut warned = |at, reason: &str| {
        world.ran(at, "warned");
        world.job.last.as_mut().unwrap().reason = Some(reason.into());
        world.says(at)
    };
    let told = Some(Say::Bad(Event::Warned));
    assert_eq!(warned(1, "it took 31 s, 840 % of the usual"), told);
    assert_eq!(warned(100, "it took 1 m 02 s, 1200 % of the usual"), None);
    assert_eq!(warned(200, "the newest backup holds 0 % of the one before"), told);
}

#[test]
fn what_is_new_to_a_notifier_is_told_as_it_stands_and_nothing_that_is_over() {
    let mut world = World::new(webhook());
    world.known = Known::JobIsNew;
    world.ran(-90, "failed");
    world.ran(-80, "done");
    world.job.last_missed = Some(missed(-5, "no daemon ran"));
    assert_eq!(world.says(1), None);
    // One that is taken out and put back knows what was told.
    world.ran(2, "failed");
    world.job.last_missed = Some(missed(3, "no daemon ran"));
    assert_eq!(world.says(3), FAILED);
    world.entry = world.entry.take().map(Entry::closed);
    world.ran(4, "done");
    assert_eq!(world.says(100), None, "no slot is missed anew, and what had failed was closed");
    let mut world = World::new(webhook());
    world.known = Known::JobIsNew;
    world.ran(-90, "failed");
    assert_eq!(world.says(1), FAILED);
}

#[test]
fn a_backup_that_turns_out_to_be_bad_is_news_however_new_the_notifier_is() {
    let mut world = World::new(webhook());
    world.ran(-10, "done");
    assert_eq!(world.says(1), None);
    world.job.store.bad = 1;
    assert_eq!(world.says(2), FAILED);
    let mut world = World::new(webhook());
    world.job.store.bad = 1;
    assert_eq!(world.says(1), None, "it was so before");
}

#[test]
fn a_run_that_comes_late_into_the_history_is_told() {
    let mut world = World::new(webhook());
    world.ran(1, "failed");
    let late = world.job.past.pop().unwrap();
    world.job.bad.clear();
    world.ran(2, "done");
    assert_eq!(world.says(2), None);
    world.job.past.insert(0, late.clone());
    world.job.bad.insert(0, late);
    let draft = world.look(3).unwrap();
    assert_eq!((draft.say, draft.failures), (Say::Recovered, 1));
}

#[test]
fn an_alert_that_was_to_end_ends_though_the_message_did_not_arrive() {
    let mut world = World::new(alertmanager());
    world.ran(1, "failed");
    world.look(1);
    world.ran(2, "warned");
    world.job.last_missed = Some(missed(2, "no daemon ran"));
    let lost = notice(world.look(2).unwrap());
    world.ran(3, "done");
    let draft = world.look(3).unwrap().ending(lost);
    assert_eq!(draft.missed.as_ref().unwrap().count, 3);
    let ended: Vec<Event> = draft.ends.iter().map(|told| told.what.event).collect();
    assert_eq!(ended, [Event::Warned, Event::Failed]);
}

#[test]
fn a_check_is_told_each_beginning_and_end() {
    let mut world = World::new(healthchecks());
    world.begins(1);
    assert_eq!(world.says(1), Some(Say::Ping(Ping::Start)));
    assert_eq!(world.says(2), None);
    // A slot that is skipped a moment later is seen as a run, and then the one that goes on again.
    world.job.last.as_mut().unwrap().started = minute(0);
    assert_eq!(world.says(2), None);
    world.job.past.clear();
    world.ran(1, "failed");
    let draft = world.look(3).unwrap();
    assert_eq!((draft.say, draft.run.as_deref()), (Say::Ping(Ping::Fail), Some("RUN1")));
    assert_eq!(world.says(4), None);
    world.ran(5, "warned");
    assert_eq!(world.says(5), Some(Say::Ping(Ping::Success)));
    world.others_are_bad = true;
    world.ran(7, "done");
    assert_eq!(world.says(7), Some(Say::Ping(Ping::OthersFail)), "it is not said that this one failed");
    world.ran(9, "failed");
    assert_eq!(world.says(9), Some(Say::Ping(Ping::Fail)));
    world.ran(10, "failed");
    (11..60).for_each(|at| world.ran(at, "done"));
    world.job.past.drain(..40);
    let draft = world.look(60).unwrap();
    assert_eq!((draft.say, draft.meanwhile), (Say::Ping(Ping::OthersFail), 1), "one failed before it");
}

#[test]
fn a_failure_is_told_however_many_runs_were_good_since() {
    for on in [Event::ALL.into(), BTreeSet::from([Event::Failed])] {
        let mut world = World::new(webhook());
        world.notifier.on = on;
        world.ran(1, "failed");
        (2..60).for_each(|at| world.ran(at, "done"));
        world.job.past.drain(..40);
        let draft = world.look(60).unwrap();
        assert!(draft.failures == 1 || draft.say == Say::Bad(Event::Failed), "{draft:?}");
    }
}

#[test]
fn who_hears_of_no_recovery_hears_of_a_second_failure_that_was_over_at_the_next_look() {
    let mut world = World::new(webhook());
    world.notifier.on = BTreeSet::from([Event::Failed]);
    world.notifier.rhythm.cooldown = Duration::ZERO;
    world.ran(1, "failed");
    assert_eq!(world.says(1), FAILED);
    world.ran(2, "failed");
    world.ran(3, "done");
    assert_eq!(world.says(3), None, "of the one that was told");
    world.ran(4, "failed");
    assert_eq!(world.says(4), FAILED);
    world.ran(5, "done");
    world.ran(6, "failed");
    world.ran(7, "done");
    assert_eq!(world.says(7), FAILED, "it was well between the two");
    assert_eq!(world.says(8), None);
}

#[test]
fn what_ends_in_something_that_nobody_wants_to_hear_of_is_not_well() {
    let mut world = World::new(webhook());
    world.notifier.on = BTreeSet::from([Event::TooLong, Event::Recovered]);
    world.begins(1);
    let told = world.says(80);
    assert_eq!(told, Some(Say::Bad(Event::TooLong)));
    world.ran(1, "failed");
    assert_eq!(world.says(200), None);
    world.ran(300, "done");
    assert_eq!(world.says(300), RECOVERED);
}

#[test]
fn a_pause_hides_nothing_that_was_before_it() {
    for (on, say, meanwhile) in [
        (BTreeSet::from(Event::ALL), Say::Recovered, 1),
        (BTreeSet::from([Event::Failed, Event::Warned]), Say::Bad(Event::Failed), 0),
    ] {
        let mut world = World::new(webhook());
        world.notifier.on = on;
        world.ran(1, "warned");
        assert_eq!(world.says(1), Some(Say::Bad(Event::Warned)));
        world.ran(2, "failed");
        world.job.pause = Some(crate::history::Pause { since: minute(3), reason: None });
        world.ran(4, "failed");
        assert_eq!(world.says(5), None, "the first look since the first failure");
        world.job.pause = None;
        world.ran(100, "done");
        let draft = world.look(100).unwrap();
        assert_eq!((draft.say, draft.meanwhile), (say, meanwhile), "one failure, of the pause none");
    }
}

#[test]
fn a_failure_that_is_over_is_an_alert_also_where_another_one_fires() {
    let mut world = World::new(alertmanager());
    world.job.store.bad = 1;
    world.known = Known::JobIsNew;
    assert_eq!(world.says(1), FAILED);
    world.ran(2, "failed");
    world.ran(3, "done");
    let draft = world.look(3).unwrap();
    assert_eq!(draft.standing.len(), 2, "{draft:?}");
    let draft = world.look(4).unwrap();
    assert_eq!((draft.standing.len(), draft.ends.len()), (1, 1));
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
