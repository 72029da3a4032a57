//! Single fetches outside any session, for a look at a log.

use std::sync::Arc;

use kafka_protocol::messages as m;

use super::session::{FetchPosition, topic};
use super::{FetchResponse, FetchedPartition};
use crate::client::Client;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::error_codes::KafkaError;
use crate::ids::{Isolation, TopicId, TopicPartition};
use crate::route::{Answers, PartitionResults, Routed, by_topic};
use crate::wire::Api;

impl Client {
    /// Reads `partition` from `offset` on: at most `bytes_max`, or one batch of any size, without waiting for data.
    ///
    /// # Errors
    /// Those of any call, and an error of the partition.
    pub async fn fetch_once(
        &self,
        partition: &TopicPartition,
        offset: i64,
        bytes_max: i32,
        isolation: Isolation,
    ) -> Result<FetchedPartition, ClientError> {
        let fetched = self.fetch_many(&[(partition.clone(), offset)], bytes_max, isolation).await;
        fetched.into_iter().next().map_or_else(
            || Err(ClientError::invalid_request(m::FetchRequest::NAME, "no partition")),
            |(_, fetched)| fetched,
        )
    }

    /// Reads many partitions, one request per broker: of each at most `partition_bytes_max`, without waiting for data.
    /// Each partition at most once. Only the first partition of a request is sure to get a batch larger than that.
    pub async fn fetch_many(
        &self,
        partitions: &[(TopicPartition, i64)],
        partition_bytes_max: i32,
        isolation: Isolation,
    ) -> PartitionResults<FetchedPartition> {
        let send = move |connection, items| fetch(connection, items, partition_bytes_max, isolation);
        self.route(m::FetchRequest::NAME, partitions.to_vec(), send).await
    }
}

async fn fetch(
    connection: Connection,
    items: Vec<Routed<i64>>,
    partition_bytes_max: i32,
    isolation: Isolation,
) -> Result<Answers<FetchedPartition>, ClientError> {
    let all_ids_known = items.iter().all(|item| !item.topic_id.is_none());
    let version = connection.fetch_version()?.min(if all_ids_known { i16::MAX } else { 12 });
    let topics = by_topic(&items).into_iter().map(|(name, items)| {
        let id = items.first().map_or(TopicId::NONE, |item| item.topic_id);
        let partitions = items.into_iter().map(|item| position(item, partition_bytes_max));
        topic(version, name, id).with_partitions(
            partitions.map(|(partition, position)| position.to_wire(version, partition)).collect(),
        )
    });
    let count = i32::try_from(items.len()).unwrap_or(i32::MAX);
    let request = m::FetchRequest::default()
        .with_min_bytes(0)
        .with_max_wait_ms(0)
        .with_max_bytes(partition_bytes_max.saturating_mul(count))
        .with_isolation_level(isolation.to_wire())
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(topics.collect());
    let body = connection.call_version(request, version).await?;
    let api = m::FetchRequest::NAME;
    ClientError::check(body.error_code, api, connection.address(), None)?;
    let name = |name: &str, id: TopicId| -> Option<Arc<str>> {
        let named = |item: &&Routed<i64>| match id.is_none() {
            true => *item.partition.topic == *name,
            false => item.topic_id == id,
        };
        items.iter().find(named).map(|item| item.partition.topic.clone())
    };
    let answers = FetchResponse { body }.partitions(name).map(|fetched| {
        let partition = fetched.topic_partition.clone();
        let code = fetched.error.map_or(0, KafkaError::code);
        let checked = ClientError::check(code, api, &partition, None);
        (partition, checked.map(|()| fetched))
    });
    Ok(answers.collect())
}

fn position(item: &Routed<i64>, partition_bytes_max: i32) -> (i32, FetchPosition) {
    let position = FetchPosition {
        offset: item.input,
        leader_epoch: item.leader_epoch,
        last_fetched_epoch: None,
        topic_id: item.topic_id,
        partition_bytes_max,
    };
    (item.partition.partition, position)
}
