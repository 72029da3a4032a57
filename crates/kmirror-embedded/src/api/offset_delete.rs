//! OffsetDelete (KIP-496, `OffsetMetadataManager.deleteOffsets`): of topics that nobody in the group subscribes to.

use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::{Context, EmptyName, code};
use crate::security::acl::Operation;

pub(super) fn handle(request: OffsetDeleteRequest, context: &mut Context<'_>) -> OffsetDeleteResponse {
    let group = request.group_id.as_str();
    let now_ms = context.state.now_ms();
    let permitted = context
        .check_group(Operation::Delete, group, EmptyName::Refused)
        .and_then(|()| context.state.groups.check_delete_offsets(group, now_ms));
    if let Err(error) = permitted {
        return OffsetDeleteResponse::default().with_error_code(error.code());
    }
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let number = partition.partition_index;
            let deleted = context
                .check_partition(&topic.name, number)
                .and_then(|()| context.state.groups.delete_offset(group, &(topic.name.to_string(), number)));
            OffsetDeleteResponsePartition::default()
                .with_partition_index(number)
                .with_error_code(code(&deleted))
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
