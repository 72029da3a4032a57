//! Brokers that were killed, and leaders that know less than the one before.

use std::time::Duration;

use kmirror::{OnDiverged, PartitionState, PartitionStatus};
use kmirror_embedded::{ApiKey, Codec, EmbeddedCluster, Fault, FaultKind, Isolation, Profile, ResponseError};

use super::{TOPIC, World, stop};

/// What DeleteRecords did within the last minute is undone where a broker is killed: the placeholders of a filled head are there again.
#[tokio::test]
async fn placeholders_that_come_back_are_cut_off_again() {
    let world = World::new(&[]).await;
    world.write_numbered(0..30);
    world.source.delete_below(TOPIC, 0, 20).unwrap();
    let start = |world: &World| world.target.log(TOPIC, 0).unwrap().start;
    let handle = world.start();
    world.caught_up(&handle).await;
    assert_eq!(start(&world), 20);
    world.target.undo_delete_records(TOPIC, 0).unwrap();
    assert_eq!(start(&world), 0);
    // A broker that is killed closes its connections.
    world.target.inject(Fault::new(FaultKind::HangUpBefore).of(ApiKey::Produce));
    world.write_numbered(30..32);
    world.caught_up(&handle).await;
    stop(handle).await;
    assert_eq!(start(&world), 20);
    world.is_exact();
    // The same while nobody copies.
    world.target.undo_delete_records(TOPIC, 0).unwrap();
    assert_eq!(start(&world), 0);
    world.once().await;
    assert_eq!(start(&world), 20);
    world.is_exact();
}

/// Records below the beginning that nobody filled in are somebody's.
#[tokio::test]
async fn records_before_the_beginning_that_are_no_placeholders_stay() {
    let mut world = World::new(&[]).await;
    world.write_numbered(0..30);
    world.source.delete_below(TOPIC, 0, 5).unwrap();
    world.target.create_topic(TOPIC, 1, &[]).unwrap();
    let records = [(Some(&b"theirs"[..]), Some(&b"value"[..])); 5];
    world.target.write(TOPIC, 0, Codec::None, &records).unwrap();
    world.flow.offsets = kmirror::Offsets::Shifted;
    world.once().await;
    world.write_numbered(30..32);
    world.once().await;
    let (log, records) = (world.target.log(TOPIC, 0).unwrap(), World::records(&world.target));
    assert_eq!(
        (log.start, log.end, records.len()),
        (0, 32, 32),
        "the copy begins at 5, where it would exactly"
    );
    let lineage =
        world.mirror(false).connect().await.unwrap().lineages().await.unwrap().remove(0).lineage.unwrap();
    assert_eq!(lineage.first().delta(), 0, "{lineage}");
}

/// A leader that has just begun shows less than the one before it: what it does not show yet is not missing.
#[tokio::test]
async fn a_source_whose_leader_does_not_know_its_end_yet_has_no_shorter_hole() {
    let world = World::new(&[]).await;
    world.write_numbered(0..1);
    let aborted = (Some(&b"t"[..]), Some(&b"aborted"[..]));
    world.source.write_transaction(TOPIC, 0, Codec::None, &[aborted], false).unwrap();
    world.once().await;
    assert_eq!(world.target.log(TOPIC, 0).unwrap().end, 3);
    world.source.elect_behind(TOPIC, 0, 1).unwrap();
    let handle = world.start();
    world.waits(&handle, "may not know yet how far its replicas are").await;
    world.source.hold_replication(TOPIC, 0, false).unwrap();
    world.write_numbered(1..3);
    world.caught_up(&handle).await;
    stop(handle).await;
    world.is_exact();
    world.proves_exact().await;
}

