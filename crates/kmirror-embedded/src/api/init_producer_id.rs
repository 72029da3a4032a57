//! InitProducerId (`KafkaApis.handleInitProducerIdRequest`, `TransactionCoordinator.handleInitProducerId`): an id that nobody else
//! has, or the one of a transactional id with an epoch that fences who had it before.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::{Context, fenced_as_known};
use crate::coordinator::transactions::{Init, Producer};
use crate::security::acl::{CLUSTER_NAME, Operation, ResourceType};

pub(super) fn handle(request: InitProducerIdRequest, context: &mut Context<'_>) -> InitProducerIdResponse {
    let initialized = match &request.transactional_id {
        Some(id) => initialize(id, &request, context),
        None => allocate(context),
    };
    let (error, producer) = match initialized {
        Ok(producer) => (0, producer),
        Err(error) => (fenced_as_known(error, context.version >= 4).code(), Producer { id: -1, epoch: -1 }),
    };
    InitProducerIdResponse::default()
        .with_error_code(error)
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
}

fn allocate(context: &mut Context<'_>) -> Result<Producer, ResponseError> {
    context.injected.map_or(Ok(()), Err)?;
    // Since 3.0 a right to write to any topic is one to write with sequences (KIP-679).
    let may_anywhere =
        || context.state.authorizer.allows_on_any(context.principal, Operation::Write, ResourceType::Topic);
    if !context.may(Operation::IdempotentWrite, ResourceType::Cluster, CLUSTER_NAME) && !may_anywhere() {
        return Err(ResponseError::ClusterAuthorizationFailed);
    }
    Ok(Producer { id: context.state.allocate_producer_id(), epoch: 0 })
}

fn initialize(
    id: &str,
    request: &InitProducerIdRequest,
    context: &mut Context<'_>,
) -> Result<Producer, ResponseError> {
    context.check_transactional_id(id)?;
    let expected = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ResponseError::InvalidRequest),
        (id, epoch) => Some(Producer { id, epoch }),
    };
    let init = Init { timeout_ms: request.transaction_timeout_ms, expected };
    let state = &mut *context.state;
    let now_ms = state.now_ms();
    let initialized = state.transactions.initialize(id, init, &mut state.producer_ids, now_ms);
    // What was ongoing has been aborted.
    state.write_markers();
    initialized
}
