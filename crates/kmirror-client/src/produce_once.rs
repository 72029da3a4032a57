//! Single appends beside a copy.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages as m;

use crate::client::{Client, Lane};
use crate::deadline::Deadline;
use crate::error::ClientError;
use crate::error_codes::Retry;
use crate::ids::{TopicId, TopicPartition};
use crate::metadata::Topics;
use crate::produce::{BATCH_HEADER_BYTES, ProducePartition, ProduceRequest};
use crate::wire::Api;

impl Client {
    /// Appends one batch (magic 2) to the leader of `partition`, acknowledged by all in-sync replicas within `timeout`, and
    /// returns the offset of its first record. Travels on a connection of its own, so that it does not wait for others.
    ///
    /// Never repeated by itself: where the answer was lost the batch may have been appended, and a repeat is harmless only
    /// under a producer id, whose sequence the broker knows. A leader that moved is looked up before the error is returned,
    /// so that the caller may try again at once. Where there is a `deadline` the batch is written before it or never
    /// ([`ClientError::Stale`]).
    ///
    /// # Errors
    /// Those of any call, and the broker's refusal; see
    /// [`NOT_ENOUGH_REPLICAS_AFTER_APPEND`](crate::KafkaError::NOT_ENOUGH_REPLICAS_AFTER_APPEND) and
    /// [`REQUEST_TIMED_OUT`](crate::KafkaError::REQUEST_TIMED_OUT) for the two after which the batch may be there.
    pub async fn produce_once(
        &self,
        partition: &TopicPartition,
        header: [u8; BATCH_HEADER_BYTES],
        payload: Bytes,
        timeout: Duration,
        deadline: Option<Deadline>,
    ) -> Result<i64, ClientError> {
        let appended = self.append_once(partition, header, payload, timeout, deadline).await;
        if let Err(error) = &appended
            && error.retry() == Retry::RefreshMetadata
            && let Err(error) = self.refresh_metadata(Topics::Named(vec![partition.topic.clone()])).await
        {
            tracing::debug!(cluster = self.alias(), %error, "metadata not refreshed");
        }
        appended
    }

    async fn append_once(
        &self,
        partition: &TopicPartition,
        header: [u8; BATCH_HEADER_BYTES],
        payload: Bytes,
        timeout: Duration,
        deadline: Option<Deadline>,
    ) -> Result<i64, ClientError> {
        let api = m::ProduceRequest::NAME;
        let leader = self.leader_or_refresh(api, partition).await?;
        let connection = self.connection(leader, Lane::ProduceOnce).await?;
        let topic_id = self.metadata().topic(&partition.topic).map_or(TopicId::NONE, |topic| topic.id);
        let batch = ProducePartition {
            topic: partition.topic.clone(),
            topic_id,
            partition: partition.partition,
            header,
            payload,
        };
        let request = ProduceRequest { timeout, partitions: vec![batch] };
        let response = connection.submit_produce_until(request, deadline).await?.await?;
        // The response names exactly the partitions of the request.
        let produced = response.partitions.into_iter().next().ok_or_else(|| {
            ClientError::invalid_response(
                connection.shared_address(),
                api,
                format!("nothing about {partition}"),
            )
        })?;
        if let Some(error) = produced.error {
            return Err(ClientError::Broker {
                error,
                api,
                context: partition.to_string().into(),
                message: produced.message,
            });
        }
        Ok(produced.base_offset)
    }
}
