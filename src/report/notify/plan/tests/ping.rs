//! What healthchecks.io is told.

use super::*;

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
