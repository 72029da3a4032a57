//! Logs that somebody else appends to while they are read.

use kmirror_client::ClientConfig;
use kmirror_embedded::{Codec, EmbeddedCluster, NewBatch, NewRecord};

use super::*;

const TOPIC: &str = "orders";

/// The sequence would be the next one, and the position one that is taken: the broker would take the same record again.
#[tokio::test]
async fn a_sequence_counts_only_where_the_log_still_ends_as_it_was_read() {
    let target = cluster().await;
    let take_over = take_over(&target).await;
    let before = bounds(&take_over).await;
    append(&target, take_over.ids.data);
    let told = take_over.producers(&Found::default(), &before).await;
    assert!(matches!(told, Err(TakeOverFailure::Again(_))), "{told:?}");
    let (sequence, _) = take_over.producers(&Found::default(), &bounds(&take_over).await).await.unwrap();
    assert_eq!(sequence.map(Sequence::value), Some(1));
}

#[tokio::test]
async fn a_log_that_ends_elsewhere_after_its_tail_was_read_has_moved() {
    let target = cluster().await;
    let take_over = take_over(&target).await;
    let before = bounds(&take_over).await;
    take_over.check_unmoved(&before, 0).await.unwrap();
    append(&target, take_over.ids.data);
    let moved = take_over.check_unmoved(&before, 0).await;
    assert!(matches!(moved, Err(TakeOverFailure::Moved { position: 0, source_end: 7 })), "{moved:?}");
}

/// What another leader may not have would be counted, and taken for lost when it is not there.
#[tokio::test]
async fn an_end_that_is_not_replicated_is_waited_for() {
    let target = cluster().await;
    let take_over = take_over(&target).await;
    target.hold_replication(TOPIC, 0, true).unwrap();
    append(&target, take_over.ids.data);
    let rests = tokio::time::timeout(Duration::from_millis(200), take_over.rest()).await;
    assert!(rests.is_err(), "{rests:?}");
    target.hold_replication(TOPIC, 0, false).unwrap();
    let (ends, _) = take_over.rest().await.unwrap();
    assert_eq!(ends, LogEnds { high_watermark: 1, log_end: 1 });
}

/// An owner records what explains the log before it appends, be it after we have read what was recorded.
#[tokio::test]
async fn what_another_owner_has_recorded_meanwhile_explains_the_log() {
    let target = cluster().await;
    let ours = TakeOver { offsets: Offsets::Shifted, ..take_over(&target).await };
    let theirs = take_over(&target).await;
    append(&target, ours.ids.data);
    let record = record(&ours);
    let put = theirs.state.put(&theirs.target, Recorded::Nothing, record.clone());
    put.await.unwrap();
    let taken = ours.run().await.unwrap();
    assert_eq!((taken.append.position, taken.record), (1, record));
}

/// A copy that begins with the source.
pub(super) fn record(take_over: &TakeOver) -> PartitionRecord {
    PartitionRecord {
        source: take_over.source_identity.clone(),
        target_topic_id: take_over.target_topic_id,
        lineage: Lineage::beginning_at(0, 0),
        leader_epochs: Vec::new(),
        lost: Vec::new(),
        earlier: Vec::new(),
        cleanup_policy_after_seeding: None,
    }
}

pub(super) async fn cluster() -> EmbeddedCluster {
    let cluster = EmbeddedCluster::builder().brokers(2).start().await.unwrap();
    cluster.create_topic(TOPIC, 1, &[]).unwrap();
    cluster
}

/// A record of the flow, the first or whatever comes next.
pub(super) fn append(target: &EmbeddedCluster, producer_id: i64) {
    let end = target.log(TOPIC, 0).unwrap().end;
    let mut batch = NewBatch::new(Codec::None).producer(producer_id, 0, end as i32);
    batch.push(NewRecord::new(1_700_000_000_000).key("key").value("value"));
    target.append(TOPIC, 0, &batch.bytes()).unwrap();
}

/// The source is the target itself.
pub(super) async fn take_over(target: &EmbeddedCluster) -> TakeOver {
    let client =
        Client::connect(ClientConfig::new("west", target.bootstrap_servers().split(','))).await.unwrap();
    client.refresh_metadata(Topics::Named(vec![TOPIC.into()])).await.unwrap();
    let partition = TopicPartition::new(TOPIC, 0);
    TakeOver {
        state: StateStore::open(&client, "west", "__state", 1).await.unwrap(),
        source_client: client.clone(),
        source: partition.clone(),
        target_topic_id: client.metadata().topic(TOPIC).unwrap().id,
        target_client: client,
        target: partition,
        source_identity: SourceIdentity {
            cluster_id: "east".to_owned(),
            topic: TOPIC.to_owned(),
            topic_id: TopicId::NONE,
        },
        reads_state: false,
        ids: ProducerIds::of_flow("east"),
        isolation: Isolation::default(),
        offsets: Offsets::default(),
        start: Start::default(),
        predecessor: None,
        policies: Policies::default(),
        head_fill_offsets_max: 0,
        target_end_seen: 0,
        token_refused: 0,
        rules: CompareRules {
            source_is_compacted: false,
            target_is_compacted: false,
            keeps_timestamps: true,
        },
        compaction_policy: None,
        may_cut: true,
    }
}

/// Where the target ends now.
async fn bounds(take_over: &TakeOver) -> Bounds {
    let (target, target_seen_at) = take_over.rest().await.unwrap();
    let source = SourceBounds { log_start: 0, readable_end: 7, high_watermark: 7 };
    Bounds { source, target_start: 0, target, target_seen_at }
}
