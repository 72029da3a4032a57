//! FindCoordinator (`KafkaApis.handleFindCoordinatorRequest`): which broker answers for a group or a transactional id. One key up
//! to version 3, any number from 4 on (KIP-699). There are no share groups (key type 2).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};

use super::{Context, text};
use crate::security::acl::{Operation, ResourceType};

pub(super) fn handle(request: FindCoordinatorRequest, context: &mut Context<'_>) -> FindCoordinatorResponse {
    let find = |key: &str| find(key, request.key_type, context);
    if context.version >= BATCHED_FROM {
        let found = request.coordinator_keys.iter().map(|key| find(key).with_key(key.clone()));
        return FindCoordinatorResponse::default().with_coordinators(found.collect());
    }
    let found = find(&request.key);
    let message = ResponseError::try_from_code(found.error_code)
        .map_or_else(|| "NONE".to_owned(), |error| error.to_string());
    FindCoordinatorResponse::default()
        .with_error_code(found.error_code)
        .with_error_message(Some(text(message)))
        .with_node_id(found.node_id)
        .with_host(found.host)
        .with_port(found.port)
}

fn find(key: &str, key_type: i8, context: &Context<'_>) -> Coordinator {
    let state = &*context.state;
    let (resource_type, refusal) = match key_type {
        TRANSACTION => (ResourceType::TransactionalId, ResponseError::TransactionalIdAuthorizationFailed),
        _ => (ResourceType::Group, ResponseError::GroupAuthorizationFailed),
    };
    let broker = match key_type {
        GROUP | TRANSACTION if !context.may(Operation::Describe, resource_type, key) => Err(refusal),
        GROUP | TRANSACTION => state
            .placement
            .coordinator(key)
            .and_then(|id| Some((id, state.brokers.get(&id)?)))
            .ok_or(ResponseError::CoordinatorNotAvailable),
        _ => Err(ResponseError::InvalidRequest),
    };
    match broker {
        Ok((id, broker)) => Coordinator::default()
            .with_node_id(BrokerId(id))
            .with_host(text(broker.host.clone()))
            .with_port(i32::from(broker.port)),
        Err(error) => {
            Coordinator::default().with_error_code(error.code()).with_node_id(BrokerId(-1)).with_port(-1)
        }
    }
}

/// `FindCoordinatorRequest.MIN_BATCHED_VERSION`.
const BATCHED_FROM: i16 = 4;
/// `CoordinatorType`.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
