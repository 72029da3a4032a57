//! Compacted topics of one partition, which hold what is written beside a copy.

use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, ClientError, ClusterMetadata, KafkaError, NewTopic, TopicPartition, Topics};

/// The only partition of the topic with this name, which is created if it is not there and `replication_factor` is given.
///
/// # Errors
/// Those of any call.
pub(crate) async fn ensure(
    client: &Client,
    name: &str,
    replication_factor: Option<i16>,
) -> Result<Option<TopicPartition>, ClientError> {
    let named = || Topics::Named(vec![Arc::from(name)]);
    let is_there = |metadata: &ClusterMetadata| {
        metadata.topic(name).is_some_and(|topic| {
            topic.error.is_none() && topic.partitions.iter().any(|partition| partition.leader.is_some())
        })
    };
    let partition = TopicPartition::new(name, 0);
    if is_there(&*client.refresh_metadata(named()).await?) {
        return Ok(Some(partition));
    }
    let Some(replication_factor) = replication_factor else { return Ok(None) };
    let topic = NewTopic {
        name: Arc::from(name),
        partitions: 1,
        replication_factor,
        configs: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
    };
    for (_, created) in client.create_topics(&[topic], false).await? {
        match created {
            // Another instance was faster.
            Err(error) if error.kafka_error() == Some(KafkaError::TOPIC_ALREADY_EXISTS) => {}
            created => drop(created?),
        }
    }
    for _ in 0..CREATED_POLLS_MAX {
        if is_there(&*client.refresh_metadata(named()).await?) {
            break;
        }
        tokio::time::sleep(CREATED_POLL_INTERVAL).await;
    }
    Ok(Some(partition))
}

const CREATED_POLL_INTERVAL: Duration = Duration::from_millis(50);
const CREATED_POLLS_MAX: u32 = 200;
