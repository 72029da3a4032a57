//! ListOffsets (`ReplicaManager.fetchOffset`): where a log begins and ends, and where a moment is in it.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::{Context, code};
use crate::security::acl::Operation;

pub(super) fn handle(request: ListOffsetsRequest, context: &mut Context<'_>) -> ListOffsetsResponse {
    let is_committed = request.isolation_level == 1;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let found = lookup(&topic.name, asked, is_committed, context);
            let response = ListOffsetsPartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(code(&found));
            let Found { offset, timestamp, leader_epoch } = found.unwrap_or_default();
            response.with_offset(offset).with_timestamp(timestamp).with_leader_epoch(leader_epoch)
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

struct Found {
    offset: i64,
    timestamp: i64,
    leader_epoch: i32,
}

impl Default for Found {
    fn default() -> Found {
        Found { offset: -1, timestamp: -1, leader_epoch: -1 }
    }
}

fn lookup(
    topic: &str,
    asked: &ListOffsetsPartition,
    is_committed: bool,
    context: &mut Context<'_>,
) -> Result<Found, ResponseError> {
    if let Some(error) = context.injected {
        return Err(error);
    }
    let (partition, _) = context.led(Operation::Describe, topic, asked.partition_index)?;
    partition.check_epoch(asked.current_leader_epoch)?;
    let log = &partition.log;
    let end = if is_committed { log.last_stable_offset() } else { log.high_watermark() };
    let found = |offset, timestamp| Found { offset, timestamp, leader_epoch: partition.leader_epoch };
    Ok(match asked.timestamp {
        LATEST => found(end, -1),
        EARLIEST => found(log.start(), -1),
        timestamp if timestamp >= 0 => match log.offset_at(timestamp, end) {
            Some((offset, timestamp)) => found(offset, timestamp),
            None => Found::default(),
        },
        _ => return Err(ResponseError::UnsupportedVersion),
    })
}

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
