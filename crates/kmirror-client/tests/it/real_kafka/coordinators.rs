//! Groups and transactions.

use std::sync::Arc;
use std::time::Duration;

use kmirror_client::*;

const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn commits_offsets(client: &Client, topic: &Arc<str>) {
    let partition = |index| TopicPartition::new(topic.clone(), index);
    let group = format!("{topic}-group");
    let committed = |offset, leader_epoch| CommittedOffset { leader_epoch, ..CommittedOffset::new(offset) };
    let offsets = [(partition(0), committed(3, Some(0))), (partition(1), committed(0, None))];
    let results = client.commit_offsets(&group, &offsets, TIMEOUT).await.unwrap();
    assert!(results.iter().all(|(_, result)| result.is_ok()), "{results:?}");
    let asked = [1, 2, 0].map(partition);
    let found = client.committed_offsets(&group, &asked, TIMEOUT).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|(_, found)| found.unwrap()).collect();
    assert_eq!(found, [Some(committed(0, None)), None, Some(committed(3, Some(0)))]);
    let all = client.all_committed_offsets(&group, TIMEOUT).await.unwrap();
    assert_eq!(all, [(partition(0), committed(3, Some(0))), (partition(1), committed(0, None))]);
    let listed = client.list_groups().await.unwrap();
    let listed = listed.iter().find(|listed| listed.id == group).unwrap();
    assert_eq!((&*listed.protocol_type, listed.state.as_deref()), ("", Some("Empty")));
    let missing = [(TopicPartition::new("nowhere", 0), committed(1, None))];
    let refused = client.commit_offsets(&group, &missing, TIMEOUT).await.unwrap();
    let error = refused[0].1.as_ref().unwrap_err();
    assert_eq!(error.kafka_error(), Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION), "{error}");
    let broker = client.find_coordinator(CoordinatorKind::Group, &group, TIMEOUT).await.unwrap();
    assert!(client.metadata().brokers.contains_key(&broker));
}

/// A transaction without records appends one marker to each of its partitions, and who is fenced appends none.
pub(super) async fn runs_empty_transactions(client: &Client, topic: &Arc<str>) {
    let id = format!("{topic}-id");
    let partitions = [0, 2].map(|index| TopicPartition::new(topic.clone(), index));
    let before = ends(client, &partitions).await;
    let transaction = Duration::from_secs(60);
    let old = client.init_transactions(&id, transaction, TIMEOUT).await.unwrap();
    let add = |producer| client.add_partitions_to_txn(&id, producer, &partitions, TIMEOUT);
    let end = |producer| client.end_txn(&id, producer, false, TIMEOUT);
    for _ in 0..2 {
        let added = add(old).await.unwrap();
        assert!(added.iter().all(|(_, result)| result.is_ok()), "{added:?}");
        end(old).await.unwrap();
    }
    let new = client.init_transactions(&id, transaction, TIMEOUT).await.unwrap();
    assert_eq!((new.producer_id, new.producer_epoch), (old.producer_id, old.producer_epoch + 1));
    // Whoever takes an id over finds the markers of its previous owner in the logs.
    let after = ends(client, &partitions).await;
    assert_eq!(after, before.iter().map(|end| end + 2).collect::<Vec<_>>());
    let fenced = add(old).await.unwrap()[0].1.as_ref().unwrap_err().kafka_error();
    let expected = [KafkaError::INVALID_PRODUCER_EPOCH, KafkaError::PRODUCER_FENCED];
    assert!(fenced.is_some_and(|error| expected.contains(&error)), "{fenced:?}");
    let fenced = end(old).await.unwrap_err().kafka_error();
    assert!(fenced.is_some_and(|error| expected.contains(&error)), "{fenced:?}");
    let empty = end(new).await.unwrap_err();
    assert_eq!(empty.kafka_error(), Some(KafkaError::INVALID_TXN_STATE), "{empty}");
}

async fn ends(client: &Client, partitions: &[TopicPartition]) -> Vec<i64> {
    let ends = client.log_end_offsets(partitions).await;
    ends.into_iter().map(|(_, end)| end.unwrap()).collect()
}
