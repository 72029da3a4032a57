//! Answers without records, and throttled ones.

use std::time::Duration;

use kmirror::{MirrorHandle, Offsets, PartitionState, PartitionStatus, Predecessor};
use kmirror_embedded::{ApiKey, Codec, EmbeddedCluster, Fault, FaultKind};

use super::{TOPIC, World, shows_nothing, stop};

/// A read from tiered storage that takes too long is answered without records and without an error (KIP-1018).
#[tokio::test]
async fn records_that_a_source_shows_late_are_no_hole() {
    let world = World::new(&[]).await;
    world.write_numbered(0..50);
    let handle = world.start();
    shows_nothing(&world.source);
    world.waits(&handle, "shows no records at offset").await;
    let copied = World::partition(&handle).unwrap().position;
    assert_eq!(world.target.log(TOPIC, 0).unwrap().end, copied, "nothing was made of what is not shown");
    world.source.clear_faults();
    world.caught_up(&handle).await;
    let is_copying = |partition: &kmirror::PartitionStatus| partition.state == PartitionState::Copying;
    world.until(&handle, "copying", is_copying).await;
    world.write_numbered(50..55);
    world.caught_up(&handle).await;
    stop(handle).await;
    world.is_exact();
    world.proves_exact().await;
}

#[tokio::test]
async fn a_source_that_shows_nothing_is_asked_again_before_a_partition_goes_on() {
    let world = World::new(&[]).await;
    world.write_numbered(0..20);
    world.once().await;
    shows_nothing(&world.source);
    let handle = world.start();
    world.waits(&handle, "shows no records at offset").await;
    world.source.clear_faults();
    world.write_numbered(20..25);
    world.caught_up(&handle).await;
    stop(handle).await;
    world.is_exact();
}

/// A leader that sends readers to a replica shows no records, and says truly where its log ends (KIP-392).
#[tokio::test]
async fn readers_that_are_sent_to_a_replica_go_there() {
    for policy in ["delete", "compact"] {
        let world = World::with_brokers(3, &[("cleanup.policy", policy)]).await;
        world.write_numbered(0..20);
        world.source.send_readers_to(Some(2));
        let handle = world.start();
        world.caught_up(&handle).await;
        // From now on the leader answers no fetch.
        let leader = world.source.leader(TOPIC, 0).unwrap().unwrap();
        assert_ne!(leader, 2);
        world.source.inject(Fault::new(FaultKind::HangUpBefore).of(ApiKey::Fetch).at(leader).times(u32::MAX));
        world.write_numbered(20..22);
        world.caught_up(&handle).await;
        world.source.clear_faults();
        // A replica that is gone, one that fails, and none at all.
        for (round, replica) in [Some(3), Some(9), Some(2), None].into_iter().enumerate() {
            world.source.send_readers_to(replica);
            world.write_numbered(22 + 5 * round..27 + 5 * round);
            world.caught_up(&handle).await;
        }
        stop(handle).await;
        world.source.send_readers_to(Some(2));
        // Take-overs and verify look at the leader.
        world.write_numbered(42..45);
        world.once().await;
        world.is_exact();
        world.proves_exact().await;
    }
}

/// What was read of a replica is damaged in a batch that must be written anew: the leader is read from there on, not from behind it.
#[tokio::test]
async fn a_batch_that_is_damaged_on_a_replica_is_no_hole() {
    let world = World::with_brokers(3, &[("cleanup.policy", "compact")]).await;
    let records = [("a", "old"), ("b", "first"), ("a", "new")];
    let records = records.map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes())));
    world.source.write(TOPIC, 0, Codec::None, &records).unwrap();
    world.source.clean(TOPIC, 0, 3).unwrap();
    world.source.damage(TOPIC, 0).unwrap();
    world.write("c", Some("whole"));
    world.source.send_readers_to(Some(2));
    let parked = world.parks().await;
    assert_eq!(parked.reason, kmirror::ParkReason::CorruptBatch, "{parked}");
    assert_eq!(world.target.log(TOPIC, 0).unwrap().end, 0, "nothing was made of it");
}

