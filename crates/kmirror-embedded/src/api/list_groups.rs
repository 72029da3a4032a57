//! ListGroups (`GroupMetadataManager.listGroups`): the groups that this broker coordinates, from version 4 on by their state
//! (KIP-518), from 5 on by their type (KIP-848).

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};

use super::{Context, text};
use crate::security::acl::{Operation, ResourceType};

pub(super) fn handle(request: ListGroupsRequest, context: &mut Context<'_>) -> ListGroupsResponse {
    if let Some(error) = context.injected {
        return ListGroupsResponse::default().with_error_code(error.code());
    }
    let now_ms = context.state.now_ms();
    let is_wanted = |filter: &[kafka_protocol::protocol::StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(value))
    };
    let sees_all = context.may(Operation::Describe, ResourceType::Cluster, "kafka-cluster");
    let mut groups = Vec::new();
    for name in context.state.groups.names() {
        let is_ours = context.state.placement.check(context.broker, &name).is_ok();
        let is_visible = sees_all || context.may(Operation::Describe, ResourceType::Group, &name);
        let Some(group) = context.state.groups.group(&name, now_ms).filter(|_| is_ours && is_visible) else {
            continue;
        };
        let state = group.state().name();
        if !is_wanted(&request.states_filter, state) || !is_wanted(&request.types_filter, CLASSIC) {
            continue;
        }
        let listed = ListedGroup::default()
            .with_protocol_type(text(group.protocol().0.unwrap_or_default()))
            .with_group_id(GroupId(text(name)));
        let listed = if context.version >= 4 { listed.with_group_state(text(state)) } else { listed };
        groups.push(if context.version >= 5 { listed.with_group_type(text(CLASSIC)) } else { listed });
    }
    ListGroupsResponse::default().with_groups(groups)
}

/// `Group.GroupType.CLASSIC`: the only type there is.
const CLASSIC: &str = "classic";
