//! ListTransactions (`TransactionStateManager.listTransactionStates`, KIP-664): the transactional ids of this coordinator, by state,
//! by producer id, from version 1 on by duration, and from version 2 on by a pattern.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use regex::Regex;

use super::{Context, text};
use crate::coordinator::transactions::{Transaction, TransactionState};
use crate::security::acl::{Operation, ResourceType};

/// What is asked for.
struct Filter {
    /// All where none was asked for.
    states: Option<Vec<TransactionState>>,
    producer_ids: Vec<ProducerId>,
    duration_ms_min: i64,
    pattern: Option<Regex>,
}

pub(super) fn handle(
    request: ListTransactionsRequest,
    context: &mut Context<'_>,
) -> ListTransactionsResponse {
    let Ok(filter) = Filter::new(&request) else {
        let error = ResponseError::InvalidRegularExpression.code();
        return ListTransactionsResponse::default().with_error_code(error);
    };
    let state = &*context.state;
    let now_ms = state.now_ms();
    let listed = state.transactions.iter().filter(|(id, transaction)| {
        state.placement.coordinator(id) == Some(context.broker)
            && filter.includes(id, transaction, now_ms)
            && context.may(Operation::Describe, ResourceType::TransactionalId, id)
    });
    let listed = listed.map(|(id, transaction)| {
        Listed::default()
            .with_transactional_id(TransactionalId(text(id.as_str())))
            .with_producer_id(ProducerId(transaction.producer().id))
            .with_transaction_state(text(transaction.state().name()))
    });
    let is_unknown = |name: &&StrBytes| TransactionState::from_name(name).is_none();
    ListTransactionsResponse::default()
        .with_transaction_states(listed.collect())
        .with_unknown_state_filters(request.state_filters.iter().filter(is_unknown).cloned().collect())
}

impl Filter {
    fn new(request: &ListTransactionsRequest) -> Result<Filter, regex::Error> {
        let names = &request.state_filters;
        let states = names.iter().filter_map(|name| TransactionState::from_name(name)).collect();
        let pattern = request.transactional_id_pattern.as_ref().filter(|pattern| !pattern.is_empty());
        Ok(Filter {
            states: (!names.is_empty()).then_some(states),
            producer_ids: request.producer_id_filters.clone(),
            duration_ms_min: request.duration_filter,
            // The whole id must match.
            pattern: pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})$"))).transpose()?,
        })
    }

    fn includes(&self, id: &str, transaction: &Transaction, now_ms: i64) -> bool {
        let duration_ms = now_ms.saturating_sub(transaction.started_ms());
        self.states.as_ref().is_none_or(|states| states.contains(&transaction.state()))
            && (self.producer_ids.is_empty()
                || self.producer_ids.contains(&ProducerId(transaction.producer().id)))
            && (self.duration_ms_min < 0 || duration_ms > self.duration_ms_min)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
    }
}
