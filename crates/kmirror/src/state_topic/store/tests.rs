//! Several instances that write to one state topic on real Kafka.

use std::sync::Arc;

use kmirror_client::{ClientConfig, TopicId, clock};
use kmirror_testkit::{KafkaCluster, KafkaRelease, real_kafka};
use tokio::task::JoinSet;

use super::*;
use crate::ground::lineage::{Lineage, Run};
use crate::state_topic::record::{LostRange, SourceIdentity};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_instance_recorded_is_not_overwritten_on_4_3_1() {
    not_overwritten("what_another_instance_recorded_is_not_overwritten_on_4_3_1", KafkaRelease::KAFKA_4_3)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_instance_recorded_is_not_overwritten_on_3_9_1() {
    not_overwritten("what_another_instance_recorded_is_not_overwritten_on_3_9_1", KafkaRelease::KAFKA_3_9)
        .await;
}

async fn not_overwritten(test: &str, release: KafkaRelease) {
    let Some(_turn) = real_kafka(test) else { return };
    let kafka = KafkaCluster::builder(release).start().unwrap();
    a_record_replaces_what_its_writer_has_read(&kafka).await;
    every_one_of_many_changes_is_kept(&kafka).await;
    what_is_left_of_a_topic_counts_and_is_written_on(&kafka).await;
}

/// Brokers refuse DeleteRecords on a compacted topic, so somebody set another policy by mistake.
async fn what_is_left_of_a_topic_counts_and_is_written_on(kafka: &KafkaCluster) {
    let (east, topic) = (store(kafka, "deleted").await, Arc::from("deleted"));
    for number in 0..3 {
        east.put(&partition(number), Recorded::Nothing, record(Lineage::beginning_at(0, 0))).await.unwrap();
    }
    let client = Client::connect(ClientConfig::new("west", [kafka.bootstrap_servers()])).await.unwrap();
    let state = TopicPartition::new("deleted", 0);
    // Before a part of it, and then all of it.
    for (below, left) in [(2, 1), (3, 0)] {
        crate::takeover::seed::set_cleanup_policy(&client, &topic, "delete").await.unwrap();
        // The leader hears of it a moment later.
        let deadline = clock::now() + Duration::from_secs(30);
        while client
            .delete_records(&[(state.clone(), below)])
            .await
            .into_iter()
            .any(|(_, deleted)| deleted.is_err())
        {
            assert!(clock::now() < deadline);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        crate::takeover::seed::set_cleanup_policy(&client, &topic, "compact").await.unwrap();
        let west = store(kafka, "deleted").await;
        let mut found = 0;
        for number in 0..3 {
            found += i32::from(west.get(&partition(number), true).await.unwrap() != Recorded::Nothing);
        }
        assert_eq!(found, left);
    }
    let west = store(kafka, "deleted").await;
    let second = record(Lineage::beginning_at(5, 5));
    west.put(&partition(0), Recorded::Nothing, second.clone()).await.unwrap();
    // Whoever has read what is gone replaces nothing by it.
    let first = Recorded::Record(Box::new(record(Lineage::beginning_at(0, 0))));
    let late = east.put(&partition(0), first, record(Lineage::beginning_at(1, 1))).await;
    assert_eq!(late, Err(StateError::Changed));
    let third = store(kafka, "deleted").await.get(&partition(0), false).await.unwrap();
    assert_eq!(third, Recorded::Record(Box::new(second)));
}

async fn a_record_replaces_what_its_writer_has_read(kafka: &KafkaCluster) {
    let (east, west) = (store(kafka, "replaces").await, store(kafka, "replaces").await);
    let first = record(Lineage::beginning_at(0, 0));
    east.put(&partition(0), Recorded::Nothing, first.clone()).await.unwrap();
    let second = record(longer(&first.lineage));
    let late = west.put(&partition(0), Recorded::Nothing, second.clone()).await;
    assert_eq!(late, Err(StateError::Changed));
    let recorded = west.get(&partition(0), false).await.unwrap();
    assert_eq!(recorded, Recorded::Record(Box::new(first.clone())), "it has seen what was in its way");
    west.put(&partition(0), recorded.clone(), second.clone()).await.unwrap();
    // The same once more is no harm, and neither is what others write about other partitions.
    west.put(&partition(0), recorded.clone(), second.clone()).await.unwrap();
    east.put(&partition(1), Recorded::Nothing, first.clone()).await.unwrap();
    assert_eq!(east.put(&partition(0), recorded, first).await, Err(StateError::Changed));
    let third = store(kafka, "replaces").await.get(&partition(0), false).await.unwrap();
    assert_eq!(third, Recorded::Record(Box::new(second)));
}

/// Instances add to one record as fast as they can, each something of its own, and write others meanwhile. Whatever was
/// acknowledged to one of them is there in the end.
async fn every_one_of_many_changes_is_kept(kafka: &KafkaCluster) {
    let mut instances = JoinSet::new();
    for number in 1..=INSTANCES {
        let store = store(kafka, "many").await;
        instances.spawn(async move { changes(&store, number).await });
    }
    let acknowledged: Vec<_> = instances.join_all().await.into_iter().flatten().collect();
    let Recorded::Record(last) = store(kafka, "many").await.get(&partition(0), false).await.unwrap() else {
        panic!("nothing was recorded")
    };
    assert_eq!(acknowledged.len(), (INSTANCES * CHANGES) as usize);
    let overwritten: Vec<_> = acknowledged.iter().filter(|change| !last.lost.contains(change)).collect();
    assert!(overwritten.is_empty(), "{overwritten:?} of {:?}", last.lost);
}

/// What one instance was told that it has recorded.
async fn changes(store: &StateStore, number: i32) -> Vec<LostRange> {
    let (mut acknowledged, mut attempt) = (Vec::new(), 0);
    while acknowledged.len() < CHANGES as usize {
        attempt += 1;
        let first = i64::from(number) * 1_000_000 + attempt;
        let change = LostRange { first, end: first + 1 };
        let before = store.get(&partition(0), false).await.unwrap();
        let mut after = match &before {
            Recorded::Record(record) => (**record).clone(),
            _ => record(Lineage::beginning_at(0, 0)),
        };
        after.lost.push(change);
        let own = record(Lineage::beginning_at(0, number.into()));
        let put = store.put(&partition(0), before, after);
        let put_own = store.put(&partition(number), Recorded::Nothing, own);
        match put.await {
            Ok(()) => acknowledged.push(change),
            Err(StateError::Changed) => {}
            Err(error) => panic!("{error}"),
        }
        put_own.await.unwrap();
    }
    acknowledged
}

async fn store(kafka: &KafkaCluster, topic: &str) -> StateStore {
    let client = Client::connect(ClientConfig::new("west", [kafka.bootstrap_servers()])).await.unwrap();
    StateStore::open(&client, "west", topic, 1).await.unwrap()
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("orders", number)
}

/// The lineage with one run more.
fn longer(lineage: &Lineage) -> Lineage {
    let last = lineage.last();
    let mut longer = lineage.clone();
    longer.begin(Run { source: last.source + 1, target: last.target + 2 }).unwrap();
    longer
}

pub(super) fn record(lineage: Lineage) -> PartitionRecord {
    PartitionRecord {
        source: SourceIdentity {
            cluster_id: "east-id".to_owned(),
            topic: "orders".to_owned(),
            topic_id: TopicId::NONE,
        },
        target_topic_id: TopicId::NONE,
        lineage,
        leader_epochs: Vec::new(),
        lost: Vec::new(),
        earlier: Vec::new(),
        cleanup_policy_after_seeding: None,
    }
}

const INSTANCES: i32 = 4;
const CHANGES: i32 = 20;
