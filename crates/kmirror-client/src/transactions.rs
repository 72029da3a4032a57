//! Transactions of our own, of the first kind (KIP-98): InitProducerId, AddPartitionsToTxn, EndTxn.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages as m;
use kafka_protocol::messages::add_partitions_to_txn_request as add_wire;

use crate::client::Client;
use crate::coordinator::CoordinatorKind;
use crate::error::ClientError;
use crate::ids::{TopicPartition, to_wire};
use crate::producers::ProducerIdentity;
use crate::route::PartitionResults;
use crate::wire::Api;

impl Client {
    /// Takes a transactional id over: whoever had it before is fenced, and what it had begun is finished when this returns.
    /// A transaction that is not ended within `transaction_timeout` is aborted by the coordinator. Waits for up to `timeout`
    /// while the coordinator is not ready.
    ///
    /// # Errors
    /// Those of any call, and those of the coordinator.
    pub async fn init_transactions(
        &self,
        transactional_id: &str,
        transaction_timeout: Duration,
        timeout: Duration,
    ) -> Result<ProducerIdentity, ClientError> {
        let transaction_timeout_ms = i32::try_from(transaction_timeout.as_millis()).unwrap_or(i32::MAX);
        let build = |_| {
            m::InitProducerIdRequest::default()
                .with_transactional_id(Some(to_wire(transactional_id).into()))
                .with_transaction_timeout_ms(transaction_timeout_ms)
        };
        let key = (CoordinatorKind::Transaction, transactional_id);
        let (_, response) =
            self.call_coordinator(key, timeout, build, |response| response.error_code).await?;
        ClientError::check(response.error_code, m::InitProducerIdRequest::NAME, transactional_id, None)?;
        Ok(ProducerIdentity { producer_id: response.producer_id.0, producer_epoch: response.producer_epoch })
    }

    /// Makes partitions part of the id's transaction, beginning one where there is none. Waits for up to `timeout` while the
    /// coordinator is not ready or the previous transaction not finished. Returns one result per partition, in order; where
    /// one is refused none is added.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn add_partitions_to_txn(
        &self,
        transactional_id: &str,
        producer: ProducerIdentity,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<PartitionResults<()>, ClientError> {
        let api = m::AddPartitionsToTxnRequest::NAME;
        let key = (CoordinatorKind::Transaction, transactional_id);
        let build = |_| add_partitions(transactional_id, producer, partitions);
        // An error of the transaction is told of every partition.
        let refused = |response: &m::AddPartitionsToTxnResponse| {
            let topics = response.results_by_topic_v3_and_below.iter();
            let first = topics.flat_map(|topic| &topic.results_by_partition).next();
            first.map_or(0, |partition| partition.partition_error_code)
        };
        let (connection, response) = self.call_coordinator(key, timeout, build, refused).await?;
        let answers: BTreeMap<(&str, i32), i16> = response
            .results_by_topic_v3_and_below
            .iter()
            .flat_map(|topic| {
                topic.results_by_partition.iter().map(|partition| (topic.name.as_str(), partition))
            })
            .map(|(topic, partition)| ((topic, partition.partition_index), partition.partition_error_code))
            .collect();
        let results = partitions.iter().map(|partition| {
            let result = match answers.get(&(&*partition.topic, partition.partition)) {
                Some(code) => ClientError::check(*code, api, partition, None),
                None => {
                    let problem = format!("nothing about {partition}");
                    Err(ClientError::invalid_response(connection.shared_address(), api, problem))
                }
            };
            (partition.clone(), result)
        });
        Ok(results.collect())
    }

    /// Ends the id's transaction. Markers are on their way to all its partitions when this returns, not yet there: the next
    /// [`Client::add_partitions_to_txn`] waits for them.
    ///
    /// # Errors
    /// Those of any call, and those of the coordinator.
    pub async fn end_txn(
        &self,
        transactional_id: &str,
        producer: ProducerIdentity,
        commit: bool,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let build = |_| {
            m::EndTxnRequest::default()
                .with_transactional_id(to_wire(transactional_id).into())
                .with_producer_id(producer.producer_id.into())
                .with_producer_epoch(producer.producer_epoch)
                .with_committed(commit)
        };
        let key = (CoordinatorKind::Transaction, transactional_id);
        let (_, response) =
            self.call_coordinator(key, timeout, build, |response| response.error_code).await?;
        ClientError::check(response.error_code, m::EndTxnRequest::NAME, transactional_id, None)
    }
}

fn add_partitions(
    transactional_id: &str,
    producer: ProducerIdentity,
    partitions: &[TopicPartition],
) -> m::AddPartitionsToTxnRequest {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        add_wire::AddPartitionsToTxnTopic::default()
            .with_name(to_wire(topic).into())
            .with_partitions(partitions)
    });
    m::AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(to_wire(transactional_id).into())
        .with_v3_and_below_producer_id(producer.producer_id.into())
        .with_v3_and_below_producer_epoch(producer.producer_epoch)
        .with_v3_and_below_topics(topics.collect())
}
