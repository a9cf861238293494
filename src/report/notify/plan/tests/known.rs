//! What a notifier knows of what was before it, and of jobs that come and go.

use super::*;

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
