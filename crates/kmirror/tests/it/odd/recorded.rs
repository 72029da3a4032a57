//! Topics of the target that are recorded as the flow's: what a start does with them before it has looked at all of their partitions.

use super::unowned::{is_diverged, is_unauthorized, some_rounds};
use super::*;

impl World {
    fn end_on_target(&self, partition: i32) -> i64 {
        self.target.log(TOPIC, partition).unwrap().end
    }

    /// Two partitions were copied, and the source has a third one since.
    async fn that_has_grown() -> World {
        let world = World::with_two_leaders().await;
        world.write_to(0, 5);
        world.write_to(1, 5);
        world.once().await;
        world.source.add_partitions(TOPIC, 3).unwrap();
        world.source.move_leader(TOPIC, 2, 1).unwrap();
        world.write_to(1, 2);
        world
    }
}

/// What a running flow does not do for a copy that somebody else has written to, it does not do after a restart. Its other partitions go on.
#[tokio::test]
async fn a_copy_that_somebody_has_written_to_does_not_grow_after_a_restart() {
    let world = World::that_has_grown().await;
    world.write_theirs(0);
    world.source.alter_topic(TOPIC, &[("retention.ms", "77777777")]).unwrap();
    let before = world.changes_on_target();
    let handle = world.start();
    world.until_state(&handle, 0, is_diverged).await;
    world.until_state(&handle, 2, is_diverged).await;
    world.until_one(&handle, "copied", |found| found.partition == 1 && found.position == 7).await;
    some_rounds().await;
    world.until_state(&handle, 1, |state| *state == PartitionState::Copying).await;
    stop(handle).await;
    assert_eq!(world.changes_on_target(), before);
    assert_eq!(world.target.partitions(TOPIC), 2);
}

/// A copy that needs a setting before anything is copied to it gets neither, where somebody has written to it.
#[tokio::test]
async fn a_copy_that_somebody_has_written_to_gets_nothing_where_it_would_not_keep_it() {
    let world = World::that_has_grown().await;
    world.write_theirs(0);
    world.source.alter_topic(TOPIC, &[("retention.ms", "-1")]).unwrap();
    let before = world.changes_on_target();
    let report = world.mirror(true).spawn().wait().await.unwrap();
    assert_eq!(report.flows[0].parked().count(), 3, "{:?}", report.flows[0].partitions);
    assert_eq!((world.changes_on_target(), world.end_on_target(1)), (before, 5));
}

/// The setting is there before the first record is.
#[tokio::test]
async fn what_a_copy_needs_is_set_before_records_are_copied_after_a_restart() {
    let world = World::that_has_grown().await;
    world.source.alter_topic(TOPIC, &[("retention.ms", "-1")]).unwrap();
    let silence = Fault::new(FaultKind::Silence).of(ApiKey::IncrementalAlterConfigs);
    world.target.inject(silence.times(u32::MAX));
    let handle = world.start();
    some_rounds().await;
    assert_eq!(world.end_on_target(1), 5, "{:?}", handle.status()[0].partitions);
    world.target.clear_faults();
    stop(handle).await;
    world.once().await;
    assert_eq!(world.target.topic_config(TOPIC, "retention.ms").as_deref(), Some("-1"));
    assert_eq!((world.end_on_target(1), world.target.partitions(TOPIC)), (7, 3));
}

/// One partition may not be read: the others are copied, and the topic is changed once all were looked at.
#[tokio::test]
async fn a_partition_that_cannot_be_looked_at_keeps_a_copy_from_changing_and_no_other_one_from_being_copied()
{
    let world = World::that_has_grown().await;
    world.source.alter_topic(TOPIC, &[("retention.ms", "77777777")]).unwrap();
    world.write_to(0, 2);
    let before = world.changes_on_target();
    world.deny_second();
    let handle = world.start();
    world.until_state(&handle, 1, is_unauthorized).await;
    world.until_one(&handle, "copied", |found| found.partition == 0 && found.position == 7).await;
    some_rounds().await;
    assert_eq!((world.changes_on_target(), world.target.partitions(TOPIC)), (before, 2));
    world.source.clear_faults();
    world.until_one(&handle, "there", |found| found.partition == 2 && found.position == 0).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while world.target.topic_config(TOPIC, "retention.ms").as_deref() != Some("77777777") {
        assert!(tokio::time::Instant::now() < deadline, "the topic is the flow's, and follows");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop(handle).await;
}

/// A broker was killed and has forgotten that placeholders were cut off. In a topic that somebody has written to they stay.
#[tokio::test]
async fn placeholders_of_a_copy_that_somebody_has_written_to_are_not_cut_off_again() {
    let world = World::with_two_leaders().await;
    world.write_to(0, 9);
    world.write_to(1, 5);
    world.source.delete_below(TOPIC, 0, 4).unwrap();
    world.once().await;
    assert_eq!(world.target.log(TOPIC, 0).unwrap().start, 4);
    world.target.undo_delete_records(TOPIC, 0).unwrap();
    let foreign = world.changes_on_target().len();
    world.write_theirs(1);
    let report = world.mirror(true).spawn().wait().await.unwrap();
    assert_eq!(report.flows[0].parked().count(), 2, "{:?}", report.flows[0].partitions);
    assert_eq!(world.changes_on_target().len(), foreign);
    assert_eq!(world.target.log(TOPIC, 0).unwrap().start, 0);
}

/// The same in a copy that nobody has written to, where they are.
#[tokio::test]
async fn placeholders_are_cut_off_again_once_all_of_a_copy_was_looked_at() {
    let world = World::with_two_leaders().await;
    world.write_to(0, 9);
    world.source.delete_below(TOPIC, 0, 4).unwrap();
    world.once().await;
    world.target.undo_delete_records(TOPIC, 0).unwrap();
    world.write_to(0, 1);
    world.once().await;
    let log = world.target.log(TOPIC, 0).unwrap();
    assert_eq!((log.start, log.end), (4, 10));
}

/// Another instance appends to its partitions all the time, so that this one never comes to append to them.
#[tokio::test]
async fn a_copy_grows_where_another_instance_appends_to_it() {
    let mut world = World::with_two_leaders().await;
    world.write_to(0, 5);
    world.write_to(1, 5);
    world.once().await;
    world.flow.creates_topics = false;
    let other = world.start();
    world.until_end(&other, TOPIC, 5).await;
    world.source.add_partitions(TOPIC, 3).unwrap();
    world.source.move_leader(TOPIC, 2, 1).unwrap();
    world.flow.creates_topics = true;
    // A take-over reads the target's end before that, and after it.
    let slow = Fault::new(FaultKind::Delay(Duration::from_millis(100))).of(ApiKey::ListOffsets);
    world.source.inject(slow.times(u32::MAX));
    let handle = world.start();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while world.target.partitions(TOPIC) < 3 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", handle.status());
        world.write_to(0, 1);
        world.write_to(1, 1);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop(handle).await;
    stop(other).await;
}

/// A setting that is needed cannot be made for a moment, which is no refusal.
#[tokio::test]
async fn a_setting_that_fails_for_a_moment_parks_nothing() {
    let world = World::that_has_grown().await;
    world.source.alter_topic(TOPIC, &[("retention.ms", "-1")]).unwrap();
    let fails = Fault::new(FaultKind::Garbage).of(ApiKey::IncrementalAlterConfigs);
    world.target.inject(fails.times(3));
    world.once().await;
    assert_eq!(world.target.topic_config(TOPIC, "retention.ms").as_deref(), Some("-1"));
    assert_eq!((world.end_on_target(1), world.target.partitions(TOPIC)), (7, 3));
}
