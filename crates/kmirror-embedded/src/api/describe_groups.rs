//! DescribeGroups (`GroupMetadataManager.describeGroups`): what a member says and gets is told of stable groups alone. A group that
//! is not there is Dead, and from version 6 on an error (KIP-1043).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

use super::{Context, EmptyName, text};
use crate::coordinator::group::{GroupState, Member};
use crate::security::acl::{Operation, ResourceType};

pub(super) fn handle(request: DescribeGroupsRequest, context: &mut Context<'_>) -> DescribeGroupsResponse {
    let with_operations = request.include_authorized_operations && context.version >= 3;
    let groups = request.groups.into_iter().map(|name| {
        let described = describe(name, context);
        if with_operations && described.error_code == 0 {
            let operations = operations(&described.group_id, context);
            described.with_authorized_operations(operations)
        } else {
            described
        }
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

/// What the principal may do with a group, as bits (`AuthHelper.authorizedOperations`, `AclEntry.supportedOperations`).
fn operations(name: &str, context: &Context<'_>) -> i32 {
    let has_configs = context.state.profile.has_new_group_coordinator();
    let of_configs: &[Operation] =
        if has_configs { &[Operation::DescribeConfigs, Operation::AlterConfigs] } else { &[] };
    let operations = [Operation::Read, Operation::Delete, Operation::Describe].iter().chain(of_configs);
    let may = operations.filter(|operation| context.may(**operation, ResourceType::Group, name));
    may.fold(0, |bits, operation| bits | 1 << (*operation as i32))
}

fn describe(name: GroupId, context: &mut Context<'_>) -> DescribedGroup {
    let version = context.version;
    let described =
        DescribedGroup::default().with_group_id(name.clone()).with_authorized_operations(i32::MIN);
    if let Err(error) = context.check_group(Operation::Describe, &name, EmptyName::Permitted) {
        return described.with_error_code(error.code());
    }
    let now_ms = context.state.now_ms();
    let Some(group) = context.state.groups.group(&name, now_ms) else {
        let dead = described.with_group_state(text("Dead"));
        return if version >= 6 {
            dead.with_error_code(ResponseError::GroupIdNotFound.code())
                .with_error_message(Some(text(format!("Group {} not found.", name.as_str()))))
        } else {
            dead
        };
    };
    let (protocol_type, protocol_name) = group.protocol();
    let protocol_name = protocol_name.filter(|_| group.state() == GroupState::Stable);
    let members =
        group.members().iter().map(|member| describe_member(member, protocol_name.as_deref(), version));
    described
        .with_group_state(text(group.state().name()))
        .with_protocol_type(text(protocol_type.unwrap_or_default()))
        .with_members(members.collect())
        .with_protocol_data(text(protocol_name.unwrap_or_default()))
}

fn describe_member(member: &Member, protocol: Option<&str>, version: i16) -> DescribedGroupMember {
    let described = DescribedGroupMember::default()
        .with_member_id(text(member.id.clone()))
        .with_client_id(text(member.client_id.clone()))
        .with_client_host(text(member.client_host.clone()))
        .with_member_assignment(member.assignment.clone());
    let described = match protocol {
        Some(protocol) => described.with_member_metadata(member.metadata(protocol)),
        None => described,
    };
    if version >= 4 {
        described.with_group_instance_id(member.instance_id.clone().map(text))
    } else {
        described
    }
}
