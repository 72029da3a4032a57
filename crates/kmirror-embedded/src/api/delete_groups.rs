//! DeleteGroups (`GroupCoordinatorShard.deleteGroups`): groups that nobody is in, and what they have committed.

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::{Context, EmptyName, code};
use crate::security::acl::Operation;

pub(super) fn handle(mut request: DeleteGroupsRequest, context: &mut Context<'_>) -> DeleteGroupsResponse {
    let now_ms = context.state.now_ms();
    request.groups_names.sort();
    request.groups_names.dedup();
    let results = request.groups_names.into_iter().map(|name| {
        let deleted = context
            .check_group(Operation::Delete, &name, EmptyName::Permitted)
            .and_then(|()| context.state.groups.delete(&name, now_ms));
        DeletableGroupResult::default().with_error_code(code(&deleted)).with_group_id(name)
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}
