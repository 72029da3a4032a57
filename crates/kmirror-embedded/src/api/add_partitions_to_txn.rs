//! AddPartitionsToTxn (`KafkaApis.handleAddPartitionsToTxnRequest`): from clients up to version 3, for one transaction; from version
//! 4 on from brokers, for several, which may be asked about only (KIP-890). All of a transaction's partitions are added, or none.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use super::{Context, code, fenced_as_known};
use crate::coordinator::transactions::Producer;
use crate::markers::OFFSETS_TOPIC;
use crate::security::acl::{CLUSTER_NAME, Operation, ResourceType};
use crate::state::PartitionName;

pub(super) fn handle(
    request: AddPartitionsToTxnRequest,
    context: &mut Context<'_>,
) -> AddPartitionsToTxnResponse {
    if context.version < BROKERS_FROM {
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(request.v3_and_below_transactional_id)
            .with_producer_id(request.v3_and_below_producer_id)
            .with_producer_epoch(request.v3_and_below_producer_epoch)
            .with_topics(request.v3_and_below_topics);
        let results = add(&transaction, context);
        return AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results);
    }
    if !context.may(Operation::ClusterAction, ResourceType::Cluster, CLUSTER_NAME) {
        let error = ResponseError::ClusterAuthorizationFailed.code();
        return AddPartitionsToTxnResponse::default().with_error_code(error);
    }
    let results = request.transactions.into_iter().map(|transaction| {
        let results = add(&transaction, context);
        AddPartitionsToTxnResult::default()
            .with_transactional_id(transaction.transactional_id)
            .with_topic_results(results)
    });
    AddPartitionsToTxnResponse::default().with_results_by_transaction(results.collect())
}

fn add(
    transaction: &AddPartitionsToTxnTransaction,
    context: &mut Context<'_>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let is_from_client = context.version < BROKERS_FROM;
    let may = !is_from_client || context.may_produce_as(&transaction.transactional_id);
    if !may {
        return results(&transaction.topics, |_| Err(ResponseError::TransactionalIdAuthorizationFailed));
    }
    let checks: Vec<_> = partitions(&transaction.topics)
        .map(|(topic, number)| check(topic, number, is_from_client, context))
        .collect();
    if checks.iter().any(Result::is_err) {
        let mut checks = checks.into_iter();
        let not_attempted = Err(ResponseError::OperationNotAttempted);
        return results(&transaction.topics, |_| checks.next().unwrap_or(not_attempted).and(not_attempted));
    }
    if transaction.verify_only {
        return results(&transaction.topics, |partition| verify(transaction, &partition, context));
    }
    let added = add_all(transaction, context).map_err(|error| fenced_as_known(error, context.version >= 2));
    results(&transaction.topics, |_| added)
}

fn check(topic: &str, number: i32, is_from_client: bool, context: &Context<'_>) -> Result<(), ResponseError> {
    let is_internal = matches!(topic, OFFSETS_TOPIC | "__transaction_state");
    if is_from_client && (is_internal || !context.may_topic(Operation::Write, topic)) {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    let partitions = context.state.topics.get(topic).map_or(0, |topic| topic.partitions.len());
    let is_there = usize::try_from(number).is_ok_and(|number| number < partitions);
    if is_there { Ok(()) } else { Err(ResponseError::UnknownTopicOrPartition) }
}

fn producer(transaction: &AddPartitionsToTxnTransaction) -> Producer {
    Producer { id: transaction.producer_id.0, epoch: transaction.producer_epoch }
}

fn add_all(
    transaction: &AddPartitionsToTxnTransaction,
    context: &mut Context<'_>,
) -> Result<(), ResponseError> {
    let id = &transaction.transactional_id;
    context.check_transaction_coordinator(id)?;
    let partitions: Vec<_> = partitions(&transaction.topics)
        .map(|(topic, number)| -> PartitionName { (topic.to_owned(), number) })
        .collect();
    let now_ms = context.state.now_ms();
    context.state.transactions.add(id, producer(transaction), &partitions, now_ms)
}

fn verify(
    transaction: &AddPartitionsToTxnTransaction,
    partition: &PartitionName,
    context: &Context<'_>,
) -> Result<(), ResponseError> {
    let id = &transaction.transactional_id;
    context.check_transaction_coordinator(id)?;
    context.state.transactions.verify(id, producer(transaction), partition)
}

fn partitions(topics: &[AddPartitionsToTxnTopic]) -> impl Iterator<Item = (&str, i32)> {
    topics.iter().flat_map(|topic| topic.partitions.iter().map(|number| (topic.name.0.as_str(), *number)))
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    mut result: impl FnMut(PartitionName) -> Result<(), ResponseError>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let topics = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|number| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*number)
                .with_partition_error_code(code(&result((topic.name.to_string(), *number))))
        });
        let partitions = partitions.collect();
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions)
    });
    topics.collect()
}

/// `AddPartitionsToTxnRequest.LAST_CLIENT_VERSION` and one.
const BROKERS_FROM: i16 = 4;
