//! JoinGroup (`GroupCoordinatorService.joinGroup`): answered when everybody has joined. From version 4 on a member comes again with
//! the id that it is given (KIP-394), from 5 on it may be static (KIP-345), from 9 on its leader may have nothing to assign (KIP-814).

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::{Context, EmptyName, text};
use crate::coordinator::group::{Join, Joined, Protocol};
use crate::coordinator::groups::Awaited;
use crate::security::acl::Operation;

pub(super) fn begin(request: &JoinGroupRequest, context: &mut Context<'_>) -> Result<Awaited, ResponseError> {
    context.check_group(Operation::Read, &request.group_id, EmptyName::Refused)?;
    if !SESSION_TIMEOUT_MS.contains(&request.session_timeout_ms) {
        return Err(ResponseError::InvalidSessionTimeout);
    }
    let now_ms = context.state.now_ms();
    let join = join(request, context);
    Ok(context.state.groups.join(&request.group_id, join, now_ms))
}

/// What is answered where the group was not even asked.
pub(super) fn refused(request: &JoinGroupRequest, error: ResponseError) -> Joined {
    let member_id = request.member_id.to_string();
    Joined { error: Some(error), generation: -1, member_id, ..Joined::default() }
}

fn join(request: &JoinGroupRequest, context: &mut Context<'_>) -> Join {
    let instance_id = request.group_instance_id.as_ref().map(|id| id.to_string());
    let prefix = instance_id.as_deref().unwrap_or(context.client_id);
    let mut bits = || context.state.machine.bits("member id");
    let (high, low) = (bits(), bits());
    // Version 0 knows one timeout for both.
    let rebalance_timeout_ms =
        if context.version == 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms };
    Join {
        ticket: 0,
        member_id: request.member_id.to_string(),
        new_member_id: format!("{prefix}-{}", uuid::Uuid::from_u64_pair(high, low)),
        instance_id,
        client_id: context.client_id.to_owned(),
        client_host: CLIENT_HOST.to_owned(),
        session_timeout_ms: i64::from(request.session_timeout_ms),
        rebalance_timeout_ms: i64::from(rebalance_timeout_ms),
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .iter()
            .map(|protocol| Protocol {
                name: protocol.name.to_string(),
                // A copy: a slice would hold the whole frame for as long as the member lives.
                metadata: Bytes::copy_from_slice(&protocol.metadata),
            })
            .collect(),
        requires_known_member_id: context.version >= 4,
        can_skip_assignment: context.version >= 9,
    }
}

pub(super) fn response(joined: Joined, version: i16) -> JoinGroupResponse {
    // Before version 7 there is no absent name.
    let absent = if version >= 7 { None } else { Some(String::new()) };
    let members = joined.members.into_iter().map(|(id, instance_id, metadata)| {
        JoinGroupResponseMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(instance_id.map(text).filter(|_| version >= 5))
            .with_metadata(metadata)
    });
    JoinGroupResponse::default()
        .with_error_code(joined.error.map_or(0, |error| error.code()))
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.map(text).filter(|_| version >= 7))
        .with_protocol_name(joined.protocol_name.or(absent).map(text))
        .with_leader(text(joined.leader))
        .with_skip_assignment(joined.skips_assignment && version >= 9)
        .with_member_id(text(joined.member_id))
        .with_members(members.collect())
}

/// `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.
const SESSION_TIMEOUT_MS: std::ops::RangeInclusive<i32> = 6_000..=1_800_000;
/// All clients are in this process, or on this machine.
const CLIENT_HOST: &str = "/127.0.0.1";
