//! WriteTxnMarkers (`KafkaApis.handleWriteTxnMarkersRequest`): one control batch for each marker and partition, fenced by the
//! coordinator epoch, whether a transaction is open or not.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{ProducerId, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use tokio::time::Instant;

use super::{Context, code};
use crate::cluster::Shared;
use crate::log::Origin;
use crate::security::acl::{CLUSTER_NAME, Operation, ResourceType};
use crate::state::{PartitionName, State};

/// A marker that was appended: of which producer, where, and what must be replicated before it is acknowledged.
pub(super) struct Appended {
    producer_id: ProducerId,
    partition: PartitionName,
    next_offset: i64,
}

/// Appends the markers; those that are not replicated yet are among them.
pub(super) fn append_all(
    request: &WriteTxnMarkersRequest,
    context: &mut Context<'_>,
) -> (WriteTxnMarkersResponse, Vec<Appended>) {
    let mut appended = Vec::new();
    // Kafka keeps the results of a producer in one map: of several markers for a partition the last one's stays.
    let mut results: Vec<WritableTxnMarkerResult> = Vec::new();
    for marker in &request.markers {
        let result = write(marker, context, &mut appended);
        match results.iter_mut().find(|known| known.producer_id == marker.producer_id) {
            Some(known) => merge(known, result),
            None => results.push(result),
        }
    }
    (WriteTxnMarkersResponse::default().with_markers(results), appended)
}

/// Waits until everything is replicated (`ReplicaManager.appendRecords` with `requiredAcks` of -1, `DelayedProduce`). What another
/// leader may not have is not acknowledged.
pub(super) async fn replicated(
    response: &mut WriteTxnMarkersResponse,
    mut appended: Vec<Appended>,
    shared: &Shared,
    broker: i32,
) {
    let mut changes = shared.changes();
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    loop {
        let mut refused = Vec::new();
        {
            let mut state = shared.lock();
            appended.retain(|appended| match is_replicated(appended, &mut state, broker) {
                Ok(is_replicated) => !is_replicated,
                Err(error) => {
                    refused.push((appended.producer_id, appended.partition.clone(), error));
                    false
                }
            });
        }
        refused
            .iter()
            .for_each(|(producer_id, partition, error)| refuse(response, *producer_id, partition, *error));
        if appended.is_empty() {
            return;
        }
        if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
            for Appended { producer_id, partition, .. } in &appended {
                refuse(response, *producer_id, partition, ResponseError::RequestTimedOut);
            }
            return;
        }
    }
}

fn is_replicated(appended: &Appended, state: &mut State, broker: i32) -> Result<bool, ResponseError> {
    let (topic, number) = &appended.partition;
    let (partition, _) = state.led_by(broker, topic, *number)?;
    Ok(partition.log.high_watermark() >= appended.next_offset)
}

fn refuse(
    response: &mut WriteTxnMarkersResponse,
    producer_id: ProducerId,
    (topic, number): &PartitionName,
    error: ResponseError,
) {
    let of_producer = response.markers.iter_mut().filter(|marker| marker.producer_id == producer_id);
    let topics = of_producer.flat_map(|marker| &mut marker.topics).filter(|known| *known.name.0 == **topic);
    for partition in topics.flat_map(|topic| &mut topic.partitions) {
        if partition.partition_index == *number {
            partition.error_code = error.code();
        }
    }
}

fn write(
    marker: &WritableTxnMarker,
    context: &mut Context<'_>,
    appended: &mut Vec<Appended>,
) -> WritableTxnMarkerResult {
    let topics = marker.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|number| {
            let written = append(marker, &topic.name, *number, context);
            appended.extend(written.ok().map(|next_offset| Appended {
                producer_id: marker.producer_id,
                partition: (topic.name.to_string(), *number),
                next_offset,
            }));
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
) -> Result<i64, ResponseError> {
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
    let appended = partition.log.append_marker(
        marker.producer_id.0,
        marker.producer_epoch,
        marker.transaction_result,
        marker.coordinator_epoch,
        origin,
    )?;
    partition.replicate();
    Ok(appended.next_offset)
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

/// `request.timeout.ms` of the coordinator's broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
