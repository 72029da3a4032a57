//! SyncGroup (`GroupCoordinatorService.syncGroup`): a member's assignment, as soon as the leader has sent them.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::{Context, EmptyName, text};
use crate::coordinator::group::{Sync, Synced};
use crate::coordinator::groups::Awaited;
use crate::security::acl::Operation;

pub(super) fn begin(request: &SyncGroupRequest, context: &mut Context<'_>) -> Result<Awaited, ResponseError> {
    // `SyncGroupRequest.areMandatoryProtocolTypeAndNamePresent` (KIP-559).
    if context.version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return Err(ResponseError::InconsistentGroupProtocol);
    }
    context.check_group(Operation::Read, &request.group_id, EmptyName::Refused)?;
    let now_ms = context.state.now_ms();
    let sync = Sync {
        ticket: 0,
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(|id| id.to_string()),
        generation: request.generation_id,
        protocol_type: request.protocol_type.as_ref().map(|name| name.to_string()),
        protocol_name: request.protocol_name.as_ref().map(|name| name.to_string()),
        assignments: request
            .assignments
            .iter()
            .map(|one| (one.member_id.to_string(), Bytes::copy_from_slice(&one.assignment)))
            .collect(),
    };
    Ok(context.state.groups.sync(&request.group_id, sync, now_ms))
}

pub(super) fn response(synced: Result<Synced, ResponseError>) -> SyncGroupResponse {
    let response = SyncGroupResponse::default().with_error_code(super::code(&synced));
    match synced {
        Ok(synced) => response
            .with_protocol_type(synced.protocol_type.map(text))
            .with_protocol_name(synced.protocol_name.map(text))
            .with_assignment(synced.assignment),
        Err(_) => response,
    }
}
