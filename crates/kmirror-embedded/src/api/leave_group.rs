//! LeaveGroup (`GroupCoordinatorService.leaveGroup`): one member up to version 2, any number from 3 on (KIP-345), also by their
//! instance ids.

use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::{Context, EmptyName, code};
use crate::coordinator::group::Leave;
use crate::security::acl::Operation;

pub(super) fn handle(request: LeaveGroupRequest, context: &mut Context<'_>) -> LeaveGroupResponse {
    if let Err(error) = context.check_group(Operation::Read, &request.group_id, EmptyName::Refused) {
        return LeaveGroupResponse::default().with_error_code(error.code());
    }
    let is_batched = context.version >= 3;
    let members = if is_batched {
        request.members
    } else {
        vec![MemberIdentity::default().with_member_id(request.member_id)]
    };
    let leaves: Vec<_> = members
        .iter()
        .map(|member| Leave {
            member_id: member.member_id.to_string(),
            instance_id: member.group_instance_id.as_ref().map(|id| id.to_string()),
        })
        .collect();
    let now_ms = context.state.now_ms();
    let left = context.state.groups.leave(&request.group_id, &leaves, now_ms);
    if !is_batched {
        return LeaveGroupResponse::default().with_error_code(left.first().map_or(0, code));
    }
    let members = members.into_iter().zip(&left).map(|(member, left)| {
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code(left))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}
