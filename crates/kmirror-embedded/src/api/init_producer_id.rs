//! InitProducerId (`TransactionCoordinator.handleInitProducerId`): an id that nobody else has. Transactional ids are not served.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::Context;
use crate::security::acl::{CLUSTER_NAME, Operation, ResourceType};

pub(super) fn handle(request: InitProducerIdRequest, context: &mut Context<'_>) -> InitProducerIdResponse {
    if request.transactional_id.is_some() {
        return InitProducerIdResponse::default()
            .with_error_code(ResponseError::NotCoordinator.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
    }
    // Since 3.0 a right to write to any topic is one to write with sequences (KIP-679).
    let may_anywhere =
        || context.state.authorizer.allows_on_any(context.principal, Operation::Write, ResourceType::Topic);
    if !context.may(Operation::IdempotentWrite, ResourceType::Cluster, CLUSTER_NAME) && !may_anywhere() {
        return InitProducerIdResponse::default()
            .with_error_code(ResponseError::ClusterAuthorizationFailed.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
    }
    let producer_id = ProducerId(context.state.allocate_producer_id());
    InitProducerIdResponse::default().with_producer_id(producer_id).with_producer_epoch(0)
}
