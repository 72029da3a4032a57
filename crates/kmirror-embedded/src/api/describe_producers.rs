//! DescribeProducers (`ReplicaManager.activeProducerState`, KIP-664): what the leader remembers of producers.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};

use super::{Context, code};
use crate::security::acl::Operation;

pub(super) fn handle(
    request: DescribeProducersRequest,
    context: &mut Context<'_>,
) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|number| {
            let producers = describe(&topic.name, *number, context);
            PartitionResponse::default()
                .with_partition_index(*number)
                .with_error_code(code(&producers))
                .with_active_producers(producers.unwrap_or_default())
        });
        let partitions = partitions.collect();
        TopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

fn describe(
    topic: &str,
    number: i32,
    context: &mut Context<'_>,
) -> Result<Vec<ProducerState>, ResponseError> {
    let (partition, _) = context.led(Operation::Read, topic, number)?;
    let producers = partition.log.producers.describe().map(|(id, producer, last_sequence)| {
        ProducerState::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(i32::from(producer.epoch))
            .with_last_sequence(last_sequence)
            .with_last_timestamp(producer.last_timestamp)
            .with_coordinator_epoch(producer.coordinator_epoch)
            .with_current_txn_start_offset(producer.transaction_start.unwrap_or(-1))
    });
    Ok(producers.collect())
}
