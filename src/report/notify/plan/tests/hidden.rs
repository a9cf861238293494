//! What one thing might hide of another, and must not.

use super::*;

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