/// A compacted topic whose last records were cleaned away ends in offsets without any batch.
#[tokio::test]
async fn what_a_cleaner_left_bare_is_a_hole() {
    let world = World::compacted().await;
    for (key, value) in [("a", Some("first")), ("b", Some("second")), ("b", None), ("c", None)] {
        world.write(key, value);
    }
    world.source.clean(TOPIC, 0, 4).unwrap();
    world.source.advance(Duration::from_secs(3 * 86_400));
    world.source.clean(TOPIC, 0, 4).unwrap();
    assert_eq!(world.source.log(TOPIC, 0).unwrap().batches.len(), 1, "three offsets are bare");
    world.once().await;
    assert_eq!(world.target.log(TOPIC, 0).unwrap().end, 4);
    world.write("d", Some("later"));
    world.once().await;
    world.proves_exact().await;
}

/// The state topic, in the tail of the target, and in the topic that says where a predecessor stood.
#[tokio::test]
async fn a_target_that_shows_nothing_is_asked_again() {
    let mut world = World::new(&[]).await;
    world.flow.offsets = Offsets::Shifted;
    world.target.create_topic(TOPIC, 1, &[]).unwrap();
    world.write_numbered(0..20);
    world.once().await;
    world.write_numbered(20..30);
    // Without its state a shifted copy could only be parked; and its tail is the only proof that it is one.
    for (after, times) in [(0, 1), (0, 3), (1, 3), (2, 3)] {
        world.target.inject(Fault::new(FaultKind::NoRecords).of(ApiKey::Fetch).after(after).times(times));
        let handle = world.start();
        world.caught_up(&handle).await;
        stop(handle).await;
        world.target.clear_faults();
        world.is_exact();
    }
}