/// What vouches for a source must not come later than what it vouches for.
#[tokio::test]
async fn a_leader_epoch_is_recorded_before_anything_of_it_is_appended() {
    let world = World::new(&[]).await;
    world.write_numbered(0..1);
    world.once().await;
    world.source.move_leader(TOPIC, 0, 1).unwrap();
    world.write_numbered(1..4);
    assert!(recorded(&world).contains(r#""epoch":0"#) && !recorded(&world).contains(r#""epoch":1"#));
    world.target.hold_replication(STATE_TOPIC, 0, true).unwrap();
    let handle = world.start();
    world.until(&handle, "begun", |partition| partition.source_end == 4).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(world.target.log(TOPIC, 0).unwrap().end, 1, "nothing before it is recorded");
    world.target.hold_replication(STATE_TOPIC, 0, false).unwrap();
    world.caught_up(&handle).await;
    assert!(recorded(&world).contains(r#""epoch":1,"start_offset":1"#), "{}", recorded(&world));
    stop(handle).await;
    world.is_exact();
}

/// An instance that stands by looks at an idle topic again and again. That is no reason to give up at the next refusal.
#[tokio::test]
async fn a_standby_that_has_looked_for_long_is_not_refused_for_good() {
    let world = World::new(&[]).await;
    world.write_numbered(0..1);
    let handle = world.start();
    world.caught_up(&handle).await;
    let refuse = || {
        let refused = FaultKind::Error(ResponseError::OutOfOrderSequenceNumber);
        world.target.inject(Fault::new(refused).of(ApiKey::Produce));
    };
    refuse();
    world.write_numbered(1..2);
    world.waits(&handle, "another instance appends").await;
    // That it is, and then there is nothing to do for a while.
    world.once().await;
    tokio::time::sleep(Duration::from_secs(18)).await;
    refuse();
    world.write_numbered(2..3);
    world.caught_up(&handle).await;
    stop(handle).await;
    world.is_exact();
}

const STATE_TOPIC: &str = "__kmirror_state";

/// What is recorded of the partition.
fn recorded(world: &World) -> String {
    let records = world.target.log(STATE_TOPIC, 0).unwrap().records(Isolation::ReadUncommitted).unwrap();
    let of_partition = |key: &bytes::Bytes| key.starts_with(b"partition/");
    let last = records.into_iter().rfind(|record| record.key.as_ref().is_some_and(of_partition)).unwrap();
    String::from_utf8_lossy(&last.value.unwrap()).into_owned()
}

/// Nothing else tells an operator that too few replicas are in sync: the partition would be said to be copied for ever.
#[tokio::test]
async fn a_target_that_takes_no_records_is_named() {
    let world = World::new(&[]).await;
    world.write_numbered(0..3);
    let handle = world.start();
    world.caught_up(&handle).await;
    let refused = FaultKind::Error(ResponseError::NotEnoughReplicas);
    world.target.inject(Fault::new(refused).of(ApiKey::Produce).times(u32::MAX));
    world.write_numbered(3..5);
    for _ in 0..2 {
        world.waits(&handle, "NOT_ENOUGH_REPLICAS").await;
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    world.target.clear_faults();
    world.caught_up(&handle).await;
    let is_copying = |partition: &PartitionStatus| partition.state == PartitionState::Copying;
    world.until(&handle, "copying", is_copying).await;
    stop(handle).await;
    world.is_exact();
}

/// A record that the source has no more was cleaned, unless the source's leader epochs show that it lost its end.
#[tokio::test]
async fn a_source_that_lost_its_end_is_not_taken_for_a_cleaned_one() {
    let world = World::compacted().await;
    for key in ["first", "a", "b", "lost"] {
        world.write(key, Some("before"));
    }
    world.once().await;
    // The hole [1, 3) would explain a record that was displaced to 3.
    world.source.truncate(TOPIC, 0, 3).unwrap();
    world.write("a", Some("after"));
    world.write("b", Some("after"));
    world.source.clean(TOPIC, 0, 5).unwrap();
    let parked = world.parks().await;
    assert_eq!(parked.reason, kmirror::ParkReason::SourceTruncated, "{parked}");
}

/// An owner records a run, and dies; the target has lost meanwhile what the run was recorded for, and the next owner had read the state
/// before. The log shows that the run is wrong.
#[tokio::test]
async fn a_run_that_was_recorded_for_lost_offsets_is_forgotten() {
    for policy in ["delete", "compact"] {
        let world = World::new(&[("cleanup.policy", policy)]).await;
        world.write_numbered(0..6);
        world.once().await;
        let runs = r#"{"source":0,"target":0}"#;
        let late = recorded(&world).replace(runs, &format!(r#"{runs},{{"source":3,"target":4}}"#));
        assert_ne!(late, recorded(&world));
        let key = format!("partition/{TOPIC}/0");
        let record = (Some(key.as_bytes()), Some(late.as_bytes()));
        world.target.write(STATE_TOPIC, 0, Codec::None, &[record]).unwrap();
        world.write_numbered(6..9);
        world.once().await;
        world.is_exact();
        world.proves_exact().await;
    }
}

/// A foreign record takes an offset of the target, and no record of the source.
#[tokio::test]
async fn records_of_somebody_else_at_the_targets_end_cost_none_of_the_sources() {
    let mut world = World::new(&[]).await;
    world.flow.policies.on_diverged = OnDiverged::Shift;
    world.write_numbered(0..5);
    world.once().await;
    for round in 0..2 {
        for _ in 0..=round {
            world.target.write(TOPIC, 0, Codec::None, &[(Some(b"foreign"), Some(b"value"))]).unwrap();
        }
        world.write_numbered(5 * (round + 1)..5 * (round + 2));
        world.once().await;
    }
    let is_own = |(_, key, value): (i64, String, Option<String>)| (key != "foreign").then_some((key, value));
    let on_target: Vec<_> = World::records(&world.target).into_iter().filter_map(is_own).collect();
    let on_source: Vec<_> = World::records(&world.source).into_iter().filter_map(is_own).collect();
    assert_eq!(on_target, on_source);
}

/// What an instance had sent before its network stood still arrives when the broker has forgotten the flow: it is named as what it is, and
/// not as a source that has lost records.
#[tokio::test]
async fn records_that_a_late_request_doubled_are_named() {
    let world = World::new(&[]).await;
    world.write_numbered(0..10);
    world.once().await;
    let late = world.target.log(TOPIC, 0).unwrap().batches[0].clone();
    world.target.expire_producers(TOPIC, 0).unwrap();
    world.target.append(TOPIC, 0, &late).unwrap();
    let parked = world.parks().await;
    assert_eq!(parked.reason, kmirror::ParkReason::TargetDiverged, "{parked}");
    assert!(parked.message.contains("doubled by a late request: from target offset 10 on"), "{parked}");
}

/// A marker that is on its way when another partition's request loses the connection is the owner's own: its next take-over must not read
/// where the log ends before the marker has arrived there, or it fills the hole once more.
#[tokio::test]
async fn a_marker_on_its_way_is_waited_for_when_the_connection_is_lost() {
    const NEIGHBOUR: &str = "payments";
    let mut world = World::new(&[]).await;
    world.source.create_topic(NEIGHBOUR, 1, &[]).unwrap();
    world.flow = world.flow.topics([NEIGHBOUR]);
    let write_transaction = || {
        let committed = (Some(&b"t"[..]), Some(&b"committed"[..]));
        world.source.write_transaction(TOPIC, 0, Codec::None, &[committed], true).unwrap();
    };
    let target_end = || world.target.log(TOPIC, 0).map(|log| log.end);
    let write_to_neighbour = || {
        world.source.write(NEIGHBOUR, 0, Codec::None, &[(Some(b"key"), Some(b"value"))]).unwrap();
    };
    // The first hole asks how holes can be filled, and the first records are preceded by what is recorded of their partitions.
    write_transaction();
    write_to_neighbour();
    let handle = world.start();
    world.until_end(&handle, TOPIC, 2).await;
    world.until_end(&handle, NEIGHBOUR, 1).await;
    world.target.inject(Fault::new(FaultKind::Delay(Duration::from_secs(3))).of(ApiKey::WriteTxnMarkers));
    write_transaction();
    world.until_end(&handle, TOPIC, 3).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.target.inject(Fault::new(FaultKind::HangUpBefore).of(ApiKey::Produce));
    write_to_neighbour();
    assert_eq!(target_end().unwrap(), 3, "the marker is still on its way");
    let is_taken_over = |partition: &PartitionStatus| {
        partition.source_topic == TOPIC && partition.state == PartitionState::Starting
    };
    world.until_one(&handle, "taken over", is_taken_over).await;
    world.until_end(&handle, TOPIC, 4).await;
    world.until_end(&handle, NEIGHBOUR, 2).await;
    world.write_numbered(0..1);
    world.until_end(&handle, TOPIC, 5).await;
    stop(handle).await;
    assert_eq!(target_end().unwrap(), 5, "no hole is longer than the source's");
    world.is_exact();
    world.proves_exact().await;
}

/// Brokers before 2.4 name an old leader epoch for as long as a reassignment is under way, and leaders refuse whoever believes it.
#[tokio::test]
async fn metadata_that_are_an_epoch_behind_hold_nothing_up() {
    let mut world = World::new(&[]).await;
    for cluster in [&mut world.source, &mut world.target] {
        *cluster = EmbeddedCluster::builder().brokers(2).profile(Profile::Kafka2_1).start().await.unwrap();
        cluster.create_topic(TOPIC, 1, &[]).unwrap();
        for broker in [2, 1, 2, 1, 2] {
            cluster.move_leader(TOPIC, 0, broker).unwrap();
        }
        cluster.name_older_epochs(3);
    }
    let aborted = (Some(&b"t"[..]), Some(&b"aborted"[..]));
    world.write_numbered(0..5);
    world.source.write_transaction(TOPIC, 0, Codec::None, &[aborted], false).unwrap();
    world.write_numbered(5..9);
    world.once().await;
    world.is_exact();
    let handle = world.start();
    world.write_numbered(9..12);
    world.caught_up(&handle).await;
    for cluster in [&world.source, &world.target] {
        cluster.move_leader(TOPIC, 0, 1).unwrap();
    }
    world.write_numbered(12..15);
    world.caught_up(&handle).await;
    stop(handle).await;
    world.proves_exact().await;
}

/// It is stopped, and its connections stay open: nobody hears from it before a request has timed out, which would be long.
#[tokio::test]
async fn a_target_leader_that_keeps_silent_is_left_when_another_one_leads() {
    let mut world = World::new(&[]).await;
    world.request_timeout = super::PATIENCE * 10;
    world.target = EmbeddedCluster::builder().brokers(3).start().await.unwrap();
    world.write_numbered(0..5);
    let handle = world.start();
    world.caught_up(&handle).await;
    let leader = world.target.leader(TOPIC, 0).unwrap().unwrap();
    world.target.pause_broker(leader).unwrap();
    world.write_numbered(5..10);
    let other = 1 + leader % 3;
    world.target.move_leader(TOPIC, 0, other).unwrap();
    world.caught_up(&handle).await;
    world.target.resume_broker(leader).unwrap();
    stop(handle).await;
    world.proves_exact().await;
}

/// Who is alarmed by the lag would never be: nothing is copied, and what was seen of the source last is on the target.
#[tokio::test]
async fn a_source_that_cannot_be_read_for_long_is_not_being_copied() {
    let fails = async |error: Option<ResponseError>, cause: &str| {
        let world = World::new(&[]).await;
        world.write_numbered(0..3);
        let handle = world.start();
        world.caught_up(&handle).await;
        match error {
            Some(error) => {
                world.source.inject(Fault::new(FaultKind::Error(error)).of(ApiKey::Fetch).times(u32::MAX));
            }
            None => world.source.stop_broker(1).unwrap(),
        }
        world.waits(&handle, &format!("the source cannot be read: {cause}")).await;
        // Nobody knows how far it is behind, whatever was seen last.
        assert_eq!(World::partition(&handle).unwrap().lag(), None);
        let caught_up = handle.caught_up(Duration::from_millis(1)).await;
        assert!(matches!(caught_up, Err(kmirror::Error::TimedOut(_))), "{caught_up:?}");
        world.source.clear_faults();
        world.source.start_broker(1).unwrap();
        world.write_numbered(3..5);
        world.caught_up(&handle).await;
        let is_copying = |partition: &PartitionStatus| partition.state == PartitionState::Copying;
        world.until(&handle, "copying", is_copying).await;
        world.until(&handle, "seen again", |partition| partition.lag() == Some(0)).await;
        stop(handle).await;
        world.is_exact();
    };
    tokio::join!(
        fails(Some(ResponseError::UnknownServerError), "UNKNOWN_SERVER_ERROR"),
        fails(Some(ResponseError::NotLeaderOrFollower), "NOT_LEADER_OR_FOLLOWER"),
        fails(None, "127.0.0.1:"),
    );
}

/// A quorum that was restored from a backup counts leader epochs anew.
#[tokio::test]
async fn leader_epochs_that_go_back_are_believed_after_a_while() {
    let goes_on = async |is_source: bool| {
        let mut world = World::with_brokers(2, &[]).await;
        world.target = EmbeddedCluster::builder().brokers(2).start().await.unwrap();
        world.target.create_topic(TOPIC, 1, &[]).unwrap();
        let cluster = if is_source { &world.source } else { &world.target };
        for broker in [2, 1, 2] {
            cluster.move_leader(TOPIC, 0, broker).unwrap();
        }
        let handle = world.start();
        let is_copying = |partition: &PartitionStatus| partition.state == PartitionState::Copying;
        world.until(&handle, "copying", is_copying).await;
        if !is_source {
            world.write_alone(&handle, "key 0", Some("value 0")).await;
            // The next append is lost with its connection, and the partition is taken over.
            cluster.inject(Fault::new(FaultKind::HangUpBefore).of(ApiKey::Produce));
        }
        cluster.restore_leader_epoch(TOPIC, 0, 0).unwrap();
        world.write_numbered(1..6);
        world.caught_up(&handle).await;
        stop(handle).await;
        world.is_exact();
    };
    tokio::join!(goes_on(true), goes_on(false));
}

/// A broker whose disk is full says no more than that.
#[tokio::test]
async fn a_target_that_fails_for_a_while_is_waited_for() {
    let world = World::new(&[]).await;
    world.write_numbered(0..3);
    let handle = world.start();
    world.caught_up(&handle).await;
    let error = FaultKind::Error(ResponseError::UnknownServerError);
    world.target.inject(Fault::new(error).of(ApiKey::Produce).times(u32::MAX));
    world.write_numbered(3..5);
    world.waits(&handle, "UNKNOWN_SERVER_ERROR").await;
    world.target.clear_faults();
    world.caught_up(&handle).await;
    stop(handle).await;
    world.is_exact();
}

/// A topic is created again between the look that tells its id and the take-over that reads its log.
#[tokio::test]
async fn a_source_topic_that_is_created_again_while_it_is_taken_over_is_no_truncated_one() {
    let mut world = World::new(&[]).await;
    world.flow.policies.on_recreated = kmirror::OnRecreated::Restart;
    world.write_numbered(0..20);
    world.once().await;
    let slow = FaultKind::Delay(Duration::from_millis(300));
    world.source.inject(Fault::new(slow).of(ApiKey::ListOffsets).times(u32::MAX));
    let handle = world.start();
    let deadline = tokio::time::Instant::now() + super::PATIENCE;
    while handle.status()[0].partitions.is_empty() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.source.delete_topic(TOPIC);
    world.source.create_topic(TOPIC, 1, &[]).unwrap();
    world.write_numbered(0..5);
    world.source.clear_faults();
    while world.target.log(TOPIC, 0).unwrap().end < 25 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", handle.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop(handle).await;
}
