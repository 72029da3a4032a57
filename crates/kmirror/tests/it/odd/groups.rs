//! Consumer groups across restarts: what somebody has put elsewhere meanwhile is left there.

use kmirror::{MirrorHandle, Naming, ParkReason};
use kmirror_client::{Client, ClientConfig, CommittedOffset, TopicPartition};

use super::*;

const GROUP: &str = "readers";
/// Enough for both of two instances to have looked.
const ROUNDS: u32 = 10;

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

    /// As a consumer of the target does it, which says the leader epoch of what it has read.
    async fn commit_as_consumer(&self, group: &str, offset: i64) {
        let config = ClientConfig::new("consumer", [self.target.bootstrap_servers()]);
        let client = Client::connect(config).await.unwrap();
        let committed = CommittedOffset { leader_epoch: Some(0), ..CommittedOffset::new(offset) };
        let place = (TopicPartition::new(TOPIC, 0), committed);
        for (_, result) in client.commit_offsets(group, &[place], PATIENCE).await.unwrap() {
            result.unwrap();
        }
    }

    /// Groups were looked at since, more than once: another one shows it.
    async fn looked(&self, mark: i64) {
        self.looked_at(TOPIC, mark).await;
    }

    /// The same by a group of another topic.
    async fn looked_at(&self, topic: &str, mark: i64) {
        // Of a new one nothing is known.
        let witness = format!("witness {mark}");
        for offset in [mark, mark + 1] {
            self.source.commit_offsets(&witness, topic, 0, offset).unwrap();
            World::stands_at(&self.target, topic, &witness, offset).await;
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
    assert_eq!(
        ["replays", "rests", "was deleted"].map(|group| World::place(&world.target, group)),
        [Some(5), Some(7), None]
    );
    // Its twin on the source reads on, which is no reason to end the replay. One that was deleted is followed again.
    groups.iter().for_each(|group| World::commit(&world.source, group, 28));
    world.stands(&world.target, "goes on", 28).await;
    world.stands(&world.target, "was deleted", 28).await;
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

/// A record may be older than the last move of a group that moves all the time.
#[tokio::test]
async fn a_group_that_was_set_back_a_little_stays_there_after_a_crash() {
    let world = World::with_groups().await;
    World::commit(&world.source, GROUP, 20);
    let handle = world.start();
    world.stands(&world.target, GROUP, 20).await;
    world.looked(1).await;
    World::commit(&world.source, GROUP, 28);
    world.stands(&world.target, GROUP, 28).await;
    drop(handle);
    World::commit(&world.target, GROUP, 24);
    let handle = world.start();
    world.looked(3).await;
    assert_eq!(World::place(&world.target, GROUP), Some(24));
    stop(handle).await;
}

/// A cluster forgets the offsets of a topic that is deleted, which is nobody's wish about its groups.
#[tokio::test]
async fn groups_get_their_places_in_a_topic_that_is_copied_anew() {
    let world = World::with_groups().await;
    World::commit(&world.source, GROUP, 20);
    let handle = world.start();
    world.stands(&world.target, GROUP, 20).await;
    stop(handle).await;
    world.target.delete_topic(TOPIC);
    world.target.delete_offset(GROUP, TOPIC, 0);
    let handle = world.start();
    world.stands(&world.target, GROUP, 20).await;
    stop(handle).await;
}

/// Where consumers read the target already, nobody knows how far these have come but they.
#[tokio::test]
async fn a_place_that_consumers_have_committed_is_theirs_until_both_stand_at_the_same_record() {
    let world = World::with_groups().await;
    World::commit(&world.source, GROUP, 20);
    world.commit_as_consumer(GROUP, 5).await;
    let handle = world.start();
    world.looked(1).await;
    World::commit(&world.source, GROUP, 25);
    world.looked(3).await;
    assert_eq!(World::place(&world.target, GROUP), Some(5));
    stop(handle).await;
    World::commit(&world.source, GROUP, 26);
    let handle = world.start();
    world.looked(5).await;
    assert_eq!(World::place(&world.target, GROUP), Some(5));
    world.commit_as_consumer(GROUP, 26).await;
    world.looked(7).await;
    World::commit(&world.source, GROUP, 28);
    world.stands(&world.target, GROUP, 28).await;
    stop(handle).await;
}

/// A group that lives on the target alone, of which kmirror has put a place on the source.
#[tokio::test]
async fn what_kmirror_has_put_on_the_source_does_not_move_the_group_on_the_target() {
    let world = World::with_groups().await;
    World::commit(&world.target, GROUP, 10);
    World::commit(&world.target, "rests", 10);
    let handle = world.start();
    world.looked(1).await;
    stop(handle).await;
    assert_eq!(World::place(&world.source, GROUP), None, "nobody has asked for it");
    let handle = both_ways(&world);
    world.looked(3).await;
    assert_eq!(World::place(&world.source, GROUP), None, "nor has it moved");
    World::commit(&world.target, GROUP, 15);
    world.stands(&world.source, GROUP, 15).await;
    stop(handle).await;
    let recorded = world.target.log("__kmirror_state", 0).unwrap().records(Isolation::ReadCommitted).unwrap();
    let announced = |value: &[u8]| String::from_utf8_lossy(value).contains(r#""returned":15"#);
    assert!(recorded.iter().any(|record| record.value.as_deref().is_some_and(announced)), "it was announced");
    World::commit(&world.target, GROUP, 0);
    let handle = both_ways(&world);
    world.looked(5).await;
    let places = |group| [&world.source, &world.target].map(|cluster| World::place(cluster, group));
    assert_eq!(places(GROUP), [Some(15), Some(0)]);
    // It was never there, and nobody moves it.
    assert_eq!(places("rests"), [None, Some(10)]);
    stop(handle).await;
}

/// The same group at both sites, be it that `groups.return` names it: neither says where the other one reads, also after a restart.
#[tokio::test]
async fn two_programs_with_the_same_group_keep_their_places() {
    let world = World::with_groups().await;
    World::commit(&world.source, GROUP, 5);
    let handle = both_ways(&world);
    world.stands(&world.target, GROUP, 5).await;
    world.looked(1).await;
    // The one at home is a member, so that its place is not overwritten meanwhile: here it only is faster.
    stop(handle).await;
    World::commit(&world.target, GROUP, 20);
    World::commit(&world.source, GROUP, 8);
    let places = || [&world.source, &world.target].map(|cluster| World::place(cluster, GROUP));
    for (mark, away) in [(3, 25), (5, 28)] {
        let handle = both_ways(&world);
        world.looked(mark).await;
        assert_eq!(places()[0], Some(8));
        World::commit(&world.target, GROUP, away);
        world.looked(mark + 10).await;
        assert_eq!(places(), [Some(8), Some(away)]);
        stop(handle).await;
    }
}

/// Both look at the same groups. The second one learns from the state topic what the first has done.
#[tokio::test]
async fn two_instances_do_not_take_each_others_work_for_moves() {
    let world = World::with_groups().await;
    World::commit(&world.source, GROUP, 10);
    let handles = [both_ways(&world), both_ways(&world)];
    world.stands(&world.target, GROUP, 10).await;
    world.looked(1).await;
    // Home and there again, and what the slower one had in mind has come to pass or not.
    let rest = || tokio::time::sleep(ROUNDS * world.flow.groups_interval);
    for away in [12, 14, 16, 18] {
        World::commit(&world.target, GROUP, away);
        world.stands(&world.source, GROUP, away).await;
        rest().await;
    }
    World::commit(&world.source, GROUP, 22);
    world.stands(&world.target, GROUP, 22).await;
    rest().await;
    World::commit(&world.target, GROUP, 25);
    world.stands(&world.source, GROUP, 25).await;
    rest().await;
    World::commit(&world.source, GROUP, 3);
    world.stands(&world.target, GROUP, 3).await;
    rest().await;
    let places = [&world.source, &world.target].map(|cluster| World::place(cluster, GROUP));
    assert_eq!(places, [Some(3), Some(3)]);
    for handle in handles {
        stop(handle).await;
    }
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
    let plan = world.mirror(false).connect().await.unwrap().plan().await.unwrap();
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

/// What `check` says of the group for positions.
#[tokio::test]
async fn a_commit_group_that_others_commit_to_is_found() {
    let mut world = World::with_groups().await;
    world.flow.commit_group = Some("positions".to_owned());
    world.once().await;
    let problems = async |flows: &[Flow]| {
        let checks = mirror_of(&world, flows).connect().await.unwrap().check("User:kmirror").await.unwrap();
        let findings = checks.into_iter().flat_map(|check| check.findings);
        let of_group = findings.filter(|finding| finding.subject == "group positions (commit_group)");
        of_group.map(|finding| finding.problem).collect::<Vec<_>>()
    };
    let flow = world.flow.clone();
    assert_eq!(World::place(&world.source, "positions"), Some(30));
    assert_eq!(problems(std::slice::from_ref(&flow)).await, [] as [String; 0]);
    let twice = problems(&[flow.clone(), flow.clone().naming(Naming::Prefixed)]).await;
    for other in ["east-to-west", "east-to-west-2"] {
        let overwrites =
            format!("the flow {other} commits its positions to it as well: each overwrites the other's");
        assert_eq!(twice.iter().filter(|problem| **problem == overwrites).count(), 1, "{twice:?}");
    }
    World::commit(&world.source, "positions", 31);
    let beyond = problems(&[flow]).await;
    assert!(beyond.len() == 1 && beyond[0].starts_with("it stands at 31 in orders-0"), "{beyond:?}");
}

/// The flow of the world, whose groups return.
fn both_ways(world: &World) -> MirrorHandle {
    let mut flow = world.flow.clone();
    flow.groups.returning = vec![".*".to_owned()];
    mirror_of(world, &[flow]).spawn()
}

fn mirror_of(world: &World, flows: &[Flow]) -> Mirror {
    let cluster = |cluster: &EmbeddedCluster| ClusterConfig::new([cluster.bootstrap_servers()]);
    let mirror =
        Mirror::builder().cluster("east", cluster(&world.source)).cluster("west", cluster(&world.target));
    flows.iter().fold(mirror, |mirror, flow| mirror.flow(flow.clone())).build().unwrap()
}
