//! What an Alertmanager is told.

use super::*;

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
