//! Topics of the target that were there before: what becomes of them where one partition is looked at later than the others.

use kmirror_embedded::{Change, Profile, ResponseError};

use super::*;

impl World {
    /// Two partitions on the source, each with a leader of its own: broker 2 leads the second one.
    pub(super) async fn with_two_leaders() -> World {
        let mut world = World::with_brokers(2, &[]).await;
        world.source.add_partitions(TOPIC, 2).unwrap();
        world.source.move_leader(TOPIC, 0, 1).unwrap();
        world.source.move_leader(TOPIC, 1, 2).unwrap();
        world.flow.parked_retry_interval = Duration::from_millis(100);
        world.flow.topic_configs.interval = Duration::from_millis(100);
        world
    }

    pub(super) fn write_to(&self, partition: i32, count: usize) {
        for _ in 0..count {
            self.source.write(TOPIC, partition, Codec::None, &[(Some(b"key"), Some(b"value"))]).unwrap();
        }
    }

    pub(super) fn write_theirs(&self, partition: i32) {
        self.target.write(TOPIC, partition, Codec::None, &[(Some(b"theirs"), Some(b"value"))]).unwrap();
    }

    /// The second partition may not be looked at on the source.
    pub(super) fn deny_second(&self) {
        let error = FaultKind::Error(ResponseError::TopicAuthorizationFailed);
        self.source.inject(Fault::new(error).of(ApiKey::ListOffsets).at(2).times(u32::MAX));
    }

    pub(super) fn changes_on_target(&self) -> Vec<Change> {
        self.target.changes().into_iter().filter(|change| change.resource == TOPIC).collect()
    }

    /// Why partitions are parked when a run has ended.
    pub(super) async fn reasons_of_a_run(&self) -> Vec<kmirror::ParkReason> {
        let handle = self.mirror(true).spawn();
        let ended = tokio::time::timeout(PATIENCE, handle.wait()).await;
        let report = ended.unwrap_or_else(|_| panic!("does not end: {:?}", handle.status())).unwrap();
        report.flows[0].parked().map(|(_, parked)| parked.reason).collect()
    }

    pub(super) async fn until_state(
        &self,
        handle: &MirrorHandle,
        number: i32,
        wanted: impl Fn(&PartitionState) -> bool,
    ) {
        let is = |partition: &PartitionStatus| partition.partition == number && wanted(&partition.state);
        self.until_one(handle, "in the state", is).await;
    }
}

fn is_parked(state: &PartitionState, reason: kmirror::ParkReason) -> bool {
    matches!(state, PartitionState::Parked(parked) if parked.reason == reason)
}

pub(super) fn is_unauthorized(state: &PartitionState) -> bool {
    is_parked(state, kmirror::ParkReason::Unauthorized)
}

pub(super) fn is_diverged(state: &PartitionState) -> bool {
    is_parked(state, kmirror::ParkReason::TargetDiverged)
}

pub(super) async fn some_rounds() {
    tokio::time::sleep(Duration::from_millis(1_000)).await;
}

/// Its owner adds a partition; the flow waited for one, but not of this topic.
#[tokio::test]
async fn a_partition_that_somebody_adds_to_a_topic_of_theirs_gets_nothing() {
    let mut world = World::with_two_leaders().await;
    world.flow.creates_topics = false;
    world.write_to(0, 5);
    world.write_to(1, 5);
    world.target.create_topic(TOPIC, 1, &[]).unwrap();
    world.write_theirs(0);
    let handle = world.start();
    world.until_state(&handle, 0, is_diverged).await;
    world.target.add_partitions(TOPIC, 2).unwrap();
    some_rounds().await;
    assert_eq!(world.target.log(TOPIC, 1).unwrap().end, 0, "{:?}", handle.status()[0].partitions);
    stop(handle).await;
}

#[tokio::test]
async fn a_partition_that_may_be_read_later_is_not_copied_into_a_topic_of_somebody_else() {
    let world = World::with_two_leaders().await;
    world.write_to(0, 5);
    world.write_to(1, 5);
    world.target.create_topic(TOPIC, 2, &[]).unwrap();
    world.write_theirs(0);
    let later = FaultKind::Delay(Duration::from_millis(700));
    world.source.inject(Fault::new(later).of(ApiKey::ListOffsets).at(1));
    world.deny_second();
    let handle = world.start();
    // It may not be seen before the other one is found.
    world.until_state(&handle, 1, |state| is_unauthorized(state) || is_diverged(state)).await;
    world.until_state(&handle, 0, is_diverged).await;
    world.source.clear_faults();
    some_rounds().await;
    assert_eq!(world.target.log(TOPIC, 1).unwrap().end, 0, "{:?}", handle.status()[0].partitions);
    stop(handle).await;
}

/// It is somebody else's for what its surplus partition holds.
#[tokio::test]
async fn a_partition_that_may_be_read_later_is_not_copied_beside_a_surplus_one_of_somebody_else() {
    let world = World::with_two_leaders().await;
    world.write_to(0, 5);
    world.write_to(1, 5);
    world.target.create_topic(TOPIC, 3, &[]).unwrap();
    world.write_theirs(2);
    world.deny_second();
    let handle = world.start();
    world.until_state(&handle, 0, is_diverged).await;
    world.source.clear_faults();
    some_rounds().await;
    assert_eq!(world.target.log(TOPIC, 1).unwrap().end, 0, "{:?}", handle.status()[0].partitions);
    stop(handle).await;
}

