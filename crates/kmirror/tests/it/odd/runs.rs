//! Runs that copy what is there and end.

use super::*;

/// The last partition of a run is not done while readers of the target still find the placeholders before its first record.
#[tokio::test]
async fn a_run_does_not_end_before_heads_are_cut_off() {
    let world = World::new(&[]).await;
    world.write_numbered(0..40);
    world.source.delete_below(TOPIC, 0, 40).unwrap();
    world.target.inject(Fault::new(FaultKind::Delay(Duration::from_millis(700))).of(ApiKey::DeleteRecords));
    world.once().await;
    let log = world.target.log(TOPIC, 0).unwrap();
    assert_eq!((log.start, log.end), (40, 40));
}

/// What is to be copied is deleted while it is copied: the run ends, and says so.
#[tokio::test]
async fn a_run_whose_topic_is_deleted_ends() {
    let mut world = World::new(&[]).await;
    world.flow.metadata_refresh_interval = Duration::from_millis(50);
    world.write_numbered(0..20);
    // Nothing is shown, so that it is still at it.
    shows_nothing(&world.source);
    let handle = world.mirror(true).spawn();
    world.until(&handle, "found", |partition| partition.state != PartitionState::Starting).await;
    world.source.delete_topic(TOPIC);
    let report = tokio::time::timeout(PATIENCE, handle.wait()).await.expect("ends").unwrap();
    let parked: Vec<_> = report.flows[0].parked().map(|(_, parked)| parked.reason).collect();
    assert_eq!(parked, [kmirror::ParkReason::SourceDeleted]);
}

/// A batch arrives damaged now and then; a target that says so for ever is left alone.
#[tokio::test]
async fn a_batch_that_the_target_calls_corrupt_is_not_sent_for_ever() {
    let world = World::new(&[]).await;
    world.write_numbered(0..3);
    let corrupt =
        || Fault::new(FaultKind::Error(kmirror_embedded::ResponseError::CorruptMessage)).of(ApiKey::Produce);
    world.target.create_topic(TOPIC, 1, &[]).unwrap();
    world.once().await;
    world.target.inject(corrupt().times(2));
    world.write_numbered(3..5);
    world.once().await;
    world.proves_exact().await;
    world.write_numbered(5..6);
    let handle = world.start();
    world.until(&handle, "copied", |partition| partition.position == 6).await;
    world.target.inject(corrupt().times(100_000));
    world.write_numbered(6..7);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let parked = loop {
        let partition = World::partition(&handle).unwrap();
        if let PartitionState::Parked(parked) = partition.state {
            break parked;
        }
        assert!(tokio::time::Instant::now() < deadline, "{partition:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(parked.reason, kmirror::ParkReason::Rejected, "{parked}");
}
