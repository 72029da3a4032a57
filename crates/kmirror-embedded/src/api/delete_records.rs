//! DeleteRecords (`ReplicaManager.deleteRecordsOnLocalLog`): the log start moves forward, never beyond the high watermark.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{ApiKey, DeleteRecordsRequest, DeleteRecordsResponse};

use super::{Context, code};
use crate::security::acl::Operation;

pub(super) fn handle(request: DeleteRecordsRequest, context: &mut Context<'_>) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        context.state.changes.note(ApiKey::DeleteRecords, &topic.name);
        let partitions = topic.partitions.iter().map(|partition| {
            let deleted = delete(&topic.name, partition.partition_index, partition.offset, context);
            DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(&deleted))
                .with_low_watermark(deleted.unwrap_or(-1))
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

fn delete(topic: &str, number: i32, offset: i64, context: &mut Context<'_>) -> Result<i64, ResponseError> {
    let retains =
        context.state.topics.get(topic).is_none_or(|topic| topic.value("cleanup.policy").contains("delete"));
    let (partition, _) = context.led(Operation::Delete, topic, number)?;
    if !retains {
        return Err(ResponseError::PolicyViolation);
    }
    let log = &mut partition.log;
    let offset = if offset == HIGH_WATERMARK { log.high_watermark() } else { offset };
    if offset < 0 || offset > log.high_watermark() {
        return Err(ResponseError::OffsetOutOfRange);
    }
    log.delete_records(offset);
    Ok(log.start())
}

/// `DeleteRecordsRequest.HIGH_WATERMARK`.
const HIGH_WATERMARK: i64 = -1;
