//! Cleaners of the target that go over what is being read, and of either side where a take-over compares.

use std::time::Duration;

use kmirror::MirrorHandle;
use kmirror_codec::Batch;
use kmirror_embedded::{ApiKey, Codec, EmbeddedCluster, Fault, FaultKind, NewBatch, NewRecord, Profile};

use super::{TOPIC, World, stop};

impl World {
    /// A second instance that has read where the target ends, and reads the target's tail a moment later.
    async fn second_between_end_and_tail(&self) -> MirrorHandle {
        let slow = Fault::new(FaultKind::Delay(Duration::from_millis(600)));
        self.target.inject(slow.of(ApiKey::Fetch).times(u32::MAX));
        let second = self.start();
        tokio::time::sleep(Duration::from_millis(900)).await;
        second
    }

    fn clean_target(&self) {
        let end = self.target.log(TOPIC, 0).unwrap().end;
        self.target.clean(TOPIC, 0, end).unwrap();
    }

    /// The first of two instances goes on, and in the end either of them alone has copied everything.
    async fn ends_exact(&self, first: MirrorHandle, second: MirrorHandle) {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        self.target.clear_faults();
        self.write_alone(&first, "key 9", Some("last")).await;
        stop(first).await;
        self.write("key 10", Some("by the second"));
        self.caught_up(&second).await;
        stop(second).await;
        self.proves_exact().await;
    }
}

#[tokio::test]
async fn what_a_cleaner_removed_behind_a_take_over_is_no_marker() {
    let world = World::compacted().await;
    world.write("lone", Some("first"));
    let first = world.start();
    world.caught_up(&first).await;
    for index in 0..8 {
        world.write_alone(&first, &format!("key {}", index % 4), Some(&format!("value {index}"))).await;
    }
    let record = (Some(&b"key 0"[..]), Some(&b"in a transaction"[..]));
    world.source.write_transaction(TOPIC, 0, Codec::None, &[record], true).unwrap();
    world.caught_up(&first).await;
    let second = world.second_between_end_and_tail().await;
    for index in 0..8 {
        world.write_alone(&first, &format!("key {}", index % 4), Some(&format!("later {index}"))).await;
    }
    world.clean_target();
    world.ends_exact(first, second).await;
}

/// What is fetched at the last offset is the next batch that is left, and that is behind the end that was read.
#[tokio::test]
async fn a_batch_behind_the_end_is_not_of_the_tail() {
    let world = World::compacted().await;
    world.write("lone", Some("first"));
    let first = world.start();
    world.caught_up(&first).await;
    for index in 0..4 {
        world.write_alone(&first, &format!("key {index}"), Some(&format!("value {index}"))).await;
    }
    let second = world.second_between_end_and_tail().await;
    world.write_alone(&first, "key 3", Some("later")).await;
    world.clean_target();
    world.ends_exact(first, second).await;
}

/// What was appended behind the end that was read replaces all that the flow had written before it, and a cleaner removes that. A first
/// sequence is the source offset of its record, and without what was there the log looks as if nothing had been written: behind a hole that
/// many records further on the broker would take the same record again.
#[tokio::test]
async fn records_whose_traces_a_cleaner_removed_are_not_doubled() {
    let mut world = World::compacted().await;
    // Nobody tells the sequence there.
    world.target = EmbeddedCluster::builder().brokers(1).profile(Profile::Kafka2_1).start().await.unwrap();
    world.write("key", Some("first"));
    world.write_hole();
    let first = world.start();
    world.caught_up(&first).await;
    let second = world.second_between_end_and_tail().await;
    for value in ["second", "third"] {
        world.write_alone(&first, "key", Some(value)).await;
    }
    world.clean_target();
    assert_eq!(World::records(&world.target).len(), 1, "nothing is left of what was before");
    world.ends_exact(first, second).await;
}