#[tokio::test]
async fn a_predecessor_is_not_taken_for_none_where_nothing_is_shown() {
    for (at_source, times) in [(false, 1), (false, 3), (true, 1), (true, 3)] {
        let mut world = World::new(&[]).await;
        let offsets_topic = Some("connect-offsets".to_owned());
        world.flow.predecessor = Predecessor::MirrorMaker2 { offsets_topic, source_alias: None };
        world.target.create_topic("connect-offsets", 1, &[("cleanup.policy", "compact")]).unwrap();
        world.target.create_topic(TOPIC, 1, &[]).unwrap();
        let key =
            format!(r#"["MirrorSourceConnector",{{"cluster":"east","partition":0,"topic":"{TOPIC}"}}]"#);
        let position = (Some(key.as_bytes()), Some(&br#"{"offset":3}"#[..]));
        world.target.write("connect-offsets", 0, Codec::None, &[position]).unwrap();
        world.write_numbered(0..10);
        for batch in world.source.log(TOPIC, 0).unwrap().batches.into_iter().take(6) {
            let mut produced = batch.to_vec();
            produced[..8].fill(0);
            world.target.append(TOPIC, 0, &produced.into()).unwrap();
        }
        let cluster = if at_source { &world.source } else { &world.target };
        cluster.inject(Fault::new(FaultKind::NoRecords).of(ApiKey::Fetch).times(times));
        world.once().await;
        world.is_exact();
    }
}

/// A quota of the cluster is exceeded: a fetch is answered at once and without any partition (KIP-219).
#[tokio::test]
async fn throttled_answers_are_waited_for_wherever_a_log_is_read() {
    let world = World::new(&[]).await;
    world.write_numbered(0..20);
    let throttle = |times| {
        let throttled = Fault::new(FaultKind::Throttle(Duration::from_millis(20))).of(ApiKey::Fetch);
        for cluster in [&world.source, &world.target] {
            cluster.inject(throttled.clone().times(times));
        }
    };
    throttle(15);
    world.once().await;
    for _ in 0..3 {
        throttle(15);
        world.proves_exact().await;
        throttle(15);
        world.write_numbered(20..30);
        world.once().await;
        world.is_exact();
    }
    throttle(15);
    assert_eq!(
        world.mirror(false).connect().await.unwrap().check("User:kmirror").await.unwrap().remove(0).findings,
        []
    );
}

#[tokio::test]
async fn a_quota_that_leaves_no_room_is_named() {
    let mut world = World::new(&[]).await;
    world.request_timeout = Duration::from_millis(200);
    world.write_numbered(0..20);
    world.once().await;
    let throttled = Fault::new(FaultKind::Throttle(Duration::from_millis(20))).of(ApiKey::Fetch);
    world.target.inject(throttled.times(u32::MAX));
    let error = world.mirror(false).connect().await.unwrap().lineages().await.unwrap_err().to_string();
    assert!(error.contains("a quota throttles client id kmirror"), "{error}");
    assert!(error.contains("consumer_byte_rate"), "{error}");
}

/// More partitions than an appender's inbox has room for wait for a quota: those of another broker do not.
#[tokio::test]
async fn a_target_broker_that_throttles_holds_up_no_other_one() {
    const PARTITIONS: i32 = 2_400;
    let mut world = World::new(&[]).await;
    world.target = EmbeddedCluster::builder().brokers(2).start().await.unwrap();
    world.flow.buffer_bytes_max = 1 << 30;
    world.source.add_partitions(TOPIC, PARTITIONS as usize).unwrap();
    let handle = world.start();
    let are_copying = |handle: &MirrorHandle| {
        let partitions = &handle.status()[0].partitions;
        let is_copying = |partition: &PartitionStatus| partition.state == PartitionState::Copying;
        partitions.len() == PARTITIONS as usize && partitions.iter().all(is_copying)
    };
    let deadline = tokio::time::Instant::now() + super::PATIENCE;
    while !are_copying(&handle) {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What is recorded of a partition's first records is written to the other one.
    world.target.move_leader("__kmirror_state", 0, 2).unwrap();
    let (of_one, of_two): (Vec<i32>, Vec<i32>) =
        (0..PARTITIONS).partition(|number| world.target.leader(TOPIC, *number).unwrap() == Some(1));
    let write = |number: i32| {
        world.source.write(TOPIC, number, Codec::None, &[(Some(b"key"), Some(b"value"))]).unwrap();
    };
    let an_hour = FaultKind::Throttle(Duration::from_secs(3_600));
    world.target.inject(Fault::new(an_hour).of(ApiKey::Produce).at(1));
    // It throttles from the first answer on; the rest is read and waits.
    write(of_one[0]);
    let is_written = |number: i32| world.target.log(TOPIC, number).unwrap().end > 0;
    while !is_written(of_one[0]) {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    of_one.iter().for_each(|number| write(*number));
    tokio::time::sleep(Duration::from_millis(500)).await;
    write(of_two[0]);
    while !is_written(of_two[0]) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{:?}",
            handle.status()[0].partitions[of_two[0] as usize]
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(of_one[1..].iter().filter(|number| is_written(**number)).count() < 10);
    drop(handle);
}

/// A few bytes of a partition that stands still came with each answer of the source in which its neighbour's records are.
#[tokio::test]
async fn a_partition_that_stands_still_does_not_keep_its_neighbours_memory() {
    let mut world = World::new(&[]).await;
    world.target = EmbeddedCluster::builder().brokers(2).start().await.unwrap();
    world.source.add_partitions(TOPIC, 2).unwrap();
    world.flow.buffer_bytes_max = 4 << 20;
    world.request_timeout = super::PATIENCE * 10;
    let (key, few, many) = (Some(&b"key"[..]), vec![b'x'; 100], vec![b'y'; 200_000]);
    let write = |number: i32, value: &[u8]| {
        world.source.write(TOPIC, number, Codec::None, &[(key, Some(value))]).unwrap();
    };
    let handle = world.start();
    let is_copied = |handle: &MirrorHandle, number: i32, end: i64| {
        let partitions = &handle.status()[0].partitions;
        partitions.iter().any(|partition| partition.partition == number && partition.position >= end)
    };
    let deadline = tokio::time::Instant::now() + super::PATIENCE;
    let until_copied = async |number: i32, end: i64| {
        while !is_copied(&handle, number, end) {
            assert!(tokio::time::Instant::now() < deadline, "{number} at {end}: {:?}", handle.status());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    for number in 0..2 {
        write(number, &few);
        until_copied(number, 1).await;
    }
    let [still, other] = [0, 1].map(|number| world.target.leader(TOPIC, number).unwrap().unwrap());
    assert_ne!(still, other);
    world.target.inject(Fault::new(FaultKind::Silence).of(ApiKey::Produce).at(still).times(u32::MAX));
    for round in 0..60 {
        write(0, &few);
        write(1, &many);
        until_copied(1, round + 2).await;
    }
    assert!(!is_copied(&handle, 0, 2));
    drop(handle);
}
