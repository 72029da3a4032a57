//! Heartbeat (`GroupCoordinatorService.heartbeat`): a member is alive, and hears whether it must join again.

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::{Context, EmptyName, code};
use crate::security::acl::Operation;

pub(super) fn handle(request: HeartbeatRequest, context: &mut Context<'_>) -> HeartbeatResponse {
    let heard = context.check_group(Operation::Read, &request.group_id, EmptyName::Refused).and_then(|()| {
        let now_ms = context.state.now_ms();
        let instance_id = request.group_instance_id.as_deref();
        let (name, member_id) = (&request.group_id, &request.member_id);
        context.state.groups.heartbeat(name, member_id, instance_id, request.generation_id, now_ms)
    });
    HeartbeatResponse::default().with_error_code(code(&heard))
}
