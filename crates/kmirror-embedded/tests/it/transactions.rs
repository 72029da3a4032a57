//! Transactions where brokers, replicas and answers are not what they should be, without anybody to compare with.

use std::time::Duration;

use kafka_protocol::messages::{ListTransactionsRequest, WriteTxnMarkersRequest};
use kafka_protocol::protocol::StrBytes;
use kmirror_embedded::{
    Acl, ApiKey, EmbeddedCluster, Fault, FaultKind, Operation, Pattern, Profile, ResourceType, ResponseError,
};

use crate::transaction_client::Step::{
    Add, AddOffsets, CommitOffset, End, Init, InitOnce, Offset, Produce, Producers, Transaction,
};
use crate::transaction_client::TransactionClient;
use crate::transaction_client::Who::{Before, Last};
use crate::wire::Wire;

const BEGIN: [crate::transaction_client::Step; 3] = [Init(4, None), Add(3, Last), Produce(11, Last, 0)];

async fn cluster(brokers: u8) -> EmbeddedCluster {
    let cluster = EmbeddedCluster::builder().brokers(brokers).start().await.unwrap();
    cluster.create_topic("orders", 1, &[]).unwrap();
    cluster
}

/// A client of the broker that leads the partition and coordinates everything.
fn client(cluster: &EmbeddedCluster, broker: i32) -> TransactionClient {
    for key in ["orders", "other"] {
        cluster.move_coordinator(key, broker).unwrap();
    }
    cluster.move_leader("orders", 0, broker).unwrap();
    let index = usize::try_from(broker - 1).unwrap();
    TransactionClient::connect(cluster.bootstrap_servers().split(',').nth(index).unwrap(), "orders")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_over_when_its_markers_are_replicated() {
    let cluster = cluster(1).await;
    tokio::task::block_in_place(|| {
        let mut client = client(&cluster, 1);
        BEGIN.iter().for_each(|step| drop(client.answer(step)));
        cluster.hold_replication("orders", 0, true).unwrap();
        assert_eq!(client.first_answer(&End(4, Last, true)), "0");
        assert!(client.first_answer(&Transaction).starts_with("PrepareCommit"));
        assert_eq!(client.first_answer(&Add(3, Last)), "51", "CONCURRENT_TRANSACTIONS");
        let log = cluster.log("orders", 0).unwrap();
        assert_eq!((log.end, log.last_stable_offset), (4, 3), "the marker is there, and nobody sees it");
        cluster.hold_replication("orders", 0, false).unwrap();
        assert!(client.first_answer(&Transaction).starts_with("CompleteCommit"));
        assert_eq!(cluster.log("orders", 0).unwrap().end, 4, "it is there once");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_a_new_leader_does_not_have_is_written_again() {
    let cluster = cluster(1).await;
    tokio::task::block_in_place(|| {
        let mut client = client(&cluster, 1);
        BEGIN.iter().for_each(|step| drop(client.answer(step)));
        cluster.hold_replication("orders", 0, true).unwrap();
        assert_eq!(client.first_answer(&End(4, Last, false)), "0");
        cluster.truncate("orders", 0, 3).unwrap();
        cluster.hold_replication("orders", 0, false).unwrap();
        assert!(client.first_answer(&Transaction).starts_with("CompleteAbort"));
        let log = cluster.log("orders", 0).unwrap();
        assert_eq!((log.end, log.last_stable_offset), (4, 4));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_gone_needs_no_marker() {
    let cluster = cluster(1).await;
    tokio::task::block_in_place(|| {
        let mut client = client(&cluster, 1);
        BEGIN.iter().for_each(|step| drop(client.answer(step)));
        cluster.delete_topic("orders");
        assert_eq!(client.first_answer(&End(4, Last, true)), "0");
        assert!(client.first_answer(&Transaction).starts_with("CompleteCommit"));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn another_coordinator_goes_on_where_the_last_one_stood() {
    let cluster = cluster(2).await;
    tokio::task::block_in_place(|| {
        let mut first = client(&cluster, 1);
        BEGIN.iter().for_each(|step| drop(first.answer(step)));
        let mut second = client(&cluster, 2);
        assert_eq!(first.first_answer(&End(4, Last, true)), "16", "NOT_COORDINATOR");
        second.become_the_producer_of(&first);
        assert_eq!(second.first_answer(&End(4, Last, true)), "0");
        let log = cluster.log("orders", 0).unwrap();
        assert_eq!((log.end, log.last_stable_offset), (4, 4));
        // Its epoch is a later one than that of the first, so an old marker is refused.
        let value = &log.batches[1][log.batches[1].len() - 5..];
        assert_eq!(value, [0, 0, 0, 2, 0], "coordinator epoch 2, and no headers");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_injected_errors() {
    let cluster = cluster(1).await;
    tokio::task::block_in_place(|| {
        let mut client = client(&cluster, 1);
        for api in [ApiKey::InitProducerId, ApiKey::AddPartitionsToTxn, ApiKey::EndTxn] {
            let error = FaultKind::Error(ResponseError::CoordinatorNotAvailable);
            cluster.inject(Fault::new(error).of(api));
        }
        assert_eq!(client.first_answer(&InitOnce(None)), "15: epoch -1");
        assert_eq!(client.first_answer(&InitOnce(None)), "0: epoch 0");
        assert_eq!(client.first_answer(&Add(3, Last)), "15");
        assert_eq!(client.first_answer(&Add(3, Last)), "0");
        assert_eq!(client.first_answer(&Produce(11, Last, 0)), "0: 0");
        assert_eq!(client.first_answer(&End(5, Last, true)), "15: epoch -1");
        cluster.inject(Fault::new(FaultKind::HangUpAfter).of(ApiKey::EndTxn));
        client.end_unheard(&cluster.bootstrap_servers());
        assert_eq!(cluster.log("orders", 0).unwrap().end, 4, "it was done all the same");
        assert_eq!(client.first_answer(&End(5, Last, true)), "0: epoch 1");
        assert_eq!(cluster.log("orders", 0).unwrap().end, 4, "and is not done twice");
        assert_eq!(client.first_answer(&Produce(11, Before, 3)), "47: -1");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn time_aborts_transactions_and_forgets_ids() {
    let cluster = cluster(1).await;
    tokio::task::block_in_place(|| {
        let mut client = client(&cluster, 1);
        BEGIN.iter().for_each(|step| drop(client.answer(step)));
        cluster.expire_producers("orders", 0).unwrap();
        assert!(client.first_answer(&Producers).ends_with("open 0"), "what is open is kept");
        cluster.advance(Duration::from_secs(61));
        let log = cluster.log("orders", 0).unwrap();
        assert_eq!((log.end, log.last_stable_offset), (4, 4), "without anybody asking");
        assert!(client.first_answer(&Transaction).starts_with("CompleteAbort epoch 1"));
        cluster.advance(Duration::from_secs(8 * 86_400));
        assert_eq!(client.first_answer(&Transaction), "105", "TRANSACTIONAL_ID_NOT_FOUND");
        assert_eq!(client.first_answer(&End(4, Last, true)), "49", "INVALID_PRODUCER_ID_MAPPING");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn old_releases_believe_producers() {
    for (profile, version) in [(Profile::Kafka2_1, 7), (Profile::Kafka2_8, 9)] {
        let cluster = EmbeddedCluster::builder().profile(profile).start().await.unwrap();
        cluster.create_topic("orders", 1, &[]).unwrap();
        tokio::task::block_in_place(|| {
            let mut client = TransactionClient::connect_to(&cluster.bootstrap_servers(), "orders");
            assert_eq!(client.first_answer(&Init(1, None)), "0: epoch 0");
            // Nobody adds the partition, and nobody asks.
            assert_eq!(client.first_answer(&Produce(version, Last, 0)), "0: 0");
            assert_eq!(cluster.log("orders", 0).unwrap().last_stable_offset, 0);
            assert_eq!(client.first_answer(&End(1, Last, true)), "48", "the coordinator knows of nothing");
            assert_eq!(client.first_answer(&Add(1, Last)), "0");
            assert_eq!(client.first_answer(&AddOffsets(1, Last)), "0");
            assert_eq!(client.first_answer(&CommitOffset(2, Last, 2)), "0");
            assert_eq!(client.first_answer(&Init(1, None)), "51: epoch -1", "it was aborted");
            assert_eq!(cluster.log("orders", 0).unwrap().last_stable_offset, 4);
            assert_eq!(client.first_answer(&Produce(version, Last, 3)), "47: -1", "and fenced");
            assert_eq!(client.first_answer(&CommitOffset(2, Last, 3)), "47");
            assert_eq!(client.first_answer(&Add(1, Last)), "47", "there was no PRODUCER_FENCED");
            assert!(cluster.committed_offsets("orders").is_empty());
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactional_ids_are_used_by_those_who_may() {
    let cluster = EmbeddedCluster::builder().authorizer([]).start().await.unwrap();
    cluster.create_topic("orders", 1, &[]).unwrap();
    let allow = |resource_type, name: &str, operation| {
        let pattern = Pattern::Literal(name.to_owned());
        let (principal, host) = ("User:ANONYMOUS".to_owned(), "*".to_owned());
        cluster.add_acl(Acl { resource_type, pattern, principal, host, operation, allows: true });
    };
    allow(ResourceType::Topic, "orders", Operation::Write);
    allow(ResourceType::Group, "orders", Operation::Read);
    tokio::task::block_in_place(|| {
        let mut client = TransactionClient::connect_to(&cluster.bootstrap_servers(), "orders");
        for step in [Init(4, None), Add(3, Last), AddOffsets(3, Last), CommitOffset(3, Last, 1)] {
            assert!(client.first_answer(&step).starts_with("53"), "{step:?}");
        }
        assert!(client.first_answer(&End(4, Last, true)).starts_with("53"));
        assert_eq!(client.first_answer(&Transaction), "53", "to describe is a right of its own");
        allow(ResourceType::TransactionalId, "orders", Operation::Write);
        for step in BEGIN {
            assert!(client.first_answer(&step).starts_with('0'), "{step:?}");
        }
        assert!(client.first_answer(&Transaction).starts_with("Ongoing"), "who may write may describe");
        assert_eq!(client.first_answer(&End(4, Last, true)), "0");
        let mut wire = Wire::connect(&cluster.bootstrap_servers());
        let markers = wire.try_call(1, &WriteTxnMarkersRequest::default());
        assert!(markers.is_some_and(|answer| answer.markers.is_empty()), "markers are for brokers");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_listed_by_pattern() {
    let cluster = cluster(1).await;
    tokio::task::block_in_place(|| {
        client(&cluster, 1).answer(&Init(4, None));
        let mut wire = Wire::connect(&cluster.bootstrap_servers());
        let mut list = |pattern| {
            let request = ListTransactionsRequest::default()
                .with_transactional_id_pattern(Some(StrBytes::from_static_str(pattern)));
            let response = wire.call(2, &request);
            (response.error_code, response.transaction_states.len())
        };
        assert_eq!(list(""), (0, 1));
        assert_eq!(list("ord.*"), (0, 1));
        assert_eq!(list("ord"), (0, 0), "the whole id");
        assert_eq!(list("x|orders"), (0, 1));
        assert_eq!(list("("), (128, 0), "INVALID_REGULAR_EXPRESSION");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_of_a_transaction_are_seen_by_owners_when_they_count() {
    let cluster = cluster(1).await;
    tokio::task::block_in_place(|| {
        let mut client = client(&cluster, 1);
        BEGIN.iter().for_each(|step| drop(client.answer(step)));
        client.answer(&CommitOffset(5, Last, 3));
        assert!(cluster.committed_offsets("orders").is_empty());
        client.answer(&End(5, Last, true));
        assert_eq!(cluster.committed_offsets("orders")[&("orders".to_owned(), 0)], 3);
        assert_eq!(client.answer(&Offset(true)), "0: 3");
    });
}