/// The log ended with deletions; the target's cleaner has removed them, and the broker has forgotten the producer, whose last batch it
/// would have kept.
#[tokio::test]
async fn deletions_that_a_cleaner_removed_at_the_end_are_no_markers() {
    let world = World::compacted().await;
    world.write("lone", Some("first"));
    let handle = world.start();
    world.caught_up(&handle).await;
    for value in [Some("value"), None] {
        for index in 0..3 {
            world.write_alone(&handle, &format!("key {index}"), value).await;
        }
    }
    stop(handle).await;
    world.target.expire_producers(TOPIC, 0).unwrap();
    world.clean_target();
    world.target.advance(Duration::from_secs(3 * 86_400));
    world.clean_target();
    assert_eq!(world.target.log(TOPIC, 0).unwrap().batches.len(), 1);
    world.once().await;
    world.proves_exact().await;
    world.write("key 7", Some("later"));
    world.once().await;
    world.proves_exact().await;
    assert_eq!(world.target.log(TOPIC, 0).unwrap().end, world.source.log(TOPIC, 0).unwrap().end);
}

impl World {
    /// An offset without a record: an aborted transaction of one record takes two.
    fn write_hole(&self) {
        let record = (Some(&b"t"[..]), Some(&b"aborted"[..]));
        self.source.write_transaction(TOPIC, 0, Codec::None, &[record], false).unwrap();
    }

    /// The producer of the flow's markers on the target.
    fn marker_producer(&self) -> i64 {
        let batches = self.target.log(TOPIC, 0).unwrap().batches;
        let headers = batches.into_iter().map(|batch| *Batch::parse(batch).unwrap().header());
        let marker = headers.into_iter().find(|header| header.attributes.is_control());
        marker.expect("a hole was filled").producer_id
    }

    /// Copies what is there while markers of earlier owners are executed late: between the take-over and its first append.
    async fn copied_behind_late_markers(&self, markers: usize) -> MirrorHandle {
        let producer_id = self.marker_producer();
        let slow = Fault::new(FaultKind::Delay(Duration::from_millis(700)));
        self.target.inject(slow.of(ApiKey::Produce).times(1));
        let handle = self.start();
        tokio::time::sleep(Duration::from_millis(400)).await;
        // Stands for a token that is high enough: what matters is that they lie there.
        self.target.expire_producers(TOPIC, 0).unwrap();
        for _ in 0..markers {
            self.target.end_transaction(TOPIC, 0, producer_id, 0, false).unwrap();
        }
        handle
    }
}

/// The first record lands where the source has a hole, which a repeat would explain as well, were it not behind its place.
#[tokio::test]
async fn a_record_behind_late_markers_on_a_compacted_topic_is_not_lost() {
    let world = World::compacted().await;
    let large = "x".repeat(5_000);
    world.write("lone", Some("first"));
    world.write_hole();
    world.once().await;
    world.write("k1", Some(&format!("one {large}")));
    world.write("k2", Some(&format!("two {large}")));
    world.write_hole();
    world.write_hole();
    let handle = world.copied_behind_late_markers(2).await;
    world.caught_up(&handle).await;
    stop(handle).await;
    let values = |cluster| {
        let records = World::records(cluster).into_iter();
        records.map(|(_, _, value)| value.map(|value| value[..3].to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(values(&world.target), values(&world.source));
    world.proves().await;
    // The next hole of as many offsets makes up for it.
    let lineage =
        world.mirror(false).connect().await.unwrap().lineages().await.unwrap().remove(0).lineage.unwrap();
    assert_eq!((lineage.runs().count(), lineage.surplus()), (3, 0), "{lineage}");
}

/// A record that is displaced by one looks like the next one where both are the same.
#[tokio::test]
async fn records_that_are_the_same_are_not_taken_for_each_other() {
    let world = World::new(&[]).await;
    let value = "x".repeat(5_000);
    let write = |key: &'static str| {
        let mut batch = NewBatch::new(Codec::None);
        batch.push(NewRecord::new(1_700_000_000_000).key(key).value(value.clone()));
        world.source.append(TOPIC, 0, &batch.bytes()).unwrap();
    };
    write("x");
    world.write_hole();
    world.once().await;
    ["a", "a", "a", "b"].into_iter().for_each(write);
    let handle = world.copied_behind_late_markers(1).await;
    world.caught_up(&handle).await;
    stop(handle).await;
    let keys = |cluster| World::records(cluster).into_iter().map(|(_, key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(&world.target), keys(&world.source));
    world.proves().await;
}
