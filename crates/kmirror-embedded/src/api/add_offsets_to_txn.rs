//! AddOffsetsToTxn (`KafkaApis.handleAddOffsetsToTxnRequest`): the partition of `__consumer_offsets` that keeps a group's offsets
//! becomes one of a transaction.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::{Context, code, fenced_as_known};
use crate::coordinator::Placement;
use crate::coordinator::transactions::Producer;
use crate::markers::OFFSETS_TOPIC;
use crate::security::acl::{Operation, ResourceType};

pub(super) fn handle(request: AddOffsetsToTxnRequest, context: &mut Context<'_>) -> AddOffsetsToTxnResponse {
    let added = add(&request, context).map_err(|error| fenced_as_known(error, context.version >= 2));
    AddOffsetsToTxnResponse::default().with_error_code(code(&added))
}

fn add(request: &AddOffsetsToTxnRequest, context: &mut Context<'_>) -> Result<(), ResponseError> {
    let id = &request.transactional_id;
    if !context.may_produce_as(id) {
        return Err(ResponseError::TransactionalIdAuthorizationFailed);
    }
    if !context.may(Operation::Read, ResourceType::Group, &request.group_id) {
        return Err(ResponseError::GroupAuthorizationFailed);
    }
    context.check_transactional_id(id)?;
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let partition = (OFFSETS_TOPIC.to_owned(), Placement::partition_of(&request.group_id));
    let now_ms = context.state.now_ms();
    context.state.transactions.add(id, producer, &[partition], now_ms)
}
