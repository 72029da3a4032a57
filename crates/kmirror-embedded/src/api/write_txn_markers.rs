//! WriteTxnMarkers (`KafkaApis.handleWriteTxnMarkersRequest`): one control batch for each marker and partition, fenced by the
//! coordinator epoch, whether a transaction is open or not.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::{Context, code};
use crate::log::Origin;
use crate::security::acl::{CLUSTER_NAME, Operation, ResourceType};

pub(super) fn handle(request: WriteTxnMarkersRequest, context: &mut Context<'_>) -> WriteTxnMarkersResponse {
    // Kafka keeps the results of a producer in one map: of several markers for a partition the last one's stays.
    let mut results: Vec<WritableTxnMarkerResult> = Vec::new();
    for marker in &request.markers {
        let result = write(marker, context);
        match results.iter_mut().find(|known| known.producer_id == marker.producer_id) {
            Some(known) => merge(known, result),
            None => results.push(result),
        }
    }
    WriteTxnMarkersResponse::default().with_markers(results)
}

fn write(marker: &WritableTxnMarker, context: &mut Context<'_>) -> WritableTxnMarkerResult {
    let topics = marker.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|number| {
            let written = append(marker, &topic.name, *number, context);
            WritableTxnMarkerPartitionResult::default()
                .with_partition_index(*number)
                .with_error_code(code(&written))
        });
        WritableTxnMarkerTopicResult::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    WritableTxnMarkerResult::default().with_producer_id(marker.producer_id).with_topics(topics.collect())
}

fn append(
    marker: &WritableTxnMarker,
    topic: &str,
    number: i32,
    context: &mut Context<'_>,
) -> Result<(), ResponseError> {
    if let Some(error) = context.injected {
        return Err(error);
    }
    let may = |operation| context.may(operation, ResourceType::Cluster, CLUSTER_NAME);
    if !may(Operation::Alter) && !may(Operation::ClusterAction) {
        return Err(ResponseError::ClusterAuthorizationFailed);
    }
    let now_ms = context.state.now_ms();
    let (partition, _) = context.state.led_by(context.broker, topic, number)?;
    let origin = Origin { version: context.version, leader_epoch: partition.leader_epoch, now_ms };
    partition.log.append_marker(
        marker.producer_id.0,
        marker.producer_epoch,
        marker.transaction_result,
        marker.coordinator_epoch,
        origin,
    )?;
    partition.replicate();
    Ok(())
}

fn merge(known: &mut WritableTxnMarkerResult, result: WritableTxnMarkerResult) {
    for topic in result.topics {
        let Some(same) = known.topics.iter_mut().find(|known| known.name == topic.name) else {
            known.topics.push(topic);
            continue;
        };
        for partition in topic.partitions {
            same.partitions.retain(|known| known.partition_index != partition.partition_index);
            same.partitions.push(partition);
        }
    }
}
