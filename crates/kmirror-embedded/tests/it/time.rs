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
