//! TxnOffsetCommit (`KafkaApis.handleTxnOffsetCommitRequest`, `OffsetMetadataManager.commitTransactionalOffset`): offsets that count
//! when the producer's transaction is committed. From version 3 on the member is checked (KIP-447).

use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::offset_commit::{Wanted, commit};
use super::{Context, EmptyName, code};
use crate::coordinator::groups::CommitAs;

pub(super) fn handle(request: TxnOffsetCommitRequest, context: &mut Context<'_>) -> TxnOffsetCommitResponse {
    let who = CommitAs {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        generation: request.generation_id,
        producer_id: Some(request.producer_id.0),
    };
    let wanted: Vec<_> = request
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(move |partition| (topic, partition)))
        .map(|(topic, partition)| Wanted {
            topic: &topic.name,
            number: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_ref(),
        })
        .collect();
    let mut committed = commit(&request.group_id, &who, &wanted, EmptyName::Refused, context).into_iter();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(&mut committed).map(|(partition, committed)| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(&committed))
        });
        let partitions = partitions.collect();
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}
