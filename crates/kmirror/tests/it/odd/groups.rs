//! Consumer groups across restarts: what somebody has put elsewhere meanwhile is left there.

use kmirror::{MirrorHandle, ParkReason};

use super::*;

const GROUP: &str = "readers";

impl World {
    /// Thirty records that are copied, and groups that are looked at all the time.
    async fn with_groups() -> World {
        let mut world = World::new(&[]).await;
        world.flow.groups_interval = Duration::from_millis(20);
        world.write_numbered(0..30);
        world.once().await;
        world
    }

    fn commit(cluster: &EmbeddedCluster, group: &str, offset: i64) {
        cluster.commit_offsets(group, TOPIC, 0, offset).unwrap();
    }

    fn place(cluster: &EmbeddedCluster, group: &str) -> Option<i64> {
        cluster.committed_offsets(group).get(&(TOPIC.to_owned(), 0)).copied()
    }

    async fn stands(&self, cluster: &EmbeddedCluster, group: &str, offset: i64) {
        World::stands_at(cluster, TOPIC, group, offset).await;
    }

    async fn stands_at(cluster: &EmbeddedCluster, topic: &str, group: &str, offset: i64) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let place = || cluster.committed_offsets(group).get(&(topic.to_owned(), 0)).copied();
        while place() != Some(offset) {
            let place = place();
            assert!(tokio::time::Instant::now() < deadline, "{group} is at {place:?}, not at {offset}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Groups were looked at since, more than once: another one shows it.
    async fn looked(&self, mark: i64) {
        self.looked_at(TOPIC, mark).await;
    }

    /// The same by a group of another topic.
    async fn looked_at(&self, topic: &str, mark: i64) {
        for offset in [mark, mark + 1] {
            self.source.commit_offsets("witness", topic, 0, offset).unwrap();
            World::stands_at(&self.target, topic, "witness", offset).await;
        }
    }
}

#[tokio::test]
async fn a_group_that_was_set_back_on_the_target_stays_there_after_a_restart() {
    let world = World::with_groups().await;
    let groups = ["replays", "rests", "goes on", "was deleted"];
    groups.iter().for_each(|group| World::commit(&world.source, group, 20));
    let handle = world.start();
    for group in groups {
        world.stands(&world.target, group, 20).await;
    }
    World::commit(&world.target, "replays", 5);
    world.looked(1).await;
    stop(handle).await;
    // While nobody looks: another one, and one reads on where it is.
    World::commit(&world.target, "rests", 7);
    World::commit(&world.source, "goes on", 25);
    world.target.delete_offset("was deleted", TOPIC, 0);
    let handle = world.start();
    world.looked(3).await;
    world.stands(&world.target, "goes on", 25).await;
    // Whoever finds no place there may begin at the end: nothing is lost by giving it one.
    world.stands(&world.target, "was deleted", 20).await;
    assert_eq!(["replays", "rests"].map(|group| World::place(&world.target, group)), [Some(5), Some(7)]);
    // Its twin on the source reads on, which is no reason to end the replay.
    groups.iter().for_each(|group| World::commit(&world.source, group, 28));
    world.stands(&world.target, "goes on", 28).await;
    world.looked(5).await;
    assert_eq!(["replays", "rests"].map(|group| World::place(&world.target, group)), [Some(5), Some(7)]);
    // Once both stand at the same record again it follows.
    World::commit(&world.target, "replays", 28);
    world.looked(7).await;
    World::commit(&world.source, "replays", 29);
    world.stands(&world.target, "replays", 29).await;
    stop(handle).await;
}

/// A process that is killed has recorded where it has put a group.
#[tokio::test]
async fn a_group_that_was_set_back_stays_there_after_a_crash() {
    let world = World::with_groups().await;
    World::commit(&world.source, GROUP, 20);
    let handle = world.start();
    world.stands(&world.target, GROUP, 20).await;
    world.looked(1).await;
    drop(handle);
    World::commit(&world.target, GROUP, 5);
    let handle = world.start();
    world.looked(3).await;
    assert_eq!(World::place(&world.target, GROUP), Some(5));
    stop(handle).await;
}

/// What stands on the target before kmirror has ever looked is somebody else's, until its group moves on the source.
#[tokio::test]
async fn a_place_that_somebody_else_has_committed_is_left_until_the_group_moves() {
    let world = World::with_groups().await;
    World::commit(&world.source, GROUP, 20);
    World::commit(&world.target, GROUP, 5);
    let handle = world.start();
    world.looked(1).await;
    assert_eq!(World::place(&world.target, GROUP), Some(5));
    let plan = world.mirror(false).plan().await.unwrap();
    assert_eq!(plan.groups, [], "nor would it be moved");
    stop(handle).await;
    let handle = world.start();
    world.looked(3).await;
    assert_eq!(World::place(&world.target, GROUP), Some(5));
    World::commit(&world.source, GROUP, 21);
    world.stands(&world.target, GROUP, 21).await;
    stop(handle).await;
}

/// Groups may come back from the target; what kmirror itself has put there is no move of its own.
#[tokio::test]
async fn a_group_that_was_reset_on_the_source_while_nobody_looked_does_not_come_back() {
    let world = World::with_groups().await;
    World::commit(&world.source, GROUP, 20);
    let handle = both_ways(&world);
    world.stands(&world.target, GROUP, 20).await;
    world.looked(1).await;
    stop(handle).await;
    World::commit(&world.source, GROUP, 3);
    let handle = both_ways(&world);
    world.stands(&world.target, GROUP, 3).await;
    world.looked(3).await;
    assert_eq!(World::place(&world.source, GROUP), Some(3));
    stop(handle).await;
}

/// After a failover others have written to the target, and producers are back on the source: what a group has read there is not what the
/// source has at those offsets.
#[tokio::test]
async fn a_group_does_not_return_to_records_that_it_has_not_read() {
    let mut world = World::with_groups().await;
    let other = "witnesses";
    world.source.create_topic(other, 1, &[]).unwrap();
    for _ in 0..9 {
        world.source.write(other, 0, Codec::None, &[(None, Some(b"witness"))]).unwrap();
    }
    world.flow = world.flow.topics([other]);
    for (group, offset) in [(GROUP, 30), ("reads the copy", 10), ("is reset", 20)] {
        World::commit(&world.source, group, offset);
    }
    let handle = both_ways(&world);
    for (group, offset) in [(GROUP, 30), ("reads the copy", 10), ("is reset", 20)] {
        world.stands(&world.target, group, offset).await;
    }
    for number in 0..20 {
        let local = (None, Some(&b"written on the target"[..]));
        assert_eq!(world.target.write(TOPIC, 0, Codec::None, &[local]).unwrap(), 30 + number);
    }
    World::commit(&world.target, GROUP, 50);
    world.write_numbered(30..60);
    let is_parked = |partition: &PartitionStatus| matches!(&partition.state, PartitionState::Parked(parked) if parked.reason == ParkReason::TargetDiverged);
    world.until_one(&handle, "parked", is_parked).await;
    // The round that was under way saw it copied.
    world.looked_at(other, 1).await;
    World::commit(&world.target, "reads the copy", 15);
    World::commit(&world.source, "is reset", 5);
    world.looked_at(other, 3).await;
    let places = |group| [&world.source, &world.target].map(|cluster| World::place(cluster, group));
    assert_eq!(places(GROUP), [Some(30), Some(50)], "it has not read what is there now");
    assert_eq!(places("reads the copy"), [Some(10), Some(15)], "whose copy it reads is not known");
    assert_eq!(places("is reset"), [Some(5), Some(20)], "nor what the target's offsets mean");
    stop(handle).await;
}

/// A partition that stands still for a limit is the copy that it was: its groups follow, and return once it is copied again.
#[tokio::test]
async fn a_group_does_not_return_while_its_partition_is_parked() {
    let world = World::with_groups().await;
    World::commit(&world.source, GROUP, 10);
    let handle = both_ways(&world);
    world.stands(&world.target, GROUP, 10).await;
    world.target.alter_topic(TOPIC, &[("max.message.bytes", "200")]).unwrap();
    world.write("too large", Some(&"x".repeat(300)));
    let is_parked = |partition: &PartitionStatus| matches!(&partition.state, PartitionState::Parked(parked) if parked.reason == ParkReason::TooLarge);
    world.until_one(&handle, "parked", is_parked).await;
    // The round that was under way saw it copied.
    world.looked(1).await;
    World::commit(&world.target, GROUP, 20);
    world.looked(3).await;
    assert_eq!(World::place(&world.source, GROUP), Some(10));
    stop(handle).await;
    world.target.alter_topic(TOPIC, &[("max.message.bytes", "1000000")]).unwrap();
    let handle = both_ways(&world);
    world.stands(&world.source, GROUP, 20).await;
    stop(handle).await;
}

/// The flow of the world, whose groups return.
fn both_ways(world: &World) -> MirrorHandle {
    let mut flow = world.flow.clone();
    flow.groups.returning = vec![".*".to_owned()];
    let cluster = |cluster: &EmbeddedCluster| ClusterConfig::new([cluster.bootstrap_servers()]);
    Mirror::builder()
        .cluster("east", cluster(&world.source))
        .cluster("west", cluster(&world.target))
        .flow(flow)
        .build()
        .unwrap()
        .spawn()
}
