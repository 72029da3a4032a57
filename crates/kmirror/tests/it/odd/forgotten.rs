//! Mirrors that were away for longer than a compacted source keeps deletions.

use kmirror::{FlowStatus, OnForgottenDeletions, ParkReason};

use super::*;

const DAYS: Duration = Duration::from_secs(3 * 86_400);

impl World {
    /// Five keys that are copied, and a source that keeps deletions for so long.
    async fn that_keeps_deletions(retention_ms: &str) -> World {
        let world = World::new(&[("cleanup.policy", "compact"), ("delete.retention.ms", retention_ms)]).await;
        for key in ["a", "b", "c", "d", "e"] {
            world.write(key, Some("value"));
        }
        world.once().await;
        world
    }

    /// The source's cleaner runs, and once more three days later, by its own clock.
    fn clean_source_for_days(&self) {
        let clean = || self.source.clean(TOPIC, 0, self.source.log(TOPIC, 0).unwrap().end).unwrap();
        clean();
        self.source.advance(DAYS);
        clean();
    }

    /// A key is deleted while the mirror is away, and the source forgets it.
    async fn forgets_a_deletion(&self) {
        self.write("a", None);
        self.write("b", Some("later"));
        self.write("f", Some("value"));
        self.clean_source_for_days();
        let keys: Vec<_> = World::records(&self.source).into_iter().map(|(_, key, _)| key).collect();
        assert_eq!(keys, ["c", "d", "e", "b", "f"], "the deletion is gone");
        // By the clock of the mirror, which is not the source's.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    /// Copies what is there, or parks.
    async fn run(&self) -> FlowStatus {
        let handle = self.mirror(true).spawn();
        let ended = tokio::time::timeout(PATIENCE, handle.wait()).await;
        ended.unwrap_or_else(|_| panic!("does not end: {:?}", handle.status())).unwrap().flows.remove(0)
    }
}

fn parked(status: &FlowStatus) -> Vec<(ParkReason, String)> {
    status.parked().map(|(_, parked)| (parked.reason, parked.message.clone())).collect()
}

#[tokio::test]
async fn deletions_that_the_source_has_forgotten_are_told() {
    let world = World::that_keeps_deletions("10").await;
    world.forgets_a_deletion().await;
    let status = world.run().await;
    assert_eq!((parked(&status), status.forgotten_offsets), (Vec::new(), 3), "offsets 5, 6 and 7");
    let live: Vec<_> = World::records(&world.target).into_iter().map(|(_, key, _)| key).collect();
    assert!(live.contains(&"a".to_owned()), "it lives on: {live:?}");
    let report = world
        .mirror(false)
        .connect()
        .await
        .unwrap()
        .verify(&VerifyOptions::default(), Arc::default())
        .await
        .unwrap();
    assert!(!report.is_equal());
    let differences = format!("{:?}", report.partitions[0].differences);
    assert!(differences.contains("Extra"), "{differences}");
    // It is whole again, as far as what is to come is concerned.
    world.write("g", Some("value"));
    assert_eq!(world.run().await.forgotten_offsets, 0);
}

#[tokio::test]
async fn a_copy_that_cannot_be_mended_is_made_anew() {
    let mut world = World::that_keeps_deletions("10").await;
    world.flow.policies.on_forgotten_deletions = OnForgottenDeletions::Recopy;
    world.forgets_a_deletion().await;
    for _ in 0..2 {
        let parked = parked(&world.run().await);
        assert_eq!(parked.len(), 1);
        let (reason, message) = &parked[0];
        assert_eq!(*reason, ParkReason::DeletionsForgotten, "{message}");
        assert!(
            message.contains("offsets [5, 8)") && message.contains("delete the target topic"),
            "{message}"
        );
    }
    world.target.delete_topic(TOPIC);
    let status = world.run().await;
    assert_eq!((parked(&status), status.forgotten_offsets), (Vec::new(), 0));
    world.proves_exact().await;
}

/// Nothing that was cleaned since can have been a deletion: they are kept for a day, or nothing is missing.
#[tokio::test]
async fn nothing_is_told_where_no_deletion_can_be_forgotten() {
    for retention_ms in ["86400000", "10"] {
        let mut world = World::that_keeps_deletions(retention_ms).await;
        world.flow.policies.on_forgotten_deletions = OnForgottenDeletions::Recopy;
        for key in ["b", "f"] {
            world.write(key, Some("value"));
        }
        if retention_ms != "10" {
            world.write("f", Some("later"));
            world.source.clean(TOPIC, 0, world.source.log(TOPIC, 0).unwrap().end).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let status = world.run().await;
        assert_eq!((parked(&status), status.forgotten_offsets), (Vec::new(), 0), "{retention_ms}");
        world.proves_exact().await;
    }
}

/// Nobody knows when the copy was whole: that is told, and no reason to make it anew.
#[tokio::test]
async fn what_is_not_recorded_is_told_as_unknown() {
    let mut world = World::that_keeps_deletions("86400000").await;
    world.flow.policies.on_forgotten_deletions = OnForgottenDeletions::Recopy;
    world.target.delete_topic("__kmirror_state");
    world.forgets_a_deletion().await;
    let status = world.run().await;
    assert_eq!((parked(&status), status.forgotten_offsets), (Vec::new(), 3));
}

/// A copy that has never been whole has read its records since it began, and every deletion was there then.
#[tokio::test]
async fn a_copy_that_was_ended_in_the_middle_has_forgotten_nothing() {
    let mut world = World::compacted().await;
    let large = "x".repeat(5_000);
    for key in ["a", "b", "c", "a", "d", "b", "e"] {
        world.write(key, Some(&large));
    }
    (world.flow.fetch_bytes_max, world.flow.partition_fetch_bytes_max) = (1_024, 1_024);
    let slow = Fault::new(FaultKind::Delay(Duration::from_millis(500)));
    world.source.inject(slow.of(ApiKey::Fetch).times(u32::MAX));
    let handle = world.start();
    world.until(&handle, "on its way", |partition| partition.position > 0).await;
    stop(handle).await;
    let end = world.target.log(TOPIC, 0).unwrap().end;
    assert!((1..7).contains(&end), "it was to end in the middle: {end}");
    world.source.clear_faults();
    world.clean_source_for_days();
    let status = world.run().await;
    assert_eq!((parked(&status), status.forgotten_offsets), (Vec::new(), 0), "it had come to {end}");
}
