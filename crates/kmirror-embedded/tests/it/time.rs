//! What time does to a cluster: retention, the cleaner's second thoughts, brokers that come and go.

use std::time::Duration;

use kmirror_embedded::{Codec, EmbeddedCluster, Isolation, NewBatch, NewRecord};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn retention_deletes_what_is_too_old_or_too_much() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    cluster.create_topic("week", 1, &[]).unwrap();
    cluster.create_topic("forever", 1, &[("retention.ms", "-1")]).unwrap();
    cluster.create_topic("small", 1, &[("retention.bytes", "100")]).unwrap();
    cluster.create_topic("keyed", 1, &[("cleanup.policy", "compact")]).unwrap();
    for topic in ["week", "forever", "small", "keyed"] {
        for _ in 0..2 {
            cluster.write(topic, 0, Codec::None, &[(Some(b"key"), Some(b"value"))]).unwrap();
        }
    }
    let start = |topic| cluster.log(topic, 0).unwrap().start;
    cluster.advance(DAY);
    assert_eq!([start("week"), start("forever"), start("small"), start("keyed")], [0, 0, 1, 0]);
    cluster.advance(DAY * 7);
    assert_eq!([start("week"), start("forever"), start("small"), start("keyed")], [2, 0, 2, 0]);
}

#[tokio::test]
async fn deletions_aborted_records_and_their_markers_go_in_turn() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    cluster.create_topic("keyed", 1, &[("cleanup.policy", "compact")]).unwrap();
    let mut deletion = NewBatch::new(Codec::Lz4);
    deletion.push(NewRecord::new(1_000).key("a"));
    deletion.push(NewRecord::new(1_001).key("b").value("kept"));
    cluster.append("keyed", 0, &deletion.bytes()).unwrap();
    cluster.write_transaction("keyed", 0, Codec::None, &[(Some(b"b"), Some(b"aborted"))], false).unwrap();
    cluster.expire_producers("keyed", 0).unwrap();
    let lines = || {
        let records = cluster.log("keyed", 0).unwrap().records(Isolation::ReadUncommitted).unwrap();
        let key = |key: &Option<bytes::Bytes>| {
            String::from_utf8_lossy(key.as_deref().unwrap_or_default()).into_owned()
        };
        records.iter().map(|record| (record.offset, record.timestamp, key(&record.key))).collect::<Vec<_>>()
    };
    let batches = || cluster.log("keyed", 0).unwrap().batches.len();
    let kept = |offset, timestamp, key: &str| (offset, timestamp, key.to_owned());
    cluster.clean("keyed", 0, 4).unwrap();
    assert_eq!(lines(), [kept(0, 1_000, "a"), kept(1, 1_001, "b")], "what was aborted supersedes nothing");
    assert_eq!(batches(), 2, "with the marker");
    // This run finds that nothing is left of the transaction: its marker's time begins.
    cluster.clean("keyed", 0, 4).unwrap();
    assert_eq!((lines().len(), batches()), (2, 2));
    cluster.advance(DAY + DAY / 2);
    cluster.clean("keyed", 0, 4).unwrap();
    assert_eq!(lines(), [kept(1, 1_001, "b")]);
    assert_eq!(batches(), 1);
    assert_eq!(cluster.log("keyed", 0).unwrap().end, 4, "no offset comes back");
}

#[tokio::test]
async fn brokers_come_and_go() {
    let mut cluster = EmbeddedCluster::builder().brokers(2).start().await.unwrap();
    cluster.create_topic("orders", 4, &[]).unwrap();
    cluster.write("orders", 1, Codec::None, &[(None, Some(b"value"))]).unwrap();
    let third = cluster.add_broker().await.unwrap();
    assert_eq!(third, 3);
    cluster.move_leader("orders", 1, third).unwrap();
    cluster.remove_broker(2).unwrap();
    assert_eq!(cluster.bootstrap_servers().split(',').count(), 2);
    assert_eq!(cluster.log("orders", 1).unwrap().end, 1, "nothing is lost");
    cluster.remove_broker(1).unwrap();
    assert!(cluster.remove_broker(3).is_err(), "the last one stays");
    assert!(cluster.write("orders", 1, Codec::None, &[(None, Some(b"value"))]).is_ok());
}

/// A producer that has appended a record of this age, and whether the partition knows it.
async fn knows_producer_of(cluster: &EmbeddedCluster, age: Duration) -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let timestamp = i64::try_from((now - age).as_millis()).unwrap();
    let batch = |sequence| {
        let mut batch = NewBatch::new(Codec::None);
        batch.push(NewRecord::new(timestamp).value("value"));
        batch.producer(7, 0, sequence).bytes()
    };
    cluster.append("orders", 0, &batch(5)).unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    cluster.append("orders", 0, &batch(70)).is_err()
}

#[tokio::test]
async fn producers_are_forgotten_by_the_age_of_their_records() {
    for (age, is_known) in [(Duration::ZERO, true), (DAY / 2, true), (2 * DAY, false)] {
        let builder = EmbeddedCluster::builder().producer_expiry(DAY, Duration::from_millis(20));
        let cluster = builder.start().await.unwrap();
        cluster.create_topic("orders", 1, &[("retention.ms", "-1")]).unwrap();
        assert_eq!(knows_producer_of(&cluster, age).await, is_known, "{age:?}");
    }
}

#[tokio::test]
async fn what_a_log_does_not_show_new_replicas_and_restarted_brokers_do_not_know() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    cluster.create_topic("orders", 1, &[]).unwrap();
    let append = |sequence| {
        let mut batch = NewBatch::new(Codec::None);
        batch.push(NewRecord::new(1_000).value("value"));
        cluster.append("orders", 0, &batch.producer(7, 0, sequence).bytes())
    };
    append(0).unwrap();
    cluster.replace_replicas("orders", 0).unwrap();
    append(9).unwrap_err();
    append(1).unwrap();
    cluster.delete_below("orders", 0, 2).unwrap();
    append(9).unwrap_err();
    cluster.replace_replicas("orders", 0).unwrap();
    append(9).unwrap();
    cluster.delete_below("orders", 0, 3).unwrap();
    append(30).unwrap_err();
    cluster.stop_broker(1).unwrap();
    cluster.start_broker(1).unwrap();
    append(30).unwrap();
    cluster.stop_broker(1).unwrap();
    cluster.start_broker(1).unwrap();
    append(50).unwrap_err();
}
