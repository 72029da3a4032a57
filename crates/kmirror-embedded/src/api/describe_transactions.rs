//! DescribeTransactions (`TransactionCoordinator.handleDescribeTransactions`, KIP-664): what a coordinator knows of transactional
//! ids.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName, TransactionalId,
};

use super::{Context, text};
use crate::coordinator::transactions::Transaction;
use crate::security::acl::{Operation, ResourceType};

pub(super) fn handle(
    request: DescribeTransactionsRequest,
    context: &mut Context<'_>,
) -> DescribeTransactionsResponse {
    let states = request.transactional_ids.into_iter().map(|id| {
        let described = match find(&id, context) {
            Ok(transaction) => describe(transaction, context),
            Err(error) => TransactionState::default().with_error_code(error.code()),
        };
        described.with_transactional_id(id)
    });
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}

fn find<'a>(id: &TransactionalId, context: &'a Context<'_>) -> Result<&'a Transaction, ResponseError> {
    if !context.may(Operation::Describe, ResourceType::TransactionalId, id) {
        return Err(ResponseError::TransactionalIdAuthorizationFailed);
    }
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    context.check_transaction_coordinator(id)?;
    context.state.transactions.get(id).ok_or(ResponseError::TransactionalIdNotFound)
}

fn describe(transaction: &Transaction, context: &Context<'_>) -> TransactionState {
    let mut topics: Vec<TopicData> = Vec::new();
    for (topic, number) in transaction.partitions() {
        match topics.last_mut().filter(|last| *last.topic.0 == **topic) {
            Some(last) => last.partitions.push(*number),
            None if context.may_topic(Operation::Describe, topic) => {
                let name = TopicName(text(topic.as_str()));
                topics.push(TopicData::default().with_topic(name).with_partitions(vec![*number]));
            }
            None => {}
        }
    }
    let producer = transaction.producer();
    TransactionState::default()
        .with_transaction_state(text(transaction.state().name()))
        .with_transaction_timeout_ms(transaction.timeout_ms())
        .with_transaction_start_time_ms(transaction.started_ms())
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
        .with_topics(topics)
}