/// While one partition may not be looked at, its owner writes to another that was.
#[tokio::test]
async fn a_topic_that_is_written_to_while_it_is_looked_at_is_not_touched() {
    let mut world = World::with_two_leaders().await;
    world.write_to(1, 5);
    world.once().await;
    world.flow.state_topic = "memory".to_owned();
    world.source.alter_topic(TOPIC, &[("retention.ms", "77777777")]).unwrap();
    let before = world.changes_on_target();
    world.deny_second();
    let handle = world.start();
    let is_looked_at =
        |state: &PartitionState| matches!(state, PartitionState::Waiting(_) | PartitionState::Parked(_));
    world.until_state(&handle, 0, is_looked_at).await;
    world.until_state(&handle, 1, is_unauthorized).await;
    world.write_theirs(0);
    world.source.clear_faults();
    world.until_state(&handle, 0, is_diverged).await;
    some_rounds().await;
    assert_eq!(world.changes_on_target(), before);
    world.write_to(1, 1);
    some_rounds().await;
    assert_eq!(world.target.log(TOPIC, 1).unwrap().end, 5, "{:?}", handle.status()[0].partitions);
    stop(handle).await;
}

/// A partition that somebody adds before it is known whose the topic is.
#[tokio::test]
async fn a_partition_that_is_added_while_another_one_is_parked_is_copied() {
    let mut world = World::with_two_leaders().await;
    world.write_to(1, 5);
    world.once().await;
    world.flow.state_topic = "memory".to_owned();
    world.flow.creates_topics = false;
    world.source.add_partitions(TOPIC, 3).unwrap();
    world.source.move_leader(TOPIC, 2, 1).unwrap();
    world.write_to(2, 5);
    world.deny_second();
    let handle = world.start();
    world.until_state(&handle, 1, is_unauthorized).await;
    world.until_state(&handle, 2, |state| matches!(state, PartitionState::Parked(_))).await;
    world.target.add_partitions(TOPIC, 3).unwrap();
    some_rounds().await;
    assert_eq!(world.target.log(TOPIC, 2).unwrap().end, 0, "not known yet");
    world.source.clear_faults();
    let is_third = |partition: &PartitionStatus| partition.partition == 2 && partition.position == 5;
    world.until_one(&handle, "copied", is_third).await;
    stop(handle).await;
}

/// The state topic is lost, and what one partition holds cannot be compared any more: a run ends, and says so.
#[tokio::test]
async fn a_run_ends_where_a_partition_cannot_be_judged() {
    let mut world = World::with_two_leaders().await;
    world.write_to(0, 5);
    world.write_to(1, 5);
    world.once().await;
    world.flow.state_topic = "memory".to_owned();
    world.write_to(0, 5);
    world.write_to(1, 5);
    world.source.delete_below(TOPIC, 1, 8).unwrap();
    let before = world.changes_on_target();
    assert_eq!(world.reasons_of_a_run().await, [kmirror::ParkReason::RecordsExpired; 2]);
    assert_eq!((world.changes_on_target(), world.target.log(TOPIC, 0).unwrap().end), (before, 5));
}

/// The same where topics have no ids, so that every start asks anew.
#[tokio::test]
async fn a_run_ends_where_a_partition_of_a_target_without_ids_is_parked() {
    let mut world = World::with_two_leaders().await;
    world.target = EmbeddedCluster::builder().profile(Profile::Kafka2_1).start().await.unwrap();
    world.write_to(0, 5);
    world.write_to(1, 5);
    world.once().await;
    world.write_to(1, 5);
    world.source.delete_below(TOPIC, 1, 8).unwrap();
    assert_eq!(world.reasons_of_a_run().await, [kmirror::ParkReason::RecordsExpired; 2]);
}

/// A name alone says nothing: the topic may be another one that is as long.
#[tokio::test]
async fn a_topic_without_an_id_that_was_made_anew_is_not_deleted() {
    let mut world = World::with_two_leaders().await;
    world.target = EmbeddedCluster::builder().profile(Profile::Kafka2_1).start().await.unwrap();
    world.flow = world.flow.clone().topics([TOPIC, "other"]);
    let after = Duration::from_millis(1_500);
    world.flow.policies.on_deleted = kmirror::OnDeleted::Delete { after, even_all: false };
    world.source.create_topic("other", 1, &[]).unwrap();
    world.write_to(0, 2);
    let handle = world.start();
    world.until_end(&handle, TOPIC, 2).await;
    world.until_end(&handle, "other", 0).await;
    some_rounds().await;
    world.source.delete_topic(TOPIC);
    some_rounds().await;
    world.target.delete_topic(TOPIC);
    world.target.create_topic(TOPIC, 2, &[]).unwrap();
    world.write_theirs(0);
    world.write_theirs(0);
    tokio::time::sleep(after * 2).await;
    assert!(handle.status()[0].deletions.is_empty());
    assert_eq!(world.target.partitions(TOPIC), 2);
    stop(handle).await;
}

/// Two instances begin at the same time with a topic that is there and empty, and has too few partitions.
#[tokio::test]
async fn two_instances_make_an_empty_topic_theirs() {
    let world = World::with_two_leaders().await;
    world.write_to(0, 50);
    world.write_to(1, 50);
    world.target.create_topic(TOPIC, 1, &[]).unwrap();
    let (one, other) = (world.start(), world.start());
    for handle in [&one, &other] {
        for number in 0..2 {
            let is = |partition: &PartitionStatus| partition.partition == number && partition.position == 50;
            world.until_one(handle, "copied", is).await;
        }
    }
    stop(one).await;
    stop(other).await;
    for number in 0..2 {
        let records = |cluster: &EmbeddedCluster| {
            cluster.log(TOPIC, number).unwrap().records(Isolation::ReadCommitted).unwrap().len()
        };
        assert_eq!((records(&world.target), world.target.log(TOPIC, number).unwrap().end), (50, 50));
    }
}
