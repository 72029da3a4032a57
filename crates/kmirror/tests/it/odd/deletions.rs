//! Source topics that are deleted where the target's are to be deleted too: only what is the source's copy, and nothing else.

use kmirror::OnDeleted;

use super::*;

impl World {
    /// Two topics are copied, and one may be deleted.
    async fn with_two(after: Duration) -> (World, MirrorHandle) {
        let mut world = World::new(&[]).await;
        world.flow = world.flow.clone().topics([TOPIC, "other"]);
        world.flow.policies.on_deleted = OnDeleted::Delete { after, even_all: false };
        world.source.create_topic("other", 1, &[]).unwrap();
        world.write_numbered(0..20);
        let handle = world.start();
        world.until_end(&handle, TOPIC, 20).await;
        world.until_end(&handle, "other", 0).await;
        (world, handle)
    }

    fn is_on_target(&self) -> bool {
        self.target.partitions(TOPIC) > 0
    }

    async fn until_gone(&self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.is_on_target() {
            assert!(tokio::time::Instant::now() < deadline, "it is there still");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Waits until so many deletions are intended.
async fn until_intended(handle: &MirrorHandle, count: usize) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while handle.status()[0].deletions.len() != count {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", handle.status()[0].deletions);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Longer than every wait in these tests.
const LATER: Duration = Duration::from_secs(3_600);
/// Long enough for what must come before, on a machine that has much else to do.
const SOME_TIME: Duration = Duration::from_secs(6);
/// Several looks.
const SOON: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn an_intended_deletion_survives_a_restart() {
    let (world, handle) = World::with_two(SOME_TIME).await;
    world.source.delete_topic(TOPIC);
    until_intended(&handle, 1).await;
    assert!(world.is_on_target());
    stop(handle).await;
    let plan = world.mirror(false).connect().await.unwrap().plan().await.unwrap();
    let is_delete = |topic: &kmirror::TopicPlan| matches!(topic.step, kmirror::TopicStep::Delete { .. });
    assert!(plan.topics.iter().any(is_delete), "{:?}", plan.topics);
    let handle = world.start();
    world.until_gone().await;
    until_intended(&handle, 0).await;
    assert_eq!(world.target.partitions("other"), 1);
    stop(handle).await;
    let plan = world.mirror(false).connect().await.unwrap().plan().await.unwrap();
    assert!(plan.is_empty(), "{plan:?}");
}

/// Producers have moved to the target, and the source topic is deleted as the last step.
#[tokio::test]
async fn a_topic_with_records_of_its_own_is_not_deleted() {
    let (world, handle) = World::with_two(Duration::ZERO).await;
    world.target.write(TOPIC, 0, Codec::None, &[(Some(b"moved"), Some(b"here"))]).unwrap();
    world.source.delete_topic(TOPIC);
    tokio::time::sleep(SOON).await;
    assert!(world.is_on_target() && handle.status()[0].deletions.is_empty());
    stop(handle).await;
}

#[tokio::test]
async fn a_topic_that_is_written_to_before_its_time_is_not_deleted() {
    let (world, handle) = World::with_two(SOME_TIME).await;
    world.source.delete_topic(TOPIC);
    until_intended(&handle, 1).await;
    world.target.write(TOPIC, 0, Codec::None, &[(Some(b"moved"), Some(b"here"))]).unwrap();
    until_intended(&handle, 0).await;
    stop(handle).await;
    // Nor by the next process.
    let handle = world.start();
    tokio::time::sleep(SOON).await;
    assert!(world.is_on_target());
    stop(handle).await;
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_not_deleted() {
    let (world, handle) = World::with_two(SOME_TIME).await;
    world.source.delete_topic(TOPIC);
    until_intended(&handle, 1).await;
    world.target.delete_topic(TOPIC);
    world.target.create_topic(TOPIC, 1, &[]).unwrap();
    until_intended(&handle, 0).await;
    assert!(world.is_on_target());
    stop(handle).await;
}

#[tokio::test]
async fn a_topic_whose_source_is_back_is_not_deleted() {
    let (world, handle) = World::with_two(LATER).await;
    world.source.delete_topic(TOPIC);
    until_intended(&handle, 1).await;
    world.source.create_topic(TOPIC, 1, &[]).unwrap();
    until_intended(&handle, 0).await;
    stop(handle).await;
    assert!(world.is_on_target());
    let handle = world.start();
    world.until_end(&handle, "other", 0).await;
    assert!(handle.status()[0].deletions.is_empty(), "it is not remembered either");
    stop(handle).await;
}

#[tokio::test]
async fn somebody_elses_topic_is_not_deleted() {
    let (mut world, handle) = World::with_two(Duration::ZERO).await;
    stop(handle).await;
    world.source.create_topic("theirs", 1, &[]).unwrap();
    world.source.write("theirs", 0, Codec::None, &[(Some(b"a"), Some(b"b"))]).unwrap();
    world.target.create_topic("theirs", 1, &[]).unwrap();
    world.target.write("theirs", 0, Codec::None, &[(Some(b"theirs"), Some(b"value"))]).unwrap();
    world.flow = world.flow.clone().topics([TOPIC, "other", "theirs"]);
    let handle = world.start();
    let is_parked = |partition: &PartitionStatus| matches!(partition.state, PartitionState::Parked(_));
    world.until_one(&handle, "parked", is_parked).await;
    world.source.delete_topic("theirs");
    tokio::time::sleep(SOON).await;
    assert_eq!(world.target.log("theirs", 0).unwrap().end, 1);
    stop(handle).await;
}

/// More than half of the topics: also one of one, and one after the other.
#[tokio::test]
async fn most_of_the_topics_are_not_deleted_unless_that_is_said() {
    let (mut world, handle) = World::with_two(Duration::ZERO).await;
    world.source.delete_topic("other");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while world.target.partitions("other") > 0 {
        assert!(tokio::time::Instant::now() < deadline, "one of two goes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.source.delete_topic(TOPIC);
    let is_held = |deletion: &kmirror::DueDeletion| deletion.target_topic == TOPIC && deletion.is_held;
    while !handle.status()[0].deletions.iter().any(is_held) {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", handle.status()[0].deletions);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(SOON).await;
    assert!(world.is_on_target());
    stop(handle).await;
    let handle = world.start();
    tokio::time::sleep(SOON).await;
    assert!(world.is_on_target(), "one of one");
    stop(handle).await;
    world.flow.policies.on_deleted = OnDeleted::Delete { after: Duration::ZERO, even_all: true };
    let handle = world.start();
    world.until_gone().await;
    stop(handle).await;
}

/// Where two instances run, one of them is faster; and an operator may be faster than both.
#[tokio::test]
async fn a_deletion_that_somebody_else_has_carried_out_is_done() {
    let (world, handle) = World::with_two(SOME_TIME).await;
    world.source.delete_topic(TOPIC);
    until_intended(&handle, 1).await;
    world.target.delete_topic(TOPIC);
    until_intended(&handle, 0).await;
    stop(handle).await;
    let handle = world.start();
    world.until_end(&handle, "other", 0).await;
    assert!(handle.status()[0].deletions.is_empty());
    stop(handle).await;
}

/// One after the other, with a restart before each: within an hour they are as many as at once.
#[tokio::test]
async fn most_of_the_topics_are_not_deleted_across_restarts() {
    let mut world = World::new(&[]).await;
    world.flow = world.flow.clone().topics([".*"]);
    world.flow.policies.on_deleted = OnDeleted::Delete { after: Duration::ZERO, even_all: false };
    let names = [TOPIC, "one", "two", "three"];
    for name in &names[1..] {
        world.source.create_topic(name, 1, &[]).unwrap();
    }
    for name in &names[..3] {
        let handle = world.start();
        let is_copied = |partition: &PartitionStatus| {
            partition.source_topic == *name
                && partition.position == 0
                && partition.state == PartitionState::Copying
        };
        world.until_one(&handle, "copied", is_copied).await;
        tokio::time::sleep(SOON).await;
        world.source.delete_topic(name);
        tokio::time::sleep(SOON * 2).await;
        stop(handle).await;
    }
    let left: Vec<_> = names.iter().filter(|name| world.target.partitions(name) > 0).collect();
    assert_eq!(left, [&"two", &"three"]);
}
