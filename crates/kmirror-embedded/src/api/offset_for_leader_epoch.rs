//! OffsetForLeaderEpoch (`ReplicaManager.lastOffsetForLeaderEpoch`, KIP-320): where an epoch ends in the leader's log.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::{Context, code};
use crate::security::acl::Operation;

pub(super) fn handle(
    request: OffsetForLeaderEpochRequest,
    context: &mut Context<'_>,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let found = lookup(&topic.topic, asked, context);
            let response =
                EpochEndOffset::default().with_partition(asked.partition).with_error_code(code(&found));
            let (leader_epoch, end_offset) = found.ok().flatten().unwrap_or((-1, -1));
            response.with_leader_epoch(leader_epoch).with_end_offset(end_offset)
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

fn lookup(
    topic: &str,
    asked: &OffsetForLeaderPartition,
    context: &mut Context<'_>,
) -> Result<Option<(i32, i64)>, ResponseError> {
    if let Some(error) = context.injected {
        return Err(error);
    }
    let (partition, _) = context.led(Operation::Describe, topic, asked.partition)?;
    partition.check_epoch(asked.current_leader_epoch)?;
    let (current, end) = (partition.leader_epoch, partition.log.end());
    Ok(partition.log.epochs.end_offset_for(asked.leader_epoch, current, end))
}
